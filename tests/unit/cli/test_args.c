#include "cli/args.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static const cli_flag flags[] = {
    { "data", 'd', "TEXT", "" },
    { "plan", 0, NULL, "" },
    { NULL, 0, NULL, NULL },
};

static int parse(const char *line, char *buffer, size_t size, cli_args *ret, rd_err *err)
{
    char *words[64];
    int count = 0;
    (void)strncpy(buffer, line, size - 1);
    buffer[size - 1] = '\0';
    char *saved = NULL;
    for (char *word = strtok_r(buffer, " ", &saved); word && count < 64; word = strtok_r(NULL, " ", &saved))
        words[count++] = word;
    return cli_args_parse(count, words, flags, ret, err);
}

static void test_rows(void **state RD_UNUSED)
{
    static const struct {
        const char *line;
        int status;
        size_t positionals;
        const char *data; /* value of --data */
        bool plan;
        const char *sentence; /* part of the error */
    } rows[] = {
        { "app --data x --plan", 0, 1, "x", true, "" },
        { "--data=x=y app", 0, 1, "x=y", false, "" },
        { "-d x -d y", 0, 0, "y", false, "" },
        { "-dx app", 0, 1, "x", false, "" },
        { "app -- --data", 0, 2, NULL, false, "" },
        { "- app", 0, 2, NULL, false, "" },
        { "app --json -q", 0, 1, NULL, false, "" },
        { "--data", -1, 0, NULL, false, "--data needs TEXT" },
        { "--plan=yes", -1, 0, NULL, false, "--plan takes no value" },
        { "--plam", -1, 0, NULL, false, "did you mean --plan" },
        { "--zzzzzz", -1, 0, NULL, false, "unknown flag --zzzzzz" },
        { "-Z", -1, 0, NULL, false, "unknown flag" },
        { "-qv", -1, 0, NULL, false, "one by one" },
        { "a a a a a a a a a a a a a a a a a", -1, 0, NULL, false, "more than 16 arguments" },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        char buffer[256];
        cli_args args;
        rd_err err = RD_ERR_INIT;
        print_message("%s\n", rows[i].line);
        assert_int_equal(parse(rows[i].line, buffer, sizeof buffer, &args, &err), rows[i].status);
        if (rows[i].status < 0) {
            assert_int_equal(err.code, RD_E_USAGE);
            assert_non_null(strstr(err.text, rows[i].sentence));
            continue;
        }
        assert_int_equal(args.positional_count, rows[i].positionals);
        assert_int_equal(cli_args_has(&args, "plan"), rows[i].plan);
        if (rows[i].data)
            assert_string_equal(cli_args_value(&args, "data"), rows[i].data);
        else
            assert_null(cli_args_value(&args, "data"));
    }
}

static void test_repeated(void **state RD_UNUSED)
{
    char buffer[64];
    cli_args args;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(parse("-d a --data b", buffer, sizeof buffer, &args, &err), 0);
    assert_string_equal(cli_args_value_at(&args, "data", 0), "a");
    assert_string_equal(cli_args_value_at(&args, "data", 1), "b");
    assert_null(cli_args_value_at(&args, "data", 2));
}

static void test_edit_distance(void **state RD_UNUSED)
{
    assert_int_equal(cli_edit_distance("apps", "apps"), 0);
    assert_int_equal(cli_edit_distance("aps", "apps"), 1);
    assert_int_equal(cli_edit_distance("paps", "apps"), 1);
    assert_int_equal(cli_edit_distance("deploy", "delete"), 4);
    assert_int_equal(cli_edit_distance("", "abc"), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_repeated),
        cmocka_unit_test(test_edit_distance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
