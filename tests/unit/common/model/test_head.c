#include "common/model/head.h"

#include "tests/unit/common/model/samples.h"

static int parse(rd_bytes bytes, rd_err *err)
{
    rd_head head;
    return rd_head_parse(bytes, &head, err);
}

static void make(const rd_head *head, rd_buf *out)
{
    rd_buf_clear(out);
    assert_int_equal(rd_head_encode(head, out, NULL), 0);
}

#define D1 "\"sha256:1111111111111111111111111111111111111111111111111111111111111111\""
#define D2 "\"sha256:2222222222222222222222222222222222222222222222222222222222222222\""

#define KMS "\"kms_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""

static const spoil rows[] = {
    { "unknown member", "/extra", "1", RD_E_JSON_UNKNOWN },
    { "other type", "/type", "\"redoubt/release/v1\"", RD_E_PURPOSE },
    { "app missing", "/app", NULL, RD_E_JSON_MISSING },
    { "app malformed", "/app", "\"dep_aaaaaaaaaaaaaaaaaaaaaaaaaa\"", RD_E_ID_FORMAT },
    { "seq 0", "/seq", "0", RD_E_JSON_RANGE },
    { "seq missing", "/seq", NULL, RD_E_JSON_MISSING },
    { "seq a string", "/seq", "\"2\"", RD_E_JSON_TYPE },
    { "seq largest (ok)", "/seq", "9007199254740991", RD_OK },
    { "seq 1 with prev", "/seq", "1", RD_E_HEAD_CHAIN },
    { "seq 2 without prev", "/prev", "null", RD_E_HEAD_CHAIN },
    { "prev missing", "/prev", NULL, RD_E_JSON_MISSING },
    { "prev malformed", "/prev", "\"sha256:11\"", RD_E_ENCODING },
    { "class missing", "/class", NULL, RD_E_JSON_MISSING },
    { "class unknown", "/class", "\"real\"", RD_E_JSON_RANGE },
    { "class empty", "/class", "\"\"", RD_E_JSON_RANGE },
    { "class hardware under a simulated policy", "/class", "\"hardware\"", RD_E_CLASS_MISMATCH },
    { "releases missing", "/releases", NULL, RD_E_JSON_MISSING },
    { "no releases (ok)", "/releases", "[]", RD_OK },
    { "a release twice", "/releases", "[" D1 "," D2 "," D1 "]", RD_E_JSON_RANGE },
    { "release a number", "/releases", "[1]", RD_E_JSON_TYPE },
    { "policy missing", "/policy", NULL, RD_E_JSON_MISSING },
    { "policy null", "/policy", "null", RD_E_JSON_TYPE },
    { "policy of hardware under class simulated", "/policy/simulated", "false", RD_E_CLASS_MISMATCH },
    { "policy with more", "/policy/x", "1", RD_E_JSON_UNKNOWN },
    { "policy accepts revoked", "/policy/tcb", "[\"Revoked\"]", RD_E_POLICY_UNSAFE },
    { "secrets missing", "/secrets", NULL, RD_E_JSON_MISSING },
    { "secrets count 1 without a KMS", "/secrets/count", "1", RD_E_JSON_RANGE },
    { "secrets count 65", "/secrets/count", "65", RD_E_JSON_RANGE },
    { "secrets count false", "/secrets/count", "false", RD_E_JSON_TYPE },
    { "secrets root of others", "/secrets/root", D1, RD_E_JSON_RANGE },
    { "kms (ok)", "/kms", "[" KMS "]", RD_OK },
    { "kms malformed", "/kms", "[\"kms_x\"]", RD_E_ID_FORMAT },
    { "kms an app", "/kms", "[\"app_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]", RD_E_ID_FORMAT },
    { "two kms", "/kms", "[" KMS "," KMS "]", RD_E_UNSUPPORTED },
    { "kms null", "/kms", "null", RD_E_JSON_TYPE },
    { "kms missing", "/kms", NULL, RD_E_JSON_MISSING },
    { "limits with an entry", "/limits/requests", "1", RD_E_JSON_UNKNOWN },
    { "grant_s without a KMS", "/limits/grant_s", "21600", RD_E_JSON_RANGE },
    { "grant_s too short", "/limits/grant_s", "299", RD_E_JSON_RANGE },
    { "grant_s too long", "/limits/grant_s", "604801", RD_E_JSON_RANGE },
    { "grant_requests without a KMS", "/limits/grant_requests", "1000", RD_E_JSON_RANGE },
    { "limits missing", "/limits", NULL, RD_E_JSON_MISSING },
    { "not_before missing", "/not_before", NULL, RD_E_JSON_MISSING },
    { "not_before null", "/not_before", "null", RD_E_JSON_TYPE },
    { "not_before no time", "/not_before", "\"yesterday\"", RD_E_ENCODING },
    { "not_before with an offset", "/not_before", "\"2026-01-01T00:00:00+00:00\"", RD_E_ENCODING },
    { "not_before in lower case", "/not_before", "\"2026-01-01t00:00:00z\"", RD_E_ENCODING },
    { "not_before on a day that is none", "/not_before", "\"2026-02-30T00:00:00Z\"", RD_E_ENCODING },
    { "not_before a number", "/not_before", "0", RD_E_JSON_TYPE },
    { "expires null (ok)", "/expires", "null", RD_OK },
    { "expires missing", "/expires", NULL, RD_E_JSON_MISSING },
    { "expires before it begins", "/expires", "\"2020-01-01T00:00:00Z\"", RD_E_JSON_RANGE },
};

