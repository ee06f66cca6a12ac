#include "agent/splice.h"

#include "tests/support/link_pki.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Plane and agent in one process over a real link; the instance is a unix socket server on the same loop. */
typedef struct world {
    char dir[64], path[96];
    rd_loop *loop;
    rd_timer *tick;
    link_pki pki;
    rd_tls_context *server, *client;
    rd_link_plane *plane;
    rd_link_agent *agent;
    rd_link *plane_link, *agent_link;
    agent_splices splices;
    /* the instance */
    uv_pipe_t listener, peer;
    bool has_peer, has_peer_end, reads;
    size_t heard, to_say;
    uint8_t wire[65536];
    bool has_shut;
    /* the plane's pipe */
    rd_link_stream *pipe;
    int status, closed;
    rd_code code;
    size_t received, budget;
    bool has_end;
} world;

static void on_tick(void *context)
{
    (void)context;
}

#define WAIT(w, condition)                                                                                             \
    do {                                                                                                               \
        uint64_t until_ = uv_hrtime() + UINT64_C(60000000000);                                                         \
        while (!(condition) && uv_hrtime() < until_)                                                                   \
            rd_loop_turn((w)->loop, true);                                                                             \
        assert_true(condition);                                                                                        \
    } while (0)

static void turns(world *w, int count)
{
    for (int i = 0; i < count; i++)
        rd_loop_turn(w->loop, true);
}

/* ---- the instance ---- */

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *ret)
{
    (void)size;
    world *w = handle->data;
    *ret = uv_buf_init((char *)w->wire, sizeof w->wire);
}

static void on_peer_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    (void)buffer;
    world *w = stream->data;
    if (size > 0)
        w->heard += (size_t)size;
    w->has_peer_end |= size == UV_EOF;
}

static void on_connection(uv_stream_t *stream, int status)
{
    world *w = stream->data;
    assert_int_equal(0, status);
    assert_false(w->has_peer);
    (void)uv_pipe_init(rd_loop_uv(w->loop), &w->peer, 0);
    w->peer.data = w;
    assert_int_equal(0, uv_accept(stream, (uv_stream_t *)&w->peer));
    w->has_peer = true;
    if (w->reads)
        (void)uv_read_start((uv_stream_t *)&w->peer, on_alloc, on_peer_read);
}

static void peer_says(world *w)
{
    static const uint8_t zeros[65536];
    while (w->to_say > 0) {
        uv_buf_t span = uv_buf_init((char *)zeros, (unsigned)RD_MIN(sizeof zeros, w->to_say));
        int n = uv_try_write((uv_stream_t *)&w->peer, &span, 1);
        if (n <= 0)
            return;
        w->to_say -= (size_t)n;
    }
}

/* ---- the plane ---- */

static void pipe_response(rd_link_stream *stream, void *context, int status)
{
    (void)stream;
    ((world *)context)->status = status;
}

static size_t pipe_data(rd_link_stream *stream, void *context, rd_bytes bytes)
{
    (void)stream;
    world *w = context;
    size_t n = RD_MIN(bytes.size, w->budget);
    w->received += n;
    w->budget -= n;
    return n;
}

static void pipe_end(rd_link_stream *stream, void *context)
{
    (void)stream;
    ((world *)context)->has_end = true;
}

static void pipe_closed(rd_link_stream *stream, void *context, const rd_err *error)
{
    (void)stream;
    world *w = context;
    w->closed++;
    w->code = error ? error->code : RD_OK;
    w->pipe = NULL;
}

static const rd_link_stream_events pipe_events = {
    .on_response = pipe_response, .on_data = pipe_data, .on_end = pipe_end, .on_closed = pipe_closed
};

static void open_pipe(world *w)
{
    rd_err err = RD_ERR_INIT;
    w->status = w->closed = 0;
    w->has_end = false;
    assert_int_equal(0, rd_link_connect(w->plane_link, "ins_a.1", &pipe_events, w, &w->pipe, &err));
}

/* ---- set up ---- */

static void plane_up(void *context, rd_link *link)
{
    ((world *)context)->plane_link = link;
}

static void agent_up(void *context, rd_link *link)
{
    ((world *)context)->agent_link = link;
}

static void on_down(void *context, rd_link *link, const char *reason)
{
    (void)reason;
    world *w = context;
    if (w->plane_link == link)
        w->plane_link = NULL;
    if (w->agent_link == link)
        w->agent_link = NULL;
}

static void on_request(void *context, rd_link_stream *stream, const rd_link_exchange *exchange)
{
    (void)exchange;
    world *w = context;
    agent_splice_open(w->loop, stream, w->path, &w->splices);
}

static void listen_at(world *w)
{
    (void)uv_pipe_init(rd_loop_uv(w->loop), &w->listener, 0);
    w->listener.data = w;
    assert_int_equal(0, uv_pipe_bind(&w->listener, w->path));
    assert_int_equal(0, uv_listen((uv_stream_t *)&w->listener, 4, on_connection));
}

