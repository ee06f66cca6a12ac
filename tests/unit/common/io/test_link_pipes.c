/* Pipes: order, back pressure, ends and bounds. */
#include "tests/support/link_world.h"

#include <signal.h>

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
    WAIT(&w, quick.closed == 1);
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
    WAIT(&w, w.echo_closed == 2);
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
    WAIT(&w, w.echo && rd_link_statistics(w.agent_link).held == 2000);
    answer a = { 0 };
    const rd_link_request request = { .method = "GET", .path = "/late" };
    assert_int_equal(0, rd_link_send(w.plane_link, &request, on_answer, &a, &err));
    user.total = 6000;
    user.stays_open = false;
    user_fill(&user);
    WAIT(&w, user.closed == 1);
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
    WAIT(&w, user.closed == 1);
    assert_int_equal(421, user.status);
    assert_int_equal(RD_E_LINK_REFUSED, user.code);

    user = (pipe_user){ .budget = SIZE_MAX, .total = 10 };
    assert_int_equal(0, rd_link_connect(w.plane_link, "ins_a.1", &user_events, &user, &user.stream, &err));
    WAIT(&w, user.status == 200 && w.echo);
    rd_link_stream_reset(w.echo, false); /* the agent cuts it */
    WAIT(&w, user.closed == 1 && w.echo_closed == 1);
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
        WAIT(&w, users[i].closed == 1);
        assert_int_equal(100, users[i].received);
        assert_int_equal(RD_OK, users[i].code);
    }
    free(users);
    world_done(&w);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as the programs do: a peer that is gone is an error of its write */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipe_echo_slow_reader),
        cmocka_unit_test(test_pipe_accepted_late),
        cmocka_unit_test(test_pipe_refused_and_reset),
        cmocka_unit_test(test_pipe_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
