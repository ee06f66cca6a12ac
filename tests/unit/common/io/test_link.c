// long: both ends of a link in one world, which all of its tests share
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

static void on_tick(void *context)
{
    (void)context;
}

/* ---- the agent's side ---- */

static size_t echo_data(rd_link_stream *stream, void *context, rd_bytes bytes)
{
    (void)context;
    size_t n = RD_MIN(bytes.size, rd_link_stream_room(stream));
    if (n == 0)
        return 0;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(0, rd_link_stream_write(stream, rd_bytes_of(bytes.data, n), &err));
    return n;
}

static void echo_room(rd_link_stream *stream, void *context)
{
    (void)context;
    rd_link_stream_resume(stream);
}

static void echo_end(rd_link_stream *stream, void *context)
{
    world *w = context;
    w->echo_ended = true;
    rd_link_stream_end(stream);
}

static void echo_closed(rd_link_stream *stream, void *context, const rd_err *error)
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

static void feed_room(rd_link_stream *stream, void *context)
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

static void feed_closed(rd_link_stream *stream, void *context, const rd_err *error)
{
    (void)stream;
    (void)error;
    world *w = context;
    w->feed = NULL;
}

static const rd_link_stream_events feed_events = { .on_room = feed_room, .on_closed = feed_closed };

static void on_abandoned(void *context)
{
    world *w = context;
    w->abandoned++;
    w->parked = NULL;
}

static void on_request(void *context, rd_link_stream *stream, const rd_link_exchange *exchange)
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

static void agent_up(void *context, rd_link *link)
{
    world *w = context;
    w->agent_link = link;
}

static void agent_down(void *context, rd_link *link, const char *reason)
{
    (void)reason;
    world *w = context;
    if (w->agent_link == link)
        w->agent_link = NULL;
}

static void dial_failed(void *context, const char *address, const rd_err *error)
{
    (void)address;
    world *w = context;
    w->dial_failures++;
    (void)snprintf(w->dial_error, sizeof w->dial_error, "%s", error->text);
}

static void plane_up(void *context, rd_link *link)
{
    world *w = context;
    w->ups++;
    w->plane_link = link;
}

static void plane_down(void *context, rd_link *link, const char *reason)
{
    world *w = context;
    w->downs++;
    (void)snprintf(w->reason, sizeof w->reason, "%s", reason);
    if (w->plane_link == link)
        w->plane_link = NULL;
}

/* ---- set up ---- */

static void start_plane(world *w)
{
    rd_err err = RD_ERR_INIT;
    const rd_link_plane_config config = {
        .listen = { .host = "127.0.0.1" }, .tls = w->server, .context = w, .on_up = plane_up, .on_down = plane_down
    };
    assert_int_equal(0, rd_link_plane_new(w->loop, &config, &w->plane, &err));
}

static void start_agent(world *w)
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

static void world_init(world *w)
{
    rd_err err = RD_ERR_INIT;
    *w = (world){ 0 };
    assert_int_equal(0, rd_loop_new(&w->loop, &err));
    w->tick = rd_timer_new(w->loop, on_tick, w);
    rd_timer_start(w->tick, 5000, 5000);
    link_pki_init(&w->pki, "plane CA");
    link_pki_init(&w->other, "other CA");
}

static void world_done(world *w)
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

static void standard_contexts(world *w)
{
    w->server = link_pki_context(&w->pki, &w->pki, RD_TLS_LINK_SERVER, RD_CERT_KIND_SERVER, HOUR_US);
    w->client = link_pki_context(&w->pki, &w->pki, RD_TLS_LINK_CLIENT, RD_CERT_KIND_CLIENT, HOUR_US);
}

/* Runs turns until the condition holds, at most ms milliseconds. */
#define WAIT(w, ms, condition)                                                                                         \
    do {                                                                                                               \
        uint64_t end_ = uv_hrtime() + (uint64_t)(ms)*1000000;                                                          \
        while (!(condition) && uv_hrtime() < end_)                                                                     \
            rd_loop_turn((w)->loop, true);                                                                             \
        assert_true(condition);                                                                                        \
    } while (0)

