#include "api/server.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/limits.h"
#include "api/listen.h"
#include "api/metrics.h"
#include "api/pool.h"
#include "api/request_private.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/redis.h"
#include "common/model/ids.h"

#define SERVER_MAGIC        0x61706973u
#define CONNECTION_MEMORY   ((size_t)48 << 10)
#define IDLE_TIMEOUT_S      75u
#define CONNECTIONS_DEFAULT 4096
#define QUEUE_DEFAULT       256
#define RUNS_A_TURN_MAX     16

struct api_server {
    uint32_t magic;
    api_context *context;
    api_server_options options;
    struct MHD_Daemon *daemon;
    api_pool *pool;
    uv_poll_t poll;
    uv_prepare_t prepare;
    uv_timer_t timer;
    unsigned handles_open;
    bool is_dirty; /* something was resumed: libmicrohttpd must run before the loop waits */
    bool is_running_mhd;
    bool is_stopping;
    api_request *requests;
    api_bodies *bodies;
    uint16_t port;
};

/* One request's trip to a worker: look-up of the caller when the cache had none, then the handler. */
typedef struct trip {
    api_job job;
    api_request *request;
    bool needs_lookup;
    bool runs_handler;
} trip;

/* --- driving libmicrohttpd --- */

static void arm_timer(api_server *server);

static void run_mhd(api_server *server)
{
    if (server->is_running_mhd || !server->daemon)
        return;
    server->is_running_mhd = true;
    for (int i = 0; i < RUNS_A_TURN_MAX; i++) {
        server->is_dirty = false;
        MHD_run(server->daemon);
        if (!server->is_dirty)
            break;
    }
    server->is_running_mhd = false;
    arm_timer(server);
}

static void on_timer(uv_timer_t *timer)
{
    run_mhd(timer->data);
}

static void arm_timer(api_server *server)
{
    MHD_UNSIGNED_LONG_LONG wait_ms = 0;
    if (server->is_dirty)
        uv_timer_start(&server->timer, on_timer, 0, 0);
    else if (MHD_get_timeout(server->daemon, &wait_ms) == MHD_YES)
        uv_timer_start(&server->timer, on_timer, wait_ms, 0);
    else
        uv_timer_stop(&server->timer);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    run_mhd(poll->data);
}

/* Answers recorded during this turn go out before the loop waits (relay-figures, section 6). */
static void on_prepare(uv_prepare_t *prepare)
{
    api_server *server = prepare->data;
    if (server->is_dirty)
        run_mhd(server);
}

void api_server_wake(api_server *server)
{
    server->is_dirty = true;
}

void api_server_resume(api_request *request)
{
    if (!request->is_suspended)
        return;
    request->is_suspended = false;
    MHD_resume_connection(request->connection);
    api_server_wake(request->server);
}

struct api_bodies *api_server_bodies(const api_server *server)
{
    return server->bodies;
}

bool api_server_is_plain(const api_server *server)
{
    return !server->options.tls_cert_pem || !server->options.tls_key_pem;
}

api_server_routes api_server_routes_of(const api_server *server)
{
    return (api_server_routes){ server->options.routes, server->options.route_count };
}

/* --- life of a request --- */

static void format_peer(struct MHD_Connection *connection, char *out, size_t size)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (!info || !info->client_addr ||
        getnameinfo(info->client_addr,
                    info->client_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in),
                    out, (socklen_t)size, NULL, 0, NI_NUMERICHOST) != 0)
        out[0] = '\0';
}

static void *on_request_line(void *arg, const char *uri, struct MHD_Connection *connection)
{
    api_server *server = arg;
    api_request *request = rd_alloc(sizeof(*request));
    request->magic = API_REQUEST_MAGIC;
    request->server = server;
    request->context = server->context;
    request->connection = connection;
    request->intake.bodies = server->bodies;
    request->target = rd_strdup(uri);
    request->path = rd_strndup(uri, strcspn(uri, "?"));
    request->answer.fd = -1;
    request->wake_shard = -1;
    request->started_us = rd_clock_boot_us(server->context->clock);
    format_peer(connection, request->peer, sizeof(request->peer));
    request->next = server->requests;
    if (request->next)
        request->next->previous = request;
    server->requests = request;
    return request;
}

