// link: cli_core test_evidence rd_model
// needs: redoubt-kms
/* All replicas are lost with their folders: two of three holders bring the root back, on another machine of the
 * genesis; what is no share, or not enough of them, brings nothing, and a holder gives his to nobody else. */
#include "tests/support/kms_replicas.h"

#include "cli/kms.h"
#include "common/model/kms_share.h"

#define HOLDERS    3
#define OTHER_MRTD 0x44 /* on the holder's list, not in the genesis */

static kms_world *first, *second;
static rd_secret *keys[HOLDERS];
static char key_texts[HOLDERS][44], second_platform[65], kms_text[RD_KMS_ID_TEXT_SIZE];
static rd_buf plain[HOLDERS]; /* each holder's share, opened by its key */
static rd_buf said;           /* what stood on record when the root had come */
static rd_grant before;
static kms_app *app;

static void begin_with_recovery(kms_world *world)
{
    size_t at = 0;
    for (size_t i = 0; i < HOLDERS; i++) {
        world->extra[at++] = "--recovery-key";
        world->extra[at++] = key_texts[i];
    }
    world->extra[at++] = "--recovery-threshold";
    world->extra[at++] = "2";
    world->extra[at++] = "--platform";
    world->extra[at++] = second_platform;
    kms_begin(world);
}

/* What every holder has: the file of the folder, and a key. */
static void open_shares(const kms_world *world, rd_buf out[HOLDERS])
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    MUST(agent_sim_read(world->kms_dir, "recovery.json", &text, err));
    json_t *document = json_loadb((const char *)text.data, text.size, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(document, "shares")), HOLDERS);
    for (size_t i = 0; i < HOLDERS; i++) {
        uint8_t sealed[RD_KMS_SHARE_SEALED_SIZE];
        rd_buf_clear(&out[i]);
        MUST(rd_json_b64(json_array_get(json_object_get(document, "shares"), i), "", sealed, sizeof sealed, err));
        MUST(rd_kms_share_open(keys[i], &world->id, RD_BYTES_ARRAY(sealed), &out[i], err));
    }
    json_decref(document);
}

static int begin_group(void **state RD_UNUSED)
{
    first = world_new();
    second = world_beside(first);
    for (size_t i = 0; i < HOLDERS; i++) {
        uint8_t public_key[32];
        keys[i] = rd_secret_random(32);
        rd_x25519_public(keys[i], public_key);
        rd_base64url_encode(RD_BYTES_ARRAY(public_key), key_texts[i]);
    }
    learn_platform(second, second_platform);
    begin_with_recovery(first);
    rd_kms_id_format(&first->id, kms_text);
    assert_int_equal(first->parsed.recovery_count, HOLDERS);
    assert_int_equal(first->parsed.recovery_threshold, 2);
    app = app_new(first);
    RD_CLEANUP(asking_done) kms_asking asking = asking_of(first, app);
    assert_int_equal(ask_grant(first, app, &asking, &before), RD_OK);
    open_shares(first, plain);
    kms_end(first, SIGKILL);
    lose_folder(first);
    return 0;
}

/* All is lost, and the second waits. */
static int setup(void **state RD_UNUSED)
{
    kms_end(second, SIGKILL);
    lose_folder(second);
    second->record_number = 0;
    second->id = first->id;
    wait_for_root(second, kms_text);
    return 0;
}

static int end_group(void **state RD_UNUSED)
{
    app_free(app);
    rd_grant_done(&before);
    rd_buf_done(&said);
    for (size_t i = 0; i < HOLDERS; i++) {
        rd_buf_wipe(&plain[i]);
        keys[i] = rd_secret_free(keys[i]);
    }
    world_free(second);
    world_free(first);
    return 0;
}

/* --- a holder --- */

