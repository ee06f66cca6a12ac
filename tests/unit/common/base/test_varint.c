/* Vectors: RFC 9000, A.1. */
#include "common/base/varint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *bytes;
    size_t size;
    uint64_t value;
    bool is_shortest;
} rows[] = {
    { "\xc2\x19\x7c\x5e\xff\x14\xe8\x8c", 8, 151288809941952652, true },
    { "\x9d\x7f\x3e\x7d", 4, 494878333, true },
    { "\x7b\xbd", 2, 15293, true },
    { "\x25", 1, 37, true },
    { "\x40\x25", 2, 37, false },
    { "\x80\x00\x00\x25", 4, 37, false },
    { "\x00", 1, 0, true },
    { "\x3f", 1, 63, true },
    { "\x40\x40", 2, 64, true },
    { "\x7f\xff", 2, 16383, true },
    { "\x80\x00\x40\x00", 4, 16384, true },
    { "\xbf\xff\xff\xff", 4, 1073741823, true },
    { "\xc0\x00\x00\x00\x40\x00\x00\x00", 8, 1073741824, true },
    { "\xff\xff\xff\xff\xff\xff\xff\xff", 8, UINT64_C(4611686018427387903), true },
};

static void test_rows(void **state RD_UNUSED)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        rd_bytes bytes = rd_bytes_of(rows[i].bytes, rows[i].size);
        rd_cursor cursor = rd_cursor_of(bytes);
        assert_true(rd_varint_read(&cursor) == rows[i].value);
        assert_true(rd_cursor_is_done(&cursor));
        for (size_t size = 0; size < bytes.size; size++) {
            cursor = rd_cursor_of(rd_bytes_of(bytes.data, size));
            (void)rd_varint_read(&cursor);
            assert_false(rd_cursor_is_ok(&cursor));
        }
        rd_buf out = { 0 };
        rd_varint_write(&out, rows[i].value);
        assert_int_equal(rows[i].is_shortest, rd_bytes_equal(rd_buf_bytes(&out), bytes));
        rd_buf_done(&out);
    }
}

static void test_four_bytes(void **state RD_UNUSED)
{
    rd_buf out = { 0 };
    rd_varint_write_u30(&out, 37);
    rd_varint_write_u30(&out, 1073741823);
    assert_true(rd_bytes_equal(rd_buf_bytes(&out), RD_BYTES_LIT("\x80\x00\x00\x25\xbf\xff\xff\xff")));
    rd_buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_four_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
