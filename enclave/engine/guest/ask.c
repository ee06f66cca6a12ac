/* ask: a question to the host: fields into one buffer, and the answer out of another (guest_abi.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

struct question {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

static int put(JSContext *ctx, struct question *q, const void *data, size_t size)
{
    if (size > UINT32_MAX - 8 - q->size) {
        JS_ThrowRangeError(ctx, "too much at once");
        return -1;
    }
    if (q->size + 4 + size > q->capacity) {
        size_t capacity = (q->size + 4 + size) + 256;
        uint8_t *grown = js_realloc(ctx, q->data, capacity);
        if (!grown)
            return -1;
        q->data = grown;
        q->capacity = capacity;
    }
    uint32_t field = (uint32_t)size;
    memcpy(q->data + q->size, &field, 4);
    if (size > 0)
        memcpy(q->data + q->size + 4, data, size);
    q->size += 4 + size;
    return 0;
}

static int put_value(JSContext *ctx, struct question *q, JSValueConst value)
{
    size_t size = 0;
    int outcome = -1;

    if (JS_IsNull(value))
        return put(ctx, q, NULL, 0);
    if (JS_IsNumber(value)) {
        uint32_t number;
        return JS_ToUint32(ctx, &number, value) < 0 ? -1 : put(ctx, q, &number, 4);
    }
    if (JS_IsString(value)) {
        const char *text = JS_ToCStringLen(ctx, &size, value);
        if (text)
            outcome = put(ctx, q, text, size);
        JS_FreeCString(ctx, text);
        return outcome;
    }
    uint8_t *data = rd_bytes_of(ctx, value, &size);
    return data ? put(ctx, q, data, size) : -1;
}

static void free_answer(JSRuntime *rt, void *opaque, void *data)
{
    (void)data;
    js_free_rt(rt, opaque);
}

static JSValue take_answer(JSContext *ctx, uint32_t size)
{
    uint8_t *answer = js_malloc(ctx, size + 1);
    char sentence[300];

    if (!answer)
        return JS_EXCEPTION;
    rd_host_ask(ENCL_ASK_REPLY, answer, size);
    if (size > 0 && answer[0] == ENCL_ASK_OK)
        return JS_NewArrayBuffer(ctx, answer + 1, size - 1, free_answer, answer, 0);
    uint8_t status = size > 0 ? answer[0] : ENCL_ASK_OPERATION;
    snprintf(sentence, sizeof(sentence), "%u:%.*s", status, size > 1 ? (int)size - 1 : 0, (char *)answer + 1);
    js_free(ctx, answer);
    return status == ENCL_ASK_ENTROPY ? rd_throw_entropy(ctx) : JS_NewString(ctx, sentence);
}

JSValue rd_ask(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv)
{
    struct question q = { 0 };
    uint32_t op = 0, size;

    (void)this_val;
    if (argc < 1 || JS_ToUint32(ctx, &op, argv[0]) < 0)
        return JS_EXCEPTION;
    for (int i = 1; i < argc; i++) {
        if (put_value(ctx, &q, argv[i]) < 0) {
            js_free(ctx, q.data);
            return JS_EXCEPTION;
        }
    }
    rd_guest.has_ended_stream |= op == ENCL_ASK_END || op == ENCL_ASK_BREAK;
    size = rd_host_ask(op == ENCL_ASK_REPLY ? UINT32_MAX : op, q.data, (uint32_t)q.size);
    if (q.data)
        memset(q.data, 0, q.size);
    js_free(ctx, q.data);
    return take_answer(ctx, size);
}
