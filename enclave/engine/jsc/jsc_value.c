#include "enclave/engine/jsc/jsc_priv.h"

#include <stdlib.h>
#include <string.h>

#include "enclave/engine/guest/utf8.h"

static void put_character(rd_buf *out, uint32_t c)
{
    uint8_t bytes[4];
    size_t size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t first[] = { 0, 0, 0xc0, 0xe0, 0xf0 };

    for (size_t i = size; i-- > 1; c >>= 6)
        bytes[i] = (uint8_t)(0x80 | (c & 0x3f));
    bytes[0] = (uint8_t)(first[size] | c);
    rd_buf_append(out, bytes, size);
}

void encl_jsc_utf8(JSStringRef text, rd_buf *out)
{
    const JSChar *units = JSStringGetCharactersPtr(text);
    size_t size = JSStringGetLength(text);

    for (size_t i = 0; i < size; i++) {
        uint32_t c = units[i];
        bool is_pair = c >= 0xd800 && c < 0xdc00 && i + 1 < size && units[i + 1] >= 0xdc00 && units[i + 1] < 0xe000;
        if (is_pair)
            c = 0x10000 + ((c - 0xd800) << 10) + (units[++i] - 0xdc00u);
        else if (c >= 0xd800 && c < 0xe000)
            c = 0xfffd;
        put_character(out, c);
    }
}

/* Well-formed UTF-8 as UTF-16, never more units than bytes; their count. */
static size_t widen(const uint8_t *data, size_t size, JSChar *out)
{
    size_t to = 0;

    for (size_t i = 0; i < size;) {
        uint32_t c = data[i++];
        size_t more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        if (more > 0)
            c &= 0x3fu >> more;
        for (; more > 0; more--)
            c = c << 6 | (data[i++] & 0x3f);
        if (c < 0x10000) {
            out[to++] = (JSChar)c;
        } else {
            out[to++] = (JSChar)(0xd800 + ((c - 0x10000) >> 10));
            out[to++] = (JSChar)(0xdc00 + ((c - 0x10000) & 0x3ff));
        }
    }
    return to;
}

JSStringRef encl_jsc_text(rd_bytes text)
{
    RD_CLEANUP(rd_free_p) uint8_t *mended = NULL;
    size_t size = text.size;
    const uint8_t *data = text.data;

    if (size > 0 && rd_utf8_valid(data, size) != size) {
        mended = rd_utf8_mend(data, size, &size);
        data = mended;
        size = mended ? size : 0;
    }
    RD_CLEANUP(rd_free_p) JSChar *units = rd_alloc_array(size + 1, sizeof(*units));
    return JSStringCreateWithCharacters(units, widen(data, size, units));
}

JSValueRef encl_jsc_string(JSContextRef ctx, rd_bytes text)
{
    JSStringRef string = encl_jsc_text(text);
    JSValueRef value = JSValueMakeString(ctx, string);

    JSStringRelease(string);
    return value;
}

JSValueRef encl_jsc_from_latin1(JSContextRef ctx, rd_bytes bytes)
{
    RD_CLEANUP(rd_free_p) JSChar *units = rd_alloc_array(bytes.size + 1, sizeof(*units));

    for (size_t i = 0; i < bytes.size; i++)
        units[i] = bytes.data[i];
    JSStringRef string = JSStringCreateWithCharacters(units, bytes.size);
    JSValueRef value = JSValueMakeString(ctx, string);
    JSStringRelease(string);
    return value;
}

int encl_jsc_to_latin1(JSContextRef ctx, JSValueRef value, rd_buf *out, JSValueRef *exception)
{
    JSStringRef string = JSValueToStringCopy(ctx, value, exception);

    if (!string)
        return -1;
    const JSChar *units = JSStringGetCharactersPtr(string);
    size_t size = JSStringGetLength(string);
    rd_buf_append_u32le(out, (uint32_t)size);
    for (size_t i = 0; i < size; i++)
        rd_buf_append_u8(out, (uint8_t)units[i]);
    JSStringRelease(string);
    return 0;
}