static void world_up(world *w)
{
    world_init(w);
    standard_contexts(w);
    start_plane(w);
    start_agent(w);
    WAIT(w, 5000, w->plane_link && w->agent_link);
}

/* ---- requests ---- */

typedef struct answer {
    int count, status;
    rd_buf body;
    rd_code code;
} answer;

static void on_answer(void *context, int status, rd_bytes body, const rd_err *error)
{
    answer *a = context;
    a->count++;
    a->status = status;
    a->code = error ? error->code : RD_OK;
    rd_buf_clear(&a->body);
    if (body.size > 0)
        rd_buf_append_bytes(&a->body, body);
}

static void test_requests(void **state)
{
    (void)state;
    world w;
    world_up(&w);
    rd_err err = RD_ERR_INIT;
    assert_string_equal(LINK_PKI_HOST, rd_link_peer(w.plane_link)->common_name);
    assert_string_equal("redoubt:host:" LINK_PKI_HOST, rd_link_peer(w.plane_link)->uri);

    static const struct {
        const char *name, *method, *path, *body;
        int status;
        const char *answer;
    } rows[] = {
        { "put with body", "PUT", "/jobs/1", "{\"a\":1}", 200, "{\"a\":1}" },
        { "post without body", "POST", "/echo", "", 200, "" },
        { "get", "GET", "/x?y=1", "", 200, "" },
        { "204", "PUT", "/empty", "{}", 204, "" },
        { "problem", "PUT", "/fail", "{}", 409, NULL },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        answer a = { 0 };
        const rd_link_request request = { .method = rows[i].method,
                                          .path = rows[i].path,
                                          .body = rd_bytes_str(rows[i].body) };
        if (rd_link_send(w.plane_link, &request, on_answer, &a, &err) < 0)
            fail_msg("%s: %s", rows[i].name, err.text);
        assert_int_equal(0, a.count);
        WAIT(&w, 2000, a.count == 1);
        if (a.status != rows[i].status)
            fail_msg("%s: %d", rows[i].name, a.status);
        if (rows[i].answer)
            assert_string_equal(rows[i].answer, rd_buf_text(&a.body));
        else
            assert_non_null(strstr(rd_buf_text(&a.body), "job_gap"));
        rd_buf_done(&a.body);
    }
    assert_int_equal(0, rd_link_stream_count(w.plane_link));
    assert_int_equal(0, rd_link_stream_count(w.agent_link));
    world_done(&w);
}

static void test_body_bounds(void **state)
{
    (void)state;
    world w;
    world_up(&w);
    rd_err err = RD_ERR_INIT;
    size_t size = RD_LINK_BODY_MAX + 1;
    uint8_t *big = rd_alloc(size);
    memset(big, 'x', size);
    answer a = { 0 };
    rd_link_request request = { .method = "PUT", .path = "/jobs/1", .body = rd_bytes_of(big, size) };
    assert_int_equal(0, rd_link_send(w.plane_link, &request, on_answer, &a, &err));
    WAIT(&w, 3000, a.count == 1);
    assert_int_equal(413, a.status);

    request.path = "/blobs/abcd"; /* blobs may be larger, but then the answer is bounded */
    assert_int_equal(0, rd_link_send(w.plane_link, &request, on_answer, &a, &err));
    WAIT(&w, 3000, a.count == 2);
    assert_int_equal(RD_E_TOO_LARGE, a.code);

    request.response_max = size;
    assert_int_equal(0, rd_link_send(w.plane_link, &request, on_answer, &a, &err));
    WAIT(&w, 3000, a.count == 3);
    assert_int_equal(200, a.status);
    assert_true(rd_bytes_equal(request.body, rd_buf_bytes(&a.body)));
    rd_buf_done(&a.body);
    free(big);
    world_done(&w);
}

