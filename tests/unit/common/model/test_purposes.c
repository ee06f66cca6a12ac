/* R14: every signed object is offered to every other verifier: a signature or text made for one purpose serves no
 * other. */
#include "common/model/delegation.h"
#include "tests/unit/common/model/samples.h"

enum { GENESIS, RELEASE, HEAD, POLICY, STATEMENT, EVIDENCE, CLAIMS, ROOT, DELEGATION, KINDS };

static int parse_genesis(rd_bytes bytes, rd_err *err)
{
    rd_genesis genesis;
    return rd_genesis_parse(bytes, &genesis, err);
}

static int parse_release(rd_bytes bytes, rd_err *err)
{
    rd_release release = { 0 };
    int outcome = rd_release_parse(bytes, &release, err);
    rd_release_done(&release);
    return outcome;
}

static int parse_head(rd_bytes bytes, rd_err *err)
{
    rd_head head;
    return rd_head_parse(bytes, &head, err);
}

static int parse_policy(rd_bytes bytes, rd_err *err)
{
    rd_policy policy;
    return rd_policy_parse(bytes, &policy, err);
}

static int parse_statement(rd_bytes bytes, rd_err *err)
{
    rd_statement statement;
    return rd_statement_parse(bytes, &statement, err);
}

static int parse_evidence(rd_bytes bytes, rd_err *err)
{
    rd_evidence evidence;
    int outcome = rd_evidence_parse(bytes, &evidence, err);
    rd_evidence_done(&evidence);
    return outcome;
}

static int parse_claims(rd_bytes bytes, rd_err *err)
{
    rd_receipt_claims claims;
    return rd_receipt_claims_parse(bytes, &claims, err);
}

static int parse_root(rd_bytes bytes, rd_err *err)
{
    rd_receipt_root root;
    return rd_receipt_root_parse(bytes, &root, err);
}

static int parse_delegation(rd_bytes bytes, rd_err *err)
{
    rd_delegation delegation;
    return rd_delegation_parse(bytes, &delegation, err);
}

static int (*const parsers[KINDS])(rd_bytes bytes, rd_err *err) = { parse_genesis, parse_release,   parse_head,
                                                                    parse_policy,  parse_statement, parse_evidence,
                                                                    parse_claims,  parse_root,      parse_delegation };
static const char *const names[KINDS] = { "genesis",  "release", "head", "policy",    "statement",
                                          "evidence", "claims",  "root", "delegation" };

static void make_documents(rd_buf documents[KINDS])
{
    rd_genesis genesis = sample_genesis(1, 1);
    rd_head head = sample_head();
    rd_statement statement = sample_statement(RD_PURPOSE_STATUS);
    rd_receipt_claims claims = sample_claims();
    rd_receipt_root root = { .first = 1, .count = 1 };
    rd_release release;
    sample_release(&release);
    assert_int_equal(rd_genesis_encode(&genesis, &documents[GENESIS], NULL), 0);
    assert_int_equal(rd_release_encode(&release, &documents[RELEASE], NULL), 0);
    assert_int_equal(rd_head_encode(&head, &documents[HEAD], NULL), 0);
    assert_int_equal(rd_policy_encode(&head.policy, &documents[POLICY], NULL), 0);
    assert_int_equal(rd_statement_encode(&statement, &documents[STATEMENT], NULL), 0);
    assert_int_equal(rd_evidence_encode(RD_BYTES_LIT("quote"), rd_buf_bytes(&documents[STATEMENT]), NULL, NULL,
                                        &documents[EVIDENCE], NULL),
                     0);
    assert_true(rd_receipt_claims_encode(&claims, &documents[CLAIMS]));
    assert_true(rd_receipt_root_encode(&root, &documents[ROOT]));
    rd_delegation delegation = {
        .app = sample_app(), .key = sample_public_key(2), .may = RD_MAY_ALL, .class = RD_CLASS_SIMULATED
    };
    assert_int_equal(rd_delegation_encode(&delegation, &documents[DELEGATION], NULL), 0);
    rd_release_done(&release);
}

static void free_documents(rd_buf documents[KINDS])
{
    for (int i = 0; i < KINDS; i++)
        rd_buf_done(&documents[i]);
}

static void test_every_text_to_every_parser(void **state RD_UNUSED)
{
    rd_buf documents[KINDS] = { 0 };
    make_documents(documents);
    for (int made = 0; made < KINDS; made++) {
        for (int asked = 0; asked < KINDS; asked++) {
            rd_err err = RD_ERR_INIT;
            int outcome = parsers[asked](rd_buf_bytes(&documents[made]), &err);
            if (outcome != (made == asked ? 0 : -1))
                fail_msg("%s as %s", names[made], names[asked]);
            if (made != asked && err.code != RD_E_PURPOSE)
                fail_msg("%s as %s: %s", names[made], names[asked], rd_code_describe(err.code)->name);
        }
    }
    free_documents(documents);
}

