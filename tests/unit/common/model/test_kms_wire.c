#include "common/model/kms_wire.h"

#include "common/base/mem.h"
#include "common/model/webhook.h"

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
    assert_int_equal(read.webhook.size, 0);
    (void)rd_buf_append_u8(&bytes, 0);
    assert_int_equal(rd_kms_grant_message_parse(rd_buf_bytes(&bytes), &read, &err), -1);
    assert_int_equal(err.code, RD_E_KMS_FRAME);
}

/* The owner's answer behind all else: 72 bytes, or it is not there, with its size. */
static void test_grant_message_with_an_answer(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    uint8_t answer[RD_WEBHOOK_ANSWER_SIZE] = { 7 };
    rd_kms_grant_message message = { .evidence = RD_BYTES_LIT("evidence"), .webhook = RD_BYTES_ARRAY(answer) };
    rd_kms_grant_message read;
    assert_int_equal(rd_kms_grant_message_encode(&message, &bytes, NULL), 0);
    assert_int_equal(rd_kms_grant_message_parse(rd_buf_bytes(&bytes), &read, NULL), 0);
    assert_true(rd_bytes_equal(read.webhook, message.webhook));
    size_t without = bytes.size - sizeof answer - 4;
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(rd_kms_grant_message_parse(rd_bytes_of(bytes.data, size), &read, NULL),
                         size == without ? 0 : -1);
    for (uint32_t size = 0; size < 2 * sizeof answer; size++) {
        RD_CLEANUP(rd_buf_done) rd_buf other = { 0 };
        (void)rd_buf_append(&other, bytes.data, without);
        (void)rd_buf_append_u32be(&other, size);
        for (uint32_t i = 0; i < size; i++)
            (void)rd_buf_append_u8(&other, 0);
        assert_int_equal(rd_kms_grant_message_parse(rd_buf_bytes(&other), &read, NULL), size == sizeof answer ? 0 : -1);
    }
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
                                        cmocka_unit_test(test_grant_message_with_an_answer),
                                        cmocka_unit_test(test_refusal) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
