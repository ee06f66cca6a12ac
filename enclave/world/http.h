/* http: a strict parser of HTTP/1.1 request heads (RFC 9112) with bounds, and the pieces of an answer's head.
 * Used by the connections of an instance. Pure; borrows from the bytes it is given.
 * Refuses whatever two parsers could read in two ways: bare CR or LF, folded lines, space before a colon, any
 * Transfer-Encoding, doubled or odd Content-Length, absolute and other forms of target, bodies without a length.
 */
#ifndef ENCL_HTTP_H
#define ENCL_HTTP_H

#include "common/base/bytes.h"
#include "common/base/err.h"

#define ENCL_HTTP_LINE_MAX    ((size_t)8 << 10)
#define ENCL_HTTP_HEADERS_MAX ((size_t)32 << 10)
#define ENCL_HTTP_COUNT_MAX   100
#define ENCL_HTTP_HEAD_MAX    (ENCL_HTTP_LINE_MAX + ENCL_HTTP_HEADERS_MAX)

typedef struct encl_http_header {
    rd_bytes name;  /* a token, as sent */
    rd_bytes value; /* without space around it */
} encl_http_header;

/* Borrowed from the input. */
typedef struct encl_http_request {
    rd_bytes method; /* a token, at most 32 bytes */
    rd_bytes target; /* origin form: begins with '/' */
    rd_bytes host;
    encl_http_header headers[ENCL_HTTP_COUNT_MAX];
    size_t headers_count;
    uint64_t content_length;
    bool keeps_alive;
    size_t head_size; /* bytes up to and including the empty line */
} encl_http_request;

typedef enum encl_http_outcome { ENCL_HTTP_DONE = 0, ENCL_HTTP_MORE = 1 } encl_http_outcome;

/* Parses one head at the front of input. *scanned remembers between calls on the growing input how far the end was
 * looked for; start with 0. Codes of -1: HTTP_SYNTAX, HTTP_VERSION, HTTP_TARGET_TOO_LONG, HTTP_HEADERS_TOO_LARGE,
 * HTTP_LENGTH_REQUIRED (a Transfer-Encoding), HTTP_EXPECTATION. After -1 the connection must be closed. */
int encl_http_parse(rd_bytes input, size_t *scanned, encl_http_request *ret, rd_err *err) RD_NODISCARD;

/* A target in origin form (RFC 9112, 3.2.1), visible ASCII without a fragment; a name or address with or without port,
 * or nothing. */
bool encl_http_is_target(rd_bytes text);
bool encl_http_is_host(rd_bytes text);
/* The first header of this name (any case), or NULL. */
const encl_http_header *encl_http_find(const encl_http_request *request, const char *name);
/* Whether a header of this name concerns the connection alone (RFC 9110, 7.6.1), or is the runtime's own (Redoubt-…):
 * such are neither shown to a function nor taken from it. */
bool encl_http_is_reserved(rd_bytes name);
/* A status's reason phrase, "" for unknown ones. */
const char *encl_http_reason(unsigned status);
/* Whether an answer of this status says how long its body is (RFC 9110, 8.6): 204 must not, and what 304 would say is
 * the length of another answer. */
bool encl_http_has_length(unsigned status);

#endif