static void test_spoiled(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    rd_head head = sample_head();
    make(&head, &document);
    run_spoils(rd_buf_bytes(&document), parse, rows, RD_ARRAY_LEN(rows));
    run_form_spoils(rd_buf_bytes(&document), parse);
}

static void test_bounds_of_releases(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf one_more = { 0 };
    rd_head head = sample_head();
    rd_head again;
    head.releases_count = RD_HEAD_RELEASES_MAX;
    for (size_t i = 0; i < RD_HEAD_RELEASES_MAX; i++)
        head.releases[i] = sample_digest((uint8_t)(i + 50));
    make(&head, &document);
    assert_int_equal(rd_head_parse(rd_buf_bytes(&document), &again, NULL), 0);
    assert_int_equal(again.releases_count, RD_HEAD_RELEASES_MAX);
    assert_true(rd_head_lists(&again, &head.releases[63]));
    rd_digest other = sample_digest(1);
    assert_false(rd_head_lists(&again, &other));
    spoil_document(rd_buf_bytes(&document), "/releases/64", D1, &one_more);
    assert_int_equal(parse(rd_buf_bytes(&one_more), NULL), -1);
}

static void test_round_trip(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf again = { 0 };
    rd_head head = sample_head();
    rd_head read;
    for (int is_first = 0; is_first < 2; is_first++) {
        head.seq = is_first ? 1 : 2;
        head.has_prev = !is_first;
        head.has_expires = !is_first;
        make(&head, &document);
        assert_int_equal(rd_head_parse(rd_buf_bytes(&document), &read, NULL), 0);
        make(&read, &again);
        assert_true(rd_bytes_equal(rd_buf_bytes(&document), rd_buf_bytes(&again)));
    }
}

/* The same document with a KMS: then there may be secrets and a term. */
static const spoil kms_rows[] = {
    { "no kms under secrets", "/kms", "[]", RD_E_JSON_RANGE },
    { "count 64 (ok)", "/secrets/count", "64", RD_OK },
    { "root of an empty set under count 0", "/secrets/count", "0", RD_E_JSON_RANGE },
    { "root missing", "/secrets/root", NULL, RD_E_JSON_MISSING },
    { "grant_s left out (ok)", "/limits/grant_s", NULL, RD_OK },
    { "grant_s shortest (ok)", "/limits/grant_s", "300", RD_OK },
    { "grant_s longest (ok)", "/limits/grant_s", "604800", RD_OK },
    { "grant_s text", "/limits/grant_s", "\"300\"", RD_E_JSON_TYPE },
    { "grant_requests left out (ok)", "/limits/grant_requests", NULL, RD_OK },
    { "grant_requests fewest (ok)", "/limits/grant_requests", "100", RD_OK },
    { "grant_requests most (ok)", "/limits/grant_requests", "1000000000000", RD_OK },
    { "grant_requests too few", "/limits/grant_requests", "99", RD_E_JSON_RANGE },
    { "grant_requests none", "/limits/grant_requests", "0", RD_E_JSON_RANGE },
    { "grant_requests too many", "/limits/grant_requests", "1000000000001", RD_E_JSON_RANGE },
};

