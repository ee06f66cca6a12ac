// link: rd_data
/* The PostgreSQL client against a real server: outcomes, transactions, retries, loss of the connection, migrations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/data/migrate.h"
#include "common/data/pg.h"
#include "tests/support/private_pg.h"

static private_pg server;

static const rd_pg_stmt items[] = {
    { "make", "CREATE TABLE IF NOT EXISTS t (k bigint PRIMARY KEY, v bytea, at timestamptz, j jsonb)", 0 },
    { "one", "SELECT 1", 0 },
};
static const rd_pg_stmt store[] = {
    { "put", "INSERT INTO t (k, v, at, j) VALUES ($1, $2, $3, $4)", 4 },
    { "get", "SELECT k, v, at, j, k IS NULL FROM t WHERE k = $1", 1 },
    { "del", "DELETE FROM t WHERE k = ANY($1::bigint[])", 1 },
    { "sum",
      "SELECT coalesce(sum(k), 0)::bigint FROM unnest($1::bigint[], $2::uuid[], $3::bytea[]) AS u(k, i, b)"
      " WHERE b IS NOT NULL",
      3 },
    { "bump", "UPDATE t SET k = k WHERE k = $1", 1 },
    { "org", "SELECT current_setting('rd.org', true)", 0 },
    { "die", "SELECT pg_terminate_backend(pg_backend_pid())", 0 },
    { "raise", "SELECT fence_plan(0, 99, 99, 100)", 0 },
};

static rd_pg *connect_as(const char *role, const rd_pg_stmts *tables, size_t count)
{
    return rd_pg_new(&(rd_pg_options){
        .conninfo = private_pg_as(&server, role), .tables = tables, .table_count = count, .application_name = "test" });
}

static const rd_pg_stmts first_tables[] = { RD_PG_STMTS(items) };
static const rd_pg_stmts all_tables[] = { RD_PG_STMTS(items), RD_PG_STMTS(store) };

static int group_setup(void **state)
{
    (void)state;
    private_pg_start(&server, NULL);
    rd_err err = RD_ERR_INIT;
    rd_migrate_report report = { 0 };
    if (rd_migrate(server.conninfo, NULL, 1000, &report, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(report.applied, report.total);
    assert_true(report.applied >= 6);
    RD_CLEANUP(rd_pg_free_p) rd_pg *pg = connect_as("postgres", first_tables, 1);
    return rd_pg_call(pg, "make", NULL, &err) < 0;
}

static int group_teardown(void **state)
{
    (void)state;
    private_pg_stop(&server);
    return 0;
}

static void test_values_travel(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_pg_free_p) rd_pg *pg = connect_as("postgres", all_tables, 2);
    uint8_t raw[] = { 0, 1, 255 };
    int64_t at_us = INT64_C(1764000000123456);
    assert_int_equal(rd_pg_call(pg, "put", NULL, &err, rd_pg_i64(-7), rd_pg_bytes(RD_BYTES_ARRAY(raw)),
                                rd_pg_time(at_us), rd_pg_text("{\"a\": 1}")),
                     RD_PG_SOME);
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *res = NULL;
    assert_int_equal(rd_pg_call(pg, "get", &res, &err, rd_pg_i64(-7)), RD_PG_SOME);
    assert_int_equal(rd_pg_rows(res), 1);
    assert_int_equal(rd_pg_get_i64(res, 0, 0), -7);
    uint8_t back[3];
    assert_true(rd_pg_get_fixed(res, 0, 1, back, 3));
    assert_memory_equal(back, raw, 3);
    assert_int_equal(rd_pg_get_time(res, 0, 2), at_us);
    assert_string_equal(rd_pg_get_text(res, 0, 3), "{\"a\": 1}");
    assert_false(rd_pg_get_bool(res, 0, 4));
    assert_int_equal(rd_pg_call(pg, "get", NULL, &err, rd_pg_i64(1)), RD_PG_NONE);
}

static void test_arrays(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_pg_free_p) rd_pg *pg = connect_as("postgres", all_tables, 2);
    RD_CLEANUP(rd_pg_array_done) rd_pg_array keys, ids, blobs;
    rd_pg_array_init(&keys, RD_PG_T_INT8);
    rd_pg_array_init(&ids, RD_PG_T_UUID);
    rd_pg_array_init(&blobs, RD_PG_T_BYTEA);
    for (int i = 1; i <= 1000; i++) {
        uint8_t id[16] = { (uint8_t)i };
        rd_pg_array_i64(&keys, i);
        rd_pg_array_bytes(&ids, RD_BYTES_ARRAY(id));
        if (i % 2)
            rd_pg_array_bytes(&blobs, rd_bytes_of(id, (size_t)i % 16));
        else
            rd_pg_array_null(&blobs);
    }
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *res = NULL;
    assert_int_equal(
        rd_pg_call(pg, "sum", &res, &err, rd_pg_array_value(&keys), rd_pg_array_value(&ids), rd_pg_array_value(&blobs)),
        RD_PG_SOME);
    assert_int_equal(rd_pg_get_i64(res, 0, 0), 250000);
    RD_CLEANUP(rd_pg_array_done) rd_pg_array none;
    rd_pg_array_init(&none, RD_PG_T_INT8);
    assert_int_equal(rd_pg_call(pg, "del", NULL, &err, rd_pg_array_value(&none)), RD_PG_NONE);
}

static rd_pg_outcome put_two(rd_pg *pg, void *context, rd_err *err)
{
    int *runs = context;
    (*runs)++;
    for (int i = 0; i < 2; i++)
        if (rd_pg_push(pg, "put", err, rd_pg_i64(100 + i), rd_pg_null(), rd_pg_null(), rd_pg_null()) < 0)
            return RD_PG_RETRY;
    return RD_PG_SOME; /* both travel with COMMIT */
}

