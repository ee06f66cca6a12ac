/* request: what a handler sees of one request: method, path, parameters, headers, body, caller.
 * Used by all handlers. Everything it returns is borrowed and lives until the request is answered.
 * Parses nothing by itself beyond what libmicrohttpd did; api_request_json is the strict way to a body. */
#ifndef API_REQUEST_H
#define API_REQUEST_H

#include <jansson.h>

#include "api/auth.h"
#include "api/context.h"
#include "api/router.h"
#include "common/base/bytes.h"

typedef struct api_request api_request;

api_context *api_request_context(const api_request *request);
/* "req_…": the caller's when it was well formed. */
const char *api_request_id(const api_request *request);
const char *api_request_method(const api_request *request);
/* HTTP/1.1: a body of unknown length can be sent so that its end is told from a cut (RFC 9112, 7). */
bool api_request_takes_chunks(const api_request *request);
/* As received: path without query, and path with query (the request target). */
const char *api_request_path(const api_request *request);
const char *api_request_target(const api_request *request);
/* First header of that name (any case) or NULL. */
const char *api_request_header(const api_request *request, const char *name);
/* Query parameter, decoded, or NULL. */
const char *api_request_query(const api_request *request, const char *name);
/* Parameter of the route's pattern; never NULL. */
const char *api_request_param(const api_request *request, const char *name);
rd_bytes api_request_body(const api_request *request);
/* Gives the body's memory back: it was passed on, nothing reads it again. The loop. */
void api_request_drop_body(api_request *request);
/* Who calls; role API_ROLE_NONE when the route needs nobody. */
const api_principal *api_request_principal(const api_request *request);
/* Peer address without port, as text. */
const char *api_request_peer(const api_request *request);
/* W3C traceparent as sent when it is well formed, else NULL. */
const char *api_request_traceparent(const api_request *request);

/* Parses the body: UTF-8, no duplicate members, depth at most 16, an object. Borrowed from the request. */
int api_request_json(api_request *request, json_t **ret, rd_err *err) RD_NODISCARD;
/* ?limit= (1..200, default 50). JSON_RANGE with pointer "?limit". */
int api_request_limit(const api_request *request, size_t *ret, rd_err *err) RD_NODISCARD;

/* Hints for after the answer: a scheduler shard to wake (-1: none), and whether events were committed. */
void api_request_hint(api_request *request, int wake_shard, bool has_event);

/* A pointer of the handler's own that travels with the request; free_fn (may be NULL) runs when the request ends. */
void api_request_set_data(api_request *request, void *data, void (*free_fn)(void *data));
void *api_request_data(const api_request *request);
/* LOOP routes that answer later: called at most once when the server stops before there was an answer. The request must
 * not be touched after it returned. */
void api_request_on_cancel(api_request *request, void (*on_cancel)(api_request *request, void *arg), void *arg);

#endif