static void test_kms_and_secrets(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf again = { 0 };
    rd_head head = sample_head();
    rd_head read;
    head.kms_count = 1;
    head.kms[0].b[3] = 7;
    head.secrets_count = 2;
    head.secrets_root = sample_digest(9);
    assert_int_equal(rd_head_grant_s(&head), RD_HEAD_GRANT_S_DEFAULT);
    assert_int_equal(rd_head_grant_requests(&head, false), RD_HEAD_GRANT_REQUESTS_DEFAULT);
    assert_int_equal(rd_head_grant_requests(&head, true), 0);
    head.grant_s = 600;
    head.grant_requests = 5000;
    make(&head, &document);
    assert_int_equal(rd_head_parse(rd_buf_bytes(&document), &read, NULL), 0);
    make(&read, &again);
    assert_true(rd_bytes_equal(rd_buf_bytes(&document), rd_buf_bytes(&again)));
    assert_int_equal(read.kms_count, 1);
    assert_true(rd_kms_id_equal(&read.kms[0], &head.kms[0]));
    assert_int_equal(read.secrets_count, 2);
    assert_true(rd_digest_equal(&read.secrets_root, &head.secrets_root));
    assert_int_equal(rd_head_grant_s(&read), 600);
    assert_int_equal(rd_head_grant_requests(&read, false), 5000);
    assert_int_equal(rd_head_grant_requests(&read, true), 5000);
    run_spoils(rd_buf_bytes(&document), parse, kms_rows, RD_ARRAY_LEN(kms_rows));
}

/* Heads of one app, all signed well: what is accepted depends on what is known. */
enum { FIRST, SECOND, SECOND_OTHER, THIRD, THIRD_OF_OTHER, FIFTH, HEADS };

typedef struct chain {
    rd_envelope envelopes[HEADS];
    rd_digest digests[HEADS];
    uint64_t seqs[HEADS];
} chain;

static void sign_head(const rd_head *head, rd_envelope *ret, rd_digest *ret_digest)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *key = sample_key(1);
    make(head, &document);
    rd_envelope_init(ret, rd_buf_bytes(&document));
    assert_int_equal(rd_envelope_sign(ret, key, RD_SIGN_HEAD, NULL), 0);
    rd_head_digest(rd_buf_bytes(&document), ret_digest);
}

static void make_chain(chain *made)
{
    static const struct {
        uint64_t seq;
        int prev;
    } plan[HEADS] = { { 1, -1 }, { 2, FIRST }, { 2, FIRST }, { 3, SECOND }, { 3, SECOND_OTHER }, { 5, THIRD } };
    for (int i = 0; i < HEADS; i++) {
        rd_head head = sample_head();
        head.seq = made->seqs[i] = plan[i].seq;
        head.has_prev = plan[i].prev >= 0;
        if (head.has_prev)
            head.prev = made->digests[plan[i].prev];
        if (i == SECOND_OTHER)
            head.releases_count = 1;
        sign_head(&head, &made->envelopes[i], &made->digests[i]);
    }
}

static void free_chain(chain *made)
{
    for (int i = 0; i < HEADS; i++)
        rd_envelope_done(&made->envelopes[i]);
}

static const struct {
    const char *name;
    int known, offered; /* known -1: none */
    bool is_next_demanded;
    rd_code want;
} chain_rows[] = {
    { "the first, nothing known", -1, FIRST, false, RD_OK },
    { "the first, next demanded", -1, FIRST, true, RD_OK },
    { "the second, nothing known", -1, SECOND, false, RD_OK },
    { "the second, nothing known, next demanded", -1, SECOND, true, RD_E_HEAD_CHAIN },
    { "the next", FIRST, SECOND, true, RD_OK },
    { "the other next", FIRST, SECOND_OTHER, true, RD_OK },
    { "the same again", SECOND, SECOND, false, RD_OK },
    { "the same again, next demanded", SECOND, SECOND, true, RD_OK },
    { "an older one", SECOND, FIRST, false, RD_E_HEAD_ROLLBACK },
    { "an older one, next demanded", SECOND, FIRST, true, RD_E_HEAD_ROLLBACK },
    { "much older", FIFTH, FIRST, false, RD_E_HEAD_ROLLBACK },
    { "another of the same number", SECOND, SECOND_OTHER, false, RD_E_HEAD_FORK },
    { "another of the same number, next demanded", SECOND, SECOND_OTHER, true, RD_E_HEAD_FORK },
    { "next of another", SECOND, THIRD_OF_OTHER, false, RD_E_HEAD_CHAIN },
    { "next of another, next demanded", SECOND, THIRD_OF_OTHER, true, RD_E_HEAD_CHAIN },
    { "one left out", FIRST, THIRD, false, RD_OK },
    { "one left out, next demanded", FIRST, THIRD, true, RD_E_HEAD_CHAIN },
    { "two left out, next demanded", SECOND, FIFTH, true, RD_E_HEAD_CHAIN },
};

