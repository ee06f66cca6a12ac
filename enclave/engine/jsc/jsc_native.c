#include "enclave/engine/jsc/jsc_priv.h"

#include <stdio.h>
#include <string.h>

#include "enclave/engine/guest/utf8.h"

#define RANDOM_MAX 65536

#define NATIVE(name)                                                                                                   \
    static JSValueRef name(JSContextRef ctx, JSObjectRef function, JSObjectRef self, size_t count,                     \
                           const JSValueRef args[], JSValueRef *exception)
#define UNUSED_ARGS (void)function, (void)self, (void)count, (void)args, (void)exception

/* A missing argument is undefined. */
static JSValueRef arg(JSContextRef ctx, size_t count, const JSValueRef args[], size_t i)
{
    return i < count ? args[i] : JSValueMakeUndefined(ctx);
}

/* ToUint32 of what our own JavaScript gives; anything else is 0. */
static uint32_t number(JSContextRef ctx, size_t count, const JSValueRef args[], size_t i)
{
    double value = JSValueToNumber(ctx, arg(ctx, count, args, i), NULL);

    return value >= 0 && value <= UINT32_MAX ? (uint32_t)value : 0;
}

static void throw_entropy(JSContextRef ctx, JSValueRef *exception)
{
    encl_jsc_throw(ctx, "Error", "ENTROPY_BEFORE_SNAPSHOT",
                   "randomness and outside data exist only while a request is handled: what is drawn while the module "
                   "loads would repeat in every request",
                   exception);
}

NATIVE(native_clock)
{
    UNUSED_ARGS;
    uint64_t now =
        encl_jsc->run.is_serving ? encl_jsc->host.clock(encl_jsc->host.context, number(ctx, count, args, 0)) : 0;
    return JSValueMakeNumber(ctx, (double)now);
}

NATIVE(native_random)
{
    uint8_t *data;
    size_t size;

    UNUSED_ARGS;
    if (!encl_jsc->run.is_serving) {
        throw_entropy(ctx, exception);
        return NULL;
    }
    if (!encl_jsc_bytes(ctx, arg(ctx, count, args, 0), &data, &size, exception))
        return NULL;
    if (size > RANDOM_MAX)
        encl_jsc_throw(ctx, "RangeError", NULL, "at most 65536 bytes at a time", exception);
    else if (size > 0 && encl_jsc->host.random(encl_jsc->host.context, data, size) < 0)
        encl_jsc_fail(ENCL_KIND_EXCEPTION, "no randomness");
    return JSValueMakeUndefined(ctx);
}

NATIVE(native_guard)
{
    UNUSED_ARGS;
    if (encl_jsc->run.is_serving)
        return JSValueMakeUndefined(ctx);
    if (count > 0 && JSValueIsString(ctx, args[0]))
        encl_jsc_throw(ctx, "Error", "TIMER_BEFORE_SNAPSHOT",
                       "timers exist only while a request is handled: the clock stands while the module loads",
                       exception);
    else
        throw_entropy(ctx, exception);
    return NULL;
}

NATIVE(native_log)
{
    RD_CLEANUP(rd_buf_done) rd_buf line = { 0 };

    UNUSED_ARGS;
    if (!encl_jsc_append_text(ctx, arg(ctx, count, args, 1), &line, exception))
        return NULL;
    encl_jsc->host.log(encl_jsc->host.context, number(ctx, count, args, 0), rd_buf_bytes(&line));
    return JSValueMakeUndefined(ctx);
}

/* --- questions to the host (guest_abi.h) ------------------------------------------------------------------------ */

static bool put_field(JSContextRef ctx, JSValueRef value, rd_buf *out, JSValueRef *exception)
{
    RD_CLEANUP(rd_buf_wipe) rd_buf text = { .size_max = SIZE_MAX };
    uint8_t *data = NULL;
    size_t size = 0;

    if (JSValueIsNumber(ctx, value)) {
        rd_buf_append_u32le(out, 4);
        return rd_buf_append_u32le(out, number(ctx, 1, &value, 0));
    }
    if (JSValueIsString(ctx, value)) {
        if (!encl_jsc_append_text(ctx, value, &text, exception))
            return false;
        data = text.data;
        size = text.size;
    } else if (!JSValueIsNull(ctx, value) && !encl_jsc_bytes(ctx, value, &data, &size, exception)) {
        return false;
    }
    if (rd_buf_append_u32le(out, (uint32_t)size) && (size == 0 || rd_buf_append(out, data, size)))
        return true;
    encl_jsc_throw(ctx, "RangeError", NULL, "too much at once", exception);
    return false;
}

