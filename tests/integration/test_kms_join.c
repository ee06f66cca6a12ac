// link: test_evidence rd_model
// needs: redoubt-kms
/* Two replicas of one key service, each on its own simulated machine: how the second gets the root, what it then gives,
 * and what a hostile carrier, or a stranger in either place, does not get. */
#include "tests/support/kms_replicas.h"

static kms_world *first, *second;
static char second_platform[65], kms_text[RD_KMS_ID_TEXT_SIZE];

/* The first makes a genesis that lists both machines; the second waits. */
static int setup(void **state RD_UNUSED)
{
    first = world_new();
    second = world_beside(first);
    learn_platform(second, second_platform);
    first->extra[0] = "--platform";
    first->extra[1] = second_platform;
    kms_begin(first);
    rd_kms_id_format(&first->id, kms_text);
    wait_for_root(second, kms_text);
    return 0;
}

static int teardown(void **state RD_UNUSED)
{
    world_free(second);
    world_free(first);
    return 0;
}

/* --- the messages, one by one --- */

typedef struct joining {
    rd_buf nonce, admitted, evidence, root;
    rd_buf said; /* what the newcomer put on record with its root */
} joining;

static void joining_done(joining *j)
{
    rd_buf_done(&j->nonce);
    rd_buf_done(&j->admitted);
    rd_buf_done(&j->evidence);
    rd_buf_done(&j->root);
    rd_buf_done(&j->said);
}

static rd_code begin(joining *j)
{
    rd_buf_clear(&j->nonce);
    rd_buf_clear(&j->admitted);
    rd_code code = kms_exchange(second, RD_KMS_JOIN_NONCE, RD_BYTES_NULL, &j->nonce);
    return code != RD_OK ? code : kms_exchange(first, RD_KMS_ADMIT, rd_buf_bytes(&j->nonce), &j->admitted);
}

static rd_code prove_with(joining *j, rd_bytes genesis)
{
    RD_CLEANUP(rd_buf_done) rd_buf message = { 0 };
    const rd_kms_join_message what = { .genesis = genesis,
                                       .nonce = rd_bytes_of(j->admitted.data, 32),
                                       .evidence = rd_bytes_of(j->admitted.data + 32, j->admitted.size - 32) };
    MUST(rd_kms_join_message_encode(&what, &message, err));
    rd_buf_clear(&j->evidence);
    return kms_exchange(second, RD_KMS_JOIN, rd_buf_bytes(&message), &j->evidence);
}

static rd_code prove(joining *j)
{
    return prove_with(j, rd_buf_bytes(&first->genesis));
}

static rd_code fetch_root(joining *j)
{
    rd_buf_clear(&j->root);
    return kms_exchange(first, RD_KMS_ROOT, rd_buf_bytes(&j->evidence), &j->root);
}

static rd_code give_root(joining *j)
{
    RD_CLEANUP(rd_buf_done) rd_buf answer = { 0 };
    rd_code code = kms_exchange(second, RD_KMS_JOINED, rd_buf_bytes(&j->root), &answer);
    rd_buf_clear(&j->said);
    second->id = first->id;
    if (code == RD_OK)
        read_records(second, &first->parsed, rd_buf_bytes(&answer), &j->said);
    return code;
}

static void join_all(void)
{
    RD_CLEANUP(joining_done) joining j = { .nonce = { 0 } };
    assert_int_equal(begin(&j), RD_OK);
    assert_int_equal(prove(&j), RD_OK);
    assert_int_equal(fetch_root(&j), RD_OK);
    assert_int_equal(give_root(&j), RD_OK);
}

/* --- what is given --- */

