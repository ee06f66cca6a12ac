#include "api/grant_proof.h"

#include "tests/unit/common/model/samples_kms.h"

/* A key service, the grant it gave, and what the plane knows of the lease that asked. */
typedef struct fixture {
    rd_buf genesis_document, certificate, record_envelope, answer;
    rd_kms_genesis genesis;
    rd_signing_key *root, *replica;
    rd_kms_record record;
    api_grant_claim claim;
} fixture;

static void put_together(fixture *f)
{
    static const uint8_t sealed[64] = { 1 }, signature[64] = { 2 };
    rd_buf_clear(&f->answer);
    const rd_grant_answer answer = { .sealed = RD_BYTES_ARRAY(sealed),
                                     .signature = RD_BYTES_ARRAY(signature),
                                     .certificate = rd_buf_bytes(&f->certificate),
                                     .record = rd_buf_bytes(&f->record_envelope) };
    assert_int_equal(rd_grant_answer_encode(&answer, &f->answer, NULL), 0);
}

static void record_as(fixture *f, const rd_kms_record *record, const rd_signing_key *by)
{
    rd_digest ignored;
    rd_buf_clear(&f->record_envelope);
    assert_int_equal(rd_kms_record_sign(record, by, &f->record_envelope, &ignored, NULL), 0);
    put_together(f);
}

static void certify(fixture *f, const rd_signing_key *by)
{
    const rd_kms_certificate certificate = sample_kms_certificate(&f->genesis, &f->claim.kms);
    rd_buf_clear(&f->certificate);
    assert_int_equal(rd_kms_certificate_sign(&certificate, by, &f->certificate, NULL), 0);
}

static void fixture_init(fixture *f)
{
    *f = (fixture){ .root = sample_key(SAMPLE_ROOT_FILL), .replica = sample_key(SAMPLE_REPLICA_FILL) };
    f->genesis = sample_kms_genesis(&f->genesis_document);
    f->claim =
        (api_grant_claim){ .kms_genesis = rd_buf_bytes(&f->genesis_document), .epoch = 7, .now_us = SAMPLE_TIME - 1 };
    rd_kms_genesis_id(rd_buf_bytes(&f->genesis_document), &f->claim.kms);
    memset(f->claim.app.b, 0xa1, sizeof f->claim.app.b);
    memset(f->claim.release.b, 0xa2, sizeof f->claim.release.b);
    memset(f->claim.instance.b, 0xa3, sizeof f->claim.instance.b);
    memset(f->claim.statement.b, 0xa4, sizeof f->claim.statement.b);
    f->record = (rd_kms_record){ .kms = f->claim.kms,
                                 .replica = sample_public_key(SAMPLE_REPLICA_FILL),
                                 .number = 1,
                                 .kind = RD_KMS_RECORD_GRANT,
                                 .at_us = SAMPLE_TIME - 2,
                                 .has_app = true,
                                 .has_release = true,
                                 .has_head = true,
                                 .has_instance = true,
                                 .has_statement = true,
                                 .has_until = true,
                                 .app = f->claim.app,
                                 .release = f->claim.release,
                                 .instance = f->claim.instance,
                                 .epoch = 7,
                                 .statement = f->claim.statement,
                                 .until_us = SAMPLE_TIME };
    certify(f, f->root);
    record_as(f, &f->record, f->replica);
}

static void fixture_done(fixture *f)
{
    rd_buf_done(&f->genesis_document);
    rd_buf_done(&f->certificate);
    rd_buf_done(&f->record_envelope);
    rd_buf_done(&f->answer);
    (void)rd_signing_key_free(f->root);
    (void)rd_signing_key_free(f->replica);
}

static rd_code check_bytes(const fixture *f, rd_bytes bytes)
{
    rd_err err = RD_ERR_INIT;
    rd_grant_answer answer;
    rd_kms_record record;
    if (rd_grant_answer_parse(bytes, &answer, &err) == 0 &&
        api_grant_proof_check(&answer, &f->claim, &record, &err) == 0)
        assert_true(record.number == f->record.number && record.until_us == f->record.until_us);
    return err.code;
}

static rd_code check(const fixture *f)
{
    return check_bytes(f, rd_buf_bytes(&f->answer));
}

static rd_code refuse(fixture *f, const rd_kms_record *record, const rd_signing_key *by)
{
    rd_err err = RD_ERR_INIT;
    rd_kms_record said;
    record_as(f, record, by);
    if (api_grant_refusal_check(rd_buf_bytes(&f->record_envelope), &f->claim, &said, &err) == 0)
        assert_string_equal(said.reason, record->reason);
    return err.code;
}

