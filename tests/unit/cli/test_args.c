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

static void test_global(void **state RD_UNUSED)
{
    static const struct {
        const char *word, *name; /* name NULL: none */
    } rows[] = { { "--api", "api" }, { "--api=http://x", "api" }, { "-q", "quiet" }, { "-", NULL }, { "--", NULL },
                 { "deploy", NULL }, { "--apix", NULL },          { "-qv", NULL },   { "", NULL } };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        const cli_flag *flag = cli_args_global(rows[i].word);
        print_message("%s\n", rows[i].word);
        assert_int_equal(flag != NULL, rows[i].name != NULL);
        if (flag)
            assert_string_equal(flag->name, rows[i].name);
    }
}

static void test_duration(void **state RD_UNUSED)
{
    static const struct {
        const char *text;
        uint64_t seconds; /* 0: refused */
    } rows[] = { { "90", 90 },     { "90s", 90 },
                 { "15m", 900 },   { "1h", 3600 },
                 { "2d", 172800 }, { "3650d", 315360000 },
                 { "3651d", 0 },   { "0", 0 },
                 { "0h", 0 },      { "", 0 },
                 { "d", 0 },       { "-1", 0 },
                 { "1.5h", 0 },    { "1 h", 0 },
                 { "1week", 0 },   { "18446744073709551615d", 0 } };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        uint64_t seconds = 0;
        rd_err err = RD_ERR_INIT;
        print_message("%s\n", rows[i].text);
        int status = cli_args_duration("expires", rows[i].text, &seconds, &err);
        assert_int_equal(status, rows[i].seconds ? 0 : -1);
        if (rows[i].seconds)
            assert_int_equal(seconds, rows[i].seconds);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),   cmocka_unit_test(test_repeated), cmocka_unit_test(test_edit_distance),
        cmocka_unit_test(test_global), cmocka_unit_test(test_duration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
