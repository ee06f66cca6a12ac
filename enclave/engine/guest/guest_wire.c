/* guest_wire: the request out of the host's buffer into JavaScript, and the response back into one buffer.
 * Layout in enclave/engine/wire.h; integers are little-endian and 32 bits wide. */
#include <stdlib.h>
#include <string.h>

#include "guest.h"

struct reader {
    const uint8_t *data;
    uint32_t size;
    uint32_t at;
    int has_failed;
};

static uint32_t read_u32(struct reader *r)
{
    uint32_t v;

    if (r->size - r->at < 4) {
        r->has_failed = 1;
        return 0;
    }
    memcpy(&v, r->data + r->at, 4);
    r->at += 4;
    return v;
}

static const uint8_t *read_field(struct reader *r, uint32_t *size)
{
    const uint8_t *p;

    *size = read_u32(r);
    if (r->has_failed || r->size - r->at < *size) {
        r->has_failed = 1;
        *size = 0;
        return r->data;
    }
    p = r->data + r->at;
    r->at += *size;
    return p;
}

static JSValue read_text(JSContext *ctx, struct reader *r)
{
    uint32_t size;
    const uint8_t *p = read_field(r, &size);

    return JS_NewStringLen(ctx, (const char *)p, size);
}

/* Header values are bytes: each becomes one code unit (RFC 9110, 5.5 as fetch reads it). */
static JSValue read_latin1(JSContext *ctx, struct reader *r)
{
    uint32_t size, i, to = 0;
    const uint8_t *p = read_field(r, &size);
    char *wide;
    JSValue v;

    for (i = 0; i < size && p[i] < 0x80; i++)
        ;
    if (i == size)
        return JS_NewStringLen(ctx, (const char *)p, size);
    wide = js_malloc(ctx, size * 2);
    if (!wide)
        return JS_EXCEPTION;
    for (i = 0; i < size; i++) {
        if (p[i] < 0x80) {
            wide[to++] = (char)p[i];
        } else {
            wide[to++] = (char)(0xc0 | p[i] >> 6);
            wide[to++] = (char)(0x80 | (p[i] & 0x3f));
        }
    }
    v = JS_NewStringLen(ctx, wide, to);
    js_free(ctx, wide);
    return v;
}

static void free_block(JSRuntime *rt, void *opaque, void *data)
{
    (void)rt;
    (void)data;
    free(opaque);
}

void rd_wire_start(uint8_t *data, uint32_t size)
{
    JSContext *ctx = rd_guest.ctx;
    struct reader r = { .data = data, .size = size };
    JSValue method = read_text(ctx, &r);
    JSValue url = read_text(ctx, &r);
    JSValue headers = JS_NewArray(ctx);
    uint32_t count = read_u32(&r), body_size, i;

    for (i = 0; i < count * 2 && !r.has_failed; i++)
        JS_SetPropertyUint32(ctx, headers, i, read_latin1(ctx, &r));
    const uint8_t *body_data = read_field(&r, &body_size);
    JSValue body = body_size ? JS_NewArrayBuffer(ctx, (uint8_t *)body_data, body_size, free_block, data, 0) : JS_NULL;
    JSValue start = JS_GetPropertyStr(ctx, rd_guest.hooks, "start");
    JSValueConst args[4] = { method, url, headers, body };
    JSValue ret = JS_Call(ctx, start, JS_UNDEFINED, 4, args);

    if (r.has_failed)
        rd_fail(ENCL_KIND_REQUEST, "the request buffer is malformed");
    if (JS_IsException(ret))
        rd_fail_pending(ENCL_KIND_EXCEPTION, 0, 1);
    JS_FreeValue(ctx, ret);
    JS_FreeValue(ctx, start);
    JS_FreeValue(ctx, body);
    JS_FreeValue(ctx, headers);
    JS_FreeValue(ctx, url);
    JS_FreeValue(ctx, method);
}

struct writer {
    uint8_t *data;
    size_t size;
    size_t capacity;
    int has_failed;
};