/* Appends the evidence that the replica gives over a nonce of the holder's. */
static rd_code ask_evidence(rd_bytes genesis, const uint8_t nonce[32], rd_buf *ret)
{
    RD_CLEANUP(rd_buf_done) rd_buf question = { 0 };
    rd_buf_append(&question, nonce, 32);
    rd_buf_append_bytes(&question, genesis);
    return kms_exchange(second, RD_KMS_RECOVER, rd_buf_bytes(&question), ret);
}

/* As redoubt kms recover judges it, on a machine whose profile lists both builds. */
static rd_code judge(const rd_buf *bundle, const uint8_t nonce[32], uint8_t ret_key[32])
{
    RD_CLEANUP(rd_free_p) cli_profile *profile = rd_alloc(sizeof *profile);
    RD_CLEANUP(rd_free_p) rd_attest_report *report = rd_alloc(sizeof *report);
    RD_CLEANUP(rd_json_free_p) json_t *steps = json_array();
    RD_CLEANUP(cli_collateral_done) cli_collateral collateral;
    rd_err why = RD_ERR_INIT;
    cli_context context = { .profile = profile, .clock = rd_clock_system() };
    const cli_kms kms = { .id = first->id, .genesis = first->parsed };
    cli_collateral_init(&collateral);
    MUST(agent_sim_read(first->pki, "collateral.json", &collateral.json, err));
    memcpy(profile->simulation_roots[profile->simulation_root_count++], first->sim_root, 32);
    memset(profile->kms_measurements[profile->kms_measurement_count++], '3', 96);
    memset(profile->kms_measurements[profile->kms_measurement_count++], '4', 96);
    if (cli_kms_check(&context, &kms, rd_buf_bytes(bundle), &collateral, RD_PURPOSE_JOIN, nonce, steps, report, &why) <
        0)
        return why.code;
    memcpy(ret_key, report->statement.grant_key, 32);
    return RD_OK;
}

static rd_code recover_with(rd_bytes genesis, uint8_t ret_key[32])
{
    uint8_t nonce[32];
    RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
    rd_random_bytes(nonce, sizeof nonce);
    rd_code code = ask_evidence(genesis, nonce, &bundle);
    return code == RD_OK ? judge(&bundle, nonce, ret_key) : code;
}

static rd_code send_share(rd_bytes sealed, uint8_t *ret_given)
{
    RD_CLEANUP(rd_buf_done) rd_buf answer = { 0 };
    rd_code code = kms_exchange(second, RD_KMS_SHARE, sealed, &answer);
    if (code == RD_OK) {
        assert_int_equal(answer.data[1], 2);
        *ret_given = answer.data[0];
        assert_int_equal(answer.size > 2, *ret_given == 2);
        rd_buf_clear(&said);
        read_records(second, &first->parsed, rd_bytes_of(answer.data + 2, answer.size - 2), &said);
    }
    return code;
}

/* Even to a replica that the holder's judge would refuse: what it makes of it is asked here. */
static rd_code give(rd_bytes share, uint8_t *ret_given)
{
    uint8_t nonce[32] = { 7 };
    RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    RD_CLEANUP(rd_evidence_done) rd_evidence evidence = { 0 };
    assert_int_equal(ask_evidence(rd_buf_bytes(&first->genesis), nonce, &bundle), RD_OK);
    MUST(rd_evidence_parse(rd_buf_bytes(&bundle), &evidence, err));
    MUST(rd_kms_share_seal(evidence.statement.grant_key, &first->id, share, &sealed, err));
    return send_share(rd_buf_bytes(&sealed), ret_given);
}

static void check_recovered(void)
{
    RD_CLEANUP(rd_grant_done) rd_grant after = { .bytes = { 0 } };
    assert_true(rd_bytes_equal(rd_buf_bytes(&first->genesis), rd_buf_bytes(&second->genesis)));
    RD_CLEANUP(asking_done) kms_asking asking = asking_of(second, app);
    assert_int_equal(ask_grant(second, app, &asking, &after), RD_OK);
    assert_memory_equal(before.payload.keys, after.payload.keys, sizeof after.payload.keys);
    assert_true(rd_bytes_equal(after.payload.values[0], RD_BYTES_LIT("hunter2")));
}

