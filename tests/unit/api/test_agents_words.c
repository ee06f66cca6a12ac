#include "api/agents_words.h"

#include "common/base/text.h"
#include "common/model/receipt_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A line about a record of so many bytes, as the agent writes it. */
static void line_of(size_t size, const char *behind, rd_buf *ret)
{
    static const uint8_t record[RD_RECEIPT_RECORD_SIZE_MAX + 4] = { 7 };
    rd_buf_init(ret, 2 * sizeof record);
    assert_true(rd_buf_printf(ret, "{\"n\":3,\"instance\":\"ins_aaaaaaaaaaaaaaaaaaaaaaaaaa\",\"epoch\":2} "));
    assert_true(rd_buf_append_base64url(ret, rd_bytes_of(record, size)));
    assert_true(rd_buf_printf(ret, "%s", behind));
}

static size_t read_size(size_t size, const char *behind)
{
    rd_buf text;
    api_receipts_line line = { 0 };
    rd_err err = RD_ERR_INIT;
    line_of(size, behind, &text);
    assert_int_equal(api_receipts_line_read(rd_buf_bytes(&text), &line, &err), 0);
    assert_int_equal(line.number, 3);
    assert_int_equal(line.epoch, 2);
    size_t ret = line.record.size;
    api_receipts_line_done(&line);
    rd_buf_done(&text);
    return ret;
}

static void takes_every_size_of_record(void **state)
{
    (void)state;
    for (size_t size = 1; size < 10; size++)
        assert_int_equal(read_size(size, ""), size);
    for (size_t size = RD_RECEIPT_RECORD_SIZE_MAX - 3; size <= RD_RECEIPT_RECORD_SIZE_MAX; size++)
        assert_int_equal(read_size(size, ""), size);
}

static void a_record_that_is_none_is_empty(void **state)
{
    (void)state;
    assert_int_equal(read_size(0, ""), 0);
    assert_int_equal(read_size(RD_RECEIPT_RECORD_SIZE_MAX + 1, ""), 0);
    assert_int_equal(read_size(3, "="), 0);
    assert_int_equal(read_size(3, "A"), 0);
    assert_int_equal(read_size(3, " "), 0);
}

static void the_agents_own_words_are_strict(void **state)
{
    (void)state;
    static const char *const bad[] = { "",
                                       " ",
                                       "{}",
                                       "{\"n\":0,\"instance\":\"ins_aaaaaaaaaaaaaaaaaaaaaaaaaa\",\"epoch\":2} AAAA",
                                       "{\"n\":1,\"instance\":\"ins_a\",\"epoch\":2} AAAA",
                                       "{\"n\":1,\"instance\":\"ins_aaaaaaaaaaaaaaaaaaaaaaaaaa\"} AAAA" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        api_receipts_line line = { 0 };
        rd_err err = RD_ERR_INIT;
        assert_int_equal(api_receipts_line_read(rd_bytes_str(bad[i]), &line, &err), -1);
        api_receipts_line_done(&line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_every_size_of_record),
        cmocka_unit_test(a_record_that_is_none_is_empty),
        cmocka_unit_test(the_agents_own_words_are_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