static void test_either_gives(void **state RD_UNUSED)
{
    kms_app *app = app_new(first);
    RD_CLEANUP(asking_done) kms_asking before = asking_of(first, app);
    RD_CLEANUP(rd_grant_done) rd_grant ours = { .bytes = { 0 } };
    RD_CLEANUP(rd_grant_done) rd_grant theirs = { .bytes = { 0 } };
    assert_int_equal(ask_grant(first, app, &before, &ours), RD_OK);
    join_all();
    start_with_root(second);
    assert_true(rd_bytes_equal(rd_buf_bytes(&first->genesis), rd_buf_bytes(&second->genesis)));
    kms_end(first, SIGKILL); /* for good */
    RD_CLEANUP(asking_done) kms_asking after = asking_of(second, app);
    assert_int_equal(ask_grant(second, app, &after, &theirs), RD_OK);
    assert_memory_equal(ours.payload.keys, theirs.payload.keys, sizeof ours.payload.keys);
    assert_true(rd_bytes_equal(theirs.payload.values[0], RD_BYTES_LIT("hunter2")));
    /* A replica of its own: its key, its chain of records. */
    assert_false(rd_public_key_equal(&first->replica, &second->replica));
    assert_int_equal(theirs.payload.record, 2);

    /* And after a restart. */
    kms_end(second, SIGKILL);
    kms_must_start(second);
    send_collateral(second);
    RD_CLEANUP(asking_done) kms_asking again = asking_of(second, app);
    assert_int_equal(ask_grant(second, app, &again, NULL), RD_OK);
    app_free(app);
}

/* Heads that the first has seen are known to the second from its first day. */
static void test_memory_goes_over(void **state RD_UNUSED)
{
    kms_app *app = app_new(first);
    RD_CLEANUP(rd_buf_done) rd_buf old_envelope = { 0 };
    rd_head old = app->head;
    rd_digest old_digest = app->head_digest;
    (void)rd_buf_append_bytes(&old_envelope, rd_buf_bytes(&app->head_envelope));
    next_head(app);
    RD_CLEANUP(asking_done) kms_asking asking = asking_of(first, app);
    assert_int_equal(ask_grant(first, app, &asking, NULL), RD_OK);
    join_all();
    start_with_root(second);
    app->head = old;
    app->head_digest = old_digest;
    rd_buf_clear(&app->head_envelope);
    (void)rd_buf_append_bytes(&app->head_envelope, rd_buf_bytes(&old_envelope));
    RD_CLEANUP(asking_done) kms_asking older = asking_of(second, app);
    assert_int_equal(ask_grant(second, app, &older, NULL), RD_E_HEAD_ROLLBACK);
    app_free(app);
}

/* The join stands in the chain of the one that admitted: the next record follows it. */
static void test_record_of_a_join(void **state RD_UNUSED)
{
    kms_app *app = app_new(first);
    RD_CLEANUP(asking_done) kms_asking one = asking_of(first, app);
    RD_CLEANUP(asking_done) kms_asking two = asking_of(first, app);
    RD_CLEANUP(rd_grant_done) rd_grant before = { .bytes = { 0 } };
    RD_CLEANUP(rd_grant_done) rd_grant after = { .bytes = { 0 } };
    assert_int_equal(ask_grant(first, app, &one, &before), RD_OK);
    join_all();
    assert_int_equal(ask_grant(first, app, &two, &after), RD_OK);
    assert_int_equal(after.payload.record, before.payload.record + 2);
    app_free(app);
}

/* --- what is refused --- */