static void unlink_request(api_request *request)
{
    if (request->previous)
        request->previous->next = request->next;
    else
        request->server->requests = request->next;
    if (request->next)
        request->next->previous = request->previous;
}

static void free_request(api_request *request)
{
    unlink_request(request);
    if (request->stream)
        api_stream_closed(request->stream);
    if (request->data_free)
        request->data_free(request->data);
    json_decref(request->json);
    api_intake_done(&request->intake);
    api_answer_done(&request->answer);
    free(request->target);
    free(request->path);
    request->magic = 0;
    free(request);
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **closure,
                         enum MHD_RequestTerminationCode code)
{
    (void)connection;
    (void)code;
    api_server *server = arg;
    api_request *request = *closure;
    *closure = NULL;
    if (!request)
        return;
    assert(request->magic == API_REQUEST_MAGIC);
    int64_t took_us = rd_clock_boot_us(server->context->clock) - request->started_us;
    api_metrics_request(server->context->metrics, server->options.name, request->route ? request->route->pattern : "",
                        request->answer.status, took_us);
    /* 503 is said under load, when a line each would make it worse; the counters have it. */
    bool is_fault = request->answer.status >= 500 && request->answer.status != 503;
    const char *trace = api_request_traceparent(request);
    rd_log(is_fault ? RD_WARN : RD_DEBUG, "request", RD_STR("request", request->id),
           RD_STR("trace", trace ? trace : ""), RD_STR("listener", server->options.name),
           RD_STR("method", request->method ? request->method : ""),
           RD_STR("route", request->route ? request->route->pattern : ""), RD_I64("status", request->answer.status),
           RD_I64("took_us", took_us));
    free_request(request);
}

/* --- running handlers --- */

static void run_loop_handler(api_request *request)
{
    request->stage = API_STAGE_RUNNING;
    request->route->loop(request);
    assert(request->route->kind != API_ROUTE_INLINE || request->answer.is_set);
}

static void run_trip(api_worker *worker, void *arg)
{
    trip *t = arg;
    api_request *request = t->request;
    rd_err *err = &request->work_err;
    *err = (rd_err)RD_ERR_INIT;
    request->work_result = 0;
    if (t->needs_lookup) {
        request->work_result =
            api_auth_lookup(request->context->auth, worker, api_gate_secret(request), &request->principal, err);
        if (request->work_result == 0)
            request->work_result = api_gate_caller(request, err);
    }
    if (request->work_result == 0 && t->runs_handler)
        request->work_result = request->route->worker(request, worker, err);
}

/* Hints after commit: lost ones cost a quarter of a second, as the readers poll (data-model.md, section 7). */
static void send_hints(const api_request *request)
{
    rd_redis *redis = request->context->redis;
    rd_err ignored = RD_ERR_INIT;
    if (!redis)
        return;
    if (request->wake_shard >= 0) {
        char key[32];
        snprintf(key, sizeof(key), "wake:%d", request->wake_shard);
        (void)!rd_redis_command(redis, NULL, NULL, &ignored, RD_BYTES_LIT("XADD"), rd_bytes_str(key),
                                RD_BYTES_LIT("MAXLEN"), RD_BYTES_LIT("~"), RD_BYTES_LIT("10000"), RD_BYTES_LIT("*"),
                                RD_BYTES_LIT("t"), RD_BYTES_LIT("1"));
    }
    if (request->has_event)
        (void)!rd_redis_command(redis, NULL, NULL, &ignored, RD_BYTES_LIT("PUBLISH"), RD_BYTES_LIT("tail"),
                                RD_BYTES_LIT(""));
}

