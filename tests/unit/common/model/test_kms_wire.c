#include "common/model/kms_wire.h"

#include "common/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_heads(void **state RD_UNUSED)
{
    rd_kms_head head;
    rd_err err = RD_ERR_INIT;
    for (unsigned type = 0; type < 256; type++) {
        size_t size = rd_kms_request_max((uint8_t)type);
        uint8_t bytes[5] = { 0, (uint8_t)((size + 1) >> 16), (uint8_t)((size + 1) >> 8), (uint8_t)(size + 1),
                             (uint8_t)type };
        bool is_request = type > 0 && type < RD_KMS_TYPE_END;
        assert_int_equal(rd_kms_head_request(bytes, &head, &err) == 0, is_request);
        uint8_t more[5] = { 0, (uint8_t)((size + 2) >> 16), (uint8_t)((size + 2) >> 8), (uint8_t)(size + 2),
                            (uint8_t)type };
        assert_int_equal(rd_kms_head_request(more, &head, &err), -1);
    }
    const uint8_t empty[5] = { 0, 0, 0, 0, RD_KMS_NONCE };
    assert_int_equal(rd_kms_head_request(empty, &head, &err), -1);
    assert_int_equal(err.code, RD_E_KMS_FRAME);
    const uint8_t huge[5] = { 0xff, 0xff, 0xff, 0xff, RD_KMS_GRANT };
    assert_int_equal(rd_kms_head_request(huge, &head, &err), -1);
    const uint8_t answer[5] = { 0, 0, 0, 33, 0x81 };
    assert_int_equal(rd_kms_head_answer(answer, RD_KMS_NONCE, &head, NULL), 0);
    assert_int_equal(head.size, 32);
    assert_int_equal(rd_kms_head_answer(answer, RD_KMS_GRANT, &head, NULL), -1);
    const uint8_t refusal[5] = { 0, 0, 0, 33, 0xff };
    assert_int_equal(rd_kms_head_answer(refusal, RD_KMS_GRANT, &head, NULL), 0);
}

static void test_grant_message(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    const rd_kms_grant_message message = { RD_BYTES_LIT("evidence"), RD_BYTES_LIT("genesis"), RD_BYTES_LIT("head"),
                                           RD_BYTES_LIT("release"),  RD_BYTES_LIT("ticket"),  RD_BYTES_LIT("") };
    rd_kms_grant_message read;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(rd_kms_grant_message_encode(&message, &bytes, NULL), 0);
    assert_int_equal(rd_kms_grant_message_parse(rd_buf_bytes(&bytes), &read, NULL), 0);
    assert_true(rd_bytes_equal(read.ticket, message.ticket));
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(rd_kms_grant_message_parse(rd_bytes_of(bytes.data, size), &read, NULL), -1);
    (void)rd_buf_append_u8(&bytes, 0);
    assert_int_equal(rd_kms_grant_message_parse(rd_buf_bytes(&bytes), &read, &err), -1);
    assert_int_equal(err.code, RD_E_KMS_FRAME);
}

static void test_refusal(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    const rd_kms_refusal refusal = { RD_BYTES_LIT("kms_nonce"), RD_BYTES_LIT("used twice"), RD_BYTES_LIT("{}") };
    rd_kms_refusal read;
    assert_int_equal(rd_kms_refusal_encode(&refusal, &bytes, NULL), 0);
    assert_int_equal(rd_kms_refusal_parse(rd_buf_bytes(&bytes), &read, NULL), 0);
    assert_true(rd_bytes_equal(read.record, refusal.record));
    for (size_t size = 0; size + 2 < bytes.size; size++)
        assert_int_equal(rd_kms_refusal_parse(rd_bytes_of(bytes.data, size), &read, NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_heads), cmocka_unit_test(test_grant_message),
                                        cmocka_unit_test(test_refusal) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
