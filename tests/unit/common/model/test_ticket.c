#include "common/model/ticket.h"

#include "tests/unit/common/model/samples.h"

static rd_ticket sample_ticket(void)
{
    return (rd_ticket){ .instance = { { 1 } },
                        .epoch = 7,
                        .app = sample_app(),
                        .release = sample_digest(0x22),
                        .host = { { 2 } },
                        .not_after_us = SAMPLE_TIME };
}

static int parse(rd_bytes bytes, rd_err *err)
{
    rd_ticket ticket;
    return rd_ticket_parse(bytes, &ticket, err);
}

static const spoil rows[] = {
    { "unknown member", "/x", "1", RD_E_JSON_UNKNOWN },
    { "other type", "/type", "\"redoubt/head/v1\"", RD_E_PURPOSE },
    { "epoch 0", "/epoch", "0", RD_E_JSON_RANGE },
    { "epoch missing", "/epoch", NULL, RD_E_JSON_MISSING },
    { "host an instance", "/host", "\"ins_aaaaaaaaaaaaaaaaaaaaaaaaaa\"", RD_E_ID_FORMAT },
    { "instance a host", "/instance", "\"hst_aaaaaaaaaaaaaaaaaaaaaaaaaa\"", RD_E_ID_FORMAT },
    { "no end", "/not_after", "null", RD_E_JSON_TYPE },
    { "release missing", "/release", NULL, RD_E_JSON_MISSING },
};

static void test_spoiled(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    rd_ticket ticket = sample_ticket();
    assert_int_equal(rd_ticket_encode(&ticket, &document, NULL), 0);
    run_spoils(rd_buf_bytes(&document), parse, rows, RD_ARRAY_LEN(rows));
    run_form_spoils(rd_buf_bytes(&document), parse);
}

static void test_accept(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *plane = sample_key(1);
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *other = sample_key(2);
    RD_CLEANUP(rd_buf_done) rd_buf envelope = { 0 };
    RD_CLEANUP(rd_envelope_done) rd_envelope wrong = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf wrong_text = { 0 };
    rd_ticket ticket = sample_ticket(), read;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(rd_ticket_sign(&ticket, plane, &envelope, NULL), 0);
    const rd_public_key *key = rd_signing_key_public(plane);
    assert_int_equal(rd_ticket_accept(rd_buf_bytes(&envelope), key, SAMPLE_TIME - 1, &read, NULL), 0);
    assert_int_equal(read.epoch, 7);
    assert_int_equal(rd_ticket_accept(rd_buf_bytes(&envelope), key, SAMPLE_TIME, &read, &err), -1);
    assert_int_equal(err.code, RD_E_TICKET);
    err = (rd_err)RD_ERR_INIT;
    assert_int_equal(rd_ticket_accept(rd_buf_bytes(&envelope), rd_signing_key_public(other), 0, &read, &err), -1);
    assert_int_equal(err.code, RD_E_TICKET);

    /* The same document under another label of the same key. */
    assert_int_equal(rd_envelope_parse(rd_buf_bytes(&envelope), &wrong, NULL), 0);
    wrong.signatures_count = 0;
    assert_int_equal(rd_envelope_sign(&wrong, plane, RD_SIGN_RECORD, NULL), 0);
    assert_int_equal(rd_envelope_encode(&wrong, &wrong_text, NULL), 0);
    assert_int_equal(rd_ticket_accept(rd_buf_bytes(&wrong_text), key, 0, &read, &err), -1);

    /* A second signature beside the right one. */
    wrong.signatures_count = 0;
    rd_buf_clear(&wrong_text);
    assert_int_equal(rd_envelope_sign(&wrong, plane, RD_SIGN_TICKET, NULL), 0);
    assert_int_equal(rd_envelope_sign(&wrong, other, RD_SIGN_TICKET, NULL), 0);
    assert_int_equal(rd_envelope_encode(&wrong, &wrong_text, NULL), 0);
    assert_int_equal(rd_ticket_accept(rd_buf_bytes(&wrong_text), key, 0, &read, &err), -1);
    assert_int_equal(err.code, RD_E_TICKET);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_spoiled), cmocka_unit_test(test_accept) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
