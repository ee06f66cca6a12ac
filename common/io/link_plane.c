#include "common/io/link_private.h"

#include "common/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_TIMEOUT_US   30000000
#define BACKLOG           1024
#define LINKS_STANDARD    20000
#define SHAKES_STANDARD   64
#define ACCEPTS_STANDARD  500
#define LIMITER_PERIOD_MS 10

struct rd_link_plane {
    link_hub hub; /* first */
    rd_link_plane_config config;
    uv_tcp_t tcp;
    uv_timer_t limiter;
    int handles_open;
    bool is_paused;
    bool has_waiting;  /* libuv holds one accepted descriptor for us and has stopped listening */
    size_t handshakes; /* in progress */
    size_t up;
    uint64_t tokens_milli; /* accepts allowed now, in thousandths */
    uint64_t tokens_at_ms;
};

/* ---- requests ---- */

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){ .name = (uint8_t *)name, /* nghttp2 copies */
                         .namelen = strlen(name),
                         .value = (uint8_t *)value,
                         .valuelen = strlen(value),
                         .flags = NGHTTP2_NV_FLAG_NONE };
}

static int may_open(const rd_link *link, rd_err *err)
{
    if (link->state != LINK_UP)
        return rd_err_set(err, RD_E_LINK_CLOSED, "the link is down");
    if (link->stream_count >= RD_LINK_STREAMS_MAX)
        return rd_err_set(err, RD_E_UNAVAILABLE, "%u streams are open on this link", RD_LINK_STREAMS_MAX);
    return 0;
}

static int submit(rd_link_stream *stream, const nghttp2_nv *headers, size_t count, bool has_body, rd_err *err)
{
    rd_link *link = stream->link;
    nghttp2_data_provider provider = stream_provider(stream);
    int32_t id = nghttp2_submit_request(link->h2, NULL, headers, count, has_body ? &provider : NULL, stream);
    if (id < 0)
        return rd_err_set(err, RD_E_LINK_CLOSED, "http/2: %s", nghttp2_strerror(id));
    stream->id = id;
    stream->has_submitted = true;
    stream->has_provider = has_body;
    link_mark_dirty(link);
    return 0;
}

static void on_timeout_closed(uv_handle_t *handle)
{
    free(handle);
}

static void on_call_timeout(uv_timer_t *timer)
{
    rd_link_stream *stream = timer->data;
    (void)rd_err_set(&stream->error, RD_E_TIMEOUT, "no answer in time");
    rd_link_stream_reset(stream, false);
}

static void start_timeout(rd_link_stream *stream, int64_t timeout_us)
{
    stream->timeout = rd_alloc(sizeof *stream->timeout);
    (void)uv_timer_init(rd_loop_uv(stream->link->hub->loop), stream->timeout);
    stream->timeout->data = stream;
    int64_t after_us = timeout_us > 0 ? timeout_us : CALL_TIMEOUT_US;
    (void)uv_timer_start(stream->timeout, on_call_timeout, (uint64_t)(after_us + 999) / 1000, 0);
}

void call_finish(rd_link_stream *stream, const rd_err *error)
{
    if (stream->timeout)
        uv_close((uv_handle_t *)stream->timeout, on_timeout_closed);
    stream->timeout = NULL;
    rd_link_response_fn fn = stream->on_answer;
    stream->on_answer = NULL;
    if (fn && !stream->is_silent)
        fn(stream->context, error ? 0 : stream->status, error ? RD_BYTES_NULL : rd_buf_bytes(&stream->body), error);
}

