// link: test_evidence rd_model
// needs: redoubt-kms
/* R77: a head whose policy names a webhook gets a grant with the owner's answer to this very question, and without it a
 * refusal on record; another app beside it is none the worse. */
#include "common/model/webhook.h"
#include "tests/support/kms_world.h"

static kms_world *world;
static kms_app *app, *other;
static rd_signing_key *key;

static int setup(void **state RD_UNUSED)
{
    world = world_new();
    kms_begin(world);
    app = app_new(world);
    other = app_new(world);
    key = rd_signing_key_new();
    app->head.policy.webhook =
        (rd_webhook){ .is_set = true, .key = *rd_signing_key_public(key), .url = "https://grants.example/ask" };
    next_head(app);
    return 0;
}

static int teardown(void **state RD_UNUSED)
{
    key = rd_signing_key_free(key);
    app_free(app);
    app_free(other);
    world_free(world);
    return 0;
}

static void say_yes(kms_asking *asking, const rd_signing_key *with, const rd_kms_id *kms, uint32_t term_s)
{
    uint8_t answer[RD_WEBHOOK_ANSWER_SIZE];
    encode_asking(world, app, asking);
    MUST(rd_webhook_sign(with, kms, rd_buf_bytes(&asking->statement_bytes), term_s, answer, err));
    rd_buf_clear(&asking->webhook);
    (void)rd_buf_append(&asking->webhook, answer, sizeof answer);
}

static rd_code ask(const rd_signing_key *with, const rd_kms_id *kms)
{
    RD_CLEANUP(asking_done) kms_asking asking = asking_of(world, app);
    if (with)
        say_yes(&asking, with, kms, 0);
    return ask_grant(world, app, &asking, NULL);
}

static void test_the_owners_word(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *stranger = rd_signing_key_new();
    rd_kms_id elsewhere = world->id;
    elsewhere.b[0] ^= 1;
    assert_int_equal(ask(NULL, NULL), RD_E_WEBHOOK_REQUIRED); /* whoever carries it left it out */
    assert_int_equal(ask(stranger, &world->id), RD_E_WEBHOOK_ANSWER);
    assert_int_equal(ask(app->owner, &world->id), RD_E_WEBHOOK_ANSWER); /* the owner's own key is another */
    assert_int_equal(ask(key, &elsewhere), RD_E_WEBHOOK_ANSWER);
    assert_int_equal(ask(key, &world->id), RD_OK);
    RD_CLEANUP(asking_done) kms_asking beside = asking_of(world, other);
    assert_int_equal(ask_grant(world, other, &beside, NULL), RD_OK);
}

/* What was said to one start is said to no other, not even of the same instance. */
static void test_replayed(void **state RD_UNUSED)
{
    RD_CLEANUP(asking_done) kms_asking first = asking_of(world, app);
    say_yes(&first, key, &world->id, 0);
    assert_int_equal(ask_grant(world, app, &first, NULL), RD_OK);
    assert_int_equal(ask_grant(world, app, &first, NULL), RD_E_KMS_NONCE); /* the same message */
    RD_CLEANUP(asking_done) kms_asking again = asking_of(world, app);
    again.statement.instance = again.ticket.instance = first.statement.instance;
    again.statement.receipt_key = first.statement.receipt_key;
    (void)rd_buf_append_bytes(&again.webhook, rd_buf_bytes(&first.webhook));
    assert_int_equal(ask_grant(world, app, &again, NULL), RD_E_WEBHOOK_ANSWER);
    RD_CLEANUP(asking_done) kms_asking renewed = asking_of(world, app);
    renewed.statement.instance = renewed.ticket.instance = first.statement.instance;
    renewed.statement.receipt_key = first.statement.receipt_key;
    say_yes(&renewed, key, &world->id, 0);
    assert_int_equal(ask_grant(world, app, &renewed, NULL), RD_OK);
}

/* The owner's word may shorten what the head says, and lengthens nothing. */
static void test_terms(void **state RD_UNUSED)
{
    static const struct {
        uint32_t term_s, expected_s;
    } rows[] = { { 0, RD_HEAD_GRANT_S_DEFAULT }, { 300, 300 }, { 604800, RD_HEAD_GRANT_S_DEFAULT } };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        RD_CLEANUP(asking_done) kms_asking asking = asking_of(world, app);
        RD_CLEANUP(rd_grant_done) rd_grant grant = { .bytes = { 0 } };
        say_yes(&asking, key, &world->id, rows[i].term_s);
        assert_int_equal(ask_grant(world, app, &asking, &grant), RD_OK);
        assert_int_equal(grant.payload.not_after_us - grant.payload.not_before_us,
                         (int64_t)rows[i].expected_s * 1000000);
    }
}

/* Evidence is judged first: no word of the owner's makes up for it. */
static void test_evidence_comes_first(void **state RD_UNUSED)
{
    RD_CLEANUP(asking_done) kms_asking asking = asking_of(world, app);
    asking.mrtd = KMS_MRTD;
    say_yes(&asking, key, &world->id, 0);
    assert_int_equal(ask_grant(world, app, &asking, NULL), RD_E_MEASUREMENT);
    RD_CLEANUP(asking_done) kms_asking bare = asking_of(world, app);
    bare.mrtd = KMS_MRTD;
    assert_int_equal(ask_grant(world, app, &bare, NULL), RD_E_MEASUREMENT);
}

/* Who withdraws the webhook by a newer head is asked no more, and then nothing may come. */
static void test_withdrawn(void **state RD_UNUSED)
{
    app->head.policy.webhook = (rd_webhook){ .is_set = false };
    next_head(app);
    assert_int_equal(ask(key, &world->id), RD_E_WEBHOOK_ANSWER);
    assert_int_equal(ask(NULL, NULL), RD_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_owners_word),      cmocka_unit_test(test_replayed),  cmocka_unit_test(test_terms),
        cmocka_unit_test(test_evidence_comes_first), cmocka_unit_test(test_withdrawn),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