static int setup(void **state)
{
    world *w = rd_alloc(sizeof *w);
    rd_err err = RD_ERR_INIT;
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/test-splice-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    (void)snprintf(w->path, sizeof w->path, "%s/s", w->dir);
    assert_int_equal(0, rd_loop_new(&w->loop, &err));
    w->tick = rd_timer_new(w->loop, on_tick, w);
    rd_timer_start(w->tick, 5000, 5000);
    link_pki_init(&w->pki, "plane CA");
    w->server = link_pki_context(&w->pki, &w->pki, RD_TLS_LINK_SERVER, RD_CERT_KIND_SERVER, 3600000000);
    w->client = link_pki_context(&w->pki, &w->pki, RD_TLS_LINK_CLIENT, RD_CERT_KIND_CLIENT, 3600000000);
    const rd_link_plane_config plane = {
        .listen = { .host = "127.0.0.1" }, .tls = w->server, .context = w, .on_up = plane_up, .on_down = on_down
    };
    assert_int_equal(0, rd_link_plane_new(w->loop, &plane, &w->plane, &err));
    const rd_endpoint at = { .host = "127.0.0.1", .port = rd_link_plane_port(w->plane) };
    const rd_link_agent_config agent = { .endpoints = &at,
                                         .endpoint_count = 1,
                                         .tls = w->client,
                                         .dial_first_max_us = 1000,
                                         .context = w,
                                         .on_up = agent_up,
                                         .on_down = on_down,
                                         .on_request = on_request };
    assert_int_equal(0, rd_link_agent_new(w->loop, &agent, &w->agent, &err));
    WAIT(w, w->plane_link && w->agent_link);
    w->reads = true;
    w->budget = SIZE_MAX;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    agent_splices_cut(&w->splices);
    w->agent = rd_link_agent_free(w->agent);
    w->plane = rd_link_plane_free(w->plane);
    w->tick = rd_timer_free(w->tick);
    if (w->has_peer && !uv_is_closing((uv_handle_t *)&w->peer))
        uv_close((uv_handle_t *)&w->peer, NULL);
    if (w->listener.data && !uv_is_closing((uv_handle_t *)&w->listener))
        uv_close((uv_handle_t *)&w->listener, NULL);
    rd_loop_free(w->loop);
    rd_tls_context_free(w->server);
    rd_tls_context_free(w->client);
    link_pki_done(&w->pki);
    (void)unlink(w->path);
    (void)rmdir(w->dir);
    free(w);
    return 0;
}

/* ---- rows ---- */

static void test_both_ways_and_half_close(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    listen_at(w);
    open_pipe(w);
    assert_int_equal(0, rd_link_stream_write(w->pipe, RD_BYTES_LIT("early"), &err)); /* before the 200 */
    WAIT(w, w->status == 200 && w->heard == 5);
    w->to_say = 100000;
    peer_says(w);
    WAIT(w, w->received == 100000);
    rd_link_stream_end(w->pipe); /* the plane is done; the instance may go on */
    WAIT(w, w->has_peer_end);
    assert_int_equal(0, w->closed);
    w->to_say = 1000;
    peer_says(w);
    WAIT(w, w->received == 101000);
    uv_close((uv_handle_t *)&w->peer, NULL);
    WAIT(w, w->closed == 1);
    assert_true(w->has_end);
    assert_int_equal(RD_OK, w->code);
    WAIT(w, w->splices.count == 0);
}

/* The instance does not read: the plane's writes stop after queue, window and one chunk. */
static void test_instance_that_does_not_read(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    static uint8_t chunk[65536];
    w->reads = false;
    listen_at(w);
    open_pipe(w);
    WAIT(w, w->has_peer && w->status == 200);
    size_t sent = 0;
    for (int i = 0; i < 400; i++) {
        while (rd_link_stream_room(w->pipe) >= sizeof chunk) {
            assert_int_equal(0, rd_link_stream_write(w->pipe, RD_BYTES_ARRAY(chunk), &err));
            sent += sizeof chunk;
        }
        rd_loop_turn(w->loop, false);
    }
    assert_true(sent <= RD_LINK_WRITE_QUEUE_MAX + RD_LINK_STREAM_WINDOW + (1u << 20)); /* and what the kernel holds */
    assert_true(rd_link_statistics(w->agent_link).held <= RD_LINK_STREAM_WINDOW);
    (void)uv_read_start((uv_stream_t *)&w->peer, on_alloc, on_peer_read);
    WAIT(w, w->heard == sent);
}