int rd_link_send(rd_link *link, const rd_link_request *request, rd_link_response_fn fn, void *context, rd_err *err)
{
    if (may_open(link, err) < 0)
        return -1;
    if (request->body.size > RD_LINK_BLOB_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "a body of %zu bytes", request->body.size);
    bool has_body = request->body.size > 0 || strcmp(request->method, "GET") != 0;
    char length[24];
    (void)snprintf(length, sizeof length, "%zu", request->body.size);
    const nghttp2_nv headers[] = {
        header(":method", request->method),
        header(":scheme", "https"),
        header(":authority", "agent"),
        header(":path", request->path),
        header("content-length", length),
        header("content-type", request->is_binary ? "application/octet-stream" : "application/json"),
    };
    rd_link_stream *stream = stream_new(link, STREAM_CALL);
    stream->context = context;
    stream->on_answer = fn;
    stream->body_max = request->response_max ? request->response_max : RD_LINK_BODY_MAX;
    stream_queue(stream, request->body);
    stream->has_ended = true;
    if (submit(stream, headers, has_body ? 6 : 4, has_body, err) < 0) {
        stream_free(stream);
        return -1;
    }
    start_timeout(stream, request->timeout_us);
    return 0;
}

int rd_link_connect(rd_link *link, const char *authority, const rd_link_stream_events *events, void *context,
                    rd_link_stream **ret, rd_err *err)
{
    if (may_open(link, err) < 0)
        return -1;
    const nghttp2_nv headers[] = { header(":method", "CONNECT"), header(":authority", authority) };
    rd_link_stream *stream = stream_new(link, STREAM_OPEN);
    stream->is_pipe = true;
    stream->events = *events;
    stream->context = context;
    if (submit(stream, headers, RD_ARRAY_LEN(headers), true, err) < 0) {
        stream_free(stream);
        return -1;
    }
    *ret = stream;
    return 0;
}

/* ---- NDJSON ---- */

typedef struct lines {
    rd_link_line_events events;
    void *context;
    rd_buf partial; /* a line whose end has not come yet */
} lines;

/* Gives complete lines until the owner pauses; returns how many bytes were taken. */
static size_t on_lines_data(rd_link_stream *stream, void *context, rd_bytes bytes)
{
    lines *reader = context;
    size_t taken = 0;
    while (taken < bytes.size) {
        const uint8_t *start = bytes.data + taken;
        const uint8_t *end = memchr(start, '\n', bytes.size - taken);
        size_t size = end ? (size_t)(end - start) : bytes.size - taken;
        if (reader->partial.size + size > RD_LINK_LINE_MAX) {
            (void)rd_err_set(&stream->error, RD_E_TOO_LARGE, "a line above %u bytes", RD_LINK_LINE_MAX);
            rd_link_stream_reset(stream, false);
            return bytes.size;
        }
        taken += size + (end ? 1 : 0);
        if (!end) {
            (void)rd_buf_append(&reader->partial, start, size);
            break;
        }
        bool was_partial = reader->partial.size > 0;
        if (was_partial)
            (void)rd_buf_append(&reader->partial, start, size);
        rd_bytes line = was_partial ? rd_buf_bytes(&reader->partial) : rd_bytes_of(start, size);
        bool go_on = line.size == 0 || reader->events.on_line(stream, reader->context, line);
        rd_buf_clear(&reader->partial);
        if (!go_on)
            rd_link_stream_pause(stream);
        if (!go_on || stream->is_dropping)
            break;
    }
    return taken;
}

static void on_lines_end(rd_link_stream *stream, void *context)
{
    (void)context;
    rd_link_stream_end(stream);
}

static void on_lines_closed(rd_link_stream *stream, void *context, const rd_err *error)
{
    (void)stream;
    lines *reader = context;
    reader->events.on_closed(reader->context, error);
    rd_buf_done(&reader->partial);
    free(reader);
}

static const rd_link_stream_events lines_events = {
    .on_data = on_lines_data,
    .on_end = on_lines_end,
    .on_closed = on_lines_closed,
};

