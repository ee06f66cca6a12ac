#include "common/model/envelope.h"

#include "tests/unit/common/model/samples.h"

static void sign_with(rd_envelope *envelope, uint8_t fill, rd_sign_label label)
{
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *key = sample_key(fill);
    assert_int_equal(rd_envelope_sign(envelope, key, label, NULL), 0);
}

static const struct {
    const char *name;
    uint32_t owners, threshold;
    uint8_t signers[4]; /* fills, 0 ends; owners are fills 1..owners */
    rd_sign_label made, asked;
    bool is_ok;
} rows[] = {
    { "one of one", 1, 1, { 1 }, RD_SIGN_HEAD, RD_SIGN_HEAD, true },
    { "two of three", 3, 2, { 3, 1 }, RD_SIGN_HEAD, RD_SIGN_HEAD, true },
    { "all of three", 3, 3, { 2, 1, 3 }, RD_SIGN_HEAD, RD_SIGN_HEAD, true },
    { "more than needed", 3, 1, { 2, 1, 3 }, RD_SIGN_HEAD, RD_SIGN_HEAD, true },
    { "none", 1, 1, { 0 }, RD_SIGN_HEAD, RD_SIGN_HEAD, false },
    { "below the threshold", 3, 2, { 3 }, RD_SIGN_HEAD, RD_SIGN_HEAD, false },
    { "a stranger alone", 1, 1, { 9 }, RD_SIGN_HEAD, RD_SIGN_HEAD, false },
    { "a stranger beside an owner", 1, 1, { 1, 9 }, RD_SIGN_HEAD, RD_SIGN_HEAD, false },
    { "a stranger makes up the threshold", 2, 2, { 1, 9 }, RD_SIGN_HEAD, RD_SIGN_HEAD, false },
    { "release signature on a head", 1, 1, { 1 }, RD_SIGN_RELEASE, RD_SIGN_HEAD, false },
    { "head signature on a release", 1, 1, { 1 }, RD_SIGN_HEAD, RD_SIGN_RELEASE, false },
};

static void test_thresholds_and_strangers(void **state RD_UNUSED)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        rd_genesis genesis = sample_genesis(rows[i].owners, rows[i].threshold);
        RD_CLEANUP(rd_envelope_done) rd_envelope envelope;
        rd_err err = RD_ERR_INIT;
        rd_envelope_init(&envelope, RD_BYTES_LIT("{}"));
        for (size_t k = 0; k < 4 && rows[i].signers[k]; k++)
            sign_with(&envelope, rows[i].signers[k], rows[i].made);
        int outcome = rd_envelope_verify(&envelope, &genesis, rows[i].asked, &err);
        if ((outcome == 0) != rows[i].is_ok || (outcome < 0 && err.code != RD_E_SIGNATURE))
            fail_msg("%s: %s", rows[i].name, err.text);
    }
}

static void test_one_key_cannot_reach_a_threshold_of_two(void **state RD_UNUSED)
{
    rd_genesis genesis = sample_genesis(2, 2);
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope;
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *key = sample_key(1);
    rd_err err = RD_ERR_INIT;
    rd_envelope_init(&envelope, RD_BYTES_LIT("{}"));
    sign_with(&envelope, 1, RD_SIGN_HEAD);
    assert_int_equal(rd_envelope_sign(&envelope, key, RD_SIGN_HEAD, &err), -1);
    envelope.signatures[1] = envelope.signatures[0];
    envelope.signatures_count = 2;
    assert_int_equal(rd_envelope_verify(&envelope, &genesis, RD_SIGN_HEAD, &err), -1);
    assert_int_equal(err.code, RD_E_SIGNATURE);
    RD_CLEANUP(rd_buf_done) rd_buf json = { 0 };
    RD_CLEANUP(rd_envelope_done) rd_envelope again;
    assert_int_equal(rd_envelope_encode(&envelope, &json, NULL), 0);
    assert_int_equal(rd_envelope_parse(rd_buf_bytes(&json), &again, &err), -1);
    assert_int_equal(err.code, RD_E_SIGNATURE);
}

