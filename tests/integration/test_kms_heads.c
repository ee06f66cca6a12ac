// link: test_evidence rd_model
// needs: redoubt-kms
/* What a key service knows of an app's heads (R4, R32): what it has seen, it refuses less than. */
#include "tests/support/kms_world.h"

static kms_world *world;
static kms_app *app;

static int setup(void **state RD_UNUSED)
{
    world = world_new();
    kms_begin(world);
    app = app_new(world);
    return 0;
}

static int teardown(void **state RD_UNUSED)
{
    app_free(app);
    world_free(world);
    return 0;
}

static rd_code ask(void)
{
    RD_CLEANUP(asking_done) kms_asking asking = asking_of(world, app);
    return ask_grant(world, app, &asking, NULL);
}

/* A head as it was published. */
typedef struct published {
    rd_head head;
    rd_digest digest;
    rd_buf envelope;
} published;

static published published_now(void)
{
    published ret = { app->head, app->head_digest, { 0 } };
    (void)rd_buf_append_bytes(&ret.envelope, rd_buf_bytes(&app->head_envelope));
    return ret;
}

static void published_done(published *one)
{
    rd_buf_done(&one->envelope);
}

static void ask_under(const published *one)
{
    app->head = one->head;
    app->head_digest = one->digest;
    rd_buf_clear(&app->head_envelope);
    (void)rd_buf_append_bytes(&app->head_envelope, rd_buf_bytes(&one->envelope));
}

/* Upon `last`, with what `good` says. */
static void publish_again(const published *good, const published *last)
{
    app->head = good->head;
    app->head.seq = last->head.seq;
    app->head_digest = last->digest;
    next_head(app);
}

/* R4 */
static void test_older_head_and_fork(void **state RD_UNUSED)
{
    RD_CLEANUP(published_done) published old = published_now();
    app->head.not_before_us += 1000000;
    next_head(app);
    assert_int_equal(ask(), RD_OK);
    RD_CLEANUP(published_done) published newest = published_now();
    ask_under(&old);
    assert_int_equal(ask(), RD_E_HEAD_ROLLBACK);
    app->head = newest.head;
    app->head.not_before_us += 1000000;
    publish_head(app);
    assert_int_equal(ask(), RD_E_HEAD_FORK);
    ask_under(&newest);
    assert_int_equal(ask(), RD_OK);
}

static void name_other_kms(rd_head *head)
{
    head->kms[0].b[0] ^= 1;
}

static void list_other_release(rd_head *head)
{
    head->releases[0].b[0] ^= 1;
}

static void expire(rd_head *head)
{
    head->expires_us = (wall_us() / 1000000 - 1) * 1000000;
    head->has_expires = true;
}

static const struct {
    void (*change)(rd_head *head);
    rd_code code;
} withdrawals[] = {
    { name_other_kms, RD_E_KMS_SET },
    { list_other_release, RD_E_RELEASE_NOT_ALLOWED },
    { expire, RD_E_HEAD_TIME },
};

/* R4, R32: a head that the key service has seen ends what it withdraws, whether or not anybody fits it. */
static void test_withdrawn(void **state RD_UNUSED)
{
    assert_int_equal(ask(), RD_OK);
    for (size_t i = 0; i < RD_ARRAY_LEN(withdrawals); i++) {
        RD_CLEANUP(published_done) published good = published_now();
        withdrawals[i].change(&app->head);
        next_head(app);
        RD_CLEANUP(published_done) published last = published_now();
        assert_int_equal(ask(), withdrawals[i].code);
        ask_under(&good);
        assert_int_equal(ask(), RD_E_HEAD_ROLLBACK);
        restart(world, SIGKILL);
        assert_int_equal(ask(), RD_E_HEAD_ROLLBACK);
        publish_again(&good, &last);
        assert_int_equal(ask(), RD_OK);
    }
}

static rd_code ask_beside(const published *newest)
{
    RD_CLEANUP(asking_done) kms_asking asking = asking_of(world, app);
    asking.newest = rd_buf_bytes(&newest->envelope);
    return ask_grant(world, app, &asking, NULL);
}

/* The same when nobody asks under it, and the plane shows it beside the question. What is no head of the app yet, or
 * not its owners', ends nothing. */
static void test_newest_beside(void **state RD_UNUSED)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(withdrawals); i++) {
        RD_CLEANUP(published_done) published good = published_now();
        withdrawals[i].change(&app->head);
        next_head(app);
        RD_CLEANUP(published_done) published last = published_now();
        ask_under(&good);
        assert_int_equal(ask_beside(&good), RD_OK);
        assert_int_equal(ask_beside(&last), RD_E_HEAD_ROLLBACK);
        assert_int_equal(ask(), RD_E_HEAD_ROLLBACK);
        publish_again(&good, &last);
        assert_int_equal(ask(), RD_OK);
    }
    RD_CLEANUP(published_done) published now = published_now();
    app->head.not_before_us = wall_us() / 1000000 * 1000000 + INT64_C(3600000000);
    next_head(app);
    RD_CLEANUP(published_done) published future = published_now();
    ask_under(&now);
    assert_int_equal(ask_beside(&future), RD_OK);
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *owner = app->owner;
    app->owner = rd_signing_key_new();
    next_head(app);
    RD_CLEANUP(published_done) published foreign = published_now();
    (void)rd_signing_key_free(app->owner);
    app->owner = RD_TAKE(owner);
    ask_under(&now);
    assert_int_equal(ask_beside(&foreign), RD_E_SIGNATURE);
    assert_int_equal(ask(), RD_OK);
}

static void test_wrong_documents(void **state RD_UNUSED)
{
    /* Signed by somebody else. */
    rd_signing_key *owner = app->owner;
    app->owner = rd_signing_key_new();
    publish_head(app);
    assert_int_equal(ask(), RD_E_SIGNATURE);
    (void)rd_signing_key_free(app->owner);
    app->owner = owner;

    /* The genesis of another app. */
    publish_head(app);
    app->genesis.data[app->genesis.size / 2] ^= 1;
    assert_int_equal(ask(), RD_E_GENESIS_MISMATCH);
    app->genesis.data[app->genesis.size / 2] ^= 1;
    assert_int_equal(ask(), RD_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_older_head_and_fork),
        TEST(test_withdrawn),
        TEST(test_newest_beside),
        TEST(test_wrong_documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
