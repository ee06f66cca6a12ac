#include "common/model/ohttp_chunks.h"

#include "common/base/mem.h"
#include "common/base/varint.h"
#include "common/crypto/aead.h"
#include "common/model/bhttp.h"
#include "common/model/ohttp_private.h"

#define REQUEST_LABEL  "message/bhttp chunked request"
#define RESPONSE_LABEL "message/bhttp chunked response"
#define SIZE_MAX_SIZE  8 /* of a chunk's size */
#define WAITING_MAX    (SIZE_MAX_SIZE + RD_OHTTP_CHUNK_MAX + RD_AEAD_TAG_SIZE)

/* Requests are HPKE messages one after the other; an answer's keys are used in the same way (draft, 6.1 and 6.2). */

static rd_bytes aad_of(bool is_final)
{
    return is_final ? RD_BYTES_LIT("final") : RD_BYTES_NULL;
}

static int seal_chunk(rd_hpke *keys, rd_bytes piece, bool is_final, rd_buf *sealed, rd_err *err)
{
    rd_varint_write(sealed, is_final ? 0 : piece.size + RD_AEAD_TAG_SIZE);
    return rd_hpke_seal(keys, aad_of(is_final), piece, sealed, err);
}

/* A final chunk alone may be empty (draft, 6). */
static int open_chunk(rd_hpke *keys, rd_bytes chunk, bool is_final, rd_buf *message, rd_err *err)
{
    if (!is_final && chunk.size <= RD_AEAD_TAG_SIZE)
        return rd_ohttp_does_not_open(err);
    return rd_hpke_open(keys, aad_of(is_final), chunk, message, err);
}

/* ---- requests ---- */

uint64_t rd_ohttp_chunked_max(uint64_t content_max)
{
    uint64_t whole = rd_ohttp_sealed_max(content_max);
    return whole + whole / 32;
}

uint64_t rd_ohttp_chunked_answer_max(uint64_t content_max)
{
    return rd_ohttp_sealed_max(content_max) + content_max * (rd_bhttp_bucket(1) + 4 + RD_AEAD_TAG_SIZE);
}

int rd_ohttp_seal_chunked(const rd_ohttp_key *key, rd_bytes message, const rd_random *random, rd_ohttp *ret,
                          rd_buf *sealed, rd_err *err)
{
    if (rd_ohttp_begin_request(key, REQUEST_LABEL, random, ret, sealed, err) < 0)
        return -1;
    return rd_ohttp_chunks_seal(&ret->hpke, message, true, sealed, err);
}

/* Anybody may send one, and each chunk costs the same however small: their number is bounded by their size. */
static int open_chunks(rd_hpke *keys, rd_bytes chunks, rd_buf *message, rd_err *err)
{
    rd_cursor cursor = rd_cursor_of(chunks);
    for (size_t left = RD_OHTTP_CHUNKS_FREE + chunks.size / RD_OHTTP_CHUNK_MIN;; left--) {
        uint64_t size = rd_varint_read(&cursor);
        bool is_final = size == 0;
        if (!rd_cursor_is_ok(&cursor) || size > rd_cursor_left(&cursor) || left == 0)
            return rd_ohttp_does_not_open(err);
        rd_bytes chunk = is_final ? rd_cursor_rest(&cursor) : rd_cursor_take(&cursor, (size_t)size);
        if (open_chunk(keys, chunk, is_final, message, err) < 0)
            return -1;
        if (is_final)
            return 0;
    }
}

int rd_ohttp_open_chunked(const rd_ohttp_key *key, const rd_hpke_recipient *recipient, rd_bytes sealed, rd_ohttp *ret,
                          rd_buf *message, rd_err *err)
{
    rd_bytes rest;
    size_t before = message->size;
    if (rd_ohttp_read_request(key, REQUEST_LABEL, recipient, sealed, ret, &rest, err) < 0)
        return -1;
    (void)rd_buf_reserve(message, rest.size); /* a buffer that grows leaves copies behind */
    if (open_chunks(&ret->hpke, rest, message, err) == 0)
        return 0;
    if (message->size > before)
        rd_wipe(message->data + before, message->size - before);
    message->size = before;
    rd_ohttp_done(ret);
    return -1;
}

