// link: rd_data
/* Migrations: once each, in order, whole or not at all, by one migrator at a time, refused when anything was changed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/data/migrate.h"
#include "tests/support/private_pg.h"
#include "tests/support/private_sql.h"

static private_pg server;
static private_sql *sql;
static char dir[] = "/tmp/rd-mig-XXXXXX";

/* The real first file makes roles and the cluster row; what follows is the test's. */
static void put(const char *name, const char *text)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

static void put_first(void)
{
    static char text[16384];
    FILE *file = fopen("migrations/0001-roles.sql", "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    (void)fclose(file);
    put("0001-roles.sql", text);
}

static void drop(const char *name)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    (void)unlink(path);
}

static int migrate(rd_migrate_report *report, rd_err *err)
{
    *report = (rd_migrate_report){ 0 };
    return rd_migrate(server.conninfo, dir, 5000, report, err);
}

static int group_setup(void **state)
{
    (void)state;
    private_pg_start(&server, NULL);
    sql = private_sql_open(server.conninfo);
    assert_non_null(mkdtemp(dir));
    put_first();
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    private_sql_close(sql);
    private_pg_stop(&server);
    static const char *const names[] = { "0001-roles.sql", "0002-a.sql", "0003-b.sql" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        drop(names[i]);
    return rmdir(dir);
}

static void test_two_migrators_take_turns(void **state)
{
    (void)state;
    put("0002-a.sql", "CREATE TABLE a (n int);\nSELECT pg_sleep(0.3);\n");
    pid_t pids[3];
    for (int i = 0; i < 3; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            rd_err err = RD_ERR_INIT;
            rd_migrate_report report;
            int status = migrate(&report, &err);
            _exit(status < 0 ? 100 : report.applied);
        }
    }
    int applied = 0;
    for (int i = 0; i < 3; i++) {
        int status = 0;
        (void)waitpid(pids[i], &status, 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 100);
        applied += WEXITSTATUS(status);
    }
    assert_int_equal(applied, 2);
    assert_int_equal(private_sql_number(sql, "SELECT max(number) FROM schema_migrations"), 2);
}

static void test_failure_leaves_nothing(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    rd_migrate_report report;
    put("0003-b.sql", "CREATE TABLE b (n int);\n\nSELECT nothing FROM nowhere;\n");
    assert_int_equal(migrate(&report, &err), -1);
    assert_int_equal(err.code, RD_E_MIGRATION);
    assert_non_null(strstr(err.text, "0003-b.sql, line 3"));
    assert_int_equal(private_sql_number(sql, "SELECT count(*) FROM pg_class WHERE relname = 'b'"), 0);
    /* Mended, it goes on from there. */
    put("0003-b.sql", "-- redoubt: no-transaction\nCREATE TABLE IF NOT EXISTS b (n int);\n"
                      "CREATE INDEX CONCURRENTLY IF NOT EXISTS b_n ON b (n);\n");
    assert_int_equal(migrate(&report, &err), 0);
    assert_int_equal(report.applied, 1);
    assert_int_equal(report.last, 3);
    assert_int_equal(private_sql_number(sql, "SELECT indisvalid::int FROM pg_index WHERE indexrelid = 'b_n'::regclass"),
                     1);
}

static void test_changed_file_is_refused(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    rd_migrate_report report;
    put("0002-a.sql", "CREATE TABLE a (n bigint);\n");
    assert_int_equal(migrate(&report, &err), -1);
    assert_int_equal(err.code, RD_E_MIGRATION);
    assert_non_null(strstr(err.text, "0002-a.sql was changed"));
    put("0002-a.sql", "CREATE TABLE a (n int);\nSELECT pg_sleep(0.3);\n");
    assert_int_equal(migrate(&report, &err), 0);
}

static void test_newer_format_is_refused(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    rd_migrate_report report;
    private_sql_run(sql, "UPDATE cluster SET format = %d", RD_SCHEMA_FORMAT_MAX + 1);
    assert_int_equal(migrate(&report, &err), -1);
    assert_int_equal(err.code, RD_E_MIGRATION);
    assert_int_equal(rd_migrate_check(private_pg_as(&server, "rd_api"), &err), -1);
    private_sql_run(sql, "UPDATE cluster SET format = %d", RD_SCHEMA_FORMAT_MAX);
    assert_int_equal(migrate(&report, &err), 0);
}

static void test_check_wants_the_built_in_ones(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(rd_migrate_check(private_pg_as(&server, "rd_api"), &err), -1);
    assert_int_equal(err.code, RD_E_MIGRATION);
}

static void test_lock_is_waited_for_in_bounds(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    private_sql_run(sql, "SELECT pg_advisory_lock(32190137412547188)");
    assert_int_equal(rd_migrate(server.conninfo, dir, 200, NULL, &err), -1);
    assert_int_equal(err.code, RD_E_TIMEOUT);
    private_sql_run(sql, "SELECT pg_advisory_unlock_all()");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_migrators_take_turns),      cmocka_unit_test(test_failure_leaves_nothing),
        cmocka_unit_test(test_changed_file_is_refused),       cmocka_unit_test(test_newer_format_is_refused),
        cmocka_unit_test(test_check_wants_the_built_in_ones), cmocka_unit_test(test_lock_is_waited_for_in_bounds),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
