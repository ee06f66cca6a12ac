#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/data/migrate_files.h"

static void test_built_in_is_the_folder(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    rd_migrations built = { 0 }, folder = { 0 };
    assert_int_equal(rd_migrations_load(NULL, &built, &err), 0);
    assert_int_equal(rd_migrations_load("migrations", &folder, &err), 0);
    assert_int_equal(built.count, folder.count);
    for (size_t i = 0; i < built.count; i++) {
        assert_string_equal(built.items[i].name, folder.items[i].name);
        assert_memory_equal(built.items[i].checksum, folder.items[i].checksum, 32);
        assert_int_equal(built.items[i].number, i + 1);
        if (!strstr(built.items[i].sql, "owner module:"))
            fail_msg("%s names no owner", built.items[i].name);
    }
    rd_migrations_done(&built);
    rd_migrations_done(&folder);
}

static const struct {
    const char *name;
    const char *files[3];
    size_t nul_at; /* byte of the first file to make a NUL, from 1 */
} rows[] = {
    { "empty folder", { NULL }, 0 },
    { "gap", { "0001-a.sql", "0003-c.sql" }, 0 },
    { "does not begin with 1", { "0002-a.sql" }, 0 },
    { "number twice", { "0001-a.sql", "0001-b.sql" }, 0 },
    { "odd name", { "0001-a.sql", "2-b.sql" }, 0 },
    { "letters", { "00x1-a.sql" }, 0 },
    { "NUL byte", { "0001-a.sql" }, 3 },
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char dir[] = "/tmp/rd-mig-XXXXXX";
        assert_non_null(mkdtemp(dir));
        char path[64];
        for (int k = 0; k < 3 && rows[i].files[k]; k++) {
            (void)snprintf(path, sizeof path, "%s/%s", dir, rows[i].files[k]);
            FILE *file = fopen(path, "w");
            char text[] = "SELECT 1;\n";
            if (rows[i].nul_at)
                text[rows[i].nul_at] = '\0';
            (void)fwrite(text, 1, sizeof text - 1, file);
            (void)fclose(file);
        }
        rd_err err = RD_ERR_INIT;
        rd_migrations list = { 0 };
        int status = rd_migrations_load(dir, &list, &err);
        for (int k = 0; k < 3 && rows[i].files[k]; k++) {
            (void)snprintf(path, sizeof path, "%s/%s", dir, rows[i].files[k]);
            (void)unlink(path);
        }
        (void)rmdir(dir);
        if (status != -1 || err.code != RD_E_MIGRATION)
            fail_msg("%s: %d %s", rows[i].name, status, err.text);
    }
    rd_err err = RD_ERR_INIT;
    rd_migrations list = { 0 };
    assert_int_equal(rd_migrations_load("/nonexistent", &list, &err), -1);
    assert_int_equal(err.code, RD_E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_built_in_is_the_folder),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