static void test_timeout_and_loss(void **state)
{
    (void)state;
    world w;
    world_up(&w);
    rd_err err = RD_ERR_INIT;
    answer a = { 0 }, b = { 0 };
    rd_link_request request = { .method = "POST", .path = "/park", .timeout_us = 50000 };
    assert_int_equal(0, rd_link_send(w.plane_link, &request, on_answer, &a, &err));
    WAIT(&w, 2000, a.count == 1);
    assert_int_equal(RD_E_TIMEOUT, a.code);
    WAIT(&w, 2000, w.abandoned == 1); /* the agent's handler learns of it */

    request.timeout_us = 0;
    assert_int_equal(0, rd_link_send(w.plane_link, &request, on_answer, &b, &err));
    WAIT(&w, 2000, w.parked);
    rd_link_close(w.plane_link, "test");
    assert_int_equal(-1, rd_link_send(w.plane_link, &request, on_answer, &a, &err));
    WAIT(&w, 2000, b.count == 1 && w.downs == 1);
    assert_int_equal(RD_E_LINK_CLOSED, b.code);
    assert_string_equal("test", w.reason);
    WAIT(&w, 5000, w.ups == 2); /* the agent comes back by itself */
    world_done(&w);
}

/* ---- lines ---- */

typedef struct reader {
    uint64_t count;
    uint64_t pause_every;
    rd_link_stream *stream;
    int closed;
    rd_code code;
    bool is_paused;
} reader;

static bool on_line(rd_link_stream *stream, void *context, rd_bytes line)
{
    (void)stream;
    reader *r = context;
    assert_true(line.size > 7 && memcmp(line.data, "{\"seq\":", 7) == 0);
    assert_int_equal(r->count, strtoull((const char *)line.data + 7, NULL, 10));
    assert_false(r->is_paused);
    r->count++;
    r->is_paused = r->pause_every && r->count % r->pause_every == 0;
    return !r->is_paused;
}

static void on_lines_closed(void *context, const rd_err *error)
{
    reader *r = context;
    r->closed++;
    r->code = error ? error->code : RD_OK;
}

static const rd_link_line_events line_events = { .on_line = on_line, .on_closed = on_lines_closed };

static void test_lines(void **state)
{
    (void)state;
    world w;
    world_up(&w);
    rd_err err = RD_ERR_INIT;
    w.line_count = 20000;
    reader r = { .pause_every = 997 };
    assert_int_equal(0, rd_link_lines(w.plane_link, "/events?after=0", &line_events, &r, &r.stream, &err));
    while (r.count < w.line_count) {
        WAIT(&w, 5000, r.is_paused || r.closed);
        if (r.closed)
            break;
        for (int i = 0; i < 3; i++)
            rd_loop_turn(w.loop, true);
        assert_true(rd_link_statistics(w.plane_link).held <= RD_LINK_STREAM_WINDOW);
        r.is_paused = false;
        rd_link_stream_resume(r.stream);
    }
    WAIT(&w, 2000, r.closed == 1);
    assert_int_equal(w.line_count, r.count);
    assert_int_equal(RD_OK, r.code);

    reader missing = { 0 }; /* /fail answers 409 */
    assert_int_equal(0, rd_link_lines(w.plane_link, "/fail", &line_events, &missing, &missing.stream, &err));
    WAIT(&w, 2000, missing.closed == 1);
    assert_int_equal(RD_E_LINK_REFUSED, missing.code);
    world_done(&w);
}

/* ---- pipes ---- */

typedef struct pipe_user {
    rd_link_stream *stream;
    int status, closed;
    rd_code code;
    size_t sent, received, total;
    size_t budget;   /* how much the slow reader takes now */
    bool stays_open; /* after total */
    bool has_end;
    bool is_broken;
} pipe_user;

static uint8_t byte_at(size_t offset)
{
    return (uint8_t)(offset * 31 + (offset >> 11));
}