static void finish_trip(void *arg, bool is_cancelled)
{
    trip *t = arg;
    api_request *request = t->request;
    bool runs_loop = !t->runs_handler;
    free(t);
    request->is_out = false;
    send_hints(request);
    if (is_cancelled)
        request->work_result = rd_err_set(&request->work_err, RD_E_UNAVAILABLE, "this replica is stopping");
    if (request->work_result < 0) {
        api_answer_drop_body(&request->answer);
        api_reply_problem(request, &request->work_err);
    } else if (runs_loop) {
        run_loop_handler(request);
    }
    /* A worker handler that forgot to answer is a fault of ours, not a request that hangs for ever. */
    if (request->work_result == 0 && !runs_loop && !request->answer.is_set) {
        rd_err err = RD_ERR_INIT;
        (void)rd_err_set(&err, RD_E_INTERNAL, "handler gave no answer");
        api_reply_problem(request, &err);
    }
    if (request->answer.is_set)
        api_server_resume(request);
}

static int submit_trip(api_request *request, bool needs_lookup, rd_err *err)
{
    api_server *home = request->server->pool ? request->server : request->context->server;
    trip *t = rd_alloc(sizeof(*t));
    *t = (trip){ .request = request,
                 .needs_lookup = needs_lookup,
                 .runs_handler = request->route->kind == API_ROUTE_WORKER };
    t->job = (api_job){ .run = run_trip, .done = finish_trip, .arg = t };
    request->stage = API_STAGE_RUNNING;
    request->is_out = true;
    if (home && home->pool && api_pool_submit(home->pool, &t->job))
        return 0;
    request->is_out = false;
    free(t);
    return rd_err_set(err, RD_E_BUSY, "the queue of %s is full", request->server->options.name);
}

static int dispatch(api_request *request, rd_err *err)
{
    const api_route *route = request->route;
    bool needs_lookup = false;
    if (route->need != API_NEED_NONE) {
        rd_bytes secret = api_gate_secret(request);
        if (secret.size == 0)
            return rd_err_set(err, RD_E_UNAUTHENTICATED, "this path needs a token or a session");
        needs_lookup = !api_auth_cached(request->context->auth, secret, &request->principal);
        if (!needs_lookup) {
            int rc = api_gate_caller(request, err);
            api_limits_report(request->context->limits, &request->principal);
            if (rc < 0)
                return -1;
        }
    }
    if (needs_lookup || route->kind == API_ROUTE_WORKER)
        return submit_trip(request, needs_lookup, err);
    run_loop_handler(request);
    return 0;
}

/* --- libmicrohttpd's calls --- */

static void refuse(api_request *request, const rd_err *err)
{
    if (!request->answer.is_set)
        api_reply_problem(request, err);
}

/* Bytes of a body that nobody will read are thrown away up to a bound, so that small refusals keep the connection. */
static bool is_body_large(const api_request *request)
{
    const char *length = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "Content-Length");
    uint64_t size = 0;
    if (MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "Transfer-Encoding"))
        return true;
    return length && (rd_parse_u64(length, strlen(length), UINT64_MAX, &size) < 0 || size > API_BODY_DISCARD_MAX);
}

static enum MHD_Result on_headers(api_request *request, const char *method)
{
    rd_err err = RD_ERR_INIT;
    request->method = method;
    request->stage = API_STAGE_BODY;
    if (request->server->is_stopping)
        refuse(request, (rd_err_set(&err, RD_E_UNAVAILABLE, "this replica is stopping"), &err));
    else if (api_gate_headers(request, &err) < 0)
        refuse(request, &err);
    api_body_begin(request);
    if (!request->answer.is_set || !is_body_large(request) || api_body_answer(request))
        return MHD_YES;
    request->answer.is_closing = true;
    return api_answer_queue(request);
}