/* ---- answers ---- */

void rd_ohttp_chunks_begin(const rd_ohttp *exchange, const rd_random *random, rd_ohttp_chunks *ret, rd_buf *sealed)
{
    uint8_t nonce[RD_OHTTP_KEY_SIZE];
    rd_random_fill(random, nonce, sizeof nonce);
    rd_ohttp_answer_keys(exchange, RESPONSE_LABEL, nonce, ret);
    (void)rd_buf_append(sealed, nonce, sizeof nonce);
}

int rd_ohttp_chunks_seal(rd_ohttp_chunks *chunks, rd_bytes piece, bool is_final, rd_buf *sealed, rd_err *err)
{
    for (; piece.size > RD_OHTTP_CHUNK_MAX; piece.data += RD_OHTTP_CHUNK_MAX, piece.size -= RD_OHTTP_CHUNK_MAX)
        if (seal_chunk(chunks, rd_bytes_of(piece.data, RD_OHTTP_CHUNK_MAX), false, sealed, err) < 0)
            return -1;
    return seal_chunk(chunks, piece, is_final, sealed, err);
}

void rd_ohttp_opener_init(rd_ohttp_opener *opener, const rd_ohttp *exchange)
{
    *opener = (rd_ohttp_opener){ .exchange = exchange };
    rd_buf_init(&opener->waiting, WAITING_MAX);
}

void rd_ohttp_opener_done(rd_ohttp_opener *opener)
{
    rd_hpke_done(&opener->chunks);
    rd_buf_done(&opener->waiting);
}

static bool begin(rd_ohttp_opener *opener)
{
    if (!opener->has_begun && opener->waiting.size >= RD_OHTTP_KEY_SIZE) {
        rd_ohttp_answer_keys(opener->exchange, RESPONSE_LABEL, opener->waiting.data, &opener->chunks);
        rd_buf_consume(&opener->waiting, RD_OHTTP_KEY_SIZE);
        opener->has_begun = true;
    }
    return opener->has_begun;
}

/* 1: a chunk was opened, 0: none is whole, -1. */
static int open_next(rd_ohttp_opener *opener, rd_buf *ret, rd_err *err)
{
    if (!begin(opener) || opener->is_final)
        return 0;
    rd_cursor cursor = rd_cursor_of(rd_buf_bytes(&opener->waiting));
    uint64_t size = rd_varint_read(&cursor);
    if (!rd_cursor_is_ok(&cursor))
        return 0;
    if (size > RD_OHTTP_CHUNK_MAX + RD_AEAD_TAG_SIZE)
        return rd_ohttp_does_not_open(err);
    opener->is_final = size == 0;
    if (rd_cursor_left(&cursor) < size)
        return 0;
    rd_bytes chunk = rd_cursor_take(&cursor, (size_t)size);
    if (!opener->is_final && open_chunk(&opener->chunks, chunk, false, ret, err) < 0)
        return -1;
    rd_buf_consume(&opener->waiting, rd_cursor_offset(&cursor));
    return 1;
}

int rd_ohttp_opener_feed(rd_ohttp_opener *opener, rd_bytes sealed, rd_buf *ret, rd_err *err)
{
    while (sealed.size > 0) {
        size_t step = RD_MIN(sealed.size, WAITING_MAX - opener->waiting.size);
        if (step == 0)
            return rd_ohttp_does_not_open(err); /* a final chunk above the bound: any other has been opened */
        (void)rd_buf_append(&opener->waiting, sealed.data, step);
        sealed = rd_bytes_of(sealed.data + step, sealed.size - step);
        int outcome;
        do {
            outcome = open_next(opener, ret, err);
        } while (outcome == 1);
        if (outcome < 0)
            return -1;
    }
    return 0;
}

int rd_ohttp_opener_end(rd_ohttp_opener *opener, rd_buf *ret, rd_err *err)
{
    if (!opener->is_final)
        return rd_err_set(err, RD_E_TRUNCATED, "the answer ends without its final chunk");
    return open_chunk(&opener->chunks, rd_buf_bytes(&opener->waiting), true, ret, err);
}
