/* http_response: a strict, incremental reader of HTTP/1.1 responses from instances.
 * Used by the relay inside CONNECT pipes. Bounded head, one Content-Length or chunks (RFC 9112, 4, 6 and 7) without
 * extensions and with one trailer at most, the receipt of a streamed answer.
 * Refuses several lengths, a length with chunks, folded lines, bare CR or LF, 1xx, and whatever it does not know. */
#ifndef API_HTTP_RESPONSE_H
#define API_HTTP_RESPONSE_H

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/http/chunks.h"

#define API_HTTP_HEAD_MAX    ((size_t)64 << 10)
#define API_HTTP_HEADERS_MAX 64

/* Borrowed from the reader's head; both NUL-terminated; name in lower case. */
typedef struct api_http_header {
    const char *name;
    const char *value;
} api_http_header;

typedef enum api_http_step {
    API_HTTP_MORE, /* all input taken, more is needed */
    API_HTTP_HEAD, /* status, headers, is_chunked or content_length are set; once a response */
    API_HTTP_BODY, /* *ret_body holds the next piece, borrowed from the input */
    API_HTTP_DONE  /* complete; input may be left over (then the peer is at fault) */
} api_http_step;

typedef struct api_http_response {
    bool is_head_request; /* the answer to HEAD has no body whatever it says (RFC 9110, 9.3.2) */
    uint64_t body_max;
    rd_buf head;
    size_t scanned; /* of head */
    int phase;      /* of http_response.c */
    int status;
    api_http_header headers[API_HTTP_HEADERS_MAX];
    size_t header_count;
    bool is_chunked; /* as long as it is: content_length is 0 */
    bool has_length; /* of an answer to HEAD, or of status 304: that of the body which is not sent */
    uint64_t content_length;
    uint64_t body_left; /* of a body that has a length */
    rd_http_chunks chunks;
    rd_buf trailer;   /* its value */
    bool keeps_alive; /* the pipe may carry another request afterwards */
} api_http_response;

/* Ready for the next response; keeps the head's memory. */
void api_http_response_begin(api_http_response *response, bool is_head_request, uint64_t body_max);
void api_http_response_done(api_http_response *response);
/* One step: takes bytes from the front of *input. RESPONSE_INVALID, TOO_LARGE (head, trailer, or a body above
 * body_max).
 */
int api_http_response_step(api_http_response *response, rd_bytes *input, rd_bytes *ret_body, rd_err *err) RD_NODISCARD;
/* Puts back the last size bytes of a body piece that nobody took; they are offered again by the next step. */
void api_http_response_unread(api_http_response *response, size_t size);
/* First header of a lower-case name, or NULL. */
const char *api_http_response_header(const api_http_response *response, const char *name);
/* The receipt that came behind a chunked body, once that is done; NULL: none came. */
const char *api_http_response_trailer(const api_http_response *response);

/* Whether a header belongs to one hop (RFC 9110, 7.6.1) or to framing and is never passed on; name in any case.
 * connection: value of the message's Connection header, empty for none; what it names counts too. */
bool api_http_is_hop_by_hop(rd_bytes name, rd_bytes connection);

#endif
