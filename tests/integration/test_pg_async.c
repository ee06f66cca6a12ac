// link: rd_data
/* The PostgreSQL connection on a loop: batches as transactions, retries, bounds, loss and return. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/data/pg_async.h"
#include "tests/support/private_pg.h"
#include "tests/support/private_sql.h"

static private_pg server;
static private_sql *sql;
static uv_loop_t loop;

static const rd_pg_stmt items[] = {
    { "put", "INSERT INTO t (k, v) VALUES ($1, $2)", 2 }, { "get", "SELECT v FROM t WHERE k = $1", 1 },
    { "bump", "UPDATE t SET v = v + 1 WHERE k = $1", 1 }, { "org", "SELECT current_setting('rd.org', true)", 0 },
    { "slow", "SELECT pg_sleep($1::float8)", 1 },
};
static const rd_pg_stmts tables[] = { RD_PG_STMTS(items) };

static int group_setup(void **state)
{
    (void)state;
    private_pg_start(&server, NULL);
    sql = private_sql_open(server.conninfo);
    private_sql_run(sql, "CREATE TABLE t (k bigint PRIMARY KEY, v bigint)");
    return uv_loop_init(&loop);
}

static int group_teardown(void **state)
{
    (void)state;
    private_sql_close(sql);
    private_pg_stop(&server);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
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

static void on_state(void *context, bool is_connected)
{
    *(bool *)context = is_connected;
}

static void set_flag(void *context)
{
    *(bool *)context = true;
}

static rd_pg_async *connect_now(bool *is_connected, size_t batches_max, int lock_timeout_ms)
{
    *is_connected = false;
    rd_pg_async *pg = rd_pg_async_new(&loop, &(rd_pg_async_options){ .pg = { .conninfo = server.conninfo,
                                                                             .tables = tables,
                                                                             .table_count = 1,
                                                                             .lock_timeout_ms = lock_timeout_ms },
                                                                     .batches_max = batches_max,
                                                                     .on_state = on_state,
                                                                     .context = is_connected });
    assert_true(run_until(is_connected, PATIENCE_MS));
    return pg;
}

static void close_now(rd_pg_async *pg)
{
    bool is_closed = false;
    rd_pg_async_close(pg, set_flag, &is_closed);
    assert_true(run_until(&is_closed, PATIENCE_MS));
}

typedef struct answer {
    bool has_come;
    rd_pg_outcome outcome;
    size_t count, failed;
    rd_code code;
    int64_t number; /* of the last result */
    char text[64];
} answer;

static void on_done(void *context, rd_pg_outcome outcome, rd_pg_result **results, size_t count, size_t failed,
                    const rd_err *err)
{
    answer *a = context;
    a->has_come = true;
    a->outcome = outcome;
    a->count = count;
    a->failed = failed;
    a->code = err ? err->code : RD_OK;
    if (outcome == RD_PG_SOME && count && rd_pg_rows(results[count - 1])) {
        rd_bytes raw = rd_pg_get_bytes(results[count - 1], 0, 0);
        if (raw.size == 8)
            a->number = rd_pg_get_i64(results[count - 1], 0, 0);
        else
            (void)snprintf(a->text, sizeof a->text, "%s", rd_pg_get_text(results[count - 1], 0, 0));
    }
}

static void submit(rd_pg_async *pg, rd_pg_batch *batch, answer *a)
{
    rd_err err = RD_ERR_INIT;
    *a = (answer){ 0 };
    if (rd_pg_async_submit(pg, batch, on_done, a, &err) < 0)
        fail_msg("%s", err.text);
}

static rd_pg_batch *put(int64_t k, int64_t v)
{
    rd_pg_batch *batch = rd_pg_batch_new(NULL);
    rd_pg_batch_call(batch, "put", rd_pg_i64(k), rd_pg_i64(v));
    rd_pg_batch_call(batch, "get", rd_pg_i64(k));
    return batch;
}

static void test_batches_are_transactions(void **state)
{
    (void)state;
    bool is_connected;
    rd_pg_async *pg = connect_now(&is_connected, 0, 0);
    answer a, b, c;
    submit(pg, put(1, 10), &a);
    rd_pg_batch *bad = put(2, 20);
    rd_pg_batch_call(bad, "put", rd_pg_i64(1), rd_pg_i64(0));
    submit(pg, bad, &b);
    submit(pg, put(3, 30), &c); /* one that failed does not touch its neighbours */
    assert_true(run_until(&c.has_come, PATIENCE_MS));
    assert_int_equal(a.outcome, RD_PG_SOME);
    assert_int_equal(a.count, 2);
    assert_int_equal(a.number, 10);
    assert_int_equal(b.outcome, RD_PG_FAILED);
    assert_int_equal(b.failed, 2);
    assert_int_equal(b.code, RD_E_DB_CONFLICT);
    assert_int_equal(c.number, 30);
    assert_int_equal(private_sql_number(sql, "SELECT count(*) FROM t WHERE k = 2"), 0);
    assert_int_equal(rd_pg_async_pending(pg), 0);
    close_now(pg);
}

