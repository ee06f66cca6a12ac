#include "common/model/kms_replica.h"

#include "tests/unit/common/model/samples_kms.h"

static int parse_certificate(rd_bytes bytes, rd_err *err)
{
    rd_kms_certificate certificate;
    return rd_kms_certificate_parse(bytes, &certificate, err);
}

static const spoil certificate_rows[] = {
    { "unknown member", "/x", "1", RD_E_JSON_UNKNOWN },
    { "other type", "/type", "\"redoubt/head/v1\"", RD_E_PURPOSE },
    { "other use", "/use", "\"ear\"", RD_E_JSON_RANGE },
    { "key of small order", "/key", "\"" B64_ZERO_32 "\"", RD_E_KEY_FORMAT },
    { "kms missing", "/kms", NULL, RD_E_JSON_MISSING },
    { "kms an app", "/kms", "\"app_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", RD_E_ID_FORMAT },
    { "no end", "/not_after", "null", RD_E_JSON_TYPE },
    { "platform too short", "/platform", "\"00\"", RD_E_ENCODING },
};

typedef struct fixture {
    rd_buf document;
    rd_kms_genesis genesis;
    rd_kms_id kms;
    rd_signing_key *root, *replica;
} fixture;

static fixture fresh(void)
{
    fixture f = { .root = sample_key(SAMPLE_ROOT_FILL), .replica = sample_key(SAMPLE_REPLICA_FILL) };
    f.genesis = sample_kms_genesis(&f.document);
    rd_kms_genesis_id(rd_buf_bytes(&f.document), &f.kms);
    return f;
}

static void fixture_done(fixture *f)
{
    rd_buf_done(&f->document);
    (void)rd_signing_key_free(f->root);
    (void)rd_signing_key_free(f->replica);
}

static void test_certificate_spoiled(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f = fresh();
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    rd_kms_certificate certificate = sample_kms_certificate(&f.genesis, &f.kms);
    assert_int_equal(rd_kms_certificate_encode(&certificate, &document, NULL), 0);
    run_spoils(rd_buf_bytes(&document), parse_certificate, certificate_rows, RD_ARRAY_LEN(certificate_rows));
    run_form_spoils(rd_buf_bytes(&document), parse_certificate);
}

static rd_code accept(const fixture *f, const rd_kms_certificate *certificate, const rd_signing_key *signer,
                      int64_t now_us)
{
    RD_CLEANUP(rd_buf_done) rd_buf envelope = { 0 };
    rd_kms_certificate read;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(rd_kms_certificate_sign(certificate, signer, &envelope, NULL), 0);
    (void)!rd_kms_certificate_accept(rd_buf_bytes(&envelope), &f->genesis, &f->kms, now_us, &read, &err);
    return err.code;
}

static void test_certificate_refused(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f = fresh();
    rd_kms_certificate good = sample_kms_certificate(&f.genesis, &f.kms), bad = good;
    assert_int_equal(accept(&f, &good, f.root, SAMPLE_TIME - 1), RD_OK);
    assert_int_equal(accept(&f, &good, f.root, SAMPLE_TIME), RD_E_GRANT_SIGNATURE);
    assert_int_equal(accept(&f, &good, f.replica, SAMPLE_TIME - 1), RD_E_GRANT_SIGNATURE);
    bad.kms.b[0] ^= 1;
    assert_int_equal(accept(&f, &bad, f.root, 0), RD_E_GRANT_SIGNATURE);
    bad = good;
    bad.platform[0] ^= 1;
    assert_int_equal(accept(&f, &bad, f.root, 0), RD_E_GRANT_SIGNATURE);
    bad = good;
    bad.measurement[0] ^= 1;
    assert_int_equal(accept(&f, &bad, f.root, 0), RD_E_GRANT_SIGNATURE);
}

static rd_kms_record sample_record(const fixture *f)
{
    return (rd_kms_record){ .kms = f->kms,
                            .replica = *rd_signing_key_public(f->replica),
                            .number = 2,
                            .has_prev = true,
                            .prev = sample_digest(1),
                            .kind = RD_KMS_RECORD_GRANT,
                            .at_us = SAMPLE_TIME,
                            .has_app = true,
                            .app = sample_app(),
                            .has_until = true,
                            .until_us = SAMPLE_TIME + 1 };
}

static void test_records(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f = fresh();
    RD_CLEANUP(rd_buf_done) rd_buf envelope = { 0 };
    rd_kms_record record = sample_record(&f), read;
    rd_digest digest, again;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(rd_kms_record_sign(&record, f.replica, &envelope, &digest, NULL), 0);
    assert_int_equal(
        rd_kms_record_accept(rd_buf_bytes(&envelope), rd_signing_key_public(f.replica), &read, &again, NULL), 0);
    assert_true(rd_digest_equal(&digest, &again));
    assert_int_equal(read.number, 2);
    assert_int_equal(rd_kms_record_accept(rd_buf_bytes(&envelope), rd_signing_key_public(f.root), &read, &again, &err),
                     -1);
    assert_int_equal(err.code, RD_E_SIGNATURE);

    /* A refusal has a reason, a first record no record before it. */
    record.kind = RD_KMS_RECORD_REFUSAL;
    rd_buf_clear(&envelope);
    assert_int_equal(rd_kms_record_encode(&record, &envelope, NULL), 0);
    assert_int_equal(rd_kms_record_parse(rd_buf_bytes(&envelope), &read, &err), -1);
    memcpy(record.reason, "head_fork", 10);
    rd_buf_clear(&envelope);
    assert_int_equal(rd_kms_record_encode(&record, &envelope, NULL), 0);
    assert_int_equal(rd_kms_record_parse(rd_buf_bytes(&envelope), &read, &err), 0);
    assert_string_equal(read.reason, "head_fork");
    record.number = 1;
    rd_buf_clear(&envelope);
    assert_int_equal(rd_kms_record_encode(&record, &envelope, NULL), 0);
    assert_int_equal(rd_kms_record_parse(rd_buf_bytes(&envelope), &read, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_certificate_spoiled),
        cmocka_unit_test(test_certificate_refused),
        cmocka_unit_test(test_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