static void write_bytes(struct writer *w, const void *data, size_t size)
{
    if (w->has_failed || w->size + size > rd_guest.output_max) {
        w->has_failed = 1;
        return;
    }
    if (w->size + size > w->capacity) {
        size_t capacity = (w->size + size) * 2;
        uint8_t *grown = realloc(w->data, capacity);
        if (!grown) {
            w->has_failed = 1;
            rd_guest.is_out_of_memory = 1;
            return;
        }
        w->data = grown;
        w->capacity = capacity;
    }
    if (size > 0)
        memcpy(w->data + w->size, data, size);
    w->size += size;
}

static void write_u32(struct writer *w, uint32_t v)
{
    write_bytes(w, &v, 4);
}

static int write_latin1(JSContext *ctx, struct writer *w, JSValue value)
{
    size_t size, i, to = 0;
    const char *text = JS_ToCStringLen(ctx, &size, value);
    uint8_t *narrow;

    JS_FreeValue(ctx, value);
    if (!text)
        return -1;
    narrow = malloc(size + 1);
    for (i = 0; narrow && i < size; i++) {
        uint8_t c = (uint8_t)text[i];
        narrow[to++] = c < 0x80 || i + 1 == size ? c : (uint8_t)(c << 6 | ((uint8_t)text[++i] & 0x3f));
    }
    write_u32(w, (uint32_t)to);
    write_bytes(w, narrow, narrow ? to : 0);
    free(narrow);
    JS_FreeCString(ctx, text);
    return 0;
}

static int write_body(JSContext *ctx, struct writer *w, JSValueConst body)
{
    size_t offset = 0, size = 0, total = 0;
    JSValue buffer;
    uint8_t *data;

    if (JS_IsNull(body)) {
        write_u32(w, 0);
        return 0;
    }
    if (JS_IsString(body)) {
        const char *text = JS_ToCStringLen(ctx, &size, body);
        if (!text)
            return -1;
        write_u32(w, (uint32_t)size);
        write_bytes(w, text, size);
        JS_FreeCString(ctx, text);
        return 0;
    }
    buffer = JS_GetTypedArrayBuffer(ctx, body, &offset, &size, NULL);
    if (JS_IsException(buffer))
        return -1;
    data = JS_GetArrayBuffer(ctx, &total, buffer);
    JS_FreeValue(ctx, buffer);
    if (!data || offset > total || size > total - offset) {
        if (size > 0)
            return -1;
        data = NULL;
    }
    write_u32(w, (uint32_t)size);
    write_bytes(w, data ? data + offset : NULL, size);
    return 0;
}

JSValue rd_wire_respond(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv)
{
    struct writer w = { 0 };
    uint32_t status = 0, count = 0, i;
    int64_t length = 0;
    JSValue size;

    (void)this_val;
    if (argc < 3 || rd_guest.result.has_response || rd_guest.result.state == ENCL_GUEST_FAILED)
        return JS_UNDEFINED;
    size = JS_GetPropertyStr(ctx, argv[1], "length");
    if (JS_ToUint32(ctx, &status, argv[0]) < 0 || JS_ToInt64(ctx, &length, size) < 0)
        return JS_EXCEPTION;
    JS_FreeValue(ctx, size);
    count = (uint32_t)length / 2;
    write_u32(&w, status);
    write_u32(&w, count);
    for (i = 0; i < count * 2 && !w.has_failed; i++) {
        if (write_latin1(ctx, &w, JS_GetPropertyUint32(ctx, argv[1], i)) < 0) {
            free(w.data);
            return JS_EXCEPTION;
        }
    }
    if (write_body(ctx, &w, argv[2]) < 0) {
        free(w.data);
        return JS_EXCEPTION;
    }
    if (w.has_failed) {
        free(w.data);
        rd_fail(rd_guest.is_out_of_memory ? ENCL_KIND_MEMORY : ENCL_KIND_OUTPUT,
                "the response is larger than the limit");
        return JS_UNDEFINED;
    }
    rd_set_out(w.data, (uint32_t)w.size);
    rd_guest.result.has_response = 1;
    return JS_UNDEFINED;
}