static enum MHD_Result on_body(api_request *request, const char *data, size_t *size)
{
    rd_err err = RD_ERR_INIT;
    size_t count = *size;
    *size = 0;
    if (api_body_add(request, rd_bytes_of((const uint8_t *)data, count), &err) < 0) {
        refuse(request, &err);
        (void)api_body_answer(request);
    }
    if (request->answer.is_set) {
        request->answer.is_closing = true;
        request->body_discarded += count;
        if (request->body_discarded > ((size_t)16 << 20))
            return MHD_NO;
    }
    return MHD_YES;
}

static enum MHD_Result on_whole(api_request *request)
{
    rd_err err = RD_ERR_INIT;
    if (!api_body_end(request))
        return MHD_NO;
    if (request->stage == API_STAGE_BODY && !request->answer.is_set && dispatch(request, &err) < 0)
        refuse(request, &err);
    /* A worker may have set the answer already, on another core: it is queued when the trip is back. */
    if (!request->is_out && request->answer.is_set)
        return api_answer_queue(request);
    request->is_suspended = true;
    MHD_suspend_connection(request->connection);
    return MHD_YES;
}

static enum MHD_Result on_access(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
                                 const char *version, const char *data, size_t *data_size, void **closure)
{
    (void)arg;
    (void)connection;
    (void)url;
    api_request *request = *closure;
    if (!request)
        return MHD_NO;
    assert(request->magic == API_REQUEST_MAGIC);
    if (request->stage == API_STAGE_HEADERS) {
        request->takes_chunks = strcmp(version, "HTTP/1.0") != 0;
        return on_headers(request, method);
    }
    if (*data_size > 0)
        return on_body(request, data, data_size);
    return on_whole(request);
}

static void on_mhd_log(void *arg, const char *fmt, va_list args)
{
    (void)arg;
    char text[256];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    vsnprintf(text, sizeof(text), fmt, args);
#pragma GCC diagnostic pop
    text[strcspn(text, "\n")] = '\0';
    rd_log(RD_DEBUG, "http", RD_STR("text", text));
}

/* --- start and stop --- */

static int start_daemon(api_server *server, int fd, rd_err *err)
{
    const api_server_options *o = &server->options;
    bool has_tls = o->tls_cert_pem && o->tls_key_pem;
    if (has_tls && MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
        return rd_err_set(err, RD_E_UNSUPPORTED, "this libmicrohttpd has no TLS; put a proxy with TLS in front of %s",
                          o->listen);
    struct MHD_OptionItem options[] = {
        { MHD_OPTION_CONNECTION_LIMIT, (intptr_t)o->connections_max, NULL },
        { MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_S, NULL },
        { MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL },
        { has_tls ? MHD_OPTION_HTTPS_MEM_CERT : MHD_OPTION_END, 0, (void *)(uintptr_t)o->tls_cert_pem },
        { has_tls ? MHD_OPTION_HTTPS_MEM_KEY : MHD_OPTION_END, 0, (void *)(uintptr_t)o->tls_key_pem },
        { MHD_OPTION_END, 0, NULL },
    };
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | (has_tls ? MHD_USE_TLS : 0);
    server->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_access, server, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        CONNECTION_MEMORY, MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
        server, MHD_OPTION_URI_LOG_CALLBACK, on_request_line, server, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
    if (!server->daemon)
        return rd_err_set(err, RD_E_UNAVAILABLE, "cannot start the HTTP server on %s", o->listen);
    return 0;
}

static int hook_loop(api_server *server, rd_err *err)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    uv_loop_t *loop = server->context->loop;
    int rc = info ? uv_poll_init(loop, &server->poll, info->epoll_fd) : UV_EINVAL;
    if (rc < 0)
        return rd_err_set(err, RD_E_INTERNAL, "watching the HTTP server: %s", uv_strerror(rc));
    uv_prepare_init(loop, &server->prepare);
    uv_timer_init(loop, &server->timer);
    server->handles_open = 3;
    server->poll.data = server->prepare.data = server->timer.data = server;
    uv_poll_start(&server->poll, UV_READABLE, on_poll);
    uv_prepare_start(&server->prepare, on_prepare);
    return 0;
}

