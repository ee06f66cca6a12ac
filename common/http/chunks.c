#include "common/http/chunks.h"

#define SIZE_DIGITS_MAX 8

enum { PHASE_SIZE, PHASE_BODY, PHASE_CHUNK_END, PHASE_TRAILER, PHASE_TRAILER_SHOWN, PHASE_END };

void rd_http_chunks_begin(rd_http_chunks *chunks, uint64_t body_max, size_t trailer_max)
{
    rd_buf_clear(&chunks->line);
    chunks->body_max = body_max;
    chunks->trailer_max = trailer_max;
    chunks->taken = chunks->left = 0;
    chunks->trailed = 0;
    chunks->phase = PHASE_SIZE;
}

void rd_http_chunks_done(rd_http_chunks *chunks)
{
    rd_buf_done(&chunks->line);
}

/* Moves input into line up to CR LF, which stays out: 1 when it is whole, NUL behind it. */
static int take_line(rd_http_chunks *chunks, rd_bytes *input, size_t max, rd_err *err)
{
    rd_buf *line = &chunks->line;
    while (input->size > 0) {
        uint8_t c = *input->data;
        bool follows_cr = line->size > 0 && line->data[line->size - 1] == '\r';
        if (follows_cr != (c == '\n') || c == 0)
            return rd_err_set(err, RD_E_HTTP_SYNTAX, "a line of the chunks without CR LF");
        input->data++;
        input->size--;
        if (c == '\n') {
            line->size--;
            line->data[line->size] = 0;
            return 1;
        }
        if (line->size >= max + (c == '\r'))
            return rd_err_set(err, RD_E_TOO_LARGE, "a line of the chunks above %zu bytes", max);
        (void)rd_buf_append_u8(line, c);
    }
    return 0;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int read_size(rd_http_chunks *chunks, rd_err *err)
{
    uint64_t size = 0;
    for (size_t i = 0; i < chunks->line.size; i++) {
        int digit = hex_digit(chunks->line.data[i]);
        if (digit < 0)
            return rd_err_set(err, RD_E_HTTP_SYNTAX, "a chunk's size is no hex number");
        size = size * 16 + (uint64_t)digit;
    }
    if (chunks->line.size == 0)
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "a chunk without a size");
    if (chunks->taken > chunks->body_max || size > chunks->body_max - chunks->taken)
        return rd_err_set(err, RD_E_TOO_LARGE, "body of %llu bytes, at most %llu",
                          (unsigned long long)(chunks->taken + size), (unsigned long long)chunks->body_max);
    chunks->taken += size;
    chunks->left = size;
    chunks->phase = size > 0 ? PHASE_BODY : PHASE_TRAILER;
    return 0;
}

/* A line that is whole means what its place says; positive: the step that it makes, 0: go on. */
static int read_line(rd_http_chunks *chunks, rd_bytes *ret, rd_err *err)
{
    if (chunks->phase == PHASE_SIZE) {
        if (read_size(chunks, err) < 0)
            return -1;
    } else if (chunks->phase == PHASE_CHUNK_END) {
        if (chunks->line.size > 0)
            return rd_err_set(err, RD_E_HTTP_SYNTAX, "a chunk that is longer than its size");
        chunks->phase = PHASE_SIZE;
    } else if (chunks->line.size == 0) {
        chunks->phase = PHASE_END;
    } else {
        chunks->trailed += chunks->line.size;
        chunks->phase = PHASE_TRAILER_SHOWN;
        *ret = rd_buf_bytes(&chunks->line);
        return RD_HTTP_CHUNKS_TRAILER;
    }
    rd_buf_clear(&chunks->line);
    return 0;
}

static int read_between(rd_http_chunks *chunks, rd_bytes *input, rd_bytes *ret, rd_err *err)
{
    if (chunks->phase == PHASE_TRAILER_SHOWN) {
        rd_buf_clear(&chunks->line);
        chunks->phase = PHASE_TRAILER;
    }
    while (chunks->phase != PHASE_BODY && chunks->phase != PHASE_END) {
        size_t max = chunks->phase == PHASE_TRAILER ? chunks->trailer_max - chunks->trailed : SIZE_DIGITS_MAX;
        int whole = take_line(chunks, input, max, err);
        if (whole <= 0)
            return whole;
        int step = read_line(chunks, ret, err);
        if (step != 0)
            return step;
    }
    return 0;
}

int rd_http_chunks_next(rd_http_chunks *chunks, rd_bytes *input, rd_bytes *ret, rd_err *err)
{
    if (chunks->phase == PHASE_BODY && chunks->left == 0)
        chunks->phase = PHASE_CHUNK_END;
    int step = chunks->phase == PHASE_BODY ? 0 : read_between(chunks, input, ret, err);
    if (step != 0)
        return step;
    if (chunks->phase == PHASE_END)
        return RD_HTTP_CHUNKS_END;
    if (chunks->phase != PHASE_BODY || input->size == 0)
        return RD_HTTP_CHUNKS_MORE;
    size_t size = (size_t)RD_MIN((uint64_t)input->size, chunks->left);
    *ret = rd_bytes_of(input->data, size);
    chunks->left -= size;
    input->data += size;
    input->size -= size;
    return RD_HTTP_CHUNKS_PIECE;
}

void rd_http_chunks_unread(rd_http_chunks *chunks, size_t size)
{
    chunks->left += size;
}
