#include "common/model/grant.h"

#include "tests/unit/common/model/samples_kms.h"

/* A key service, an instance that asks, and the answer it gets. */
typedef struct fixture {
    rd_buf genesis_document, statement, sealed, answer, certificate, payload_bytes;
    rd_kms_genesis genesis;
    rd_kms_id kms;
    rd_signing_key *root, *replica;
    rd_secret *grant_key;
    uint8_t nonce[32];
    rd_grant_payload payload;
    rd_digest secrets_root;
} fixture;

static void make_statement(fixture *f)
{
    rd_statement statement = sample_statement(RD_PURPOSE_GRANT);
    statement.kms[0] = f->kms;
    memcpy(statement.nonce, f->nonce, sizeof f->nonce);
    rd_x25519_public(f->grant_key, statement.grant_key);
    assert_int_equal(rd_statement_encode(&statement, &f->statement, NULL), 0);
    f->payload = (rd_grant_payload){ .app = statement.app,
                                     .release = statement.release,
                                     .head = statement.head,
                                     .head_seq = 2,
                                     .epoch = statement.epoch,
                                     .record = 5,
                                     .not_before_us = SAMPLE_TIME,
                                     .not_after_us = SAMPLE_TIME + 1,
                                     .secrets_count = 2 };
    rd_jwk_thumbprint(&statement.receipt_key, f->payload.instance);
    memset(f->payload.keys, 0x6b, sizeof f->payload.keys);
    memcpy(f->payload.secrets[0].name, "A", 2);
    memcpy(f->payload.secrets[1].name, "B", 2);
    f->payload.secrets[0].version = f->payload.secrets[1].version = 1;
    f->payload.values[0] = RD_BYTES_LIT("alpha");
    rd_secrets_root(f->payload.secrets, 2, &f->secrets_root);
}

static rd_grant_request request_of(const fixture *f)
{
    return (rd_grant_request){ .kms = f->kms, .statement = rd_buf_bytes(&f->statement), .nonce = f->nonce };
}

/* Seals the payload as it stands, signed by signer, and puts the answer together. */
static void answer_with(fixture *f, const rd_signing_key *signer)
{
    rd_signature signature;
    rd_grant_request request = request_of(f);
    uint8_t grant_key[32];
    rd_x25519_public(f->grant_key, grant_key);
    rd_buf_clear(&f->payload_bytes);
    rd_buf_clear(&f->sealed);
    rd_buf_clear(&f->answer);
    assert_int_equal(rd_grant_payload_encode(&f->payload, &f->payload_bytes, NULL), 0);
    assert_int_equal(rd_grant_seal(&request, grant_key, rd_buf_bytes(&f->payload_bytes), signer, rd_random_system(),
                                   &f->sealed, &signature, NULL),
                     0);
    rd_grant_answer answer = { .sealed = rd_buf_bytes(&f->sealed),
                               .signature = RD_BYTES_ARRAY(signature.b),
                               .certificate = rd_buf_bytes(&f->certificate),
                               .record = RD_BYTES_LIT("{}") };
    assert_int_equal(rd_grant_answer_encode(&answer, &f->answer, NULL), 0);
}

static void certify(fixture *f, const rd_signing_key *by, const rd_kms_id *kms)
{
    rd_kms_certificate certificate = sample_kms_certificate(&f->genesis, kms);
    rd_buf_clear(&f->certificate);
    assert_int_equal(rd_kms_certificate_sign(&certificate, by, &f->certificate, NULL), 0);
}

static fixture fresh(void)
{
    fixture f = { .root = sample_key(SAMPLE_ROOT_FILL),
                  .replica = sample_key(SAMPLE_REPLICA_FILL),
                  .grant_key = rd_secret_random(RD_X25519_SIZE) };
    f.genesis = sample_kms_genesis(&f.genesis_document);
    rd_kms_genesis_id(rd_buf_bytes(&f.genesis_document), &f.kms);
    memset(f.nonce, 0x17, sizeof f.nonce);
    make_statement(&f);
    certify(&f, f.root, &f.kms);
    answer_with(&f, f.replica);
    return f;
}

static void fixture_done(fixture *f)
{
    rd_buf_done(&f->genesis_document);
    rd_buf_done(&f->statement);
    rd_buf_done(&f->sealed);
    rd_buf_done(&f->answer);
    rd_buf_done(&f->certificate);
    rd_buf_done(&f->payload_bytes);
    (void)rd_signing_key_free(f->root);
    (void)rd_signing_key_free(f->replica);
    f->grant_key = rd_secret_free(f->grant_key);
}

static rd_grant_check check_of(const fixture *f)
{
    return (rd_grant_check){ .request = request_of(f),
                             .kms_genesis = rd_buf_bytes(&f->genesis_document),
                             .grant_key = f->grant_key,
                             .now_us = SAMPLE_TIME - 1,
                             .secrets_count = 2,
                             .secrets_root = &f->secrets_root };
}

static rd_code open_with(const fixture *f, const rd_grant_check *check)
{
    RD_CLEANUP(rd_grant_done) rd_grant grant;
    rd_err err = RD_ERR_INIT;
    (void)!rd_grant_open(rd_buf_bytes(&f->answer), check, &grant, &err);
    return err.code;
}

static void test_opens(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f = fresh();
    RD_CLEANUP(rd_grant_done) rd_grant grant;
    rd_grant_check check = check_of(&f);
    assert_int_equal(rd_grant_open(rd_buf_bytes(&f.answer), &check, &grant, NULL), 0);
    assert_int_equal(grant.payload.secrets_count, 2);
    assert_true(rd_bytes_equal(grant.payload.values[0], RD_BYTES_LIT("alpha")));
    assert_int_equal(grant.payload.record, 5);
    assert_int_equal(grant.payload.keys[RD_GRANT_KEY_DRAW][0], 0x6b);
}

