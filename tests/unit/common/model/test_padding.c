#include "common/base/mem.h"
#include "common/model/padding.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static rd_code read_in_steps(rd_bytes bytes, size_t step, rd_buf *out, bool *ret_is_whole)
{
    rd_err err = RD_ERR_INIT;
    rd_padding padding = { .size_count = 0 };
    rd_buf_clear(out);
    for (size_t at = 0; at < bytes.size; at += step)
        if (rd_padding_read(&padding, rd_bytes_of(bytes.data + at, RD_MIN(step, bytes.size - at)), out, &err) < 0)
            return err.code;
    *ret_is_whole = rd_padding_is_whole(&padding);
    return RD_OK;
}

static void test_frames(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    bool is_whole;
    rd_padding_write(RD_BYTES_LIT("one "), 5000, &bytes);
    assert_int_equal(RD_PADDING_EXTRA + 4 + 5000, bytes.size);
    rd_padding_write(RD_BYTES_NULL, 9, &bytes);
    rd_padding_write(RD_BYTES_LIT("two"), 0, &bytes);
    rd_padding_write(RD_BYTES_NULL, 0, &bytes);
    for (size_t step = 1; step < 40; step++) {
        assert_int_equal(RD_OK, read_in_steps(rd_buf_bytes(&bytes), step, &out, &is_whole));
        assert_string_equal("one two", rd_buf_text(&out));
        assert_true(is_whole);
    }
    assert_int_equal(RD_OK, read_in_steps(rd_bytes_of(bytes.data, bytes.size - 1), 7, &out, &is_whole));
    assert_false(is_whole);
    assert_int_equal(RD_OK, read_in_steps(RD_BYTES_LIT("\x02\x01xy\0\x01\0z"), 3, &out, &is_whole)); /* short sizes */
    assert_string_equal("xyz", rd_buf_text(&out));
}

static void test_refused(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf out;
    bool is_whole;
    rd_buf_init(&out, 4);
    assert_int_equal(RD_E_ENCODING, read_in_steps(RD_BYTES_LIT("\x01\x02x\0\x01"), 100, &out, &is_whole));
    assert_int_equal(RD_E_TOO_LARGE, read_in_steps(RD_BYTES_LIT("\x05\0abcde"), 100, &out, &is_whole));
    rd_buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
