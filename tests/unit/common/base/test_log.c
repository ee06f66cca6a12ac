#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int pipe_ends[2];
static char line[16384];

static int setup(void **state RD_UNUSED)
{
    if (pipe(pipe_ends) < 0)
        return -1;
    rd_log_init("test", RD_INFO, pipe_ends[1]);
    return 0;
}

static const char *read_line(void)
{
    ssize_t size = read(pipe_ends[0], line, sizeof line - 1);
    assert_true(size > 0);
    line[size] = '\0';
    assert_int_equal(line[size - 1], '\n');
    assert_int_equal(line[size - 2], '}');
    return line;
}

/* Quotes are balanced and nothing below 0x20 or outside UTF-8 stands in the line: what a JSON reader needs most. */
static void assert_wellformed(const char *text)
{
    size_t size = strlen(text) - 1;
    bool is_in_string = false;
    assert_true(rd_is_utf8(rd_bytes_of(text, size)));
    for (size_t i = 0; i < size; i++) {
        assert_true((unsigned char)text[i] >= 0x20);
        if (is_in_string && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            is_in_string = !is_in_string;
    }
    assert_false(is_in_string);
}

static void test_fields(void **state RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, RD_E_TRUNCATED, "short");
    rd_log(RD_WARN, "event_name", RD_STR("s", "a\"b\\c\n"), RD_U64("u", UINT64_MAX), RD_I64("i", INT64_MIN),
           RD_BOOL("b", true), RD_STR("n", NULL), RD_ERR(&err));
    const char *text = read_line();
    assert_wellformed(text);
    assert_true(rd_starts_with(text, "{\"time\":\""));
    assert_non_null(
        strstr(text, "\"level\":\"warn\",\"process\":\"test\",\"event\":\"event_name\",\"s\":\"a\\\"b\\\\c\\u000a\","
                     "\"u\":18446744073709551615,\"i\":-9223372036854775808,\"b\":true,\"n\":\"\","
                     "\"code\":\"truncated\",\"error\":\"short\"}\n"));
}

static void test_levels(void **state RD_UNUSED)
{
    rd_log(RD_DEBUG, "hidden");
    rd_log(RD_ERROR, "shown");
    assert_non_null(strstr(read_line(), "\"event\":\"shown\""));
    rd_log_level level = RD_ERROR;
    assert_true(rd_log_level_parse("debug", &level));
    assert_int_equal(level, RD_DEBUG);
    assert_false(rd_log_level_parse("Debug", &level));
    assert_false(rd_log_level_parse("", &level));
}

static void test_long_strings_are_cut_between_characters(void **state RD_UNUSED)
{
    static const char *const characters[] = { "x", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80" };
    for (size_t i = 0; i < RD_ARRAY_LEN(characters); i++) {
        for (size_t shift = 0; shift < 4; shift++) {
            char text[4096] = "";
            memset(text, '-', shift);
            while (strlen(text) < 3000)
                strcat(text, characters[i]);
            rd_log(RD_INFO, "e", RD_STR("s", text));
            const char *got = read_line();
            assert_wellformed(got);
            assert_null(strchr(got, '?'));
            assert_true(strlen(got) < 1300);
        }
    }
}

static void test_what_is_not_utf8(void **state RD_UNUSED)
{
    rd_log(RD_INFO, "e", RD_STR("s", "a\xff\x80z"));
    const char *text = read_line();
    assert_wellformed(text);
    assert_non_null(strstr(text, "\"s\":\"a??z\""));
}

static void test_long_lines_leave_fields_out(void **state RD_UNUSED)
{
    char text[1100];
    memset(text, 1, sizeof text - 1); /* six bytes each when escaped */
    text[sizeof text - 1] = '\0';
    rd_log(RD_INFO, "e", RD_STR("first", text), RD_STR("second", text), RD_STR("third", "x"));
    const char *got = read_line();
    assert_wellformed(got);
    assert_true(strlen(got) <= 8192);
    assert_non_null(strstr(got, "\"first\""));
    assert_null(strstr(got, "\"second\""));
    assert_null(strstr(got, "\"third\""));
    assert_non_null(strstr(got, ",\"cut\":true}\n"));
}

static int64_t fixed_wall(void *context)
{
    return *(int64_t *)context;
}

static void test_clock(void **state RD_UNUSED)
{
    int64_t now = 42;
    const rd_clock clock = { fixed_wall, fixed_wall, &now };
    assert_int_equal(rd_clock_wall_us(&clock), 42);
    now = 43;
    assert_int_equal(rd_clock_boot_us(&clock), 43);
    assert_true(rd_clock_wall_us(rd_clock_system()) > INT64_C(1600000000000000));
    int64_t before = rd_clock_boot_us(rd_clock_system());
    assert_true(rd_clock_boot_us(rd_clock_system()) >= before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_long_strings_are_cut_between_characters),
        cmocka_unit_test(test_what_is_not_utf8),
        cmocka_unit_test(test_long_lines_leave_fields_out),
        cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
