/* chunks: a strict, incremental reader of a body in chunks (RFC 9112, 7.1), for requests as for answers.
 * Used by whatever reads a message whose length is not known. Pure: bytes in, pieces out, borrowed from the input.
 * Refuses extensions, sizes that are no plain hex number of at most 8 digits, bare CR or LF, and what passes its
 * bounds. */
#ifndef RD_HTTP_CHUNKS_H
#define RD_HTTP_CHUNKS_H

#include "common/base/bytes.h"
#include "common/base/err.h"

typedef struct rd_http_chunks {
    uint64_t body_max;  /* bytes of all chunks; may be changed between steps */
    size_t trailer_max; /* bytes of all trailers; 0: none may come */
    uint64_t taken;     /* announced by the chunks until now */
    uint64_t left;      /* of this chunk */
    int phase;          /* of chunks.c */
    size_t trailed;     /* bytes of trailers */
    rd_buf line;        /* a size or a trailer as it comes */
} rd_http_chunks;

typedef enum rd_http_chunks_step {
    RD_HTTP_CHUNKS_MORE,    /* all input was taken */
    RD_HTTP_CHUNKS_PIECE,   /* *ret: of the body */
    RD_HTTP_CHUNKS_TRAILER, /* *ret: a line behind the body without its CR LF, NUL-terminated; until the next step */
    RD_HTTP_CHUNKS_END      /* the body is whole; what is left of the input is not its own */
} rd_http_chunks_step;

/* Keeps the memory of a line; zero-initialised before the first time. */
void rd_http_chunks_begin(rd_http_chunks *chunks, uint64_t body_max, size_t trailer_max);
void rd_http_chunks_done(rd_http_chunks *chunks);
/* Takes bytes from the front of *input. HTTP_SYNTAX, TOO_LARGE; then the message cannot be read on. */
int rd_http_chunks_next(rd_http_chunks *chunks, rd_bytes *input, rd_bytes *ret, rd_err *err) RD_NODISCARD;
/* Puts back the last size bytes of a piece that nobody took; they are offered again. */
void rd_http_chunks_unread(rd_http_chunks *chunks, size_t size);

#endif