static void user_fill(pipe_user *user)
{
    rd_err err = RD_ERR_INIT;
    uint8_t chunk[16384];
    while (user->sent < user->total) {
        size_t n = RD_MIN(RD_MIN(sizeof chunk, user->total - user->sent), rd_link_stream_room(user->stream));
        if (n == 0)
            return;
        for (size_t i = 0; i < n; i++)
            chunk[i] = byte_at(user->sent + i);
        assert_int_equal(0, rd_link_stream_write(user->stream, rd_bytes_of(chunk, n), &err));
        user->sent += n;
    }
    if (!user->stays_open)
        rd_link_stream_end(user->stream);
}

static void user_response(rd_link_stream *stream, void *context, int status)
{
    (void)stream;
    pipe_user *user = context;
    user->status = status;
}

static size_t user_data(rd_link_stream *stream, void *context, rd_bytes bytes)
{
    (void)stream;
    pipe_user *user = context;
    size_t n = RD_MIN(bytes.size, user->budget);
    for (size_t i = 0; i < n; i++)
        user->is_broken |= bytes.data[i] != byte_at(user->received + i);
    user->received += n;
    user->budget -= n;
    return n;
}

static void user_room(rd_link_stream *stream, void *context)
{
    (void)stream;
    user_fill(context);
}

static void user_end(rd_link_stream *stream, void *context)
{
    (void)stream;
    pipe_user *user = context;
    user->has_end = true;
}

static void user_closed(rd_link_stream *stream, void *context, const rd_err *error)
{
    (void)stream;
    pipe_user *user = context;
    user->closed++;
    user->code = error ? error->code : RD_OK;
    user->stream = NULL;
}

static const rd_link_stream_events user_events = { .on_response = user_response,
                                                   .on_data = user_data,
                                                   .on_room = user_room,
                                                   .on_end = user_end,
                                                   .on_closed = user_closed };

/* 10 MB through an echo with a reader that takes 200 kB a turn; a second pipe is not held back by it. */
static void test_pipe_echo_slow_reader(void **state)
{
    (void)state;
    world w;
    world_up(&w);
    rd_err err = RD_ERR_INIT;
    pipe_user slow = { .total = 10 * 1000 * 1000 }, quick = { .total = 1000, .budget = SIZE_MAX };
    assert_int_equal(0, rd_link_connect(w.plane_link, "ins_a.3", &user_events, &slow, &slow.stream, &err));
    user_fill(&slow);
    for (int i = 0; i < 40; i++)
        rd_loop_turn(w.loop, true);
    assert_int_equal(200, slow.status);
    assert_int_equal(0, slow.received);
    /* Stalled: what is sent fits into queues and windows of both directions. */
    assert_true(slow.sent <= 2 * (RD_LINK_WRITE_QUEUE_MAX + RD_LINK_STREAM_WINDOW));
    assert_true(rd_link_statistics(w.plane_link).held <= RD_LINK_STREAM_WINDOW);
    assert_true(rd_link_statistics(w.agent_link).held <= RD_LINK_STREAM_WINDOW);

    assert_int_equal(0, rd_link_connect(w.plane_link, "ins_b.3", &user_events, &quick, &quick.stream, &err));
    user_fill(&quick);
    WAIT(&w, 2000, quick.closed == 1);
    assert_int_equal(1000, quick.received);
    assert_int_equal(RD_OK, quick.code);

    while (!slow.closed) {
        slow.budget = 200000;
        rd_link_stream_resume(slow.stream);
        rd_loop_turn(w.loop, true);
        assert_true(rd_link_statistics(w.plane_link).held <= RD_LINK_STREAM_WINDOW);
    }
    assert_int_equal(slow.total, slow.received);
    assert_false(slow.is_broken);
    assert_true(slow.has_end);
    assert_int_equal(RD_OK, slow.code);
    WAIT(&w, 2000, w.echo_closed == 2);
    world_done(&w);
}

/* Bytes that arrive between accepting and the turn that offers the held ones stay behind them: one write of the peer
 * holds the request that makes the agent accept and more of the pipe's bytes. */
