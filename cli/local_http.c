#include "cli/local_http.h"

#include "common/base/mem.h"
#include "common/model/problem.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 64u
#define IDLE_S          120u
#define BODY_MAX        ((size_t)8 << 20)
#define HEADER_ROOM     ((size_t)64 << 10)
#define HEADERS_MAX     24
#define BLOCK           ((size_t)16 << 10)

typedef struct local_server {
    cli_http_handler *handler;
    void *context;
    struct MHD_Daemon *daemon;
} local_server;

struct cli_exchange_http {
    local_server *server;
    struct MHD_Connection *connection;
    const char *method, *path;
    char *target; /* as it came; the library hands out a decoded path */
    rd_buf body;
    bool is_too_large;
    char *names[HEADERS_MAX], *values[HEADERS_MAX];
    size_t header_count;
    enum MHD_Result queued;
};

const char *cli_http_method(const cli_exchange_http *x)
{
    return x->method;
}

const char *cli_http_path(const cli_exchange_http *x)
{
    return x->path;
}

const char *cli_http_target(const cli_exchange_http *x)
{
    return x->target;
}

const char *cli_http_header(const cli_exchange_http *x, const char *name)
{
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

rd_bytes cli_http_body(const cli_exchange_http *x)
{
    return rd_buf_bytes(&x->body);
}

void cli_http_add(cli_exchange_http *x, const char *name, const char *value)
{
    if (x->header_count == HEADERS_MAX)
        return;
    x->names[x->header_count] = rd_strdup(name);
    x->values[x->header_count++] = rd_strdup(value);
}

static void queue(cli_exchange_http *x, int status, const char *type, struct MHD_Response *response)
{
    if (!response)
        return;
    if (type)
        (void)MHD_add_response_header(response, "Content-Type", type);
    for (size_t i = 0; i < x->header_count; i++)
        (void)MHD_add_response_header(response, x->names[i], x->values[i]);
    x->queued = MHD_queue_response(x->connection, (unsigned)status, response);
    MHD_destroy_response(response);
}

void cli_http_reply(cli_exchange_http *x, int status, const char *type, rd_bytes body)
{
    /* The library takes no const; it copies. */
    uint8_t none = 0;
    void *data = body.size ? (void *)(uintptr_t)body.data : &none;
    queue(x, status, type, MHD_create_response_from_buffer(body.size, data, MHD_RESPMEM_MUST_COPY));
}

void cli_http_problem(cli_exchange_http *x, int status, const rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    (void)rd_problem_write(err, NULL, &text);
    cli_http_reply(x, status, "application/problem+json", rd_buf_bytes(&text));
}

static ssize_t read_nothing(void *arg RD_UNUSED, uint64_t offset RD_UNUSED, char *out RD_UNUSED, size_t max RD_UNUSED)
{
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

void cli_http_head(cli_exchange_http *x, int status, int64_t length)
{
    uint64_t size = length >= 0 ? (uint64_t)length : MHD_SIZE_UNKNOWN;
    queue(x, status, NULL, MHD_create_response_from_callback(size, 1, read_nothing, NULL, NULL));
}

typedef struct stream {
    ssize_t (*read)(void *source, uint8_t *out, size_t max);
    void (*done)(void *source);
    void *source;
} stream;

static ssize_t on_read(void *arg, uint64_t offset, char *out, size_t max)
{
    (void)offset;
    stream *s = arg;
    ssize_t got = s->read(s->source, (uint8_t *)out, max);
    return got >= 0 ? got : got == -1 ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void on_read_done(void *arg)
{
    stream *s = arg;
    s->done(s->source);
    free(s);
}

void cli_http_stream(cli_exchange_http *x, int status, const char *type,
                     ssize_t (*read)(void *source, uint8_t *out, size_t max), void (*done)(void *source), void *source)
{
    stream *s = rd_alloc(sizeof *s);
    *s = (stream){ .read = read, .done = done, .source = source };
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, on_read, s, on_read_done);
    if (!response)
        on_read_done(s);
    queue(x, status, type, response);
}

/* --- the library's side --- */

static void *on_target(void *context, const char *target, struct MHD_Connection *connection)
{
    (void)connection;
    cli_exchange_http *x = rd_alloc(sizeof *x);
    x->server = context;
    x->target = rd_strdup(target);
    rd_buf_init(&x->body, BODY_MAX);
    return x;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *piece, size_t *piece_size,
                                  void **state)
{
    (void)context;
    (void)version;
    cli_exchange_http *x = *state;
    if (!x->connection) { /* the head alone: an answer to it would close the connection */
        x->connection = connection;
        x->path = path;
        x->method = method;
        return MHD_YES;
    }
    if (*piece_size) {
        x->is_too_large |= !rd_buf_append(&x->body, piece, *piece_size);
        *piece_size = 0;
        return MHD_YES;
    }
    x->queued = MHD_NO;
    if (x->is_too_large) {
        rd_err err = RD_ERR_INIT;
        (void)rd_err_set(&err, RD_E_REQUEST_TOO_LARGE, "a body above %zu bytes", BODY_MAX);
        cli_http_problem(x, 413, &err);
    } else {
        x->server->handler(x->server->context, x);
    }
    return x->queued;
}

static void on_completed(void *context, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    (void)context;
    (void)connection;
    (void)code;
    cli_exchange_http *x = *state;
    if (!x)
        return;
    for (size_t i = 0; i < x->header_count; i++) {
        free(x->names[i]);
        free(x->values[i]);
    }
    rd_buf_wipe(&x->body); /* it may hold a secret */
    free(x->target);
    free(x);
    *state = NULL;
}

int cli_local_listen(uint16_t port, int *ret_fd, uint16_t *ret_port, rd_err *err)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    const int yes = 1;
    RD_CLEANUP(rd_close_p) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, size) < 0 || listen(fd, (int)CONNECTIONS_MAX) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        return rd_err_set_errno(err, RD_E_UNAVAILABLE, errno, "127.0.0.1:%u", port);
    *ret_port = ntohs(address.sin_port);
    *ret_fd = rd_fd_take(&fd);
    return 0;
}

int cli_local_serve(int fd, cli_http_handler *handler, void *context, rd_err *err)
{
    local_server *server = rd_alloc(sizeof *server); /* lives as long as the process */
    *server = (local_server){ .handler = handler, .context = context };
    server->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL, 0, NULL, NULL, on_request, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, HEADER_ROOM, MHD_OPTION_URI_LOG_CALLBACK, on_target, server,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
    if (server->daemon)
        return 0;
    (void)close(fd);
    free(server);
    return rd_err_set(err, RD_E_UNAVAILABLE, "libmicrohttpd could not start; is libmicrohttpd12 installed?");
}