static void test_each_message_counts_once(void **state RD_UNUSED)
{
    RD_CLEANUP(joining_done) joining j = { .nonce = { 0 } };
    RD_CLEANUP(rd_buf_done) rd_buf answer = { 0 };
    assert_int_equal(begin(&j), RD_OK);
    assert_int_equal(prove(&j), RD_OK);
    assert_int_equal(prove(&j), RD_E_KMS_NONCE);
    assert_int_equal(begin(&j), RD_OK);
    assert_int_equal(prove(&j), RD_OK);
    assert_int_equal(fetch_root(&j), RD_OK);
    assert_int_equal(fetch_root(&j), RD_E_KMS_NONCE);
    rd_kms_refusal refusal; /* nothing had begun: nothing was judged, and nothing stands on record */
    MUST(rd_kms_refusal_parse(rd_buf_bytes(&j.root), &refusal, err));
    assert_int_equal(refusal.record.size, 0);
    assert_int_equal(begin(&j), RD_OK); /* one root on its way was for evidence that is past */
    rd_buf stale = RD_TAKE(j.root);
    assert_int_equal(prove(&j), RD_OK);
    assert_int_equal(fetch_root(&j), RD_OK);
    rd_buf fresh = RD_TAKE(j.root);
    j.root = stale;
    assert_int_equal(give_root(&j), RD_E_KMS_JOIN);
    rd_buf_done(&j.root);
    j.root = fresh;
    for (size_t at = 0; at < j.root.size; at += j.root.size / 7) {
        j.root.data[at] ^= 1;
        assert_int_equal(give_root(&j), RD_E_KMS_JOIN);
        j.root.data[at] ^= 1;
    }
    assert_int_equal(give_root(&j), RD_OK);
    /* The newcomer's chain begins with what it refused: the stale root, and the spoiled ones. */
    assert_true(second->record_number >= 8 && second->record_number <= 10);
    for (const char *at = rd_buf_text(&j.said); *at; at += strlen("refusal:kms_join "))
        assert_memory_equal(at, "refusal:kms_join ", strlen("refusal:kms_join "));
    assert_int_not_equal(kms_exchange(second, RD_KMS_JOIN_NONCE, RD_BYTES_NULL, &answer), RD_OK);
}

/* I7 : neither can be handed its own evidence back, nor evidence for another question. */
static void test_reflections(void **state RD_UNUSED)
{
    RD_CLEANUP(joining_done) joining j = { .nonce = { 0 } };
    RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
    assert_int_equal(begin(&j), RD_OK);
    rd_buf_clear(&j.evidence); /* the admitting one's own, as a newcomer's */
    (void)rd_buf_append(&j.evidence, j.admitted.data + 32, j.admitted.size - 32);
    assert_int_equal(fetch_root(&j), RD_E_PURPOSE);
    assert_int_equal(begin(&j), RD_OK);
    assert_int_equal(kms_exchange(first, RD_KMS_EVIDENCE, rd_bytes_of(j.admitted.data, 32), &bundle), RD_OK);
    rd_buf_clear(&j.evidence);
    (void)rd_buf_append_bytes(&j.evidence, rd_buf_bytes(&bundle));
    assert_int_equal(fetch_root(&j), RD_E_PURPOSE);
    /* Evidence that was right, once. */
    assert_int_equal(begin(&j), RD_OK);
    assert_int_equal(prove(&j), RD_OK);
    assert_int_equal(kms_exchange(first, RD_KMS_ADMIT, rd_buf_bytes(&j.nonce), &bundle), RD_OK);
    assert_int_equal(fetch_root(&j), RD_E_NONCE);
    /* The genesis of somebody else. */
    assert_int_equal(begin(&j), RD_OK);
    first->genesis.data[first->genesis.size / 2] ^= 1;
    assert_int_equal(prove(&j), RD_E_KMS_UNKNOWN);
    first->genesis.data[first->genesis.size / 2] ^= 1;
    assert_int_equal(begin(&j), RD_OK);
    j.admitted.data[0] ^= 1; /* another nonce than the one that admits had given */
    assert_int_equal(prove(&j), RD_OK);
    assert_int_equal(fetch_root(&j), RD_E_NONCE);
}