/* R1: sealed by somebody else, by a right replica of another KMS, or for a sibling. */
static void test_who_sealed(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f = fresh();
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *stranger = sample_key(0x55);
    rd_grant_check check = check_of(&f);
    answer_with(&f, stranger);
    assert_int_equal(open_with(&f, &check), RD_E_GRANT_SIGNATURE);
    certify(&f, stranger, &f.kms);
    answer_with(&f, f.replica);
    assert_int_equal(open_with(&f, &check), RD_E_GRANT_SIGNATURE);
    rd_kms_id other = f.kms;
    other.b[0] ^= 1;
    certify(&f, f.root, &other);
    answer_with(&f, f.replica);
    assert_int_equal(open_with(&f, &check), RD_E_GRANT_SIGNATURE);
    certify(&f, f.root, &f.kms);
    answer_with(&f, f.replica);
    assert_int_equal(open_with(&f, &check), RD_OK);
    check.now_us = SAMPLE_TIME;
    assert_int_equal(open_with(&f, &check), RD_E_GRANT_SIGNATURE);
    check = check_of(&f);
    check.request.kms.b[0] ^= 1;
    assert_int_equal(open_with(&f, &check), RD_E_KMS_UNKNOWN);
    check = check_of(&f);
    check.kms_genesis.size--;
    assert_int_equal(open_with(&f, &check), RD_E_KMS_UNKNOWN);
}

/* J7 : sealed for another exchange. */
static void test_other_statement_nonce_or_key(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f = fresh();
    RD_CLEANUP(fixture_done) fixture sibling = fresh();
    RD_CLEANUP(rd_secret_free_p) rd_secret *other_key = rd_secret_random(RD_X25519_SIZE);
    uint8_t other_nonce[32] = { 1 };
    rd_grant_check check = check_of(&f);
    check.request.statement = rd_buf_bytes(&sibling.statement);
    assert_int_equal(open_with(&f, &check), RD_E_GRANT_SIGNATURE);
    check = check_of(&f);
    check.request.nonce = other_nonce;
    assert_int_equal(open_with(&f, &check), RD_E_SEAL);
    check = check_of(&f);
    check.grant_key = other_key;
    assert_int_equal(open_with(&f, &check), RD_E_SEAL);
}

static void test_payload_of_another(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f = fresh();
    rd_grant_check check = check_of(&f);
    uint8_t *const members[] = { f.payload.app.b, f.payload.release.b, f.payload.head.b, f.payload.instance };
    for (size_t i = 0; i < RD_ARRAY_LEN(members); i++) {
        members[i][0] ^= 1;
        answer_with(&f, f.replica);
        assert_int_equal(open_with(&f, &check), RD_E_GRANT_MISMATCH);
        members[i][0] ^= 1;
    }
    f.payload.epoch++;
    answer_with(&f, f.replica);
    assert_int_equal(open_with(&f, &check), RD_E_GRANT_MISMATCH);
    f.payload.epoch--;
    f.payload.secrets_count = 1;
    answer_with(&f, f.replica);
    assert_int_equal(open_with(&f, &check), RD_E_SECRETS_INCOMPLETE);
    f.payload.secrets_count = 2;
    f.payload.secrets[1].version = 2;
    answer_with(&f, f.replica);
    assert_int_equal(open_with(&f, &check), RD_E_SECRETS_INCOMPLETE);
}

static void test_payload_form(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f = fresh();
    RD_CLEANUP(rd_buf_done) rd_buf again = { 0 };
    rd_grant_payload read;
    rd_err err = RD_ERR_INIT;
    rd_bytes bytes = rd_buf_bytes(&f.payload_bytes);
    assert_int_equal(rd_grant_payload_parse(bytes, &read, NULL), 0);
    assert_int_equal(rd_grant_payload_encode(&read, &again, NULL), 0);
    assert_true(rd_bytes_equal(bytes, rd_buf_bytes(&again)));
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(rd_grant_payload_parse(rd_bytes_of(bytes.data, size), &read, NULL), -1);
    (void)rd_buf_append_u8(&f.payload_bytes, 0);
    assert_int_equal(rd_grant_payload_parse(rd_buf_bytes(&f.payload_bytes), &read, &err), -1);
    assert_int_equal(err.code, RD_E_GRANT_FORMAT);
    f.payload.not_after_us = f.payload.not_before_us;
    answer_with(&f, f.replica);
    rd_grant_check check = check_of(&f);
    assert_int_equal(open_with(&f, &check), RD_E_GRANT_FORMAT);
}

static void test_answer_form(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f = fresh();
    rd_grant_answer answer;
    rd_bytes bytes = rd_buf_bytes(&f.answer);
    for (size_t size = 0; size + 2 < bytes.size; size++)
        assert_int_equal(rd_grant_answer_parse(rd_bytes_of(bytes.data, size), &answer, NULL), -1);
    for (size_t at = 0; at + 2 < bytes.size; at++) {
        rd_grant_check check = check_of(&f);
        f.answer.data[at] ^= 1;
        assert_int_not_equal(open_with(&f, &check), RD_OK);
        f.answer.data[at] ^= 1;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens),
        cmocka_unit_test(test_who_sealed),
        cmocka_unit_test(test_other_statement_nonce_or_key),
        cmocka_unit_test(test_payload_of_another),
        cmocka_unit_test(test_payload_form),
        cmocka_unit_test(test_answer_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