static void test_pipe_accepted_late(void **state)
{
    (void)state;
    world w;
    world_up(&w);
    rd_err err = RD_ERR_INIT;
    pipe_user user = { .budget = SIZE_MAX, .total = 2000, .stays_open = true };
    assert_int_equal(0, rd_link_connect(w.plane_link, "ins_late.1", &user_events, &user, &user.stream, &err));
    user_fill(&user);
    WAIT(&w, 2000, w.echo && rd_link_statistics(w.agent_link).held == 2000);
    answer a = { 0 };
    const rd_link_request request = { .method = "GET", .path = "/late" };
    assert_int_equal(0, rd_link_send(w.plane_link, &request, on_answer, &a, &err));
    user.total = 6000;
    user.stays_open = false;
    user_fill(&user);
    WAIT(&w, 2000, user.closed == 1);
    assert_int_equal(6000, user.received);
    assert_false(user.is_broken);
    assert_int_equal(1, a.count);
    rd_buf_done(&a.body);
    world_done(&w);
}

static void test_pipe_refused_and_reset(void **state)
{
    (void)state;
    world w;
    world_up(&w);
    rd_err err = RD_ERR_INIT;
    pipe_user user = { .budget = SIZE_MAX };
    assert_int_equal(0, rd_link_connect(w.plane_link, "ins_old.1", &user_events, &user, &user.stream, &err));
    assert_int_equal(0, rd_link_stream_write(user.stream, RD_BYTES_LIT("hello"), &err));
    WAIT(&w, 2000, user.closed == 1);
    assert_int_equal(421, user.status);
    assert_int_equal(RD_E_LINK_REFUSED, user.code);

    user = (pipe_user){ .budget = SIZE_MAX, .total = 10 };
    assert_int_equal(0, rd_link_connect(w.plane_link, "ins_a.1", &user_events, &user, &user.stream, &err));
    WAIT(&w, 2000, user.status == 200 && w.echo);
    rd_link_stream_reset(w.echo, false); /* the agent cuts it */
    WAIT(&w, 2000, user.closed == 1 && w.echo_closed == 1);
    assert_int_equal(RD_E_CANCELLED, user.code);

    user = (pipe_user){ .budget = SIZE_MAX };
    assert_int_equal(0, rd_link_connect(w.plane_link, "ins_a.1", &user_events, &user, &user.stream, &err));
    rd_link_stream_reset(user.stream, true); /* before it was even sent */
    for (int i = 0; i < 5; i++)
        rd_loop_turn(w.loop, true);
    assert_int_equal(0, user.closed);
    assert_int_equal(0, rd_link_stream_count(w.plane_link));
    world_done(&w);
}

/* Many pipes at once, and the bound on their count. */
static void test_pipe_count(void **state)
{
    (void)state;
    world w;
    world_up(&w);
    rd_err err = RD_ERR_INIT;
    pipe_user *users = rd_alloc_array(RD_LINK_STREAMS_MAX, sizeof *users);
    for (size_t i = 0; i < RD_LINK_STREAMS_MAX; i++) {
        users[i] = (pipe_user){ .budget = SIZE_MAX, .total = 100 };
        assert_int_equal(0, rd_link_connect(w.plane_link, "ins_a.1", &user_events, &users[i], &users[i].stream, &err));
        user_fill(&users[i]);
    }
    rd_link_stream *more = NULL;
    assert_int_equal(-1, rd_link_connect(w.plane_link, "ins_a.1", &user_events, users, &more, &err));
    assert_int_equal(RD_E_UNAVAILABLE, err.code);
    for (size_t i = 0; i < RD_LINK_STREAMS_MAX; i++) {
        WAIT(&w, 5000, users[i].closed == 1);
        assert_int_equal(100, users[i].received);
        assert_int_equal(RD_OK, users[i].code);
    }
    free(users);
    world_done(&w);
}

/* ---- who may connect ---- */

