/* native: the C functions that the platform's JavaScript stands on. Handlers never see this object. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define RANDOM_MAX 65536

static JSValue throw_before_snapshot(JSContext *ctx, const char *code, const char *message)
{
    JSValue error = JS_NewError(ctx);

    JS_DefinePropertyValueStr(ctx, error, "name", JS_NewString(ctx, code), JS_PROP_WRITABLE | JS_PROP_CONFIGURABLE);
    JS_DefinePropertyValueStr(ctx, error, "code", JS_NewString(ctx, code), JS_PROP_WRITABLE | JS_PROP_CONFIGURABLE);
    JS_DefinePropertyValueStr(ctx, error, "message", JS_NewString(ctx, message),
                              JS_PROP_WRITABLE | JS_PROP_CONFIGURABLE);
    return JS_Throw(ctx, error);
}

JSValue rd_throw_entropy(JSContext *ctx)
{
    return throw_before_snapshot(ctx, "ENTROPY_BEFORE_SNAPSHOT",
                                 "randomness and outside data exist only while a request is handled: what is drawn "
                                 "while the module loads would repeat in every request");
}

uint8_t *rd_bytes_of(JSContext *ctx, JSValueConst value, size_t *size)
{
    size_t offset = 0, total = 0;
    JSValue buffer = JS_GetTypedArrayBuffer(ctx, value, &offset, size, NULL);
    uint8_t *data;

    if (JS_IsException(buffer))
        return NULL;
    data = JS_GetArrayBuffer(ctx, &total, buffer);
    JS_FreeValue(ctx, buffer);
    if (!data || offset > total || *size > total - offset) {
        JS_ThrowTypeError(ctx, "the buffer is detached");
        return NULL;
    }
    return data + offset;
}

static JSValue native_clock(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv)
{
    int32_t kind = 0;

    (void)this_val;
    if (argc < 1 || JS_ToInt32(ctx, &kind, argv[0]) < 0)
        return JS_EXCEPTION;
    return JS_NewFloat64(ctx, (double)rd_host_clock((uint32_t)kind));
}

static JSValue native_random(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv)
{
    size_t size;
    uint8_t *data;

    (void)this_val;
    if (!rd_guest.is_serving)
        return rd_throw_entropy(ctx);
    data = argc > 0 ? rd_bytes_of(ctx, argv[0], &size) : NULL;
    if (!data)
        return JS_EXCEPTION;
    if (size > RANDOM_MAX)
        return JS_ThrowRangeError(ctx, "at most 65536 bytes at a time");
    if (size > 0)
        rd_host_random(data, (uint32_t)size);
    return JS_UNDEFINED;
}

/* Throws what belongs to the time before the snapshot, else returns undefined. Argument: "timer" or nothing. */
static JSValue native_guard(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv)
{
    (void)this_val;
    if (rd_guest.is_serving)
        return JS_UNDEFINED;
    if (argc > 0 && JS_IsString(argv[0]))
        return throw_before_snapshot(ctx, "TIMER_BEFORE_SNAPSHOT",
                                     "timers exist only while a request is handled: the clock stands while the module "
                                     "loads");
    return rd_throw_entropy(ctx);
}

static JSValue native_log(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv)
{
    int32_t level = 0;
    size_t size;
    const char *text;

    (void)this_val;
    if (argc < 2 || JS_ToInt32(ctx, &level, argv[0]) < 0 || !(text = JS_ToCStringLen(ctx, &size, argv[1])))
        return JS_EXCEPTION;
    rd_host_log((uint32_t)level, text, (uint32_t)size);
    JS_FreeCString(ctx, text);
    return JS_UNDEFINED;
}

/* A well-formed string (toWellFormed) as UTF-8 in an ArrayBuffer. */
static JSValue native_encode(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv)
{
    size_t size;
    const char *text = argc > 0 ? JS_ToCStringLen(ctx, &size, argv[0]) : NULL;
    JSValue ret;

    (void)this_val;
    if (!text)
        return JS_EXCEPTION;
    ret = JS_NewArrayBufferCopy(ctx, (const uint8_t *)text, size);
    JS_FreeCString(ctx, text);
    return ret;
}

/* decode(bytes, is_fatal): the text, or null when fatal and malformed. */
static JSValue native_decode(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv)
{
    size_t size, mended_size;
    uint8_t *data = argc > 1 ? rd_bytes_of(ctx, argv[0], &size) : NULL;
    uint8_t *mended;
    JSValue ret;

    (void)this_val;
    if (!data)
        return JS_EXCEPTION;
    if (rd_utf8_valid(data, size) == size)
        return JS_NewStringLen(ctx, (const char *)data, size);
    if (JS_ToBool(ctx, argv[1]))
        return JS_NULL;
    mended = rd_utf8_mend(data, size, &mended_size);
    if (!mended)
        return JS_ThrowOutOfMemory(ctx);
    ret = JS_NewStringLen(ctx, (const char *)mended, mended_size);
    free(mended);
    return ret;
}