/* --- tests --- */

static void test_two_of_three(void **state RD_UNUSED)
{
    for (size_t left_out = 0; left_out < HOLDERS; left_out++) {
        uint8_t given = 0;
        for (size_t i = 0, count = 0; i < HOLDERS; i++) {
            if (i == left_out)
                continue;
            assert_int_equal(give(rd_buf_bytes(&plain[i]), &given), RD_OK);
            assert_int_equal(given, ++count);
        }
        assert_string_equal(rd_buf_text(&said), "recovery ");
        assert_int_equal(second->record_number, 1);
        start_with_root(second); /* record 2 */
        check_recovered();
        assert_int_equal(second->record_number, 3);
        kms_end(second, SIGKILL);
        lose_folder(second);
        wait_for_root(second, kms_text);
    }
}

/* One share is not enough, twice the same is not two, and a restart begins anew. */
/* R58: less than the threshold is nothing. */
/* J11 : fewer than it takes; below: wrong ones, one twice, those of another key service. */
static void test_fewer(void **state RD_UNUSED)
{
    uint8_t given = 0;
    RD_CLEANUP(rd_buf_done) rd_buf answer = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf other = { 0 };
    const uint8_t zeros[RD_KMS_SHARE_SEALED_SIZE] = { 0 };
    assert_int_equal(kms_exchange(second, RD_KMS_SHARE, RD_BYTES_ARRAY(zeros), &answer), RD_E_RECOVERY);
    assert_int_equal(give(rd_buf_bytes(&plain[1]), &given), RD_OK);
    assert_int_equal(given, 1);
    assert_int_equal(give(rd_buf_bytes(&plain[1]), &given), RD_OK); /* its answer may have been lost */
    assert_int_equal(given, 1);
    assert_int_equal(kms_exchange(second, RD_KMS_GENESIS, RD_BYTES_NULL, &other), RD_E_KMS_WAITS);
    kms_end(second, SIGKILL);
    wait_for_root(second, kms_text);
    assert_int_equal(give(rd_buf_bytes(&plain[2]), &given), RD_OK);
    assert_int_equal(given, 1);
    assert_int_equal(give(rd_buf_bytes(&plain[1]), &given), RD_OK);
    assert_int_equal(given, 2);
    start_with_root(second);
    check_recovered();
}

/* However much nonsense was sent: sixteen refusals stand on record, and nothing that was sent before there was anything
 * to give a share to. */
static void test_records_are_bounded(void **state RD_UNUSED)
{
    uint8_t given = 0;
    const uint8_t zeros[RD_KMS_SHARE_SEALED_SIZE] = { 0 }, unsigned_share[RD_KMS_SHARE_SIZE] = { 1 };
    RD_CLEANUP(rd_buf_done) rd_buf answer = { 0 };
    assert_int_equal(kms_exchange(second, RD_KMS_SHARE, RD_BYTES_ARRAY(zeros), &answer), RD_E_RECOVERY);
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(give(RD_BYTES_ARRAY(unsigned_share), &given), RD_E_RECOVERY);
    assert_int_equal(give(rd_buf_bytes(&plain[0]), &given), RD_OK);
    assert_int_equal(said.size, 0);
    assert_int_equal(give(rd_buf_bytes(&plain[1]), &given), RD_OK);
    assert_int_equal(second->record_number, 17);
    assert_int_equal(said.size, 16 * strlen("refusal:recovery ") + strlen("recovery "));
    start_with_root(second);
    check_recovered();
    assert_int_equal(second->record_number, 19);
}

