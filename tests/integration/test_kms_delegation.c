// link: test_evidence rd_model
// needs: redoubt-kms
/* R10, R4: the key service and heads of a key that the owner delegated to: within the owner's own last word, upon the
 * newest of it, to the delegation's end, also after it was killed in between. */
#include "common/model/delegation.h"
#include "tests/support/kms_world.h"

static kms_world *world;
static kms_app *app;
static rd_signing_key *helper;

static int setup(void **state RD_UNUSED)
{
    world = world_new();
    kms_begin(world);
    app = app_new(world);
    helper = rd_signing_key_new();
    return 0;
}

static int teardown(void **state RD_UNUSED)
{
    helper = rd_signing_key_free(helper);
    app_free(app);
    world_free(world);
    return 0;
}

static rd_code ask(void)
{
    RD_CLEANUP(asking_done) kms_asking asking = asking_of(world, app);
    return ask_grant(world, app, &asking, NULL);
}

/* When the grant ends that is given now. */
static int64_t ask_until(void)
{
    RD_CLEANUP(asking_done) kms_asking asking = asking_of(world, app);
    RD_CLEANUP(rd_grant_done) rd_grant grant = { .bytes = { 0 } };
    assert_int_equal(ask_grant(world, app, &asking, &grant), RD_OK);
    return grant.payload.not_after_us;
}

static rd_delegation delegation_until(int64_t not_after_us)
{
    return (rd_delegation){ .app = app->id,
                            .key = *rd_signing_key_public(helper),
                            .may = RD_MAY_ALL,
                            .class = app->head.class,
                            .not_after_us = not_after_us };
}

/* The next head, signed by the helper upon base, until the delegation's end. */
static void next_delegated(const rd_delegation *delegation, const rd_buf *base)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf given = { 0 };
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope = { 0 };
    rd_signing_key *owner = app->owner;
    app->head.has_expires = true;
    app->head.expires_us = delegation->not_after_us;
    app->owner = helper;
    next_head(app);
    app->owner = owner;
    MUST(rd_delegation_encode(delegation, &text, err));
    sign_document(&text, owner, RD_SIGN_DELEGATION, &given);
    MUST(rd_envelope_parse(rd_buf_bytes(&app->head_envelope), &envelope, err));
    (void)rd_buf_append_bytes(&envelope.signatures[0].delegation, rd_buf_bytes(&given));
    (void)rd_buf_append_bytes(&envelope.signatures[0].base, rd_buf_bytes(base));
    rd_buf_clear(&app->head_envelope);
    MUST(rd_envelope_encode(&envelope, &app->head_envelope, err));
}

static void keep(rd_buf *ret)
{
    rd_buf_clear(ret);
    (void)rd_buf_append_bytes(ret, rd_buf_bytes(&app->head_envelope));
}

static int64_t in_seconds(int64_t seconds)
{
    return (wall_us() / 1000000 + seconds) * 1000000;
}

static void test_within_the_owners_word(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf base = { 0 };
    const rd_delegation delegation = delegation_until(in_seconds(3600));
    keep(&base);
    next_delegated(&delegation, &base);
    assert_int_equal(ask_until(), delegation.not_after_us); /* not for the whole term */

    const rd_head good = app->head;
    const rd_digest good_digest = app->head_digest;
    app->head.policy.max_collateral_age_s++;
    next_delegated(&delegation, &base);
    assert_int_equal(ask(), RD_E_DELEGATION);
    app->head = good;
    app->head_digest = good_digest;
    app->head.grant_s = RD_HEAD_GRANT_S_MAX;
    next_delegated(&delegation, &base);
    assert_int_equal(ask(), RD_E_DELEGATION);
    app->head = good;
    app->head_digest = good_digest;
    const rd_delegation over = delegation_until(in_seconds(-1));
    next_delegated(&over, &base);
    assert_int_equal(ask(), RD_E_HEAD_TIME);
}

static void test_owners_word_is_the_newest(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf first = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf second = { 0 };
    const rd_delegation delegation = delegation_until(in_seconds(3600));
    keep(&first);
    next_delegated(&delegation, &first);
    assert_int_equal(ask(), RD_OK);

    app->head.has_expires = false;
    app->head.policy.max_collateral_age_s--;
    next_head(app);
    keep(&second);
    assert_int_equal(ask(), RD_OK);

    /* What the owner withdrew comes back under a newer number. */
    const rd_head owners = app->head;
    const rd_digest owners_digest = app->head_digest;
    app->head.policy.max_collateral_age_s++;
    next_delegated(&delegation, &first);
    assert_int_equal(ask(), RD_E_HEAD_ROLLBACK);

    app->head = owners;
    app->head_digest = owners_digest;
    next_delegated(&delegation, &second);
    assert_int_equal(ask(), RD_OK);

    /* The same after a kill: which head of the owner was seen is durable, beneath a delegated one too. */
    kms_end(world, SIGKILL);
    kms_begin(world);
    app->head.policy.max_collateral_age_s++;
    next_delegated(&delegation, &first);
    assert_int_equal(ask(), RD_E_HEAD_ROLLBACK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_within_the_owners_word, setup, teardown),
        cmocka_unit_test_setup_teardown(test_owners_word_is_the_newest, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