/* R3: genuine in all but the machine. */
static void test_machine_of_no_genesis(void **state RD_UNUSED)
{
    kms_world *stranger = world_beside(first), *listed = second;
    wait_for_root(stranger, kms_text);
    second = stranger;
    RD_CLEANUP(joining_done) joining j = { .nonce = { 0 } };
    assert_int_equal(begin(&j), RD_OK);
    assert_int_equal(prove(&j), RD_OK);
    assert_int_equal(fetch_root(&j), RD_E_KMS_PLATFORM);
    assert_int_equal(j.root.size > 0, 1); /* the refusal, with its record */
    rd_kms_refusal refusal;
    rd_kms_record record;
    MUST(rd_kms_refusal_parse(rd_buf_bytes(&j.root), &refusal, err));
    follow_record(first, refusal.record, &record);
    assert_int_equal(record.kind, RD_KMS_RECORD_REFUSAL);
    assert_string_equal(record.reason, "kms_platform");
    world_free(stranger);
    second = listed;
    join_all();
}

/* R57: the front of a replica that sits, taken over, joins nobody: what it can have quoted is of another register. */
static void test_who_has_the_root_gets_none(void **state RD_UNUSED)
{
    kms_world *const machines[] = { first, second };
    for (size_t i = 0; i < RD_ARRAY_LEN(machines); i++) {
        RD_CLEANUP(joining_done) joining j = { .nonce = { 0 } };
        assert_int_equal(begin(&j), RD_OK);
        kms_register launched = { .mrtd = KMS_MRTD };
        rd_kms_launch_header(&first->id, false, launched.header);
        make_up(machines[i], &launched, &first->id, RD_PURPOSE_JOIN, j.admitted.data, &j.evidence);
        assert_int_equal(fetch_root(&j), RD_E_EVENTLOG);
        assert_int_equal(begin(&j), RD_OK);
        launched.mrtd = 0x34;
        rd_kms_launch_header(&first->id, true, launched.header);
        make_up(machines[i], &launched, &first->id, RD_PURPOSE_JOIN, j.admitted.data, &j.evidence);
        assert_int_equal(fetch_root(&j), RD_E_MEASUREMENT);
    }
}

/* R40: a join is judged by no older collateral than a grant was. */
static void test_older_collateral_joins_nobody(void **state RD_UNUSED)
{
    kms_app *app = app_new(first);
    RD_CLEANUP(rd_buf_done) rd_buf old = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf answer = { 0 };
    MUST(agent_sim_read(first->pki, "collateral.json", &old, err));
    MUST(agent_sim_pki_refresh(first->pki, false, wall_us(), err));
    send_collateral(first);
    RD_CLEANUP(asking_done) kms_asking asking = asking_of(first, app);
    assert_int_equal(ask_grant(first, app, &asking, NULL), RD_OK);
    kms_end(first, SIGKILL);
    assert_true(kms_start_as(first, KMS_MRTD));
    assert_int_equal(kms_exchange(first, RD_KMS_COLLATERAL, rd_buf_bytes(&old), &answer), RD_OK);
    RD_CLEANUP(joining_done) joining j = { .nonce = { 0 } };
    assert_int_equal(begin(&j), RD_OK);
    assert_int_equal(prove(&j), RD_OK);
    assert_int_equal(fetch_root(&j), RD_E_CRL_ROLLBACK);
    send_collateral(first);
    join_all();
    app_free(app);
}

/* Another build on a machine of the genesis. */
static void test_build_of_no_genesis(void **state RD_UNUSED)
{
    kms_end(second, SIGTERM);
    wait_for_root_as(second, kms_text, 0x34);
    RD_CLEANUP(joining_done) joining j = { .nonce = { 0 } };
    assert_int_equal(begin(&j), RD_OK);
    assert_int_equal(prove(&j), RD_E_KMS_BUILD); /* its own judge says so */
}