bool encl_jsc_append_text(JSContextRef ctx, JSValueRef value, rd_buf *out, JSValueRef *exception)
{
    JSStringRef string = JSValueToStringCopy(ctx, value, exception);

    if (!string)
        return false;
    encl_jsc_utf8(string, out);
    JSStringRelease(string);
    return true;
}

bool encl_jsc_bytes(JSContextRef ctx, JSValueRef value, uint8_t **ret, size_t *ret_size, JSValueRef *exception)
{
    if (JSValueGetTypedArrayType(ctx, value, NULL) != kJSTypedArrayTypeUint8Array) {
        encl_jsc_throw(ctx, "TypeError", NULL, "not a Uint8Array", exception);
        return false;
    }
    JSObjectRef array = JSValueToObject(ctx, value, NULL);
    size_t size = JSObjectGetTypedArrayByteLength(ctx, array, NULL);
    uint8_t *data = JSObjectGetTypedArrayBytesPtr(ctx, array, NULL);
    if (!data && size > 0) {
        encl_jsc_throw(ctx, "TypeError", NULL, "the buffer is detached", exception);
        return false;
    }
    /* The pointer is that of the buffer, not of the view. */
    *ret = data ? data + JSObjectGetTypedArrayByteOffset(ctx, array, NULL) : (uint8_t *)"";
    *ret_size = size;
    return true;
}

static void free_bytes(void *bytes, void *context)
{
    (void)context;
    free(bytes);
}

JSValueRef encl_jsc_buffer(JSContextRef ctx, rd_bytes bytes, JSValueRef *exception)
{
    uint8_t *copy = rd_alloc(bytes.size + 1);

    if (bytes.size > 0)
        memcpy(copy, bytes.data, bytes.size);
    return JSObjectMakeArrayBufferWithBytesNoCopy(ctx, copy, bytes.size, free_bytes, NULL, exception);
}

JSValueRef encl_jsc_get(JSContextRef ctx, JSObjectRef object, const char *name)
{
    JSStringRef key = JSStringCreateWithUTF8CString(name);
    JSValueRef value = JSObjectGetProperty(ctx, object, key, NULL);

    JSStringRelease(key);
    return value ? value : JSValueMakeUndefined(ctx);
}

void encl_jsc_set(JSContextRef ctx, JSObjectRef object, const char *name, JSValueRef value)
{
    JSStringRef key = JSStringCreateWithUTF8CString(name);

    JSObjectSetProperty(ctx, object, key, value, kJSPropertyAttributeDontEnum, NULL);
    JSStringRelease(key);
}

JSValueRef encl_jsc_call(encl_jsc_run *run, const char *name, size_t count, const JSValueRef *args,
                         JSValueRef *exception)
{
    JSObjectRef function = JSValueToObject(run->ctx, encl_jsc_get(run->ctx, run->hooks, name), exception);

    return function ? JSObjectCallAsFunction(run->ctx, function, NULL, count, args, exception) : NULL;
}

void encl_jsc_throw(JSContextRef ctx, const char *type, const char *code, const char *message, JSValueRef *exception)
{
    JSValueRef text = encl_jsc_string(ctx, rd_bytes_str(message));
    JSObjectRef maker = JSValueToObject(ctx, encl_jsc_get(ctx, JSContextGetGlobalObject(ctx), type), NULL);
    JSObjectRef error = maker ? JSObjectCallAsConstructor(ctx, maker, 1, &text, NULL) : NULL;

    if (!error)
        error = JSObjectMakeError(ctx, 1, &text, NULL);
    if (error && code) {
        JSValueRef name = encl_jsc_string(ctx, rd_bytes_str(code));
        encl_jsc_set(ctx, error, "name", name);
        encl_jsc_set(ctx, error, "code", name);
    }
    if (exception)
        *exception = error ? (JSValueRef)error : JSValueMakeUndefined(ctx);
}