static void test_peers(void **state)
{
    (void)state;
    enum { GOOD, WRONG_CA_AGENT, WRONG_CA_PLANE, AGENT_AS_PLANE, PLANE_AS_AGENT, EXPIRED_AGENT };
    static const struct {
        const char *name;
        int how;
        bool is_up;
    } rows[] = {
        { "good", GOOD, true },
        { "the agent's certificate is of another CA", WRONG_CA_AGENT, false },
        { "the plane's certificate is of another CA", WRONG_CA_PLANE, false },
        { "an agent's certificate listens as a plane", AGENT_AS_PLANE, false },
        { "a plane's certificate dials as an agent", PLANE_AS_AGENT, false },
        { "the agent's certificate has ended", EXPIRED_AGENT, false },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        world w;
        world_init(&w);
        int how = rows[i].how;
        w.server = link_pki_context(how == WRONG_CA_PLANE ? &w.other : &w.pki, &w.pki, RD_TLS_LINK_SERVER,
                                    how == AGENT_AS_PLANE ? RD_CERT_KIND_CLIENT : RD_CERT_KIND_SERVER, HOUR_US);
        w.client = link_pki_context(how == WRONG_CA_AGENT ? &w.other : &w.pki, &w.pki, RD_TLS_LINK_CLIENT,
                                    how == PLANE_AS_AGENT ? RD_CERT_KIND_SERVER : RD_CERT_KIND_CLIENT,
                                    how == EXPIRED_AGENT ? -60 * INT64_C(1000000) : HOUR_US);
        start_plane(&w);
        start_agent(&w);
        WAIT(&w, 5000, w.agent_link || w.dial_failures);
        if (rows[i].is_up != (w.agent_link != NULL && w.plane_link != NULL))
            fail_msg("%s: %s", rows[i].name, w.dial_error);
        if (!rows[i].is_up && (w.ups > 0 || w.agent_link))
            fail_msg("%s: somebody believed it", rows[i].name);
        world_done(&w);
    }
}

static void test_link_ends_with_certificate(void **state)
{
    (void)state;
    world w;
    world_init(&w);
    w.server = link_pki_context(&w.pki, &w.pki, RD_TLS_LINK_SERVER, RD_CERT_KIND_SERVER, HOUR_US);
    w.client = link_pki_context(&w.pki, &w.pki, RD_TLS_LINK_CLIENT, RD_CERT_KIND_CLIENT, 2500000);
    start_plane(&w);
    start_agent(&w);
    WAIT(&w, 5000, w.plane_link);
    WAIT(&w, 6000, w.downs == 1);
    assert_non_null(strstr(w.reason, "certificate"));
    world_done(&w);
}

/* A plane that takes the link only to end it: each try waits longer. */
static void test_no_circle_of_dials(void **state)
{
    (void)state;
    world w;
    world_up(&w);
    uint64_t start = uv_hrtime();
    while (uv_hrtime() - start < UINT64_C(2500000000)) {
        if (w.plane_link)
            rd_link_close(w.plane_link, "quarantined");
        rd_loop_turn(w.loop, true);
    }
    assert_in_range(w.ups, 2, 4); /* after 0.5 to 1, 1 to 2 and 2 to 4 seconds */
    world_done(&w);
}

/* ---- strangers on the port ---- */

/* A blocking client on a thread of the pool, so that the loop under test goes on. */
typedef struct stranger {
    uint16_t port;
    int max_version; /* of TLS; 0: sends junk instead */
    const char *alpn;
    bool has_handshaken;
    bool is_done;
} stranger;

static int dial_port(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in to = { .sin_family = AF_INET,
                                    .sin_port = htons(port),
                                    .sin_addr = { .s_addr = htonl(INADDR_LOOPBACK) } };
    const struct timeval limit = { .tv_sec = 3 };
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return connect(fd, (const struct sockaddr *)&to, sizeof to) == 0 ? fd : -1;
}