static void test_wrong_shares(void **state RD_UNUSED)
{
    uint8_t given = 0, key[32];
    rd_buf theirs[HOLDERS] = { { 0 } };
    kms_world *other = world_beside(first); /* another key service with the very same holders */
    begin_with_recovery(other);
    open_shares(other, theirs);
    assert_int_equal(recover_with(rd_buf_bytes(&other->genesis), key), RD_E_KMS_UNKNOWN);
    assert_int_equal(give(rd_buf_bytes(&theirs[0]), &given), RD_E_RECOVERY);
    world_free(other);
    /* A genesis with another threshold is another key service's. */
    char *threshold = memmem(first->genesis.data, first->genesis.size, "\"threshold\":2", 13);
    assert_non_null(threshold);
    threshold[12] = '1';
    assert_int_equal(recover_with(rd_buf_bytes(&first->genesis), key), RD_E_KMS_UNKNOWN);
    threshold[12] = '2';
    /* Spoiled in each of its parts: index, value, signature; or cut. */
    static const size_t places[] = { 0, 1, 64, 65, 128 };
    for (size_t i = 0; i < RD_ARRAY_LEN(places); i++) {
        plain[0].data[places[i]] ^= 1;
        assert_int_equal(give(rd_buf_bytes(&plain[0]), &given), RD_E_RECOVERY);
        plain[0].data[places[i]] ^= 1;
    }
    assert_int_equal(give(rd_bytes_of(plain[0].data, plain[0].size - 1), &given), RD_E_RECOVERY);
    /* Sealed to another key. */
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf answer = { 0 };
    memset(key, 9, sizeof key);
    MUST(rd_kms_share_seal(key, &first->id, rd_buf_bytes(&plain[0]), &sealed, err));
    assert_int_equal(kms_exchange(second, RD_KMS_SHARE, rd_buf_bytes(&sealed), &answer), RD_E_RECOVERY);
    /* None of it counted. */
    assert_int_equal(give(rd_buf_bytes(&plain[0]), &given), RD_OK);
    assert_int_equal(given, 1);
    assert_int_equal(give(rd_buf_bytes(&plain[2]), &given), RD_OK);
    /* All of it stands on record: the foreign one, six that were spoiled, one for another key; not who showed another
     * genesis, for whom nothing had begun. */
    assert_string_equal(rd_buf_text(&said), "refusal:recovery refusal:recovery refusal:recovery refusal:recovery "
                                            "refusal:recovery refusal:recovery refusal:recovery refusal:recovery "
                                            "recovery ");
    start_with_root(second);
    check_recovered();
    for (size_t i = 0; i < HOLDERS; i++)
        rd_buf_wipe(&theirs[i]);
}

/* A machine, or a build, that the genesis does not list gets no share; and had it two right ones, nothing out of them.
 */
static void test_another_machine_or_build(void **state RD_UNUSED)
{
    uint8_t given = 0, key[32];
    kms_world *stranger = world_beside(first), *listed = second;
    wait_for_root(stranger, kms_text);
    second = stranger;
    assert_int_equal(recover_with(rd_buf_bytes(&first->genesis), key), RD_E_KMS_PLATFORM);
    assert_int_equal(give(rd_buf_bytes(&plain[0]), &given), RD_OK);
    assert_int_equal(give(rd_buf_bytes(&plain[1]), &given), RD_E_KMS_PLATFORM);
    second = listed;
    world_free(stranger);

    kms_end(second, SIGTERM);
    wait_for_root_as(second, kms_text, OTHER_MRTD);
    assert_int_equal(recover_with(rd_buf_bytes(&first->genesis), key), RD_E_KMS_BUILD);
    assert_int_equal(give(rd_buf_bytes(&plain[0]), &given), RD_OK);
    assert_int_equal(give(rd_buf_bytes(&plain[1]), &given), RD_E_KMS_BUILD);
}

/* Whoever holds the door of a machine of the genesis, and could make up a key to have shares sealed to, does not run
 * what waits there: its register is another, and so is what it may say. */