static void test_transaction_in_one_write(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    int runs = 0;
    RD_CLEANUP(rd_pg_free_p) rd_pg *pg = connect_as("postgres", all_tables, 2);
    assert_int_equal(rd_pg_tx(pg, NULL, put_two, &runs, &err), RD_PG_SOME);
    assert_int_equal(rd_pg_tx(pg, NULL, put_two, &runs, &err), RD_PG_FAILED);
    assert_int_equal(err.code, RD_E_DB_CONFLICT);
    assert_string_equal(rd_pg_sqlstate(pg), "23505");
    assert_string_equal(rd_pg_constraint(pg), "t_pkey");
    assert_int_equal(runs, 2);
    /* The connection is fine afterwards. */
    assert_int_equal(rd_pg_call(pg, "one", NULL, &err), RD_PG_SOME);
}

static rd_pg_outcome read_org(rd_pg *pg, void *context, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *res = NULL;
    rd_pg_outcome outcome = rd_pg_call(pg, "org", &res, err);
    if (outcome == RD_PG_SOME)
        (void)strncpy(context, rd_pg_get_text(res, 0, 0), 63);
    return outcome;
}

static void test_org_is_set_for_one_transaction(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    char seen[64] = "";
    const uint8_t org[16] = { 0x01, 0x8f };
    RD_CLEANUP(rd_pg_free_p) rd_pg *pg = connect_as("rd_api", first_tables, 0);
    rd_pg_free(RD_TAKE(pg));
    pg = connect_as("postgres", all_tables, 2);
    assert_int_equal(rd_pg_tx(pg, org, read_org, seen, &err), RD_PG_SOME);
    assert_string_equal(seen, "018f0000-0000-0000-0000-000000000000");
    assert_int_equal(rd_pg_tx(pg, NULL, read_org, seen, &err), RD_PG_SOME);
    assert_string_equal(seen, "");
}

static rd_pg_outcome die_once(rd_pg *pg, void *context, rd_err *err)
{
    int *runs = context;
    return rd_pg_call(pg, ++*runs == 1 ? "die" : "one", NULL, err);
}

static void test_loss_before_commit_is_retried(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    int runs = 0;
    RD_CLEANUP(rd_pg_free_p) rd_pg *pg = connect_as("postgres", all_tables, 2);
    assert_int_equal(rd_pg_tx(pg, NULL, die_once, &runs, &err), RD_PG_SOME);
    assert_int_equal(runs, 2);
    assert_int_equal(rd_pg_connects(pg), 2);
}

static rd_pg_outcome die_in_batch(rd_pg *pg, void *context, rd_err *err)
{
    (void)context;
    return rd_pg_push(pg, "die", err) < 0 ? RD_PG_RETRY : RD_PG_SOME;
}

static void test_loss_with_commit_is_not_a_success(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_pg_free_p) rd_pg *pg = connect_as("postgres", all_tables, 2);
    rd_pg_outcome outcome = rd_pg_tx(pg, NULL, die_in_batch, NULL, &err);
    assert_true(outcome == RD_PG_FAILED || outcome == RD_PG_UNKNOWN);
    assert_int_equal(err.code, RD_E_UNAVAILABLE);
    assert_int_equal(rd_pg_call(pg, "one", NULL, &err), RD_PG_SOME);
}

