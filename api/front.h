/* front: a listener for requests that are passed on: HTTP/1.1 and 1.0 read by the strict parser (common/http), each
 * connection's requests in order, answers written at once and held up by a slow caller. Used by the applications'
 * listener; knows nothing of apps. Refuses what two parsers could read in two ways, bodies past their bound, slow
 * heads, slow bodies (intake.h) and callers that take nothing for long. Bounded: connections, and of them each
 * address's, bytes read ahead, what waits to be taken. An idle connection keeps no buffer. Loop thread. */
#ifndef API_FRONT_H
#define API_FRONT_H

#include "api/context.h"
#include "api/intake.h"
#include "common/http/head.h"

#define API_FRONT_CONNECTIONS_MAX 4096
#define API_FRONT_AHEAD_MAX       ((size_t)16 << 10)  /* bytes of next requests that wait for an answer's end */
#define API_FRONT_BUFFER_MAX      ((size_t)256 << 10) /* of an answer, that its caller has not taken yet */
#define API_FRONT_HEAD_MS         10000               /* from a head's first byte to its last */
#define API_FRONT_IDLE_MS         75000               /* between requests */
#define API_FRONT_STALL_MS        30000               /* an answer of which nothing is taken */
#define API_FRONT_LINGER_MS       2000 /* what still comes is thrown away, so that no reset overtakes the answer */

typedef struct api_front api_front;
/* One request of a connection, and its answer. Its owner has it from on_request until he ends, cuts or refuses it, or
 * is told that it is gone. */
typedef struct api_turn api_turn;

typedef struct api_front_options {
    api_context *context;
    const char *name;   /* label in metrics and log, for the life of the process */
    const char *route;  /* the same */
    const char *listen; /* "host:port" */
    size_t body_max, body_memory_max;
    unsigned head_ms, idle_ms, stall_ms; /* 0: as above */
    /* A body is about to come: looks at who may send it and names who pays for it. -1: answered with err. */
    int (*on_body)(api_turn *turn, const rd_http_head *head, rd_err *err);
    /* The request is there whole. The head is borrowed for this call. */
    void (*on_request)(api_turn *turn, const rd_http_head *head);
    /* The caller has left, or the front stops. Never from within a function of this header but api_front_stop. */
    void (*on_gone)(api_turn *turn);
    /* There is room again after a write that was not taken whole. */
    void (*on_room)(api_turn *turn);
    void *arg;
} api_front_options;

/* Binds and listens. */
int api_front_new(const api_front_options *options, api_front **ret, rd_err *err) RD_NODISCARD;
/* Takes no new connection; owners are told, their callers answered 503, all connections closed. */
void api_front_stop(api_front *front);
/* Once its handles are closed on the loop it is gone. Accepts NULL. */
api_front *api_front_free(api_front *front);
uint16_t api_front_port(const api_front *front);
const api_bodies *api_front_bodies(const api_front *front);
void api_front_metrics(void *front, rd_buf *out);

/* ---- the request ---- */

void *api_turn_arg(const api_turn *turn); /* of the options */
void api_turn_set_owner(api_turn *turn, void *owner);
void *api_turn_owner(const api_turn *turn);
/* "req_…": the caller's when it was well formed. */
const char *api_turn_id(const api_turn *turn);
/* Keeps what the head is made of, which on_request got, until the answer's end; then it is there again for a moment, to
 * be used before anything else is called. */
void api_turn_keep(api_turn *turn, const rd_http_head *head);
const rd_http_head *api_turn_head(api_turn *turn);
/* HTTP/1.1: a body of unknown length can be sent so that its end is told from a cut (RFC 9112, 7). */
bool api_turn_takes_chunks(const api_turn *turn);
/* Borrowed until the answer ended or the body was dropped: it was passed on, nothing reads it again. */
rd_bytes api_turn_body(const api_turn *turn);
void api_turn_drop_body(api_turn *turn);
/* intake.h */
void api_turn_payer(api_turn *turn, char kind, rd_bytes id);

/* ---- the answer ---- */

/* Status and what stands in each answer of the front. Then headers of the owner's, clean ones, then the body. */
void api_turn_answer(api_turn *turn, int status);
void api_turn_header(api_turn *turn, const char *name, rd_bytes value);
/* length: bytes; -1: unknown, in chunks. To HEAD, and with 304, what it would be, and -1: nothing is said. is_gathered:
 * nothing is sent before the end, at most API_FRONT_BUFFER_MAX, so that a problem may still take its place. */
void api_turn_begin(api_turn *turn, int64_t length, bool is_gathered);
/* As much as there is room for, from the front; less: on_room comes later. What has no body takes it all. */
size_t api_turn_write(api_turn *turn, rd_bytes bytes);
/* A field behind a body of unknown length (RFC 9110, 6.5); the last before the end. */
void api_turn_trailer(api_turn *turn, const char *name, const char *value);
void api_turn_end(api_turn *turn);
/* The caller sees that it is not whole. */
void api_turn_cut(api_turn *turn);
/* In place of an answer of which nothing was sent: status, code and hint by err_codes.def. Cuts where some was. */
void api_turn_problem(api_turn *turn, const rd_err *err);

#endif
