// link: rd_data
/* The Redis client against a real server: commands, scripts, streams, pub/sub, bounds, loss and return. */
#include <setjmp.h>
#include <stdarg.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/data/redis.h"
#include "tests/support/private_redis.h"

static private_redis server;
static uv_loop_t loop;

static int group_setup(void **state)
{
    (void)state;
    private_redis_start(&server);
    return uv_loop_init(&loop);
}

static int group_teardown(void **state)
{
    (void)state;
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    private_redis_stop(&server);
    return uv_loop_close(&loop);
}

static void on_tick(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

static void on_timer_closed(uv_handle_t *handle)
{
    *(bool *)handle->data = true;
}

/* Runs the loop until *flag, at most so long; returns *flag. */
/* Nothing that must come is given up before: slow machines are no failure. */
#define PATIENCE_MS 60000

static bool run_until(const bool *flag, uint64_t timeout_ms)
{
    bool is_over = false;
    uv_timer_t timer;
    (void)uv_timer_init(&loop, &timer);
    timer.data = &is_over;
    (void)uv_timer_start(&timer, on_tick, timeout_ms, 0);
    while (!*flag && !is_over)
        (void)uv_run(&loop, UV_RUN_ONCE);
    bool result = *flag, is_closed = false;
    timer.data = &is_closed;
    uv_close((uv_handle_t *)&timer, on_timer_closed);
    while (!is_closed)
        (void)uv_run(&loop, UV_RUN_ONCE);
    return result;
}

static void set_flag(void *context)
{
    *(bool *)context = true;
}

static void on_state(void *context, bool is_connected)
{
    *(bool *)context = is_connected;
}

typedef struct answer {
    bool has_come;
    bool was_lost;
    rd_redis_kind kind;
    char text[128];
    int64_t number;
} answer;

static void on_answer(void *context, const rd_redis_reply *reply)
{
    answer *a = context;
    a->has_come = true;
    a->was_lost = !reply;
    if (!reply)
        return;
    a->kind = rd_redis_reply_kind(reply);
    rd_bytes bytes = rd_redis_reply_bytes(reply);
    (void)snprintf(a->text, sizeof a->text, "%.*s", (int)bytes.size, (const char *)bytes.data);
    a->number = rd_redis_reply_i64(reply);
}

static rd_redis *connect_now(bool *is_connected, rd_redis_options options)
{
    *is_connected = false;
    options.address = server.address;
    options.on_state = on_state;
    options.context = is_connected;
    rd_redis *redis = rd_redis_new(&loop, &options);
    assert_true(run_until(is_connected, PATIENCE_MS));
    return redis;
}

static void close_now(rd_redis *redis)
{
    bool is_closed = false;
    rd_redis_close(redis, set_flag, &is_closed);
    assert_true(run_until(&is_closed, PATIENCE_MS));
}

static void test_commands(void **state)
{
    (void)state;
    bool is_connected;
    rd_redis *redis = connect_now(&is_connected, (rd_redis_options){ 0 });
    rd_err err = RD_ERR_INIT;
    answer set = { 0 }, get = { 0 }, bad = { 0 }, none = { 0 };
    assert_int_equal(
        rd_redis_command(redis, on_answer, &set, &err, RD_BYTES_LIT("SET"), RD_BYTES_LIT("k"), RD_BYTES_LIT("a\0b")),
        0);
    assert_int_equal(rd_redis_command(redis, on_answer, &get, &err, RD_BYTES_LIT("STRLEN"), RD_BYTES_LIT("k")), 0);
    assert_int_equal(rd_redis_command(redis, on_answer, &bad, &err, RD_BYTES_LIT("NOSUCH")), 0);
    assert_int_equal(rd_redis_command(redis, on_answer, &none, &err, RD_BYTES_LIT("GET"), RD_BYTES_LIT("none")), 0);
    assert_int_equal(rd_redis_pending(redis), 4);
    assert_true(run_until(&none.has_come, PATIENCE_MS));
    assert_string_equal(set.text, "OK");
    assert_int_equal(get.number, 3);
    assert_int_equal(bad.kind, RD_REDIS_ERROR);
    assert_int_equal(none.kind, RD_REDIS_NIL);
    assert_int_equal(rd_redis_pending(redis), 0);
    close_now(redis);
}

static void test_scripts(void **state)
{
    (void)state;
    static rd_redis_script script = { .text = "return redis.call('INCRBY', KEYS[1], ARGV[1])" };
    bool is_connected;
    rd_redis *redis = connect_now(&is_connected, (rd_redis_options){ 0 });
    rd_err err = RD_ERR_INIT;
    for (int i = 1; i <= 2; i++) { /* unknown to the server, then known */
        answer a = { 0 };
        assert_int_equal(
            rd_redis_eval(redis, &script, &RD_BYTES_LIT("n"), 1, &RD_BYTES_LIT("5"), 1, on_answer, &a, &err), 0);
        assert_true(run_until(&a.has_come, PATIENCE_MS));
        assert_int_equal(a.number, 5 * i);
    }
    close_now(redis);
}

static void test_bounds(void **state)
{
    (void)state;
    bool is_connected;
    rd_redis *redis = connect_now(&is_connected, (rd_redis_options){ .pending_max = 2, .reply_timeout_us = 1000000 });
    rd_err err = RD_ERR_INIT;
    answer a = { 0 }, b = { 0 };
    /* A server that does not answer. */
    (void)kill(server.pid, SIGSTOP);
    assert_int_equal(rd_redis_command(redis, on_answer, &a, &err, RD_BYTES_LIT("PING")), 0);
    assert_int_equal(rd_redis_command(redis, on_answer, &b, &err, RD_BYTES_LIT("PING")), 0);
    assert_int_equal(rd_redis_command(redis, on_answer, &b, &err, RD_BYTES_LIT("PING")), -1);
    assert_int_equal(err.code, RD_E_UNAVAILABLE);
    assert_true(run_until(&b.has_come, PATIENCE_MS));
    assert_true(a.was_lost && b.was_lost);
    assert_false(is_connected);
    assert_int_equal(rd_redis_command(redis, on_answer, &b, &err, RD_BYTES_LIT("PING")), -1);
    (void)kill(server.pid, SIGCONT);
    assert_true(run_until(&is_connected, PATIENCE_MS));
    close_now(redis);
}

/* The socket is in error then, not merely at its end; the time-out of a minute is not what tells. */
static void test_dies_with_bytes_unread(void **state)
{
    (void)state;
    bool is_connected, never = false;
    rd_redis *redis = connect_now(&is_connected, (rd_redis_options){ .reply_timeout_us = 60000000 });
    rd_err err = RD_ERR_INIT;
    answer a = { 0 };
    (void)kill(server.pid, SIGSTOP);
    assert_int_equal(rd_redis_command(redis, on_answer, &a, &err, RD_BYTES_LIT("PING")), 0);
    (void)run_until(&never, 50); /* it is written */
    private_redis_kill(&server);
    assert_true(run_until(&a.has_come, PATIENCE_MS));
    assert_true(a.was_lost);
    private_redis_restart(&server);
    assert_true(is_connected || run_until(&is_connected, PATIENCE_MS));
    close_now(redis);
}

typedef struct seen {
    int entries, restarts;
    char last[64];
    bool has_entry, has_restart;
} seen;

static void on_entry(void *context, const rd_redis_entry *entry)
{
    seen *s = context;
    if (!entry) {
        s->restarts++;
        s->has_restart = true;
        return;
    }
    s->entries++;
    s->has_entry = true;
    rd_bytes value = rd_redis_entry_get(entry, "v");
    (void)snprintf(s->last, sizeof s->last, "%.*s", (int)value.size, (const char *)value.data);
    assert_null(rd_redis_entry_get(entry, "other").data);
}

static void add(rd_redis *redis, const char *value)
{
    rd_err err = RD_ERR_INIT;
    answer a = { 0 };
    assert_int_equal(rd_redis_command(redis, on_answer, &a, &err, RD_BYTES_LIT("XADD"), RD_BYTES_LIT("s"),
                                      RD_BYTES_LIT("*"), RD_BYTES_LIT("v"), rd_bytes_str(value)),
                     0);
    assert_true(run_until(&a.has_come, PATIENCE_MS));
}

static void test_stream(void **state)
{
    (void)state;
    bool is_connected;
    rd_redis *redis = connect_now(&is_connected, (rd_redis_options){ 0 });
    add(redis, "before");
    seen s = { 0 };
    rd_redis_reader *reader =
        rd_redis_reader_new(&loop, &(rd_redis_options){ .address = server.address }, RD_BYTES_LIT("s"), on_entry, &s);
    assert_true(run_until(&s.has_restart, PATIENCE_MS));
    add(redis, "one");
    assert_true(run_until(&s.has_entry, PATIENCE_MS));
    assert_string_equal(s.last, "one");
    assert_int_equal(s.entries, 1);
    /* Wiped: the reader says that it lost its place, and goes on. */
    private_redis_kill(&server);
    s = (seen){ 0 };
    private_redis_restart(&server);
    assert_true(run_until(&s.has_restart, PATIENCE_MS));
    assert_true(is_connected || run_until(&is_connected, PATIENCE_MS));
    add(redis, "two");
    assert_true(run_until(&s.has_entry, PATIENCE_MS));
    assert_string_equal(s.last, "two");
    bool is_closed = false;
    rd_redis_reader_close(reader, set_flag, &is_closed);
    assert_true(run_until(&is_closed, PATIENCE_MS));
    close_now(redis);
}

typedef struct heard {
    int subscribed, messages;
    bool is_subscribed, has_message;
} heard;

static void on_message(void *context, rd_bytes payload)
{
    heard *h = context;
    if (!payload.data) {
        h->subscribed++;
        h->is_subscribed = true;
        return;
    }
    h->messages++;
    h->has_message = true;
}

static void test_pubsub(void **state)
{
    (void)state;
    bool is_connected;
    rd_redis *redis = connect_now(&is_connected, (rd_redis_options){ 0 });
    rd_err err = RD_ERR_INIT;
    heard h = { 0 };
    rd_redis_listener *listener = rd_redis_listener_new(&loop, &(rd_redis_options){ .address = server.address },
                                                        RD_BYTES_LIT("tail"), on_message, &h);
    assert_true(run_until(&h.is_subscribed, PATIENCE_MS));
    for (int i = 0; i < 2; i++) { /* an empty payload is a message too */
        h.has_message = false;
        assert_int_equal(rd_redis_command(redis, NULL, NULL, &err, RD_BYTES_LIT("PUBLISH"), RD_BYTES_LIT("tail"),
                                          rd_bytes_str(i ? "" : "x")),
                         0);
        assert_true(run_until(&h.has_message, PATIENCE_MS));
    }
    h.is_subscribed = false;
    private_redis_kill(&server);
    private_redis_restart(&server);
    assert_true(run_until(&h.is_subscribed, PATIENCE_MS));
    bool is_closed = false;
    rd_redis_listener_close(listener, set_flag, &is_closed);
    assert_true(run_until(&is_closed, PATIENCE_MS));
    close_now(redis);
}

static void test_close_answers_everybody(void **state)
{
    (void)state;
    bool is_connected;
    rd_redis *redis = connect_now(&is_connected, (rd_redis_options){ 0 });
    rd_err err = RD_ERR_INIT;
    answer a = { 0 };
    assert_int_equal(rd_redis_command(redis, on_answer, &a, &err, RD_BYTES_LIT("PING")), 0);
    close_now(redis);
    assert_true(a.has_come && a.was_lost);
    /* And one that never connected. */
    rd_redis *none = rd_redis_new(&loop, &(rd_redis_options){ .address = "/nonexistent/socket" });
    close_now(none);
    none = rd_redis_new(&loop, &(rd_redis_options){ .address = "127.0.0.1:1" });
    bool never = false;
    (void)run_until(&never, 300);
    close_now(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_scripts),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_dies_with_bytes_unread),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_pubsub),
        cmocka_unit_test(test_close_answers_everybody),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