static void test_org(void **state)
{
    (void)state;
    bool is_connected;
    rd_pg_async *pg = connect_now(&is_connected, 0, 0);
    const uint8_t org[16] = { 0xab };
    answer with, without;
    rd_pg_batch *batch = rd_pg_batch_new(org);
    rd_pg_batch_call(batch, "org");
    submit(pg, batch, &with);
    batch = rd_pg_batch_new(NULL);
    rd_pg_batch_call(batch, "org");
    submit(pg, batch, &without);
    assert_true(run_until(&without.has_come, PATIENCE_MS));
    assert_int_equal(with.count, 1);
    assert_string_equal(with.text, "ab000000-0000-0000-0000-000000000000");
    assert_string_equal(without.text, "");
    close_now(pg);
}

static void test_lock_timeouts_are_retried(void **state)
{
    (void)state;
    bool is_connected;
    rd_pg_async *pg = connect_now(&is_connected, 0, 300);
    private_sql_run(sql, "INSERT INTO t VALUES (50, 0)");
    private_sql_run(sql, "BEGIN; UPDATE t SET v = v WHERE k = 50");
    answer a, other;
    rd_pg_batch *batch = rd_pg_batch_new(NULL);
    rd_pg_batch_call(batch, "bump", rd_pg_i64(50));
    submit(pg, batch, &a);
    assert_true(run_until(&a.has_come, PATIENCE_MS));
    assert_int_equal(a.outcome, RD_PG_RETRY);
    batch = rd_pg_batch_new(NULL);
    rd_pg_batch_call(batch, "bump", rd_pg_i64(50));
    submit(pg, batch, &a);
    (void)run_until(&a.has_come, 450);
    private_sql_run(sql, "COMMIT");
    submit(pg, put(51, 1), &other);
    assert_true(run_until(&a.has_come, PATIENCE_MS) && run_until(&other.has_come, PATIENCE_MS));
    assert_int_equal(a.outcome, RD_PG_SOME);
    assert_int_equal(private_sql_number(sql, "SELECT v FROM t WHERE k = 50"), 1);
    close_now(pg);
}

static void test_queue_is_bounded(void **state)
{
    (void)state;
    bool is_connected;
    rd_pg_async *pg = connect_now(&is_connected, 2, 0);
    rd_err err = RD_ERR_INIT;
    answer a, b, c = { 0 };
    rd_pg_batch *slow = rd_pg_batch_new(NULL);
    rd_pg_batch_call(slow, "slow", rd_pg_text("0.1"));
    submit(pg, slow, &a);
    submit(pg, put(60, 1), &b);
    assert_int_equal(rd_pg_async_submit(pg, put(61, 1), on_done, &c, &err), -1);
    assert_int_equal(err.code, RD_E_UNAVAILABLE);
    assert_true(run_until(&b.has_come, PATIENCE_MS));
    assert_false(c.has_come);
    close_now(pg);
}

static void test_server_goes_and_returns(void **state)
{
    (void)state;
    bool is_connected;
    rd_pg_async *pg = connect_now(&is_connected, 0, 0);
    answer a, b;
    rd_pg_batch *slow = put(70, 7);
    rd_pg_batch_call(slow, "slow", rd_pg_text("5"));
    submit(pg, slow, &a);
    bool never = false;
    (void)run_until(&never, 100);
    private_sql_close(sql);
    private_pg_kill(&server);
    assert_true(run_until(&a.has_come, PATIENCE_MS));
    assert_true(a.outcome == RD_PG_UNKNOWN || a.outcome == RD_PG_RETRY);
    assert_false(is_connected);
    private_pg_restart(&server);
    sql = private_sql_open(server.conninfo);
    assert_true(run_until(&is_connected, PATIENCE_MS));
    submit(pg, put(71, 7), &b);
    assert_true(run_until(&b.has_come, PATIENCE_MS));
    assert_int_equal(b.number, 7);
    assert_int_equal(private_sql_number(sql, "SELECT count(*) FROM t WHERE k = 70"), 0);
    close_now(pg);
}

static void test_close_answers_everybody(void **state)
{
    (void)state;
    bool is_connected;
    rd_pg_async *pg = connect_now(&is_connected, 0, 0);
    answer a, b;
    rd_pg_batch *slow = rd_pg_batch_new(NULL);
    rd_pg_batch_call(slow, "slow", rd_pg_text("5"));
    submit(pg, slow, &a);
    submit(pg, put(80, 1), &b);
    bool never = false;
    (void)run_until(&never, 50);
    close_now(pg);
    assert_true(a.has_come && b.has_come);
    assert_int_equal(b.outcome, RD_PG_FAILED);
    assert_int_equal(b.code, RD_E_CANCELLED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches_are_transactions),  cmocka_unit_test(test_org),
        cmocka_unit_test(test_lock_timeouts_are_retried), cmocka_unit_test(test_queue_is_bounded),
        cmocka_unit_test(test_server_goes_and_returns),   cmocka_unit_test(test_close_answers_everybody),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