int api_server_start(api_context *context, const api_server_options *options, api_server **ret, rd_err *err)
{
    api_server *server = rd_alloc(sizeof(*server));
    server->magic = SERVER_MAGIC;
    server->context = context;
    server->options = *options;
    api_server_options *o = &server->options;
    o->queue_max = o->queue_max ? o->queue_max : QUEUE_DEFAULT;
    o->connections_max = o->connections_max ? o->connections_max : CONNECTIONS_DEFAULT;
    server->bodies = api_bodies_new(context->loop, context->clock, o->body_memory_max, api_body_late);
    RD_CLEANUP(rd_close_p) int fd = -1;
    if (api_listen(o->listen, &fd, &server->port, err) < 0 || start_daemon(server, fd, err) < 0) {
        server->bodies = api_bodies_free(server->bodies);
        free(server);
        return -1;
    }
    fd = -1;
    if (hook_loop(server, err) < 0 ||
        (o->workers > 0 && api_pool_new(context, o->workers, o->queue_max, &server->pool, err) < 0)) {
        api_server_stop(server);
        return -1;
    }
    *ret = server;
    return 0;
}

static void cancel_requests(api_server *server)
{
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, RD_E_UNAVAILABLE, "this replica is stopping");
    for (api_request *request = server->requests, *next; request; request = next) {
        next = request->next;
        if (request->stream) {
            api_stream_abort(request->stream);
            continue;
        }
        if (!request->is_suspended || request->answer.is_set)
            continue;
        if (request->on_cancel)
            request->on_cancel(request, request->on_cancel_arg);
        if (!request->answer.is_set)
            api_reply_problem(request, &err);
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    api_server *server = handle->data;
    server->handles_open--;
}

void api_server_stop(api_server *server)
{
    if (server->is_stopping)
        return;
    server->is_stopping = true;
    if (server->pool)
        api_pool_stop(server->pool);
    int listen_fd = MHD_quiesce_daemon(server->daemon);
    cancel_requests(server);
    run_mhd(server);
    if (server->handles_open > 0) {
        uv_poll_stop(&server->poll);
        uv_close((uv_handle_t *)&server->poll, on_handle_closed);
        uv_close((uv_handle_t *)&server->prepare, on_handle_closed);
        uv_close((uv_handle_t *)&server->timer, on_handle_closed);
    }
    MHD_stop_daemon(server->daemon);
    server->daemon = NULL;
    server->bodies = api_bodies_free(server->bodies);
    if (listen_fd >= 0)
        close(listen_fd);
}

api_server *api_server_free(api_server *server)
{
    if (!server)
        return NULL;
    assert(server->magic == SERVER_MAGIC && server->handles_open == 0);
    api_pool_free(server->pool);
    free(server);
    return NULL;
}

uint16_t api_server_port(const api_server *server)
{
    return server->port;
}

size_t api_server_queue_depth(const api_server *server)
{
    return server->pool ? api_pool_depth(server->pool) : 0;
}

/* --- work outside requests --- */

typedef struct errand {
    api_job job;
    void (*fn)(api_worker *worker, void *arg);
    void (*done)(void *arg);
    void *arg;
} errand;

static void run_errand(api_worker *worker, void *arg)
{
    errand *e = arg;
    e->fn(worker, e->arg);
}

static void finish_errand(void *arg, bool is_cancelled)
{
    (void)is_cancelled;
    errand *e = arg;
    e->done(e->arg);
    free(e);
}

bool api_server_work(api_server *server, void (*fn)(api_worker *worker, void *arg), void (*done)(void *arg), void *arg)
{
    errand *e = rd_alloc(sizeof(*e));
    *e = (errand){ .fn = fn, .done = done, .arg = arg };
    e->job = (api_job){ .run = run_errand, .done = finish_errand, .arg = e };
    if (server->pool && api_pool_submit(server->pool, &e->job))
        return true;
    free(e);
    return false;
}