int rd_link_lines(rd_link *link, const char *path, const rd_link_line_events *events, void *context,
                  rd_link_stream **ret, rd_err *err)
{
    if (may_open(link, err) < 0)
        return -1;
    const nghttp2_nv headers[] = { header(":method", "GET"), header(":scheme", "https"), header(":authority", "agent"),
                                   header(":path", path) };
    rd_link_stream *stream = stream_new(link, STREAM_OPEN);
    lines *reader = rd_alloc(sizeof *reader);
    reader->events = *events;
    reader->context = context;
    rd_buf_init(&reader->partial, RD_LINK_LINE_MAX);
    stream->events = lines_events;
    stream->context = reader;
    stream->has_ended = true;
    if (submit(stream, headers, RD_ARRAY_LEN(headers), false, err) < 0) {
        rd_buf_done(&reader->partial);
        free(reader);
        stream_free(stream);
        return -1;
    }
    *ret = stream;
    return 0;
}

/* ---- accepting ---- */

static rd_link_plane *plane_of(link_hub *hub)
{
    return (rd_link_plane *)(void *)hub; /* its first member */
}

static bool take_token(rd_link_plane *plane)
{
    uint64_t now = rd_loop_now_ms(plane->hub.loop);
    uint64_t rate = plane->config.accepts_second;
    plane->tokens_milli = RD_MIN(plane->tokens_milli + (now - plane->tokens_at_ms) * rate, rate * 1000);
    plane->tokens_at_ms = now;
    if (plane->tokens_milli < 1000)
        return false;
    plane->tokens_milli -= 1000;
    return true;
}

static void close_unwanted(uv_handle_t *handle)
{
    free(handle);
}

/* Takes the connection only to end it: the agent tries another replica at once. */
static void accept_and_drop(rd_link_plane *plane)
{
    uv_tcp_t *tcp = rd_alloc(sizeof *tcp);
    (void)uv_tcp_init(rd_loop_uv(plane->hub.loop), tcp);
    (void)uv_accept((uv_stream_t *)&plane->tcp, (uv_stream_t *)tcp);
    uv_close((uv_handle_t *)tcp, close_unwanted);
}

static void accept_one(rd_link_plane *plane)
{
    rd_err err = RD_ERR_INIT;
    rd_link *link =
        plane->hub.link_count < plane->config.links_max ? link_new(&plane->hub, plane->config.tls, &err) : NULL;
    if (!link) {
        accept_and_drop(plane);
        return;
    }
    plane->handshakes++;
    link->has_counted_handshake = true;
    if (uv_accept((uv_stream_t *)&plane->tcp, (uv_stream_t *)&link->tcp) < 0)
        rd_link_close(link, "accept");
    else
        link_start(link);
}

static void on_limiter(uv_timer_t *timer);

/* libuv listens again by itself once the waiting connection has been taken. */
static void accept_waiting(rd_link_plane *plane)
{
    if (!plane->has_waiting || plane->is_paused || plane->hub.is_closing ||
        plane->handshakes >= plane->config.handshakes_max)
        return;
    if (!take_token(plane)) {
        (void)uv_timer_start(&plane->limiter, on_limiter, LIMITER_PERIOD_MS, 0);
        return;
    }
    plane->has_waiting = false;
    accept_one(plane);
}

static void on_limiter(uv_timer_t *timer)
{
    accept_waiting(timer->data);
}

static void on_connection(uv_stream_t *stream, int status)
{
    rd_link_plane *plane = stream->data;
    if (status < 0)
        return; /* out of descriptors: libuv keeps one in reserve and drops the connection */
    plane->has_waiting = true;
    accept_waiting(plane);
}

static void handshake_over(rd_link_plane *plane, rd_link *link)
{
    if (!link->has_counted_handshake)
        return;
    link->has_counted_handshake = false;
    plane->handshakes--;
    accept_waiting(plane);
}

static void on_handshaken(link_hub *hub, rd_link *link)
{
    handshake_over(plane_of(hub), link);
}

static void on_ready(link_hub *hub, rd_link *link)
{
    rd_link_plane *plane = plane_of(hub);
    plane->up++;
    plane->config.on_up(plane->config.context, link);
}