static void test_chain(void **state RD_UNUSED)
{
    chain made;
    rd_genesis genesis = sample_genesis(1, 1);
    rd_app_id app = sample_app();
    make_chain(&made);
    for (size_t i = 0; i < RD_ARRAY_LEN(chain_rows); i++) {
        rd_head_known known = { 0 };
        rd_head_check check = { .genesis = &genesis,
                                .app = &app,
                                .known = chain_rows[i].known < 0 ? NULL : &known,
                                .is_next_demanded = chain_rows[i].is_next_demanded };
        if (chain_rows[i].known >= 0)
            known = (rd_head_known){ made.seqs[chain_rows[i].known], made.digests[chain_rows[i].known] };
        rd_head head;
        rd_digest digest;
        rd_err err = RD_ERR_INIT;
        (void)!rd_head_accept(&made.envelopes[chain_rows[i].offered], &check, &head, &digest, &err);
        if (err.code != chain_rows[i].want)
            fail_msg("%s: %s", chain_rows[i].name, rd_code_describe(err.code)->name);
        if (err.code == RD_OK)
            assert_true(rd_digest_equal(&digest, &made.digests[chain_rows[i].offered]));
    }
    free_chain(&made);
}

static void test_time_window(void **state RD_UNUSED)
{
    static const struct {
        const char *name;
        int64_t now;
        rd_code want;
    } times[] = {
        { "long before", 0, RD_E_HEAD_TIME },
        { "just before", SAMPLE_TIME - 1, RD_E_HEAD_TIME },
        { "first moment", SAMPLE_TIME, RD_OK },
        { "last moment", SAMPLE_TIME + 999999, RD_OK },
        { "expired", SAMPLE_TIME + 1000000, RD_E_HEAD_TIME },
        { "long expired", INT64_MAX, RD_E_HEAD_TIME },
    };
    rd_head head = sample_head();
    rd_genesis genesis = sample_genesis(1, 1);
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope;
    rd_digest digest;
    sign_head(&head, &envelope, &digest);
    for (size_t i = 0; i < RD_ARRAY_LEN(times); i++) {
        rd_head_check check = { .genesis = &genesis, .app = &head.app, .now_us = &times[i].now };
        rd_head read;
        rd_err err = RD_ERR_INIT;
        (void)!rd_head_accept(&envelope, &check, &read, NULL, &err);
        if (err.code != times[i].want)
            fail_msg("%s: %s", times[i].name, rd_code_describe(err.code)->name);
    }
}

static void test_other_app_class_and_signer(void **state RD_UNUSED)
{
    rd_head head = sample_head();
    rd_genesis genesis = sample_genesis(1, 1);
    rd_genesis stranger = sample_genesis(2, 1);
    stranger.owners[0] = stranger.owners[1];
    stranger.owners_count = 1;
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope;
    rd_digest digest;
    rd_head read;
    rd_err err = RD_ERR_INIT;
    sign_head(&head, &envelope, &digest);
    rd_app_id other = head.app;
    other.b[31] ^= 1;
    rd_class hardware = RD_CLASS_HARDWARE;
    rd_class simulated = RD_CLASS_SIMULATED;
    rd_head_check check = { .genesis = &genesis, .app = &head.app, .class = &simulated };
    assert_int_equal(rd_head_accept(&envelope, &check, &read, NULL, &err), 0);
    check.class = &hardware;
    assert_int_equal(rd_head_accept(&envelope, &check, &read, NULL, &err), -1);
    assert_int_equal(err.code, RD_E_CLASS_MISMATCH);
    check.app = &other;
    assert_int_equal(rd_head_accept(&envelope, &check, &read, NULL, &err), -1);
    assert_int_equal(err.code, RD_E_GENESIS_MISMATCH);
    check.genesis = &stranger;
    assert_int_equal(rd_head_accept(&envelope, &check, &read, NULL, &err), -1);
    assert_int_equal(err.code, RD_E_SIGNATURE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spoiled),
        cmocka_unit_test(test_bounds_of_releases),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_kms_and_secrets),
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_time_window),
        cmocka_unit_test(test_other_app_class_and_signer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
