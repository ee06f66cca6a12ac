/* An instance's end of its grant: what is taken and what not, when it is renewed, when it ends; whatever the agent, the
 * plane and the host's clock do. */
#include "tests/support/own_kms.h"

#include "common/model/head.h"
#include "enclave/runtime/grant.h"

#define SECOND 1000000
#define TERM   (INT64_C(3600) * SECOND)

static int64_t host_now;

static int64_t host_us(void)
{
    return host_now;
}

typedef struct fixture {
    own_kms kms;
    encl_platform *platform;
    encl_app app;
    rd_signing_key *receipt_key;
    encl_grant *grant;
    uint8_t nonces; /* drawn so far */
    own_grant what;
    uint64_t requests; /* so far */
    rd_buf statement;
} fixture;

static int setup(void **state)
{
    fixture *f = rd_alloc(sizeof *f);
    f->platform = encl_platform_skeleton_new();
    f->platform->host_us = host_us;
    host_now = encl_platform_build_floor_us() + 86400 * (int64_t)SECOND;
    own_kms_init(&f->kms, host_now + 10 * TERM);
    f->receipt_key = rd_signing_key_new();
    f->app = (encl_app){ .has_kms = true, .kms = f->kms.id, .head = { .known = { .seq = 3 } }, .secrets_count = 1 };
    memset(f->app.id.b, 0x11, sizeof f->app.id.b);
    memset(f->app.release.b, 0x22, sizeof f->app.release.b);
    memset(f->app.head.known.digest.b, 0x33, sizeof f->app.head.known.digest.b);
    (void)rd_buf_append_bytes(&f->app.kms_genesis, rd_buf_bytes(&f->kms.genesis));
    f->what = (own_grant){ .head_seq = 3,
                           .not_before_us = host_now,
                           .term_us = TERM,
                           .secrets_count = 1,
                           .secrets = { { .name = "TOKEN", .version = 2 } },
                           .values = { RD_BYTES_LIT("swordfish") } };
    rd_secrets_root(f->what.secrets, 1, &f->app.secrets_root);
    assert_int_equal(encl_grant_new(f->platform, &f->app, &f->grant, NULL), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    (void)encl_grant_free(f->grant);
    own_kms_done(&f->kms);
    (void)rd_signing_key_free(f->receipt_key);
    rd_buf_done(&f->app.kms_genesis);
    rd_buf_done(&f->statement);
    encl_platform_free(f->platform);
    free(f);
    return 0;
}

/* Asks at `now` over a fresh nonce, as the instance does. */
static void ask(fixture *f, int64_t now)
{
    rd_statement statement = { .purpose = RD_PURPOSE_GRANT,
                               .class = RD_CLASS_SIMULATED,
                               .has_app = true,
                               .has_release = true,
                               .has_head = true,
                               .has_instance = true,
                               .has_receipt_key = true,
                               .has_grant_key = true,
                               .app = f->app.id,
                               .release = f->app.release,
                               .head = f->app.head.known.digest,
                               .instance = { { 9 } },
                               .epoch = 4,
                               .receipt_key = *rd_signing_key_public(f->receipt_key),
                               .kms = { f->kms.id },
                               .kms_count = 1 };
    memset(statement.nonce, ++f->nonces, sizeof statement.nonce);
    memcpy(statement.grant_key, encl_grant_public(f->grant), sizeof statement.grant_key);
    rd_buf_clear(&f->statement);
    assert_int_equal(rd_statement_encode(&statement, &f->statement, NULL), 0);
    encl_grant_asked(f->grant, statement.nonce, f->app.head.known.seq, rd_buf_bytes(&f->statement), now, f->requests);
}

static rd_code take(fixture *f, const rd_buf *answer, int64_t now)
{
    rd_err err = RD_ERR_INIT;
    return encl_grant_take(f->grant, rd_buf_bytes(answer), now, &err) == 0 ? RD_OK : err.code;
}

/* Asks at one time and takes the answer at another. */
static rd_code exchange(fixture *f, int64_t asked, int64_t taken)
{
    RD_CLEANUP(rd_buf_done) rd_buf answer = { 0 };
    ask(f, asked);
    own_kms_grant(&f->kms, rd_buf_bytes(&f->statement), &f->what, &answer);
    return take(f, &answer, taken);
}

static void test_term(void **state)
{
    fixture *f = *state;
    assert_false(encl_grant_is_held(f->grant));
    assert_int_equal(encl_grant_end_us(f->grant), INT64_MAX);
    assert_null(encl_grant_key(f->grant, RD_GRANT_KEY_USER));
    assert_int_equal(exchange(f, 1000, 1000 + SECOND), RD_OK);
    assert_int_equal(encl_grant_renew_us(f->grant), 1000 + TERM / 3);
    assert_int_equal(encl_grant_end_us(f->grant), 1000 + TERM);
    assert_non_null(encl_grant_key(f->grant, RD_GRANT_KEY_USER));
    assert_false(encl_grant_has_ended(f->grant, 1000 + TERM - 1, UINT64_MAX - 1));

    /* A renewal counts from its own question. */
    assert_int_equal(exchange(f, TERM / 2, TERM / 2 + SECOND), RD_OK);
    assert_int_equal(encl_grant_end_us(f->grant), TERM / 2 + TERM);
}

/* R32: without a clock that the host cannot stop, requests end a grant. A third of them asks for the next; each grant
 * counts from its own question, so that one which was held back covers no more. */
static void test_requests(void **state)
{
    fixture *f = *state;
    f->what.requests_max = 900;
    f->requests = 100;
    assert_int_equal(exchange(f, 0, 0), RD_OK);
    assert_false(encl_grant_is_due(f->grant, 0, 399));
    assert_true(encl_grant_is_due(f->grant, 0, 400));
    encl_grant_wished(f->grant, 0, 400);
    assert_false(encl_grant_is_due(f->grant, 0, 474));
    assert_true(encl_grant_is_due(f->grant, 0, 475)); /* nobody answered: after an eighth of what is left */
    assert_false(encl_grant_has_ended(f->grant, 0, 999));
    assert_true(encl_grant_has_ended(f->grant, 0, 1000));
    assert_int_equal(encl_grant_left(f->grant, 999), 1);
    assert_int_equal(encl_grant_left(f->grant, 2000), 0);

    RD_CLEANUP(rd_buf_done) rd_buf held_back = { 0 };
    f->requests = 500;
    ask(f, 0);
    own_kms_grant(&f->kms, rd_buf_bytes(&f->statement), &f->what, &held_back);
    assert_int_equal(take(f, &held_back, 0), RD_OK); /* at 990 requests, say */
    assert_false(encl_grant_has_ended(f->grant, 0, 1399));
    assert_true(encl_grant_has_ended(f->grant, 0, 1400));

    /* To the last request wishes go on, and then no more of them. */
    unsigned wishes = 0;
    for (uint64_t requests = 990; requests < 1400; requests++)
        if (encl_grant_is_due(f->grant, 0, requests)) {
            encl_grant_wished(f->grant, 0, requests);
            wishes++;
        }
    assert_in_range(wishes, 8, 50);
    assert_int_equal(encl_grant_end_us(f->grant), TERM);

    f->what.requests_max = UINT64_MAX; /* as good as none */
    assert_int_equal(exchange(f, 0, 0), RD_OK);
    assert_false(encl_grant_has_ended(f->grant, 0, UINT64_MAX - 1));
    assert_int_equal(encl_grant_left(f->grant, 5), UINT64_MAX);
}

/* R32: an agent that keeps a grant for later gains no time by it, and one that keeps renewals away does not move the
 * end: wishes go on, each after an eighth of what is left, never closer than ten seconds. */
static void test_held_back(void **state)
{
    fixture *f = *state;
    assert_int_equal(exchange(f, 0, TERM - SECOND), RD_OK);
    assert_int_equal(encl_grant_end_us(f->grant), TERM);
    assert_int_equal(exchange(f, SECOND, SECOND + TERM), RD_E_GRANT_EXPIRED);
    assert_int_equal(encl_grant_end_us(f->grant), TERM);
    int64_t now = TERM / 3;
    for (int wishes = 0; now < TERM; wishes++) {
        assert_true(wishes < 100);
        encl_grant_wished(f->grant, now, 0);
        assert_true(encl_grant_renew_us(f->grant) >= now + 10 * SECOND);
        now = encl_grant_renew_us(f->grant);
        assert_int_equal(encl_grant_end_us(f->grant), TERM);
    }
}

/* R32: terms that no head may name. */
static void test_terms_refused(void **state)
{
    fixture *f = *state;
    f->what.term_us = (int64_t)RD_HEAD_GRANT_S_MAX * SECOND + 1;
    assert_int_equal(exchange(f, 0, 0), RD_E_GRANT_MISMATCH);
    assert_false(encl_grant_is_held(f->grant));
    f->what.term_us = (int64_t)RD_HEAD_GRANT_S_MAX * SECOND;
    assert_int_equal(exchange(f, 0, 0), RD_OK);
}

/* A grant answers one question: nothing that was recorded is taken again. */
static void test_replay(void **state)
{
    fixture *f = *state;
    RD_CLEANUP(rd_buf_done) rd_buf first = { 0 };
    assert_int_equal(take(f, &first, 0), RD_E_CONTROL_ORDER);
    ask(f, 0);
    own_kms_grant(&f->kms, rd_buf_bytes(&f->statement), &f->what, &first);
    assert_int_equal(take(f, &first, 0), RD_OK);
    assert_int_equal(take(f, &first, SECOND), RD_E_CONTROL_ORDER);
    ask(f, TERM / 3);
    assert_int_equal(take(f, &first, TERM / 3), RD_E_GRANT_SIGNATURE);
    assert_int_equal(encl_grant_end_us(f->grant), TERM);
}

/* R1: right in all but one thing. */
static void test_foreign(void **state)
{
    fixture *f = *state;
    RD_CLEANUP(rd_buf_done) rd_buf siblings = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf strangers = { 0 };
    fixture *sibling = NULL;
    (void)setup((void **)&sibling);
    ask(sibling, 0);
    ask(f, 0);
    own_kms_grant(&f->kms, rd_buf_bytes(&sibling->statement), &f->what, &siblings);
    assert_int_equal(take(f, &siblings, 0), RD_E_GRANT_SIGNATURE);
    own_kms_grant(&sibling->kms, rd_buf_bytes(&f->statement), &f->what, &strangers);
    assert_int_equal(take(f, &strangers, 0), RD_E_GRANT_SIGNATURE);
    (void)teardown((void **)&sibling);
    assert_false(encl_grant_is_held(f->grant));
}

/* R4: a grant under a head that the instance does not run under, or with a set of secrets that is not the head's. */
static void test_older(void **state)
{
    fixture *f = *state;
    f->what.head_seq = 2;
    assert_int_equal(exchange(f, 0, 0), RD_E_GRANT_MISMATCH);
    f->what.head_seq = 3;
    f->what.secrets[0].version = 1;
    assert_int_equal(exchange(f, 0, 0), RD_E_SECRETS_INCOMPLETE);
    f->what.secrets_count = 0;
    assert_int_equal(exchange(f, 0, 0), RD_E_SECRETS_INCOMPLETE);
    assert_false(encl_grant_is_held(f->grant));
}

/* Cut anywhere, nothing of it counts; whole, it still does. */
static void test_truncated(void **state)
{
    fixture *f = *state;
    RD_CLEANUP(rd_buf_done) rd_buf answer = { 0 };
    ask(f, 0);
    own_kms_grant(&f->kms, rd_buf_bytes(&f->statement), &f->what, &answer);
    for (size_t size = 0; size + RD_BYTES_LIT("{}").size < answer.size; size++) {
        const rd_buf part = { .data = answer.data, .size = size };
        assert_int_not_equal(take(f, &part, 0), RD_OK);
        assert_false(encl_grant_is_held(f->grant));
    }
    assert_int_equal(take(f, &answer, 0), RD_OK);
}

/* R16: the host's clock two years back, stopped or ahead moves neither the end nor what is in date. */
static void test_clock(void **state)
{
    fixture *f = *state;
    const int64_t year = INT64_C(365) * 86400 * SECOND, good = host_now;
    own_kms_certify(&f->kms, good + 60 * (int64_t)SECOND);
    assert_int_equal(exchange(f, 0, 0), RD_OK);
    host_now = good - 2 * year;
    assert_int_equal(exchange(f, TERM / 2, TERM / 2), RD_OK);
    assert_int_equal(encl_grant_end_us(f->grant), TERM / 2 + TERM);

    /* Once the certificate's end has been seen, no earlier clock brings it back. */
    host_now = good + 61 * (int64_t)SECOND;
    assert_int_equal(exchange(f, TERM, TERM), RD_E_GRANT_SIGNATURE);
    host_now = good - 2 * year;
    assert_int_equal(exchange(f, TERM, TERM), RD_E_GRANT_SIGNATURE);
    assert_int_equal(encl_grant_end_us(f->grant), TERM / 2 + TERM);

    /* The key service's own time counts as well. */
    host_now = good + 61 * (int64_t)SECOND;
    own_kms_certify(&f->kms, good + 2 * year);
    f->what.not_before_us = good + year;
    assert_int_equal(exchange(f, TERM, TERM), RD_OK);
    assert_true(encl_platform_time_us(f->platform) >= good + year);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_term),  TEST(test_held_back), TEST(test_terms_refused), TEST(test_replay),   TEST(test_foreign),
        TEST(test_older), TEST(test_truncated), TEST(test_clock),         TEST(test_requests),
    };
    return cmocka_run_group_tests_name("grant", tests, NULL, NULL);
}