static JSValueRef take_answer(JSContextRef ctx, uint32_t size, JSValueRef *exception)
{
    RD_CLEANUP(rd_buf_wipe) rd_buf answer = { 0 };
    uint8_t *room = rd_buf_reserve(&answer, (size_t)size + 1);
    char sentence[300];

    if (!room || encl_jsc->host.take(encl_jsc->host.context, room, size) < 0)
        size = 0;
    if (room)
        rd_buf_commit(&answer, size);
    if (size > 0 && room[0] == ENCL_ASK_OK)
        return encl_jsc_buffer(ctx, rd_bytes_of(room + 1, size - 1), exception);
    unsigned status = size > 0 ? room[0] : ENCL_ASK_OPERATION;
    if (status == ENCL_ASK_ENTROPY) {
        throw_entropy(ctx, exception);
        return NULL;
    }
    (void)snprintf(sentence, sizeof(sentence), "%u:%.*s", status, size > 1 ? (int)size - 1 : 0,
                   size > 1 ? (const char *)room + 1 : "");
    return encl_jsc_string(ctx, rd_bytes_str(sentence));
}

NATIVE(native_ask)
{
    RD_CLEANUP(rd_buf_wipe) rd_buf question = { .size_max = UINT32_MAX };
    uint32_t op = number(ctx, count, args, 0);

    UNUSED_ARGS;
    for (size_t i = 1; i < count; i++) {
        if (!put_field(ctx, args[i], &question, exception))
            return NULL;
    }
    encl_jsc->run.has_ended_stream |= op == ENCL_ASK_END || op == ENCL_ASK_BREAK;
    uint32_t size =
        encl_jsc->host.ask(encl_jsc->host.context, op == ENCL_ASK_REPLY ? UINT32_MAX : op, rd_buf_bytes(&question));
    return take_answer(ctx, size, exception);
}

/* --- text ------------------------------------------------------------------------------------------------------- */

NATIVE(native_encode)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { .size_max = SIZE_MAX };

    UNUSED_ARGS;
    if (!encl_jsc_append_text(ctx, arg(ctx, count, args, 0), &text, exception))
        return NULL;
    return encl_jsc_buffer(ctx, rd_buf_bytes(&text), exception);
}

/* decode(bytes, is_fatal): the text, or null when fatal and malformed. */
NATIVE(native_decode)
{
    uint8_t *data;
    size_t size;

    UNUSED_ARGS;
    if (!encl_jsc_bytes(ctx, arg(ctx, count, args, 0), &data, &size, exception))
        return NULL;
    if (JSValueToBoolean(ctx, arg(ctx, count, args, 1)) && rd_utf8_valid(data, size) != size)
        return JSValueMakeNull(ctx);
    return encl_jsc_string(ctx, rd_bytes_of(data, size));
}

NATIVE(native_tail)
{
    uint8_t *data;
    size_t size;

    UNUSED_ARGS;
    if (!encl_jsc_bytes(ctx, arg(ctx, count, args, 0), &data, &size, exception))
        return NULL;
    return JSValueMakeNumber(ctx, (double)rd_utf8_tail(data, size));
}

/* --- the run ---------------------------------------------------------------------------------------------------- */

static bool write_response(JSContextRef ctx, size_t count, const JSValueRef args[], rd_buf *out, JSValueRef *exception)
{
    uint8_t *body = NULL;
    size_t size = 0;
    JSObjectRef list = JSValueToObject(ctx, arg(ctx, count, args, 1), exception);

    if (!list)
        return false;
    uint32_t length = (uint32_t)JSValueToNumber(ctx, encl_jsc_get(ctx, list, "length"), NULL) / 2;
    rd_buf_append_u32le(out, number(ctx, count, args, 0));
    rd_buf_append_u32le(out, length);
    for (unsigned i = 0; i < length * 2; i++) {
        JSValueRef field = JSObjectGetPropertyAtIndex(ctx, list, i, exception);
        if (!field || encl_jsc_to_latin1(ctx, field, out, exception) < 0)
            return false;
    }
    JSValueRef given = arg(ctx, count, args, 2);
    RD_CLEANUP(rd_buf_done) rd_buf text = { .size_max = SIZE_MAX };
    if (JSValueIsString(ctx, given)) {
        if (!encl_jsc_append_text(ctx, given, &text, exception))
            return false;
        body = text.data;
        size = text.size;
    } else if (!JSValueIsNull(ctx, given) && !encl_jsc_bytes(ctx, given, &body, &size, exception)) {
        return false;
    }
    if (!rd_buf_append_u32le(out, (uint32_t)size) || (size > 0 && !rd_buf_append(out, body, size)))
        encl_jsc_fail(ENCL_KIND_OUTPUT, "the response is larger than the limit");
    return true;
}