/* The plane does not read: the instance's writes stop, nothing grows in between, and nothing is lost. */
static void test_plane_that_does_not_read(void **state)
{
    world *w = *state;
    listen_at(w);
    w->budget = 0;
    open_pipe(w);
    WAIT(w, w->has_peer && w->status == 200);
    size_t total = 8u << 20;
    w->to_say = total;
    for (int i = 0; i < 400; i++) {
        peer_says(w);
        rd_loop_turn(w->loop, false);
    }
    size_t said = total - w->to_say;
    assert_true(said <= RD_LINK_WRITE_QUEUE_MAX + RD_LINK_STREAM_WINDOW + (1u << 20));
    assert_true(rd_link_statistics(w->plane_link).held <= RD_LINK_STREAM_WINDOW);
    w->budget = SIZE_MAX;
    rd_link_stream_resume(w->pipe);
    uint64_t until = uv_hrtime() + UINT64_C(8000000000);
    while (w->received < total && uv_hrtime() < until) {
        peer_says(w);
        rd_loop_turn(w->loop, true);
    }
    assert_int_equal(total, w->received);
}

static void test_endings(void **state)
{
    world *w = *state;
    open_pipe(w); /* nobody listens */
    WAIT(w, w->closed == 1);
    assert_int_equal(503, w->status);
    assert_int_equal(RD_E_LINK_REFUSED, w->code);
    assert_int_equal(0, w->splices.count);

    listen_at(w);
    open_pipe(w);
    WAIT(w, w->has_peer && w->status == 200);
    assert_int_equal(1, w->splices.count);
    agent_splices_cut(&w->splices); /* the instance is stopped */
    WAIT(w, w->closed == 1 && w->has_peer_end);
    assert_int_equal(RD_E_CANCELLED, w->code);

    uv_close((uv_handle_t *)&w->peer, NULL);
    turns(w, 3);
    w->has_peer = w->has_peer_end = false;
    open_pipe(w);
    WAIT(w, w->has_peer && w->status == 200);
    rd_link_stream_reset(w->pipe, true); /* the caller has gone */
    WAIT(w, w->has_peer_end);
    WAIT(w, w->splices.count == 0);

    uv_close((uv_handle_t *)&w->peer, NULL);
    turns(w, 3);
    w->has_peer = w->has_peer_end = false;
    open_pipe(w);
    WAIT(w, w->has_peer && w->status == 200);
    rd_link_close(w->plane_link, "test"); /* the whole link goes */
    WAIT(w, w->has_peer_end && w->splices.count == 0);
}

/* While the instance starts, pipes wait, and what they carry with them; who leaves is forgotten, and when it does not
 * come up they are refused as if nothing had been sent. */
static void test_waiting_for_the_instance(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    w->splices.waits = true;
    open_pipe(w);
    assert_int_equal(0, rd_link_stream_write(w->pipe, RD_BYTES_LIT("early"), &err));
    WAIT(w, w->splices.count == 1);
    rd_link_stream_reset(w->pipe, true);
    WAIT(w, w->splices.count == 0);

    open_pipe(w);
    WAIT(w, w->splices.count == 1);
    agent_splices_cut(&w->splices);
    WAIT(w, w->closed == 1);
    assert_int_equal(503, w->status);

    open_pipe(w);
    assert_int_equal(0, rd_link_stream_write(w->pipe, RD_BYTES_LIT("early"), &err));
    WAIT(w, w->splices.count == 1);
    turns(w, 3);
    assert_int_equal(0, w->status);
    listen_at(w);
    agent_splices_begin(&w->splices);
    WAIT(w, w->status == 200 && w->heard == 5);
    assert_false(w->splices.waits);
}

/* The instance says its last words and ends, and its owner hears of the end first: the words arrive, and the end behind
 * them; who is not connected yet is refused. */
static void test_last_words(void **state)
{
    world *w = *state;
    listen_at(w);
    open_pipe(w);
    WAIT(w, w->has_peer && w->status == 200);
    w->to_say = 100000;
    peer_says(w);
    size_t said = 100000 - w->to_say;
    assert_true(said > 0);
    uv_close((uv_handle_t *)&w->peer, NULL);
    agent_splices_finish(&w->splices);
    WAIT(w, w->has_end);
    assert_int_equal(said, w->received);
    assert_int_equal(0, w->closed); /* the caller may have something to say, to nobody */
    agent_splices_cut(&w->splices);
    WAIT(w, w->closed == 1 && w->splices.count == 0);

    w->has_peer = false;
    open_pipe(w);
    while (w->splices.count == 0)
        rd_loop_turn(w->loop, true);
    agent_splices_finish(&w->splices);
    WAIT(w, w->closed == 1);
    assert_int_equal(503, w->status);
    assert_int_equal(0, w->splices.count);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as the programs do: a peer that is gone is an error of its write */
#define ROW(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        ROW(test_both_ways_and_half_close), ROW(test_instance_that_does_not_read),
        ROW(test_plane_that_does_not_read), ROW(test_endings),
        ROW(test_waiting_for_the_instance), ROW(test_last_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