/* Each document under each signing label: only a release signed as one, and a head signed as one, are accepted. */
static void test_every_label_to_every_verifier(void **state RD_UNUSED)
{
    rd_buf documents[KINDS] = { 0 };
    rd_genesis genesis = sample_genesis(1, 1);
    rd_app_id app = sample_app();
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *key = sample_key(1);
    make_documents(documents);
    for (int kind = 0; kind < KINDS; kind++) {
        for (int label = 0; label < RD_SIGN_LABEL_COUNT; label++) {
            RD_CLEANUP(rd_envelope_done) rd_envelope envelope;
            rd_err release_err = RD_ERR_INIT;
            rd_err head_err = RD_ERR_INIT;
            rd_release release;
            rd_head head;
            rd_head_check check = { .genesis = &genesis, .app = &app };
            rd_envelope_init(&envelope, rd_buf_bytes(&documents[kind]));
            assert_int_equal(rd_envelope_sign(&envelope, key, (rd_sign_label)label, NULL), 0);
            if (rd_release_accept(&envelope, &genesis, &app, &release, NULL, &release_err) == 0)
                rd_release_done(&release);
            (void)!rd_head_accept(&envelope, &check, &head, NULL, &head_err);
            rd_code release_want = label != RD_SIGN_RELEASE ? RD_E_SIGNATURE : kind != RELEASE ? RD_E_PURPOSE : RD_OK;
            rd_code head_want = label != RD_SIGN_HEAD ? RD_E_SIGNATURE : kind != HEAD ? RD_E_PURPOSE : RD_OK;
            if (release_err.code != release_want || head_err.code != head_want)
                fail_msg("%s signed as %s: as release %s, as head %s", names[kind],
                         rd_sign_label_text((rd_sign_label)label), rd_code_describe(release_err.code)->name,
                         rd_code_describe(head_err.code)->name);
        }
    }
    free_documents(documents);
}

/* The digest of a text under one purpose is none under another. */
static void test_digests_differ_by_purpose(void **state RD_UNUSED)
{
    rd_bytes text = RD_BYTES_LIT("{}");
    rd_digest digests[6];
    rd_app_id app;
    rd_release_digest(text, &digests[0]);
    rd_head_digest(text, &digests[1]);
    rd_statement_digest(text, &digests[2]);
    rd_receipt_root_chain(text, &digests[3]);
    rd_tree_leaf(text, &digests[4]);
    rd_genesis_app_id(text, &app);
    memcpy(digests[5].b, app.b, 32);
    for (size_t i = 0; i < RD_ARRAY_LEN(digests); i++)
        for (size_t k = 0; k < i; k++)
            assert_false(rd_digest_equal(&digests[i], &digests[k]));
}

/* A receipt's JWS is no owner's signature and the other way round. */
static void test_receipts_and_envelopes(void **state RD_UNUSED)
{
    rd_genesis genesis = sample_genesis(1, 1);
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *key = sample_key(1);
    RD_CLEANUP(rd_receipt_signer_free_p) rd_receipt_signer *signer = rd_receipt_signer_new(key);
    RD_CLEANUP(rd_buf_done) rd_buf header = { 0 };
    RD_CLEANUP(rd_receipt_done) rd_receipt receipt;
    rd_receipt_claims claims = sample_claims();
    rd_buf *out[1] = { &header };
    assert_int_equal(rd_receipt_sign_burst(signer, &claims, 1, out, NULL), 0);
    assert_int_equal(rd_receipt_parse_header(rd_buf_text(&header), header.size, &receipt, NULL), 0);
    for (int label = 0; label < RD_SIGN_LABEL_COUNT; label++) {
        RD_CLEANUP(rd_envelope_done) rd_envelope envelope;
        rd_envelope_init(&envelope, rd_buf_bytes(&receipt.payload));
        envelope.signatures[0] = (rd_envelope_signature){ *rd_signing_key_public(key), receipt.signature };
        envelope.signatures_count = 1;
        assert_int_equal(rd_envelope_verify(&envelope, &genesis, (rd_sign_label)label, NULL), -1);
        rd_signature framed;
        assert_int_equal(rd_sign(key, (rd_sign_label)label, rd_buf_bytes(&receipt.payload), &framed, NULL), 0);
        receipt.signature = framed;
        rd_receipt_expect expect = { .key = rd_signing_key_public(key) };
        rd_err err = RD_ERR_INIT;
        assert_int_equal(rd_receipt_verify(&receipt, &expect, NULL, &err), -1);
        assert_int_equal(err.code, RD_E_SIGNATURE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_text_to_every_parser),
        cmocka_unit_test(test_every_label_to_every_verifier),
        cmocka_unit_test(test_digests_differ_by_purpose),
        cmocka_unit_test(test_receipts_and_envelopes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
