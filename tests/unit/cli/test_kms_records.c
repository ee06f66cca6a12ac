/* What a replica hands over with its root: read whole and in order, or refused. */
#include "cli/kms_records.h"

#include "common/model/json.h"
#include "tests/unit/common/model/samples_kms.h"

typedef struct fixture {
    rd_buf document, bundle;
    rd_kms_genesis genesis;
    rd_kms_id kms;
    rd_signing_key *root, *replica;
    uint64_t number;
    rd_digest digest;
} fixture;

static void fixture_done(fixture *f)
{
    rd_buf_done(&f->document);
    rd_buf_done(&f->bundle);
    (void)rd_signing_key_free(f->root);
    (void)rd_signing_key_free(f->replica);
}

static void append(fixture *f, const rd_buf *envelope)
{
    rd_buf_append_u16be(&f->bundle, (uint16_t)envelope->size);
    rd_buf_append_bytes(&f->bundle, rd_buf_bytes(envelope));
}

static void certify(fixture *f, const rd_signing_key *by)
{
    RD_CLEANUP(rd_buf_done) rd_buf envelope = { 0 };
    rd_kms_certificate certificate = sample_kms_certificate(&f->genesis, &f->kms);
    certificate.key = *rd_signing_key_public(f->replica);
    assert_int_equal(rd_kms_certificate_sign(&certificate, by, &envelope, NULL), 0);
    rd_buf_clear(&f->bundle);
    f->number = 0;
    append(f, &envelope);
}

static void record_as(fixture *f, rd_kms_record_kind kind, const rd_kms_id *kms, const rd_signing_key *by)
{
    RD_CLEANUP(rd_buf_done) rd_buf envelope = { 0 };
    rd_kms_record record = { .kms = *kms,
                             .replica = *rd_signing_key_public(by),
                             .number = f->number + 1,
                             .has_prev = f->number > 0,
                             .prev = f->digest,
                             .kind = kind,
                             .at_us = SAMPLE_TIME };
    if (kind == RD_KMS_RECORD_REFUSAL)
        memcpy(record.reason, "recovery", 9);
    assert_int_equal(rd_kms_record_sign(&record, by, &envelope, &f->digest, NULL), 0);
    f->number++;
    append(f, &envelope);
}

static void record(fixture *f, rd_kms_record_kind kind)
{
    record_as(f, kind, &f->kms, f->replica);
}

static fixture fresh(void)
{
    fixture f = { .root = sample_key(SAMPLE_ROOT_FILL), .replica = sample_key(SAMPLE_REPLICA_FILL) };
    f.genesis = sample_kms_genesis(&f.document);
    rd_kms_genesis_id(rd_buf_bytes(&f.document), &f.kms);
    certify(&f, f.root);
    return f;
}

static rd_code read_all(const fixture *f, rd_bytes bundle, json_t **ret)
{
    rd_err err = RD_ERR_INIT;
    *ret = NULL;
    return cli_kms_records_read(bundle, &f->genesis, &f->kms, SAMPLE_TIME - 1, ret, &err) == 0 ? RD_OK : err.code;
}

static rd_code read_code(const fixture *f)
{
    RD_CLEANUP(rd_json_free_p) json_t *rows = NULL;
    return read_all(f, rd_buf_bytes(&f->bundle), &rows);
}

static void test_in_words(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f = fresh();
    RD_CLEANUP(rd_json_free_p) json_t *rows = NULL;
    RD_CLEANUP(rd_json_free_p) json_t *none = NULL;
    record(&f, RD_KMS_RECORD_REFUSAL);
    record(&f, RD_KMS_RECORD_RECOVERY);
    assert_int_equal(read_all(&f, rd_buf_bytes(&f.bundle), &rows), RD_OK);
    assert_int_equal(json_array_size(rows), 2);
    const json_t *refusal = json_array_get(rows, 0);
    assert_string_equal(cli_text(refusal, "reason"), "recovery");
    assert_non_null(strstr(cli_text(refusal, "words"), "was refused (recovery): recovery takes shares"));
    assert_string_equal(cli_text(json_array_get(rows, 1), "words"), "the root was put together out of recovery shares");
    assert_true(json_is_object(json_object_get(refusal, "record")));
    assert_int_equal(read_all(&f, RD_BYTES_NULL, &none), RD_OK);
    assert_int_equal(json_array_size(none), 0);
}

static void test_refused(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f = fresh();
    rd_kms_id other = f.kms;
    other.b[0] ^= 1;
    record_as(&f, RD_KMS_RECORD_RECOVERY, &f.kms, f.root); /* another key than the certified one */
    assert_int_equal(read_code(&f), RD_E_SIGNATURE);
    certify(&f, f.root);
    record_as(&f, RD_KMS_RECORD_RECOVERY, &other, f.replica);
    assert_int_equal(read_code(&f), RD_E_KMS_UNKNOWN);
    certify(&f, f.root);
    record(&f, RD_KMS_RECORD_REFUSAL);
    f.digest.b[0] ^= 1; /* names another one before it */
    record(&f, RD_KMS_RECORD_RECOVERY);
    assert_int_equal(read_code(&f), RD_E_SIGNATURE);
    certify(&f, f.root);
    record(&f, RD_KMS_RECORD_REFUSAL);
    f.number++; /* one is missing */
    record(&f, RD_KMS_RECORD_RECOVERY);
    assert_int_equal(read_code(&f), RD_E_SIGNATURE);
    certify(&f, f.replica); /* by nobody who may */
    record(&f, RD_KMS_RECORD_RECOVERY);
    assert_int_equal(read_code(&f), RD_E_GRANT_SIGNATURE);
}

/* Cut anywhere but between two, and with any byte changed, it is not read. */
static void test_cut_and_spoiled(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f = fresh();
    size_t ends[2] = { f.bundle.size, 0 };
    record(&f, RD_KMS_RECORD_REFUSAL);
    ends[1] = f.bundle.size;
    record(&f, RD_KMS_RECORD_RECOVERY);
    for (size_t size = 1; size < f.bundle.size; size++) {
        RD_CLEANUP(rd_json_free_p) json_t *rows = NULL;
        rd_code code = read_all(&f, rd_bytes_of(f.bundle.data, size), &rows);
        assert_int_equal(code == RD_OK, size == ends[0] || size == ends[1]);
    }
    for (size_t at = 0; at < f.bundle.size; at += 3) {
        f.bundle.data[at] ^= 0x80;
        assert_int_not_equal(read_code(&f), RD_OK);
        f.bundle.data[at] ^= 0x80;
    }
    assert_int_equal(read_code(&f), RD_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_words),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_cut_and_spoiled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
