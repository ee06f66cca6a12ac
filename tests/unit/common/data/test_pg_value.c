#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "common/data/pg.h"

static void test_arrays(void **state)
{
    (void)state;
    rd_pg_array array;
    rd_pg_array_init(&array, RD_PG_T_INT4);
    /* No elements: no dimensions. */
    static const uint8_t none[] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 23 };
    rd_pg_value value = rd_pg_array_value(&array);
    assert_int_equal(value.bytes.size, sizeof none);
    assert_memory_equal(value.bytes.data, none, sizeof none);
    rd_pg_array_i64(&array, -2);
    rd_pg_array_null(&array);
    static const uint8_t two[] = { 0, 0, 0, 1, 0, 0, 0, 1, 0,   0,   0,   23,  0,   0,   0,   2,
                                   0, 0, 0, 1, 0, 0, 0, 4, 255, 255, 255, 254, 255, 255, 255, 255 };
    value = rd_pg_array_value(&array);
    assert_int_equal(value.bytes.size, sizeof two);
    assert_memory_equal(value.bytes.data, two, sizeof two);
    rd_pg_array_done(&array);
}

static void test_values(void **state)
{
    (void)state;
    assert_int_equal(rd_pg_text(NULL).kind, RD_PG_NULL);
    assert_int_equal(rd_pg_uuid(NULL).kind, RD_PG_NULL);
    assert_int_equal(rd_pg_bytes(RD_BYTES_NULL).kind, RD_PG_BYTES);
    assert_string_equal(rd_pg_bool(true).text, "t");
}

static void test_codes(void **state)
{
    (void)state;
    static const struct {
        const char *sqlstate;
        rd_code code;
        bool is_retryable;
    } rows[] = {
        { "RD001", RD_E_FENCED, false },      { "RD002", RD_E_DB_CONFLICT, false },
        { "23505", RD_E_DB_CONFLICT, false }, { "23514", RD_E_DB_CONFLICT, false },
        { "40001", RD_E_UNAVAILABLE, true },  { "40P01", RD_E_UNAVAILABLE, true },
        { "55P03", RD_E_UNAVAILABLE, true },  { "57014", RD_E_UNAVAILABLE, false },
        { "57P01", RD_E_UNAVAILABLE, false }, { "53300", RD_E_UNAVAILABLE, false },
        { "53100", RD_E_UNAVAILABLE, false }, { "08006", RD_E_UNAVAILABLE, false },
        { "42501", RD_E_INTERNAL, false },    { "22P02", RD_E_INTERNAL, false },
        { "", RD_E_INTERNAL, false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rd_pg_code_of_sqlstate(rows[i].sqlstate) != rows[i].code ||
            rd_pg_is_retryable(rows[i].sqlstate) != rows[i].is_retryable)
            fail_msg("%s", rows[i].sqlstate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