static void test_a_key_that_was_made_up(void **state RD_UNUSED)
{
    uint8_t nonce[32] = { 1 }, key[32];
    rd_kms_id other = first->id;
    other.b[0] ^= 1;
    const struct {
        bool waits;
        uint8_t mrtd;
        const rd_kms_id *kms;
        rd_purpose purpose;
        rd_code want;
    } rows[] = {
        { false, KMS_MRTD, &first->id, RD_PURPOSE_JOIN, RD_E_EVENTLOG }, /* of a replica that has its root */
        { true, 0x35, &first->id, RD_PURPOSE_JOIN, RD_E_MEASUREMENT },
        { true, OTHER_MRTD, &first->id, RD_PURPOSE_JOIN, RD_E_KMS_BUILD },
        { true, KMS_MRTD, &other, RD_PURPOSE_JOIN, RD_E_STATEMENT },
        { false, KMS_MRTD, &first->id, RD_PURPOSE_ADMIT, RD_E_PURPOSE },
        { false, KMS_MRTD, &first->id, RD_PURPOSE_KMS, RD_E_PURPOSE },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
        kms_register launched = { .mrtd = rows[i].mrtd };
        rd_kms_launch_header(rows[i].kms, rows[i].waits, launched.header);
        make_up(second, &launched, rows[i].kms, rows[i].purpose, nonce, &bundle);
        rd_code code = judge(&bundle, nonce, key);
        if (code != rows[i].want)
            fail_msg("row %zu: %s", i, rd_code_describe(code)->name);
    }
    RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
    assert_int_equal(ask_evidence(rd_buf_bytes(&first->genesis), nonce, &bundle), RD_OK);
    assert_int_equal(judge(&bundle, nonce, key), RD_OK);
    nonce[0] ^= 1; /* evidence of an earlier day */
    assert_int_equal(judge(&bundle, nonce, key), RD_E_NONCE);
}

/* What was on its way to one process opens for no other, and counts once. */
static void test_a_share_sent_again(void **state RD_UNUSED)
{
    uint8_t given = 0, key[32];
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    assert_int_equal(recover_with(rd_buf_bytes(&first->genesis), key), RD_OK);
    MUST(rd_kms_share_seal(key, &first->id, rd_buf_bytes(&plain[0]), &sealed, err));
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(send_share(rd_buf_bytes(&sealed), &given), RD_OK);
        assert_int_equal(given, 1);
    }
    kms_end(second, SIGKILL);
    wait_for_root(second, kms_text);
    assert_int_equal(recover_with(rd_buf_bytes(&first->genesis), key), RD_OK);
    assert_int_equal(send_share(rd_buf_bytes(&sealed), &given), RD_E_RECOVERY);
    assert_int_equal(give(rd_buf_bytes(&plain[1]), &given), RD_OK);
    assert_int_equal(given, 1);
    assert_int_equal(give(rd_buf_bytes(&plain[0]), &given), RD_OK);
    start_with_root(second);
    check_recovered();
    /* Who has its root takes no share and shows no key for one. */
    assert_int_equal(send_share(rd_buf_bytes(&sealed), &given), RD_E_KMS_JOIN);
    assert_int_equal(recover_with(rd_buf_bytes(&first->genesis), key), RD_E_KMS_JOIN);
}

