/* answer: an HTTP/1.1 response as it comes in, read strictly and into bounded memory (RFC 9112).
 * Used by egress.c. Pure: bytes in, a head and the body's bytes out, which may be taken while more come.
 * Refuses what two readers could take for two things: bare CR or LF, folded lines, two lengths, a length beside chunks.
 */
#ifndef ENCL_ANSWER_H
#define ENCL_ANSWER_H

#include "common/base/bytes.h"
#include "common/base/err.h"

#define ENCL_ANSWER_HEAD_MAX  ((size_t)32 << 10)
#define ENCL_ANSWER_COUNT_MAX 100

typedef struct encl_answer_header {
    size_t name_at, name_size, value_at, value_size; /* in head */
} encl_answer_header;

typedef enum encl_answer_state {
    ENCL_ANSWER_HEAD,
    ENCL_ANSWER_LENGTH,     /* left bytes of a body */
    ENCL_ANSWER_CHUNK_SIZE, /* the line with a chunk's size */
    ENCL_ANSWER_CHUNK,
    ENCL_ANSWER_CHUNK_END, /* the line end behind a chunk */
    ENCL_ANSWER_TRAILER,
    ENCL_ANSWER_TO_END, /* until the peer closes */
    ENCL_ANSWER_DONE,
} encl_answer_state;

typedef struct encl_answer {
    encl_answer_state state;
    bool is_head_request;
    size_t body_max;
    size_t received; /* bytes of the body so far, taken or not */
    uint64_t left;
    size_t trailer_size;
    unsigned interim_count;
    rd_buf in;   /* bytes of a line or head that is not whole yet */
    rd_buf head; /* the final response's head */
    unsigned status;
    encl_answer_header headers[ENCL_ANSWER_COUNT_MAX];
    size_t headers_count;
    rd_buf body; /* what of it was not taken: the caller clears it */
} encl_answer;

/* is_head_request: the response to HEAD has no body whatever it says. */
void encl_answer_init(encl_answer *answer, bool is_head_request, size_t body_max);
void encl_answer_done(encl_answer *answer);
/* More bytes. The head is there once state is not ENCL_ANSWER_HEAD. state is ENCL_ANSWER_DONE at the end; what comes
 * behind it is ignored, as the connection ends with it. Errors: HTTP_SYNTAX, HTTP_HEADERS_TOO_LARGE, TOO_LARGE (the
 * body is above body_max). */
int encl_answer_feed(encl_answer *answer, rd_bytes bytes, rd_err *err) RD_NODISCARD;
/* The peer closed. Errors: TRUNCATED when something is missing. */
int encl_answer_end(encl_answer *answer, rd_err *err) RD_NODISCARD;

rd_bytes encl_answer_name(const encl_answer *answer, size_t index);
rd_bytes encl_answer_value(const encl_answer *answer, size_t index);

#endif
