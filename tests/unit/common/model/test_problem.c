#include "common/model/problem.h"

#include "tests/unit/common/model/samples.h"

static json_t *write_and_read(const rd_err *err, const char *request_id)
{
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    assert_true(rd_problem_write(err, request_id, &out));
    json_t *document = NULL;
    assert_int_equal(rd_json_parse(rd_buf_bytes(&out), NULL, &document, NULL), 0);
    return document;
}

static const char *text_of(const json_t *document, const char *name)
{
    return json_string_value(json_object_get(document, name));
}

static void test_members(void **state RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, RD_E_HEAD_ROLLBACK, "head 1 is older than \"head\" 2");
    (void)rd_err_at(&err, "/seq");
    RD_CLEANUP(rd_json_free_p) json_t *document = write_and_read(&err, "req_x");
    assert_string_equal(text_of(document, "type"), "/problems/head_rollback");
    assert_string_equal(text_of(document, "title"), "head rollback");
    assert_int_equal(json_integer_value(json_object_get(document, "status")), 409);
    assert_string_equal(text_of(document, "detail"), "head 1 is older than \"head\" 2");
    assert_string_equal(text_of(document, "code"), "head_rollback");
    assert_true(json_is_false(json_object_get(document, "retryable")));
    assert_string_equal(text_of(document, "hint"), "a newer head is known");
    assert_string_equal(text_of(document, "request_id"), "req_x");
    assert_string_equal(text_of(document, "pointer"), "/seq");
    assert_int_equal(rd_problem_status(&err), 409);
}

static void test_absent_members(void **state RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, RD_E_TRUNCATED, "short");
    RD_CLEANUP(rd_json_free_p) json_t *document = write_and_read(&err, NULL);
    assert_null(json_object_get(document, "hint"));
    assert_null(json_object_get(document, "request_id"));
    assert_null(json_object_get(document, "pointer"));
}

static void test_internal_errors_tell_nothing(void **state RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, RD_E_INTERNAL, "password of the database");
    RD_CLEANUP(rd_json_free_p) json_t *document = write_and_read(&err, "req_x");
    assert_null(json_object_get(document, "detail"));
    rd_err none = RD_ERR_INIT;
    assert_int_equal(rd_problem_status(&none), 500);
}

static void test_text_from_outside(void **state RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, RD_E_USAGE, "%s", "cut \xe2\x82 here\n\x01");
    RD_CLEANUP(rd_json_free_p) json_t *document = write_and_read(&err, NULL);
    assert_string_equal(text_of(document, "detail"), "cut ?? here\n\x01");
    (void)rd_err_set(&err, RD_E_USAGE, "%s", "whole €");
    RD_CLEANUP(rd_json_free_p) json_t *whole = write_and_read(&err, NULL);
    assert_string_equal(text_of(whole, "detail"), "whole €");
}

static void test_every_code_makes_a_problem(void **state RD_UNUSED)
{
    for (int code = 1; code < RD_CODE_COUNT; code++) {
        rd_err err = RD_ERR_INIT;
        (void)rd_err_set(&err, (rd_code)code, "x");
        RD_CLEANUP(rd_json_free_p) json_t *document = write_and_read(&err, NULL);
        assert_int_equal(rd_code_by_name(text_of(document, "code")), code);
    }
    RD_CLEANUP(rd_buf_done) rd_buf small = { .size_max = 20 };
    rd_err err = RD_ERR_INIT;
    assert_false(rd_problem_write(&err, NULL, &small));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_absent_members),
        cmocka_unit_test(test_internal_errors_tell_nothing),
        cmocka_unit_test(test_text_from_outside),
        cmocka_unit_test(test_every_code_makes_a_problem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