/* A root alone was lost: what its folder remembers of heads holds for the one that came back. */
static void test_what_the_folder_remembers_stays(void **state RD_UNUSED)
{
    uint8_t given = 0;
    rd_head old = app->head;
    rd_digest old_digest = app->head_digest;
    assert_int_equal(give(rd_buf_bytes(&plain[0]), &given), RD_OK);
    assert_int_equal(give(rd_buf_bytes(&plain[1]), &given), RD_OK);
    start_with_root(second);
    next_head(app);
    second->record_number = 0;
    RD_CLEANUP(asking_done) kms_asking asking = asking_of(second, app);
    assert_int_equal(ask_grant(second, app, &asking, NULL), RD_OK);
    kms_end(second, SIGKILL);
    RD_CLEANUP(rd_free_p) char *root = rd_asprintf("%s/root.sealed", second->kms_dir);
    assert_int_equal(unlink(root), 0);
    wait_for_root(second, kms_text);
    assert_int_equal(give(rd_buf_bytes(&plain[2]), &given), RD_OK);
    assert_int_equal(give(rd_buf_bytes(&plain[1]), &given), RD_OK);
    start_with_root(second);
    second->record_number = 0;
    RD_CLEANUP(asking_done) kms_asking newest = asking_of(second, app);
    assert_int_equal(ask_grant(second, app, &newest, NULL), RD_OK);
    app->head = old;
    app->head_digest = old_digest;
    publish_head(app);
    RD_CLEANUP(asking_done) kms_asking older = asking_of(second, app);
    assert_int_equal(ask_grant(second, app, &older, NULL), RD_E_HEAD_ROLLBACK);
}

static bool is_there(const kms_world *world, const char *name)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/%s", world->kms_dir, name);
    return access(path, F_OK) == 0;
}

/* Where a key service was, no other is made over what is left of it, its shares above all. */
static void test_what_is_left_stays(void **state RD_UNUSED)
{
    memset(first->extra, 0, sizeof first->extra);
    kms_must_start(first); /* another one, in a folder of its own */
    kms_end(first, SIGTERM);
    RD_CLEANUP(rd_free_p)
    char *spoil = rd_asprintf("cd %s && rm root.sealed state* && cp genesis.json recovery.json", first->kms_dir);
    assert_int_equal(system(spoil), 0);
    assert_false(kms_start_as(first, KMS_MRTD));
    assert_non_null(strstr(first->process.why, "what is left of a key service"));
    kms_end(first, SIGTERM);
    assert_false(is_there(first, "root.sealed"));
    RD_CLEANUP(rd_free_p)
    char *compare = rd_asprintf("cmp %s/genesis.json %s/recovery.json", first->kms_dir, first->kms_dir);
    assert_int_equal(system(compare), 0);
}

/* Numbers that fit no holders make no key service. */
static void test_thresholds_that_are_none(void **state RD_UNUSED)
{
    static const char *const thresholds[] = { NULL, "0", "1", "3", "17", "-1", "two" };
    lose_folder(first);
    for (size_t i = 0; i < RD_ARRAY_LEN(thresholds); i++) {
        memset(first->extra, 0, sizeof first->extra);
        first->extra[0] = "--recovery-key";
        first->extra[1] = key_texts[0];
        first->extra[2] = "--recovery-key";
        first->extra[3] = key_texts[1];
        first->extra[4] = thresholds[i] ? "--recovery-threshold" : NULL;
        first->extra[5] = thresholds[i];
        assert_false(kms_start_as(first, KMS_MRTD));
        kms_end(first, SIGTERM);
        assert_false(is_there(first, "root.sealed"));
    }
    memcpy(
        first->extra,
        (const char *[]){ "--recovery-key", key_texts[0], "--recovery-key", key_texts[0], "--recovery-threshold", "2" },
        6 * sizeof(char *)); /* one holder, twice */
    assert_false(kms_start_as(first, KMS_MRTD));
    kms_end(first, SIGTERM);
    assert_false(is_there(first, "root.sealed"));
    assert_false(is_there(first, "recovery.json"));
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_two_of_three),
        TEST(test_fewer),
        TEST(test_records_are_bounded),
        TEST(test_wrong_shares),
        TEST(test_another_machine_or_build),
        TEST(test_a_key_that_was_made_up),
        TEST(test_a_share_sent_again),
        TEST(test_what_the_folder_remembers_stays),
        TEST(test_what_is_left_stays),
        TEST(test_thresholds_that_are_none),
    };
    return cmocka_run_group_tests(tests, begin_group, end_group);
}