static void on_gone(link_hub *hub, rd_link *link, const char *reason)
{
    rd_link_plane *plane = plane_of(hub);
    handshake_over(plane, link);
    if (!link->was_ready)
        return;
    plane->up--;
    plane->config.on_down(plane->config.context, link, reason);
}

static void on_plane_handle_closed(uv_handle_t *handle)
{
    rd_link_plane *plane = handle->data;
    if (--plane->handles_open > 0)
        return;
    link_hub_done(&plane->hub);
    free((char *)plane->config.listen.host);
    free(plane);
}

static void on_empty(link_hub *hub)
{
    rd_link_plane *plane = plane_of(hub);
    uv_close((uv_handle_t *)&plane->limiter, on_plane_handle_closed);
    uv_close((uv_handle_t *)&plane->tcp, on_plane_handle_closed);
}

static const link_hub_ops plane_ops = {
    .on_ready = on_ready,
    .on_gone = on_gone,
    .on_handshaken = on_handshaken,
    .on_empty = on_empty,
};

static int listen_on(rd_link_plane *plane, rd_err *err)
{
    const rd_endpoint *at = &plane->config.listen;
    struct sockaddr_storage address;
    const char *host = at->host && at->host[0] ? at->host : "::";
    int rc = uv_ip4_addr(host, at->port, (struct sockaddr_in *)&address);
    if (rc < 0)
        rc = uv_ip6_addr(strcmp(host, "localhost") == 0 ? "::1" : host, at->port, (struct sockaddr_in6 *)&address);
    if (rc == 0)
        rc = uv_tcp_bind(&plane->tcp, (struct sockaddr *)&address, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&plane->tcp, BACKLOG, on_connection);
    if (rc < 0)
        return rd_err_set(err, RD_E_CONFIG, "link: cannot listen on %s port %u: %s", host, at->port, uv_strerror(rc));
    return 0;
}

int rd_link_plane_new(rd_loop *loop, const rd_link_plane_config *config, rd_link_plane **ret, rd_err *err)
{
    rd_link_plane *plane = rd_alloc(sizeof *plane);
    plane->config = *config;
    plane->config.listen.host = rd_strdup(config->listen.host ? config->listen.host : "");
    if (!plane->config.links_max)
        plane->config.links_max = LINKS_STANDARD;
    if (!plane->config.handshakes_max)
        plane->config.handshakes_max = SHAKES_STANDARD;
    if (!plane->config.accepts_second)
        plane->config.accepts_second = ACCEPTS_STANDARD;
    plane->tokens_milli = plane->config.accepts_second * 1000;
    plane->tokens_at_ms = rd_loop_now_ms(loop);
    if (link_hub_init(&plane->hub, loop, false, plane->config.links_max, &plane_ops, err) < 0) {
        free(plane);
        return -1;
    }
    (void)uv_tcp_init(rd_loop_uv(loop), &plane->tcp);
    (void)uv_timer_init(rd_loop_uv(loop), &plane->limiter);
    plane->tcp.data = plane->limiter.data = plane;
    plane->handles_open = 2;
    if (listen_on(plane, err) < 0) {
        rd_link_plane_free(plane);
        return -1;
    }
    *ret = plane;
    return 0;
}

uint16_t rd_link_plane_port(const rd_link_plane *plane)
{
    struct sockaddr_storage address;
    int size = sizeof address;
    if (uv_tcp_getsockname(&plane->tcp, (struct sockaddr *)&address, &size) < 0)
        return 0;
    return address.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&address)->sin6_port)
                                         : ntohs(((struct sockaddr_in *)&address)->sin_port);
}

size_t rd_link_plane_count(const rd_link_plane *plane)
{
    return plane->up;
}

void rd_link_plane_pause(rd_link_plane *plane)
{
    plane->is_paused = true;
}

rd_link_plane *rd_link_plane_free(rd_link_plane *plane)
{
    if (plane)
        link_hub_close(&plane->hub);
    return NULL;
}
