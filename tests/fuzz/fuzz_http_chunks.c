// link: rd_http
#include "common/http/chunks.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BODY_MAX    512
#define TRAILER_MAX 64

/* The steps of the last call of run. */
typedef struct outcome {
    int end;
    rd_code code;
    size_t taken, trailed, body_size;
    uint8_t body[BODY_MAX];
} outcome;

static void run(rd_bytes bytes, size_t piece, outcome *ret)
{
    rd_http_chunks chunks = { 0 };
    rd_err err = RD_ERR_INIT;
    memset(ret, 0, sizeof *ret);
    rd_http_chunks_begin(&chunks, BODY_MAX, TRAILER_MAX);
    for (size_t at = 0; at < bytes.size && ret->end == RD_HTTP_CHUNKS_MORE; at += piece) {
        rd_bytes input = rd_bytes_of(bytes.data + at, RD_MIN(piece, bytes.size - at)), out = RD_BYTES_NULL;
        size_t given = input.size;
        while ((ret->end = rd_http_chunks_next(&chunks, &input, &out, &err)) == RD_HTTP_CHUNKS_PIECE ||
               ret->end == RD_HTTP_CHUNKS_TRAILER) {
            if (ret->end == RD_HTTP_CHUNKS_TRAILER) {
                ret->trailed += out.size;
                continue;
            }
            if (out.size > BODY_MAX - ret->body_size)
                abort();
            memcpy(ret->body + ret->body_size, out.data, out.size);
            ret->body_size += out.size;
        }
        ret->taken = at + given - input.size;
    }
    ret->code = ret->end < 0 ? err.code : RD_OK;
    if (ret->trailed > TRAILER_MAX)
        abort();
    rd_http_chunks_done(&chunks);
}

/* Whole and in pieces (the first byte says how large) must agree. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static outcome whole, pieces;
    if (size < 2)
        return 0;
    rd_bytes bytes = rd_bytes_of(data + 1, size - 1);
    run(bytes, bytes.size, &whole);
    run(bytes, (size_t)data[0] + 1, &pieces);
    if (whole.end != pieces.end || whole.code != pieces.code || whole.body_size != pieces.body_size ||
        (whole.end == RD_HTTP_CHUNKS_END && whole.taken != pieces.taken) ||
        memcmp(whole.body, pieces.body, whole.body_size) != 0)
        abort();
    return 0;
}