static void stranger_work(void *context)
{
    stranger *s = context;
    int fd = dial_port(s->port);
    if (s->max_version == 0) {
        static const char junk[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        char heard[512];
        (void)!write(fd, junk, sizeof junk - 1);
        while (read(fd, heard, sizeof heard) > 0) {
        }
    } else {
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_max_proto_version(ctx, s->max_version);
        SSL *ssl = SSL_new(ctx);
        SSL_set_fd(ssl, fd);
        char byte;
        s->has_handshaken = SSL_connect(ssl) == 1 && SSL_read(ssl, &byte, 1) > 0;
        SSL_free(ssl);
        SSL_CTX_free(ctx);
    }
    close(fd);
}

static void stranger_done(void *context, bool is_cancelled)
{
    (void)is_cancelled;
    stranger *s = context;
    s->is_done = true;
}

static void test_strangers(void **state)
{
    (void)state;
    world w;
    world_up(&w);
    stranger rows[] = {
        { .max_version = 0 },
        { .max_version = TLS1_2_VERSION },
        { .max_version = TLS1_3_VERSION }, /* no certificate, no ALPN */
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        rows[i].port = rd_link_plane_port(w.plane);
        rd_loop_work(w.loop, stranger_work, stranger_done, &rows[i]);
    }
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        WAIT(&w, 5000, rows[i].is_done);
        assert_false(rows[i].has_handshaken);
    }
    assert_int_equal(1, w.ups);
    assert_true(rd_link_is_up(w.plane_link));
    world_done(&w);
}

/* A peer that took the handshake and then says nothing: a plane whose process is stopped. */
typedef struct mute {
    uint16_t port;
    rd_tls_context *tls;
    atomic_bool must_end;
    bool is_done, is_ready;
} mute;

static void mute_work(void *context)
{
    mute *m = context;
    rd_err err = RD_ERR_INIT;
    rd_tls *tls = NULL;
    int fd = dial_port(m->port);
    if (rd_tls_new(m->tls, &tls, &err) < 0)
        return;
    uint8_t wire[16384];
    while (!m->must_end) {
        int rc = rd_tls_handshake(tls, &err);
        rd_buf *out = rd_tls_output(tls);
        (void)!write(fd, out->data, out->size);
        rd_buf_clear(out);
        if (rc != 0) {
            m->is_ready = rc == 1;
            break;
        }
        ssize_t n = read(fd, wire, sizeof wire);
        if (n <= 0)
            break;
        rd_tls_feed(tls, rd_bytes_of(wire, (size_t)n));
    }
    while (!m->must_end && read(fd, wire, sizeof wire) > 0) { /* hears, never answers */
    }
    rd_tls_free(tls);
    close(fd);
}

static void mute_done(void *context, bool is_cancelled)
{
    (void)is_cancelled;
    mute *m = context;
    m->is_done = true;
}

static void test_silent_peer(void **state)
{
    (void)state;
    world w;
    world_init(&w);
    standard_contexts(&w);
    start_plane(&w);
    mute m = { .port = rd_link_plane_port(w.plane), .tls = w.client };
    rd_loop_work(w.loop, mute_work, mute_done, &m);
    WAIT(&w, 3000, w.plane_link);
    uint64_t start = uv_hrtime();
    WAIT(&w, 9000, w.downs == 1);
    uint64_t lasted_ms = (uv_hrtime() - start) / 1000000;
    assert_in_range(lasted_ms, 5500, 7500);
    assert_non_null(strstr(w.reason, "silent"));
    m.must_end = true;
    WAIT(&w, 5000, m.is_done);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_body_bounds),
        cmocka_unit_test(test_timeout_and_loss),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_pipe_echo_slow_reader),
        cmocka_unit_test(test_pipe_accepted_late),
        cmocka_unit_test(test_pipe_refused_and_reset),
        cmocka_unit_test(test_pipe_count),
        cmocka_unit_test(test_peers),
        cmocka_unit_test(test_no_circle_of_dials),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_link_ends_with_certificate),
        cmocka_unit_test(test_silent_peer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
