#include "common/base/cursor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t bytes[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

static void test_integers(void **state RD_UNUSED)
{
    rd_cursor little = rd_cursor_of(RD_BYTES_ARRAY(bytes));
    rd_cursor big = little;
    assert_int_equal(rd_cursor_u8(&little), 1);
    assert_int_equal(rd_cursor_u16le(&little), 0x0302);
    assert_int_equal(rd_cursor_u32le(&little), 0x07060504);
    assert_true(rd_cursor_u64le(&little) == 0x0f0e0d0c0b0a0908);
    assert_true(rd_cursor_is_done(&little));
    assert_int_equal(rd_cursor_u8(&big), 1);
    assert_int_equal(rd_cursor_u16be(&big), 0x0203);
    assert_int_equal(rd_cursor_u32be(&big), 0x04050607);
    assert_true(rd_cursor_u64be(&big) == 0x08090a0b0c0d0e0f);
    assert_true(rd_cursor_is_done(&big));
}

static void test_failure_is_sticky_and_gives_zeros(void **state RD_UNUSED)
{
    rd_cursor cursor = rd_cursor_of(rd_bytes_of(bytes, 3));
    uint8_t out[4] = { 9, 9, 9, 9 };
    assert_int_equal(rd_cursor_u32le(&cursor), 0);
    assert_false(rd_cursor_is_ok(&cursor));
    assert_int_equal(rd_cursor_u8(&cursor), 0); /* one byte would fit, but the parse has failed */
    assert_int_equal(rd_cursor_left(&cursor), 0);
    rd_cursor_copy(&cursor, out, sizeof out);
    assert_memory_equal(out, "\0\0\0\0", 4);
    assert_int_equal(rd_cursor_take(&cursor, 1).size, 0);
    assert_int_equal(rd_cursor_rest(&cursor).size, 0);
    assert_false(rd_cursor_is_done(&cursor));
}

static void test_taking(void **state RD_UNUSED)
{
    rd_cursor cursor = rd_cursor_of(rd_bytes_of(bytes, 5));
    assert_ptr_equal(rd_cursor_take(&cursor, 2).data, bytes);
    rd_cursor_skip(&cursor, 1);
    assert_int_equal(rd_cursor_offset(&cursor), 3);
    assert_int_equal(rd_cursor_left(&cursor), 2);
    assert_false(rd_cursor_is_done(&cursor));
    rd_bytes rest = rd_cursor_rest(&cursor);
    assert_ptr_equal(rest.data, bytes + 3);
    assert_int_equal(rest.size, 2);
    assert_true(rd_cursor_is_done(&cursor));
    assert_int_equal(rd_cursor_take(&cursor, 0).size, 0);
    assert_true(rd_cursor_is_done(&cursor));
}

static void test_enormous_sizes(void **state RD_UNUSED)
{
    static const size_t sizes[] = { 6, SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2 };
    for (size_t i = 0; i < RD_ARRAY_LEN(sizes); i++) {
        rd_cursor cursor = rd_cursor_of(rd_bytes_of(bytes, 5));
        (void)rd_cursor_u8(&cursor);
        assert_int_equal(rd_cursor_take(&cursor, sizes[i] - (i == 0)).size, 0);
        assert_false(rd_cursor_is_ok(&cursor));
    }
}

static void test_nothing(void **state RD_UNUSED)
{
    rd_cursor cursor = rd_cursor_of(RD_BYTES_NULL);
    assert_true(rd_cursor_is_done(&cursor));
    assert_int_equal(rd_cursor_rest(&cursor).size, 0);
    rd_cursor_copy(&cursor, NULL, 0);
    assert_true(rd_cursor_is_done(&cursor));
    assert_int_equal(rd_cursor_u8(&cursor), 0);
    assert_false(rd_cursor_is_ok(&cursor));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers), cmocka_unit_test(test_failure_is_sticky_and_gives_zeros),
        cmocka_unit_test(test_taking),   cmocka_unit_test(test_enormous_sizes),
        cmocka_unit_test(test_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
