/* link_world: both ends of a link in one loop, over TLS on loopback: a plane, and an agent that echoes, feeds lines and
 * answers by script. For the tests of common/io/link.h. */
#ifndef TESTS_SUPPORT_LINK_WORLD_H
#define TESTS_SUPPORT_LINK_WORLD_H

#include "common/io/link.h"
#include "tests/support/link_pki.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define HOUR_US INT64_C(3600000000)

typedef struct world {
    rd_loop *loop;
    rd_timer *tick;
    link_pki pki, other;
    rd_tls_context *server, *client;
    rd_link_plane *plane;
    rd_link_agent *agent;
    rd_link *plane_link, *agent_link;
    int ups, downs, dial_failures;
    char reason[256];
    char dial_error[512];
    /* agent: CONNECT echo */
    rd_link_stream *echo;
    rd_buf echo_waiting;
    size_t echo_held_max;
    bool echo_ended;
    int echo_closed;
    /* agent: lines */
    rd_link_stream *feed;
    uint64_t line_next, line_count;
    int abandoned;
    rd_link_stream *parked;
} world;

static inline void on_tick(void *context)
{
    (void)context;
}

/* ---- the agent's side ---- */

static inline size_t echo_data(rd_link_stream *stream, void *context, rd_bytes bytes)
{
    (void)context;
    size_t n = RD_MIN(bytes.size, rd_link_stream_room(stream));
    if (n == 0)
        return 0;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(0, rd_link_stream_write(stream, rd_bytes_of(bytes.data, n), &err));
    return n;
}

static inline void echo_room(rd_link_stream *stream, void *context)
{
    (void)context;
    rd_link_stream_resume(stream);
}

static inline void echo_end(rd_link_stream *stream, void *context)
{
    world *w = context;
    w->echo_ended = true;
    rd_link_stream_end(stream);
}

static inline void echo_closed(rd_link_stream *stream, void *context, const rd_err *error)
{
    (void)stream;
    (void)error;
    world *w = context;
    w->echo_closed++;
    w->echo = NULL;
}

static const rd_link_stream_events echo_events = {
    .on_data = echo_data, .on_room = echo_room, .on_end = echo_end, .on_closed = echo_closed
};

static inline void feed_room(rd_link_stream *stream, void *context)
{
    world *w = context;
    rd_err err = RD_ERR_INIT;
    while (w->line_next < w->line_count && rd_link_stream_room(stream) > 128) {
        char line[128];
        int n = snprintf(line, sizeof line, "{\"seq\":%llu,\"pad\":\"0123456789012345678901234567890\"}\n",
                         (unsigned long long)w->line_next++);
        assert_int_equal(0, rd_link_stream_write(stream, rd_bytes_of(line, (size_t)n), &err));
    }
    if (w->line_next == w->line_count)
        rd_link_stream_end(stream);
}

static inline void feed_closed(rd_link_stream *stream, void *context, const rd_err *error)
{
    (void)stream;
    (void)error;
    world *w = context;
    w->feed = NULL;
}

static const rd_link_stream_events feed_events = { .on_room = feed_room, .on_closed = feed_closed };

static inline void on_abandoned(void *context)
{
    world *w = context;
    w->abandoned++;
    w->parked = NULL;
}

static inline void on_request(void *context, rd_link_stream *stream, const rd_link_exchange *exchange)
{
    world *w = context;
    if (strcmp(exchange->method, "CONNECT") == 0) {
        if (strcmp(exchange->authority, "ins_old.1") == 0) {
            rd_err err = RD_ERR_INIT;
            (void)rd_err_set(&err, RD_E_EPOCH_STALE, "epoch 1 is not the newest");
            rd_link_answer_error(stream, &err);
            return;
        }
        w->echo = stream;
        if (strcmp(exchange->authority, "ins_late.1") != 0)
            rd_link_accept(stream, &echo_events, w);
    } else if (strcmp(exchange->path, "/late") == 0) {
        rd_link_accept(w->echo, &echo_events, w);
        rd_link_answer(stream, 204, RD_BYTES_NULL);
    } else if (strcmp(exchange->path, "/events?after=0") == 0) {
        w->feed = stream;
        rd_link_accept(stream, &feed_events, w);
        feed_room(stream, w);
    } else if (strcmp(exchange->path, "/park") == 0) {
        w->parked = stream;
        rd_link_on_abandoned(stream, on_abandoned, w);
    } else if (strcmp(exchange->path, "/empty") == 0) {
        rd_link_answer(stream, 204, RD_BYTES_NULL);
    } else if (strcmp(exchange->path, "/fail") == 0) {
        rd_err err = RD_ERR_INIT;
        (void)rd_err_set(&err, RD_E_JOB_GAP, "the job before 7 is missing");
        rd_link_answer_error(stream, &err);
    } else {
        rd_link_answer(stream, 200, exchange->body);
    }
}

