/* reply: answers: JSON, bytes, problem documents (RFC 9457), files and bounded streams (SSE, pass-through).
 * Used by all handlers, exactly one reply a request. On a worker a reply is only recorded; it is sent on the loop after
 * the handler returned. Loop routes may reply at once or later, on the loop thread only. */
#ifndef API_REPLY_H
#define API_REPLY_H

#include <jansson.h>

#include "api/request.h"

/* Adds a header to the answer; before the reply. Values with control characters are dropped and logged. */
void api_reply_header(api_request *request, const char *name, const char *value);
/* body is stolen. Content-Type application/json. */
void api_reply_json(api_request *request, int status, json_t *body);
/* As api_reply_json with ETag (a digest of the body, or "version" quoted when >= 0), 304 for a matching If-None-Match.
 */
void api_reply_resource(api_request *request, int status, json_t *body, int64_t version);
/* The ETag that api_reply_resource would give this body, without its quotes. INTERNAL when the body is too large. */
#define API_ETAG_SIZE 64
int api_resource_etag(const json_t *body, int64_t version, char ret[API_ETAG_SIZE], rd_err *err) RD_NODISCARD;
/* Copies. content_type NULL: none. */
void api_reply_bytes(api_request *request, int status, const char *content_type, rd_bytes body);
/* Takes the buffer's memory and leaves it empty. */
void api_reply_buf(api_request *request, int status, const char *content_type, rd_buf *body);
void api_reply_empty(api_request *request, int status);
/* An open file of size bytes; the descriptor is taken. */
void api_reply_file(api_request *request, int status, const char *content_type, int fd, uint64_t size);
/* Status, code, hint and retryable by err_codes.def; detail is err's sentence, except for codes of our own faults
 * (500), which are logged and hidden. Adds Retry-After: 1 when retryable and none was set. */
void api_reply_problem(api_request *request, const rd_err *err);
void api_reply_code(api_request *request, rd_code code, const char *text);

/* A streamed body: written piecewise on the loop, never more than buffer_max bytes waiting. */
typedef struct api_stream api_stream;
typedef struct api_stream_options {
    int status;
    const char *content_type;
    int64_t content_length; /* -1: unknown (chunked) */
    size_t buffer_max;      /* bytes; 0: 256 KiB */
    /* The caller is gone or the stream was ended and sent: the stream must not be touched afterwards. Called once, from
     * the loop; never from inside api_reply_stream or api_stream_write. */
    void (*on_close)(void *arg);
    /* Bytes went out and there is room again after a write that did not fit whole. May be NULL. */
    void (*on_drain)(void *arg);
    void *arg;
} api_stream_options;

/* Sends the headers; *never NULL*. Valid until on_close. */
api_stream *api_reply_stream(api_request *request, const api_stream_options *options);
/* Bytes that can be written now. */
size_t api_stream_room(const api_stream *stream);
/* All or nothing: false when they do not fit (then on_drain comes later). */
bool api_stream_write(api_stream *stream, rd_bytes bytes);
/* As much as fits, from the front; returns how much. When that is less than all, on_drain comes later. */
size_t api_stream_write_some(api_stream *stream, rd_bytes bytes);
/* No more bytes; what waits is still sent. */
void api_stream_end(api_stream *stream);
/* Drops what waits and closes the connection, so that the caller sees a cut answer. */
void api_stream_abort(api_stream *stream);

#endif