static void test_flipped_bits(void **state RD_UNUSED)
{
    static const char document[] = "{\"a\":1}";
    rd_genesis genesis = sample_genesis(1, 1);
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope;
    rd_envelope_init(&envelope, RD_BYTES_LIT(document));
    sign_with(&envelope, 1, RD_SIGN_HEAD);
    for (size_t bit = 0; bit < 8 * (sizeof document - 1); bit++) {
        envelope.document.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(rd_envelope_verify(&envelope, &genesis, RD_SIGN_HEAD, NULL), -1);
        envelope.document.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t bit = 0; bit < 512; bit++) {
        envelope.signatures[0].signature.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(rd_envelope_verify(&envelope, &genesis, RD_SIGN_HEAD, NULL), -1);
        envelope.signatures[0].signature.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(rd_envelope_verify(&envelope, &genesis, RD_SIGN_HEAD, NULL), 0);
}

static int parse(rd_bytes bytes, rd_err *err)
{
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope;
    return rd_envelope_parse(bytes, &envelope, err);
}

static const spoil json_rows[] = {
    { "unknown member", "/x", "1", RD_E_JSON_UNKNOWN },
    { "no document", "/document", NULL, RD_E_JSON_MISSING },
    { "empty document", "/document", "\"\"", RD_E_JSON_RANGE },
    { "document an object", "/document", "{}", RD_E_JSON_TYPE },
    { "document with padding", "/document", "\"e30=\"", RD_E_ENCODING },
    { "document in the other alphabet", "/document", "\"++++\"", RD_E_ENCODING },
    { "document with unused bits", "/document", "\"e31\"", RD_E_ENCODING },
    { "no signatures", "/signatures", "[]", RD_E_JSON_RANGE },
    { "signatures missing", "/signatures", NULL, RD_E_JSON_MISSING },
    { "signature too short", "/signatures/0/signature", "\"AAAA\"", RD_E_ENCODING },
    { "signature missing", "/signatures/0/signature", NULL, RD_E_JSON_MISSING },
    { "key of small order", "/signatures/0/key", "\"" B64_ZERO_32 "\"", RD_E_KEY_FORMAT },
    { "unknown member of a signature", "/signatures/0/alg", "\"none\"", RD_E_JSON_UNKNOWN },
};

static void test_parse(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope;
    RD_CLEANUP(rd_envelope_done) rd_envelope again;
    RD_CLEANUP(rd_buf_done) rd_buf json = { 0 };
    rd_envelope_init(&envelope, RD_BYTES_LIT("{}"));
    for (uint8_t fill = 1; fill <= RD_SIGNATURES_MAX; fill++)
        sign_with(&envelope, fill, RD_SIGN_HEAD);
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *ninth = sample_key(9);
    assert_int_equal(rd_envelope_sign(&envelope, ninth, RD_SIGN_HEAD, NULL), -1);
    assert_int_equal(rd_envelope_encode(&envelope, &json, NULL), 0);
    run_spoils(rd_buf_bytes(&json), parse, json_rows, RD_ARRAY_LEN(json_rows));
    RD_CLEANUP(rd_buf_done) rd_buf nine = { 0 };
    spoil_document(rd_buf_bytes(&json), "/signatures/8", "{}", &nine);
    assert_int_equal(parse(rd_buf_bytes(&nine), NULL), -1);
    assert_int_equal(rd_envelope_parse(rd_buf_bytes(&json), &again, NULL), 0);
    assert_int_equal(again.signatures_count, 8);
    assert_true(rd_bytes_equal(rd_buf_bytes(&again.document), RD_BYTES_LIT("{}")));
}

static void test_document_size(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_free_p) uint8_t *large = rd_alloc(RD_DOCUMENT_SIZE_MAX + 1);
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope;
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *key = sample_key(1);
    rd_err err = RD_ERR_INIT;
    rd_envelope_init(&envelope, rd_bytes_of(large, RD_DOCUMENT_SIZE_MAX + 1));
    assert_int_equal(rd_envelope_sign(&envelope, key, RD_SIGN_HEAD, &err), -1);
    assert_int_equal(err.code, RD_E_TOO_LARGE);
    rd_envelope_done(&envelope);
    rd_envelope_init(&envelope, rd_bytes_of(large, RD_DOCUMENT_SIZE_MAX));
    assert_int_equal(rd_envelope_sign(&envelope, key, RD_SIGN_HEAD, &err), 0);
    RD_CLEANUP(rd_buf_done) rd_buf json = { 0 };
    assert_int_equal(rd_envelope_encode(&envelope, &json, NULL), 0);
    assert_int_equal(parse(rd_buf_bytes(&json), NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thresholds_and_strangers),
        cmocka_unit_test(test_one_key_cannot_reach_a_threshold_of_two),
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_document_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