static inline void agent_up(void *context, rd_link *link)
{
    world *w = context;
    w->agent_link = link;
}

static inline void agent_down(void *context, rd_link *link, const char *reason)
{
    (void)reason;
    world *w = context;
    if (w->agent_link == link)
        w->agent_link = NULL;
}

static inline void dial_failed(void *context, const char *address, const rd_err *error)
{
    (void)address;
    world *w = context;
    w->dial_failures++;
    (void)snprintf(w->dial_error, sizeof w->dial_error, "%s", error->text);
}

static inline void plane_up(void *context, rd_link *link)
{
    world *w = context;
    w->ups++;
    w->plane_link = link;
}

static inline void plane_down(void *context, rd_link *link, const char *reason)
{
    world *w = context;
    w->downs++;
    (void)snprintf(w->reason, sizeof w->reason, "%s", reason);
    if (w->plane_link == link)
        w->plane_link = NULL;
}

/* ---- set up ---- */

static inline void start_plane(world *w)
{
    rd_err err = RD_ERR_INIT;
    const rd_link_plane_config config = {
        .listen = { .host = "127.0.0.1" }, .tls = w->server, .context = w, .on_up = plane_up, .on_down = plane_down
    };
    assert_int_equal(0, rd_link_plane_new(w->loop, &config, &w->plane, &err));
}

static inline void start_agent(world *w)
{
    rd_err err = RD_ERR_INIT;
    const rd_endpoint at = { .host = "127.0.0.1", .port = rd_link_plane_port(w->plane) };
    const rd_link_agent_config config = { .endpoints = &at,
                                          .endpoint_count = 1,
                                          .tls = w->client,
                                          .dial_first_max_us = 1000,
                                          .context = w,
                                          .on_up = agent_up,
                                          .on_down = agent_down,
                                          .on_dial_failed = dial_failed,
                                          .on_request = on_request };
    assert_int_equal(0, rd_link_agent_new(w->loop, &config, &w->agent, &err));
}

static inline void world_init(world *w)
{
    rd_err err = RD_ERR_INIT;
    *w = (world){ 0 };
    assert_int_equal(0, rd_loop_new(&w->loop, &err));
    w->tick = rd_timer_new(w->loop, on_tick, w);
    rd_timer_start(w->tick, 5000, 5000);
    link_pki_init(&w->pki, "plane CA");
    link_pki_init(&w->other, "other CA");
}

static inline void world_done(world *w)
{
    w->agent = rd_link_agent_free(w->agent);
    w->plane = rd_link_plane_free(w->plane);
    w->tick = rd_timer_free(w->tick);
    rd_loop_free(w->loop);
    rd_tls_context_free(w->server);
    rd_tls_context_free(w->client);
    link_pki_done(&w->pki);
    link_pki_done(&w->other);
}

static inline void standard_contexts(world *w)
{
    w->server = link_pki_context(&w->pki, &w->pki, RD_TLS_LINK_SERVER, RD_CERT_KIND_SERVER, HOUR_US);
    w->client = link_pki_context(&w->pki, &w->pki, RD_TLS_LINK_CLIENT, RD_CERT_KIND_CLIENT, HOUR_US);
}

/* Runs turns until the condition holds, at most ms milliseconds. */
#define WAIT(w, condition)                                                                                             \
    do {                                                                                                               \
        uint64_t end_ = uv_hrtime() + UINT64_C(60000000000);                                                           \
        while (!(condition) && uv_hrtime() < end_)                                                                     \
            rd_loop_turn((w)->loop, true);                                                                             \
        assert_true(condition);                                                                                        \
    } while (0)

static inline void world_up(world *w)
{
    world_init(w);
    standard_contexts(w);
    start_plane(w);
    start_agent(w);
    WAIT(w, w->plane_link && w->agent_link);
}

typedef struct answer {
    int count, status;
    rd_buf body;
    rd_code code;
} answer;

static inline void on_answer(void *context, int status, rd_bytes body, const rd_err *error)
{
    answer *a = context;
    a->count++;
    a->status = status;
    a->code = error ? error->code : RD_OK;
    rd_buf_clear(&a->body);
    if (body.size > 0)
        rd_buf_append_bytes(&a->body, body);
}

#endif
