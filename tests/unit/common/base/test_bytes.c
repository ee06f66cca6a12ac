#include "common/base/bytes.h"
#include "common/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_equality_and_order(void **state RD_UNUSED)
{
    assert_true(rd_bytes_equal(RD_BYTES_NULL, RD_BYTES_LIT("")));
    assert_true(rd_bytes_equal(RD_BYTES_LIT("ab"), rd_bytes_str("ab")));
    assert_false(rd_bytes_equal(RD_BYTES_LIT("ab"), RD_BYTES_LIT("a")));
    assert_false(rd_bytes_equal(RD_BYTES_LIT("ab"), RD_BYTES_LIT("ac")));
    assert_true(rd_bytes_compare(RD_BYTES_LIT("a"), RD_BYTES_LIT("ab")) < 0);
    assert_true(rd_bytes_compare(RD_BYTES_LIT("b"), RD_BYTES_LIT("ab")) > 0);
    assert_true(rd_bytes_compare(RD_BYTES_LIT("\xff"), RD_BYTES_LIT("a")) > 0);
    assert_int_equal(rd_bytes_compare(RD_BYTES_NULL, RD_BYTES_NULL), 0);
    assert_true(rd_bytes_compare(RD_BYTES_NULL, RD_BYTES_LIT("a")) < 0);
}

static void test_append(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf buf = { 0 };
    assert_string_equal(rd_buf_text(&buf), "");
    assert_true(rd_buf_append(&buf, NULL, 0));
    assert_true(rd_buf_append_u16be(&buf, 0x0102));
    assert_true(rd_buf_append_u32be(&buf, 0x03040506));
    assert_true(rd_buf_append_u64be(&buf, 0x0708090a0b0c0d0e));
    assert_memory_equal(buf.data, "\1\2\3\4\5\6\7\10\11\12\13\14\15\16", 14);
    rd_buf_clear(&buf);
    assert_true(rd_buf_append_u16le(&buf, 0x0102));
    assert_true(rd_buf_append_u32le(&buf, 0x03040506));
    assert_true(rd_buf_append_u64le(&buf, 0x0708090a0b0c0d0e));
    assert_memory_equal(buf.data, "\2\1\6\5\4\3\16\15\14\13\12\11\10\7", 14);
    rd_buf_clear(&buf);
    assert_true(rd_buf_printf(&buf, "%s-%d", "a", 5));
    assert_string_equal(rd_buf_text(&buf), "a-5");
    rd_buf_consume(&buf, 2);
    assert_string_equal(rd_buf_text(&buf), "5");
    rd_buf_consume(&buf, 99);
    assert_int_equal(buf.size, 0);
    for (int width = 1; width < 300; width++) { /* with room for all, all but the NUL, a part, and none */
        char text[301];
        (void)snprintf(text, sizeof text, "%*d", width, 7);
        assert_true(rd_buf_printf(&buf, "%*d", width, 7));
        assert_string_equal(rd_buf_text(&buf) + buf.size - (size_t)width, text);
    }
    assert_int_equal(buf.size, 299 * 300 / 2);
    rd_buf_wipe(&buf);
    assert_null(buf.data);
}

static void test_cap(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf buf;
    rd_buf_init(&buf, 4);
    assert_true(rd_buf_append_str(&buf, "1234"));
    assert_false(rd_buf_append_u8(&buf, '5'));
    assert_true(buf.has_failed);
    assert_string_equal(rd_buf_text(&buf), "1234");
    assert_false(rd_buf_append(&buf, NULL, 0)); /* sticky */
    assert_null(rd_buf_reserve(&buf, SIZE_MAX));
    rd_buf_clear(&buf);
    assert_false(buf.has_failed);
    assert_false(rd_buf_printf(&buf, "%s", "12345"));
    rd_buf_clear(&buf);
    uint8_t *room = rd_buf_reserve(&buf, 4);
    assert_non_null(room);
    memcpy(room, "ab", 2);
    rd_buf_commit(&buf, 2);
    assert_string_equal(rd_buf_text(&buf), "ab");
}

static void test_growth_keeps_content(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf buf = { 0 };
    for (unsigned i = 0; i < 10000; i++)
        assert_true(rd_buf_append_u8(&buf, (uint8_t)(i * 31)));
    for (unsigned i = 0; i < 10000; i++)
        assert_int_equal(buf.data[i], (uint8_t)(i * 31));
}

static void test_memory(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_free_p) char *text = rd_asprintf("%s%d", "x", 1);
    RD_CLEANUP(rd_free_p) char *cut = rd_strndup("abcdef", 3);
    assert_string_equal(text, "x1");
    assert_string_equal(cut, "abc");
    char *taken = RD_TAKE(text);
    assert_null(text);
    rd_wipe(taken, 2);
    assert_int_equal(taken[0], 0);
    rd_free_p(&taken);
    rd_wipe(NULL, 0);
    assert_true(rd_equal_ct("abc", "abc", 3));
    assert_false(rd_equal_ct("abc", "abd", 3));
    assert_false(rd_equal_ct("abc", "bbc", 3));
    assert_true(rd_equal_ct(NULL, NULL, 0));
    int fd = -1;
    rd_close_p(&fd);
    assert_int_equal(fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equality_and_order),   cmocka_unit_test(test_append), cmocka_unit_test(test_cap),
        cmocka_unit_test(test_growth_keeps_content), cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