/* respond(status, [name, value, …], a text, a Uint8Array or null) */
NATIVE(native_respond)
{
    encl_jsc_run *run = &encl_jsc->run;

    UNUSED_ARGS;
    if (run->has_response || run->result.state == ENCL_GUEST_FAILED)
        return JSValueMakeUndefined(ctx);
    rd_buf_done(&run->out);
    rd_buf_init(&run->out, encl_jsc->output_max + 4096);
    if (!write_response(ctx, count, args, &run->out, exception)) {
        rd_buf_clear(&run->out);
        return NULL;
    }
    run->has_response = run->result.state != ENCL_GUEST_FAILED;
    return JSValueMakeUndefined(ctx);
}

/* fail(kind, thrown): ends the request; the stack goes to the log. */
NATIVE(native_fail)
{
    UNUSED_ARGS;
    if (!encl_jsc->run.has_response)
        encl_jsc_fail_value(number(ctx, count, args, 0), arg(ctx, count, args, 1), false, true);
    return JSValueMakeUndefined(ctx);
}

/* failLoad(kind, thrown): the same of a handler that does not load. */
NATIVE(native_fail_load)
{
    uint32_t kind = number(ctx, count, args, 0);
    bool is_about_handler = kind == ENCL_KIND_NO_HANDLER;

    UNUSED_ARGS;
    encl_jsc_fail_value(kind, arg(ctx, count, args, 1), !is_about_handler, !is_about_handler);
    return JSValueMakeUndefined(ctx);
}

NATIVE(native_loaded)
{
    UNUSED_ARGS;
    encl_jsc->run.is_loaded = true;
    return JSValueMakeUndefined(ctx);
}

/* background(n): how many ctx.waitUntil promises are pending. */
NATIVE(native_background)
{
    UNUSED_ARGS;
    encl_jsc->run.result.background = number(ctx, count, args, 0);
    return JSValueMakeUndefined(ctx);
}

/* waiting(n): how many questions wait for an answer that comes later. */
NATIVE(native_waiting)
{
    UNUSED_ARGS;
    encl_jsc->run.waiting = number(ctx, count, args, 0);
    return JSValueMakeUndefined(ctx);
}

/* --- modules ---------------------------------------------------------------------------------------------------- */

static const encl_jsc_module *find_module(JSContextRef ctx, JSValueRef name)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };

    if (!encl_jsc_append_text(ctx, name, &text, NULL))
        return NULL;
    for (size_t i = 0; i < encl_jsc->module_count; i++) {
        if (rd_bytes_equal(rd_buf_bytes(&text), rd_bytes_str(encl_jsc->modules[i].name)))
            return &encl_jsc->modules[i];
    }
    return NULL;
}

/* module(name): the function that a module became, the text of a JSON module, or null. */
NATIVE(native_module)
{
    const encl_jsc_module *module = find_module(ctx, arg(ctx, count, args, 0));

    UNUSED_ARGS;
    if (!module)
        return JSValueMakeNull(ctx);
    if (!module->imports)
        return JSValueMakeString(ctx, module->source);
    JSStringRef name = JSStringCreateWithUTF8CString(module->name);
    JSValueRef ret = JSEvaluateScript(ctx, module->source, NULL, name, 1, exception);
    JSStringRelease(name);
    return ret;
}

/* imports(name): the names that a module imports, as it wrote them. */
NATIVE(native_imports)
{
    const encl_jsc_module *module = find_module(ctx, arg(ctx, count, args, 0));

    UNUSED_ARGS;
    return module && module->imports ? JSValueMakeFromJSONString(ctx, module->imports) : JSValueMakeNull(ctx);
}

static const struct {
    const char *name;
    JSObjectCallAsFunctionCallback function;
} functions[] = {
    { "clock", native_clock },
    { "random", native_random },
    { "guard", native_guard },
    { "log", native_log },
    { "ask", native_ask },
    { "encode", native_encode },
    { "decode", native_decode },
    { "tail", native_tail },
    { "respond", native_respond },
    { "fail", native_fail },
    { "background", native_background },
    { "waiting", native_waiting },
    { "module", native_module },
    { "imports", native_imports },
    { "failLoad", native_fail_load },
    { "loaded", native_loaded },
};

JSObjectRef encl_jsc_native(JSContextRef ctx)
{
    JSObjectRef native = JSObjectMake(ctx, NULL, NULL);

    for (size_t i = 0; i < RD_ARRAY_LEN(functions); i++) {
        JSStringRef name = JSStringCreateWithUTF8CString(functions[i].name);
        JSObjectRef function = JSObjectMakeFunctionWithCallback(ctx, name, functions[i].function);
        JSObjectSetProperty(ctx, native, name, function, kJSPropertyAttributeNone, NULL);
        JSStringRelease(name);
    }
    return native;
}