static void test_who_waits_answers_nothing_else(void **state RD_UNUSED)
{
    static const uint8_t zeros[40];
    static const struct {
        uint8_t type;
        size_t size;
    } rows[] = { { RD_KMS_NONCE, 2 },  { RD_KMS_EVIDENCE, 32 }, { RD_KMS_SEAL_KEY, 40 }, { RD_KMS_GRANT, 24 },
                 { RD_KMS_ADMIT, 32 }, { RD_KMS_ROOT, 8 },      { RD_KMS_GENESIS, 0 } };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        RD_CLEANUP(rd_buf_done) rd_buf answer = { 0 };
        assert_int_equal(kms_exchange(second, rows[i].type, rd_bytes_of(zeros, rows[i].size), &answer), RD_E_KMS_WAITS);
    }
    RD_CLEANUP(rd_buf_done) rd_buf answer = { 0 };
    assert_int_equal(kms_exchange(second, RD_KMS_JOINED, RD_BYTES_ARRAY(zeros), &answer), RD_E_KMS_JOIN);
    RD_CLEANUP(rd_buf_done) rd_buf other = { 0 };
    assert_int_equal(kms_exchange(first, RD_KMS_JOIN_NONCE, RD_BYTES_NULL, &other), RD_E_KMS_JOIN);
}

/* A join that was cut off left nothing: the next start waits again. A later start without the option is the same key
 * service; with another id it is refused; further machines do not come into a genesis. */
static void test_starts(void **state RD_UNUSED)
{
    RD_CLEANUP(joining_done) joining j = { .nonce = { 0 } };
    assert_int_equal(begin(&j), RD_OK);
    assert_int_equal(prove(&j), RD_OK);
    kms_end(second, SIGKILL);
    wait_for_root(second, kms_text);
    join_all();
    start_with_root(second);
    kms_end(second, SIGTERM);
    char other[RD_KMS_ID_TEXT_SIZE];
    rd_kms_id wrong = first->id;
    wrong.b[0] ^= 1;
    rd_kms_id_format(&wrong, other);
    second->extra[1] = other;
    assert_false(kms_start_as(second, KMS_MRTD));
    assert_non_null(strstr(second->process.why, "another key service"));
    kms_end(second, SIGTERM);
    second->extra[0] = "--platform";
    second->extra[1] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    assert_false(kms_start_as(second, KMS_MRTD));
    assert_non_null(strstr(second->process.why, "never changes"));
    kms_end(second, SIGTERM);
    second->extra[0] = NULL;
    kms_must_start(second);
    assert_true(read_genesis(second));
}

/* The folder of the first is lost: it joins the second, as the second had joined it. */
static void test_the_first_comes_back(void **state RD_UNUSED)
{
    kms_app *app = app_new(first);
    RD_CLEANUP(asking_done) kms_asking before = asking_of(first, app);
    RD_CLEANUP(rd_grant_done) rd_grant ours = { .bytes = { 0 } };
    RD_CLEANUP(rd_grant_done) rd_grant theirs = { .bytes = { 0 } };
    assert_int_equal(ask_grant(first, app, &before, &ours), RD_OK);
    join_all();
    start_with_root(second);
    kms_end(first, SIGKILL);
    lose_folder(first);
    kms_world *lost = first;
    first = second;
    second = lost;
    wait_for_root(second, kms_text);
    join_all();
    start_with_root(second);
    second->record_number = 0;
    RD_CLEANUP(asking_done) kms_asking after = asking_of(second, app);
    assert_int_equal(ask_grant(second, app, &after, &theirs), RD_OK);
    assert_memory_equal(ours.payload.keys, theirs.payload.keys, sizeof ours.payload.keys);
    app_free(app);
    second = first;
    first = lost;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_either_gives),
        TEST(test_memory_goes_over),
        TEST(test_record_of_a_join),
        TEST(test_each_message_counts_once),
        TEST(test_reflections),
        TEST(test_machine_of_no_genesis),
        TEST(test_build_of_no_genesis),
        TEST(test_who_has_the_root_gets_none),
        TEST(test_older_collateral_joins_nobody),
        TEST(test_who_waits_answers_nothing_else),
        TEST(test_starts),
        TEST(test_the_first_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
