/* head: a strict parser of HTTP/1.1 request heads (RFC 9112) with bounds, and the pieces of an answer's head.
 * Used by the connections of an instance, and by whatever else reads a request here. Pure; borrows from the bytes it
 * is given. Refuses whatever two parsers could read in two ways: bare CR or LF, folded lines, space before a colon,
 * doubled or odd Content-Length, a length beside chunks, an absolute target of another host than Host, other forms of
 * target. Takes a
 * Transfer-Encoding, an expectation or HTTP/1.0 only for who says that he knows what to do with it.
 */
#ifndef RD_HTTP_HEAD_H
#define RD_HTTP_HEAD_H

#include "common/base/bytes.h"
#include "common/base/err.h"

#define RD_HTTP_LINE_MAX    ((size_t)8 << 10)
#define RD_HTTP_HEADERS_MAX ((size_t)32 << 10)
#define RD_HTTP_COUNT_MAX   100
#define RD_HTTP_HEAD_MAX    (RD_HTTP_LINE_MAX + RD_HTTP_HEADERS_MAX)

typedef struct rd_http_header {
    rd_bytes name;  /* a token, as sent */
    rd_bytes value; /* without space around it */
} rd_http_header;

/* Borrowed from the input. */
typedef struct rd_http_head {
    rd_bytes method; /* a token, at most 32 bytes */
    rd_bytes target; /* begins with '/': origin form, or what follows the authority of the absolute one */
    rd_bytes host;
    rd_http_header headers[RD_HTTP_COUNT_MAX];
    size_t headers_count;
    uint64_t content_length;
    bool is_chunked;
    bool expects_continue; /* 100 is waited for before the body */
    bool is_old;           /* HTTP/1.0 */
    bool keeps_alive;
    bool closes;      /* the sender said so */
    size_t head_size; /* bytes up to and including the empty line */
} rd_http_head;

typedef enum rd_http_outcome { RD_HTTP_DONE = 0, RD_HTTP_MORE = 1 } rd_http_outcome;

/* What a head may hold beside what all take. */
enum { RD_HTTP_TAKES_CHUNKS = 1, RD_HTTP_TAKES_EXPECT = 2, RD_HTTP_TAKES_OLD = 4 };

/* Parses one head at the front of input. *scanned remembers between calls on the growing input how far the end was
 * looked for; start with 0. takes: RD_HTTP_TAKES_…. Codes of -1: HTTP_SYNTAX, HTTP_VERSION, HTTP_TARGET_TOO_LONG,
 * HTTP_HEADERS_TOO_LARGE, HTTP_LENGTH_REQUIRED (a Transfer-Encoding that is not taken), HTTP_EXPECTATION. After -1 the
 * connection must be closed. */
int rd_http_head_parse(rd_bytes input, unsigned takes, size_t *scanned, rd_http_head *ret, rd_err *err) RD_NODISCARD;

/* A target in origin form (RFC 9112, 3.2.1), visible ASCII without a fragment; a name or address with or without port,
 * or nothing. */
bool rd_http_is_target(rd_bytes text);
bool rd_http_is_host(rd_bytes text);
/* The first header of this name (any case), or NULL. */
const rd_http_header *rd_http_head_find(const rd_http_head *request, const char *name);
/* Whether a header of this name concerns the connection alone (RFC 9110, 7.6.1), or frames the message. */
bool rd_http_is_of_connection(rd_bytes name);
/* Whether a comma-separated list holds the word, which is in lower case (RFC 9110, 5.6.1). */
bool rd_http_list_holds(rd_bytes list, const char *word);
/* A status's reason phrase, "" for unknown ones. */
const char *rd_http_reason(unsigned status);
/* Whether an answer of this status says how long its body is (RFC 9110, 8.6): 204 must not, and what 304 would say is
 * the length of another answer. */
bool rd_http_has_length(unsigned status);

#endif