static JSValue native_tail(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv)
{
    size_t size;
    uint8_t *data = argc > 0 ? rd_bytes_of(ctx, argv[0], &size) : NULL;

    (void)this_val;
    return data ? JS_NewInt32(ctx, (int32_t)rd_utf8_tail(data, size)) : JS_EXCEPTION;
}

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* RFC 4648, section 4, padded. */
static JSValue native_base64(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv)
{
    size_t size, i, to = 0;
    uint8_t *data = argc > 0 ? rd_bytes_of(ctx, argv[0], &size) : NULL;
    char *text;
    JSValue ret;

    (void)this_val;
    if (!data)
        return JS_EXCEPTION;
    text = js_malloc(ctx, (size + 2) / 3 * 4 + 1);
    if (!text)
        return JS_EXCEPTION;
    for (i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t v =
            (uint32_t)data[i] << 16 | (left > 1 ? (uint32_t)data[i + 1] << 8 : 0) | (left > 2 ? data[i + 2] : 0);
        text[to++] = base64[v >> 18];
        text[to++] = base64[v >> 12 & 63];
        text[to++] = left > 1 ? base64[v >> 6 & 63] : '=';
        text[to++] = left > 2 ? base64[v & 63] : '=';
    }
    ret = JS_NewStringLen(ctx, text, to);
    js_free(ctx, text);
    return ret;
}

static int base64_value(char c)
{
    const char *at = c ? strchr(base64, c) : NULL;

    return at ? (int)(at - base64) : -1;
}

/* unbase64(text without white space and padding): an ArrayBuffer, or null when malformed. */
static JSValue native_unbase64(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv)
{
    size_t size, i, to = 0;
    const char *text = argc > 0 ? JS_ToCStringLen(ctx, &size, argv[0]) : NULL;
    uint32_t bits = 0;
    uint8_t *out;
    JSValue ret = JS_NULL;

    (void)this_val;
    if (!text)
        return JS_EXCEPTION;
    out = js_malloc(ctx, size / 4 * 3 + 3);
    if (!out) {
        JS_FreeCString(ctx, text);
        return JS_EXCEPTION;
    }
    for (i = 0; i < size; i++) {
        int v = base64_value(text[i]);
        if (v < 0)
            break;
        bits = bits << 6 | (uint32_t)v;
        if (i % 4 != 0)
            out[to++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    if (i == size && size % 4 != 1)
        ret = JS_NewArrayBufferCopy(ctx, out, to);
    js_free(ctx, out);
    JS_FreeCString(ctx, text);
    return ret;
}

/* fail(kind, thrown): ends the request; the stack goes to the log. */
static JSValue native_fail(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv)
{
    int32_t kind = ENCL_KIND_EXCEPTION;

    (void)this_val;
    if (argc < 2 || JS_ToInt32(ctx, &kind, argv[0]) < 0)
        return JS_EXCEPTION;
    if (!rd_guest.result.has_response)
        rd_fail_value((uint32_t)kind, argv[1], 0, 1);
    return JS_UNDEFINED;
}

/* background(n): how many ctx.waitUntil promises are pending. */
static JSValue native_background(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv)
{
    uint32_t count = 0;

    (void)this_val;
    if (argc < 1 || JS_ToUint32(ctx, &count, argv[0]) < 0)
        return JS_EXCEPTION;
    rd_guest.result.background = count;
    return JS_UNDEFINED;
}

/* waiting(n): how many questions wait for an answer that comes later; the run loop then calls the hook "wake". */
static JSValue native_waiting(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv)
{
    uint32_t count = 0;

    (void)this_val;
    if (argc < 1 || JS_ToUint32(ctx, &count, argv[0]) < 0)
        return JS_EXCEPTION;
    rd_guest.waiting = count;
    return JS_UNDEFINED;
}

static const struct {
    const char *name;
    JSCFunction *function;
    int argc;
} functions[] = {
    { "clock", native_clock, 1 },
    { "random", native_random, 1 },
    { "guard", native_guard, 1 },
    { "log", native_log, 2 },
    { "ask", rd_ask, 1 },
    { "encode", native_encode, 1 },
    { "decode", native_decode, 2 },
    { "tail", native_tail, 1 },
    { "base64", native_base64, 1 },
    { "unbase64", native_unbase64, 1 },
    { "respond", rd_wire_respond, 3 },
    { "fail", native_fail, 2 },
    { "background", native_background, 1 },
    { "waiting", native_waiting, 1 },
};

JSValue rd_native_new(JSContext *ctx)
{
    JSValue native = JS_NewObject(ctx);

    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
        JS_SetPropertyStr(ctx, native, functions[i].name,
                          JS_NewCFunction(ctx, functions[i].function, functions[i].name, functions[i].argc));
    return native;
}

/* A pool that is empty in the snapshot, so that each request draws afresh. */
static struct {
    uint64_t words[32];
    uint32_t left;
} pool;

static JSValue math_random(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv)
{
    (void)this_val;
    (void)argc;
    (void)argv;
    if (!rd_guest.is_serving)
        return rd_throw_entropy(ctx);
    if (pool.left == 0) {
        rd_host_random((uint8_t *)pool.words, sizeof(pool.words));
        pool.left = sizeof(pool.words) / sizeof(pool.words[0]);
    }
    uint64_t word = pool.words[--pool.left];
    pool.words[pool.left] = 0;
    return JS_NewFloat64(ctx, (double)(word >> 11) * 0x1p-53);
}

void rd_native_replace_random(JSContext *ctx)
{
    JSValue global = JS_GetGlobalObject(ctx);
    JSValue math = JS_GetPropertyStr(ctx, global, "Math");

    JS_DefinePropertyValueStr(ctx, math, "random", JS_NewCFunction(ctx, math_random, "random", 0),
                              JS_PROP_WRITABLE | JS_PROP_CONFIGURABLE);
    JS_FreeValue(ctx, math);
    JS_FreeValue(ctx, global);
}
