#include "common/base/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_set_wrap_and_pointer(void **state RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    assert_int_equal(rd_err_set(&err, RD_E_TRUNCATED, "%d bytes", 3), -1);
    assert_int_equal(err.code, RD_E_TRUNCATED);
    assert_int_equal(rd_err_at(&err, "/a/b"), -1);
    assert_int_equal(rd_err_wrap(&err, "host %s", "x"), -1);
    assert_string_equal(err.text, "host x: 3 bytes");
    assert_string_equal(err.pointer, "/a/b");
    assert_non_null(strstr(err.file, "test_err.c"));
    (void)rd_err_set(&err, RD_E_IO, "other");
    assert_string_equal(err.pointer, "");
    (void)rd_err_set_errno(&err, RD_E_IO, ENOENT, "open %s", "f");
    assert_string_equal(err.text, "open f: No such file or directory");
}

static void test_no_error_object(void **state RD_UNUSED)
{
    assert_int_equal(rd_err_set(NULL, RD_E_IO, "x"), -1);
    assert_int_equal(rd_err_set_errno(NULL, RD_E_IO, EIO, "x"), -1);
    assert_int_equal(rd_err_wrap(NULL, "x"), -1);
    assert_int_equal(rd_err_at(NULL, "x"), -1);
}

static void test_long_sentences_are_cut(void **state RD_UNUSED)
{
    char text[1000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (size_t size = 1; size < sizeof text; size += 37) {
        rd_err err = RD_ERR_INIT;
        (void)rd_err_set(&err, RD_E_IO, "%s", text);
        assert_int_equal(strlen(err.text), sizeof err.text - 1);
        (void)rd_err_wrap(&err, "%s", text + sizeof text - 1 - size);
        assert_int_equal(strlen(err.text), sizeof err.text - 1);
        (void)rd_err_set_errno(&err, RD_E_IO, EIO, "%s", text);
        assert_int_equal(strlen(err.text), sizeof err.text - 1);
        (void)rd_err_at(&err, text);
        assert_int_equal(strlen(err.pointer), sizeof err.pointer - 1);
    }
}

static void test_registry(void **state RD_UNUSED)
{
    for (int code = RD_OK + 1; code < RD_CODE_COUNT; code++) {
        const rd_code_info *info = rd_code_describe((rd_code)code);
        assert_non_null(info->name);
        /* One name is JavaScript's: applications catch it by the code that the trust model gives it. */
        bool is_of_javascript = strcmp(info->name, "ENTROPY_BEFORE_SNAPSHOT") == 0;
        if (!is_of_javascript && strspn(info->name, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(info->name))
            fail_msg("%s is no snake_case name", info->name);
        if (rd_code_by_name(info->name) != (rd_code)code)
            fail_msg("%s stands twice", info->name);
        if (info->http_status < 400 || info->http_status > 599)
            fail_msg("%s has status %d", info->name, info->http_status);
        if (info->exit_code < 1 || (info->exit_code > 8 && info->exit_code != 130))
            fail_msg("%s has exit code %d", info->name, info->exit_code);
        assert_non_null(info->hint);
    }
    assert_int_equal(rd_code_by_name("no such code"), RD_OK);
    assert_string_equal(rd_code_describe(RD_CODE_COUNT)->name, "internal");
    assert_string_equal(rd_code_describe((rd_code)-1)->name, "internal");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_wrap_and_pointer),
        cmocka_unit_test(test_no_error_object),
        cmocka_unit_test(test_long_sentences_are_cut),
        cmocka_unit_test(test_registry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
