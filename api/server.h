/* server: the REST listener: libmicrohttpd driven by external epoll inside the process's libuv loop, and a worker pool.
 * Used by main. The only file that sees libmicrohttpd besides reply.c. Bounded: connections, request memory, queue of
 * work, workers. */
#ifndef API_SERVER_H
#define API_SERVER_H

#include "api/context.h"
#include "api/router.h"

typedef struct api_server api_server;

typedef struct api_server_options {
    const char *name;   /* label in metrics and log */
    const char *listen; /* "host:port" */
    const api_route *routes;
    size_t route_count;
    size_t workers;         /* threads with a PostgreSQL connection each; 0: none (only loop and inline routes) */
    size_t queue_max;       /* requests waiting for a worker; past it 503 with Retry-After; 0: 256 */
    size_t connections_max; /* 0: 4096 */
    size_t body_memory_max; /* bytes of request bodies held at once; intake.h; 0: 256 MiB */
    const char *tls_cert_pem, *tls_key_pem; /* texts; NULL: plain HTTP */
} api_server_options;

/* Binds, listens and hooks into context->loop. *ret is freed by api_server_free. UNAVAILABLE when the address is taken.
 * Loop thread. */
int api_server_start(api_context *context, const api_server_options *options, api_server **ret,
                     rd_err *err) RD_NODISCARD;
/* The port it listens on (for "host:0"). */
uint16_t api_server_port(const api_server *server);
/* Takes no new connection; cancels what loop routes still owe (their on_cancel, then 503); waits for the workers.
 * Handles are closed on the loop: run it once more before it is closed. */
void api_server_stop(api_server *server);
api_server *api_server_free(api_server *server);
struct api_bodies *api_server_bodies(const api_server *server);
/* Requests waiting for a worker. Any thread. */
size_t api_server_queue_depth(const api_server *server);

/* Runs fn on a worker of the server, then done on the loop, outside any request. False when the queue is full. */
typedef struct api_worker api_worker;
bool api_server_work(api_server *server, void (*fn)(api_worker *worker, void *arg), void (*done)(void *arg), void *arg);

#endif