static void the_word_of_the_apps_own_key_service(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f;
    fixture_init(&f);
    assert_int_equal(check(&f), RD_OK);
    rd_signing_key *other = sample_key(0x77);
    certify(&f, other); /* a replica that the genesis's root does not know */
    put_together(&f);
    assert_int_equal(check(&f), RD_E_GRANT_SIGNATURE);
    certify(&f, f.root);
    record_as(&f, &f.record, f.replica);
    f.claim.kms.b[0] ^= 1; /* another key service's, whoever carries it */
    assert_int_equal(check(&f), RD_E_KMS_UNKNOWN);
    f.claim.kms.b[0] ^= 1;
    f.claim.kms_genesis = RD_BYTES_NULL;
    assert_int_not_equal(check(&f), RD_OK);
    (void)rd_signing_key_free(other);
}

static void the_record_of_this_very_grant(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f;
    fixture_init(&f);
    for (int row = 0; row < 6; row++) {
        rd_kms_record changed = f.record;
        switch (row) {
        case 0:
            changed.epoch = 6;
            break;
        case 1:
            changed.instance.b[0] ^= 1;
            break;
        case 2:
            changed.app.b[0] ^= 1;
            break;
        case 3:
            changed.release.b[0] ^= 1;
            break;
        case 4:
            changed.statement.b[0] ^= 1; /* an earlier grant of this lease, told again */
            break;
        default:
            changed.kind = RD_KMS_RECORD_REFUSAL;
            changed.has_until = false;
            memcpy(changed.reason, "tcb_status", 11);
            break;
        }
        record_as(&f, &changed, f.replica);
        if (check(&f) != RD_E_GRANT_MISMATCH)
            fail_msg("row %d: %s", row, rd_code_describe(check(&f))->name);
    }
}

static void what_a_hostile_carrier_makes_up(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f;
    fixture_init(&f);
    f.answer.data[f.answer.size - 20] ^= 1;
    assert_int_not_equal(check(&f), RD_OK);
    f.answer.data[f.answer.size - 20] ^= 1;
    for (size_t size = 0; size < f.answer.size; size += 7)
        assert_int_not_equal(check_bytes(&f, rd_bytes_of(f.answer.data, size)), RD_OK);
    rd_signing_key *other = sample_key(0x77);
    rd_kms_record own = f.record;
    own.replica = *rd_signing_key_public(other);
    record_as(&f, &own, other); /* under a right certificate, the record of a key that it does not name */
    assert_int_not_equal(check(&f), RD_OK);
    (void)rd_signing_key_free(other);
}

/* What the refusal of this question may say: of this app, or of what it could not establish nothing. */
static void the_record_of_a_refusal(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f;
    fixture_init(&f);
    rd_kms_record refusal = f.record, bare = { .kms = f.claim.kms,
                                               .replica = f.record.replica,
                                               .number = 9,
                                               .has_prev = true,
                                               .kind = RD_KMS_RECORD_REFUSAL,
                                               .at_us = SAMPLE_TIME,
                                               .reason = "kms_nonce" };
    refusal.kind = RD_KMS_RECORD_REFUSAL;
    refusal.has_until = false;
    memcpy(refusal.reason, "tcb_status", 11);
    assert_int_equal(refuse(&f, &refusal, f.replica), RD_OK);
    assert_int_equal(refuse(&f, &bare, f.replica), RD_OK);
    for (int row = 0; row < 7; row++) {
        rd_kms_record changed = refusal;
        uint8_t *const flipped[] = { changed.app.b, changed.release.b, changed.instance.b, changed.statement.b,
                                     changed.kms.b };
        if (row < 5)
            flipped[row][0] ^= 1;
        changed.epoch += row == 5;
        if (row == 6)
            changed = f.record; /* a grant is no refusal */
        if (refuse(&f, &changed, f.replica) != RD_E_GRANT_MISMATCH)
            fail_msg("row %d: another question's", row);
    }
    assert_int_equal(refuse(&f, &refusal, f.root), RD_E_SIGNATURE); /* by another key than it names */
    (void)refuse(&f, &refusal, f.replica);
    for (size_t at = 0; at < f.record_envelope.size; at += 5) {
        rd_err err = RD_ERR_INIT;
        rd_kms_record said;
        f.record_envelope.data[at] ^= 1;
        assert_int_equal(api_grant_refusal_check(rd_buf_bytes(&f.record_envelope), &f.claim, &said, &err), -1);
        f.record_envelope.data[at] ^= 1;
        assert_int_equal(api_grant_refusal_check(rd_bytes_of(f.record_envelope.data, at), &f.claim, &said, &err), -1);
    }
    static const uint8_t large[RD_KMS_DOCUMENT_SIZE_MAX + 1];
    rd_err err = RD_ERR_INIT;
    rd_kms_record said;
    assert_int_equal(api_grant_refusal_check(RD_BYTES_ARRAY(large), &f.claim, &said, &err), -1);
    assert_int_equal(err.code, RD_E_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_word_of_the_apps_own_key_service),
        cmocka_unit_test(the_record_of_this_very_grant),
        cmocka_unit_test(what_a_hostile_carrier_makes_up),
        cmocka_unit_test(the_record_of_a_refusal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