static void test_fence_error(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_pg_free_p) rd_pg *pg = connect_as("postgres", all_tables, 2);
    assert_int_equal(rd_pg_push(pg, RD_PG_BEGIN, &err), 0);
    assert_int_equal(rd_pg_push(pg, "raise", &err), 0);
    assert_int_equal(rd_pg_push(pg, "put", &err, rd_pg_i64(200), rd_pg_null(), rd_pg_null(), rd_pg_null()), 0);
    assert_int_equal(rd_pg_push(pg, RD_PG_COMMIT, &err), 0);
    assert_int_equal(rd_pg_flush(pg, NULL, 0, &err), RD_PG_FAILED);
    assert_int_equal(err.code, RD_E_FENCED);
    assert_int_equal(rd_pg_call(pg, "get", NULL, &err, rd_pg_i64(200)), RD_PG_NONE);
}

static void test_lock_timeout_is_retried(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_pg_free_p) rd_pg *holder = connect_as("postgres", all_tables, 2);
    assert_true(rd_pg_call(holder, "put", NULL, &err, rd_pg_i64(300), rd_pg_null(), rd_pg_null(), rd_pg_null()) >= 0);
    assert_true(rd_pg_call(holder, RD_PG_BEGIN, NULL, &err) >= 0);
    assert_int_equal(rd_pg_call(holder, "bump", NULL, &err, rd_pg_i64(300)), RD_PG_SOME);
    RD_CLEANUP(rd_pg_free_p)
    rd_pg *waiter = rd_pg_new(
        &(rd_pg_options){ .conninfo = server.conninfo, .tables = all_tables, .table_count = 2, .lock_timeout_ms = 50 });
    assert_int_equal(rd_pg_call(waiter, "bump", NULL, &err, rd_pg_i64(300)), RD_PG_RETRY);
    assert_string_equal(rd_pg_sqlstate(waiter), "55P03");
    assert_true(rd_pg_call(holder, RD_PG_ROLLBACK, NULL, &err) >= 0);
    assert_int_equal(rd_pg_call(waiter, "bump", NULL, &err, rd_pg_i64(300)), RD_PG_SOME);
}

static void test_bad_statement_is_refused_on_connect(void **state)
{
    (void)state;
    static const rd_pg_stmt bad[] = { { "bad", "SELECT nothing FROM nowhere", 0 } };
    static const rd_pg_stmts tables[] = { RD_PG_STMTS(bad) };
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_pg_free_p) rd_pg *pg = connect_as("postgres", tables, 1);
    assert_int_equal(rd_pg_connect(pg, &err), -1);
    assert_int_equal(err.code, RD_E_CONFIG);
}

static void test_migrate_again_does_nothing(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    rd_migrate_report report = { 0 };
    assert_int_equal(rd_migrate(server.conninfo, "migrations", 1000, &report, &err), 0);
    assert_int_equal(report.applied, 0);
    assert_int_equal(report.last, report.total);
    assert_int_equal(rd_migrate_check(private_pg_as(&server, "rd_sched"), &err), 0);
    assert_int_equal(rd_migrate(private_pg_as(&server, "rd_migrate"), NULL, 1000, &report, &err), 0);
}

static void test_server_restart(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_pg_free_p) rd_pg *pg = connect_as("postgres", all_tables, 2);
    assert_int_equal(rd_pg_call(pg, "one", NULL, &err), RD_PG_SOME);
    private_pg_kill(&server);
    assert_true(rd_pg_call(pg, "one", NULL, &err) != RD_PG_SOME);
    assert_int_equal(err.code, RD_E_UNAVAILABLE);
    private_pg_restart(&server);
    assert_int_equal(rd_pg_call(pg, "one", NULL, &err), RD_PG_SOME);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_travel),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_transaction_in_one_write),
        cmocka_unit_test(test_org_is_set_for_one_transaction),
        cmocka_unit_test(test_loss_before_commit_is_retried),
        cmocka_unit_test(test_loss_with_commit_is_not_a_success),
        cmocka_unit_test(test_fence_error),
        cmocka_unit_test(test_lock_timeout_is_retried),
        cmocka_unit_test(test_bad_statement_is_refused_on_connect),
        cmocka_unit_test(test_migrate_again_does_nothing),
        cmocka_unit_test(test_server_restart),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
