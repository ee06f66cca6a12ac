// link: test_evidence rd_model
// needs: redoubt-kms
/* All replicas are lost with their folders: two of three holders bring the root back, on another machine of the
 * genesis; what is no share, or not enough of them, brings nothing. */
#include "tests/support/kms_world.h"

#include "common/model/kms_share.h"

#define HOLDERS 3

static kms_world *first, *second;
static rd_secret *keys[HOLDERS];
static char key_texts[HOLDERS][44], second_platform[65], kms_text[RD_KMS_ID_TEXT_SIZE];
static rd_buf plain[HOLDERS]; /* each holder's share, opened by its key */
static rd_grant before;
static kms_app *app;

static void begin_with_recovery(kms_world *world, bool has_second)
{
    size_t at = 0;
    for (size_t i = 0; i < HOLDERS; i++) {
        world->extra[at++] = "--recovery-key";
        world->extra[at++] = key_texts[i];
    }
    world->extra[at++] = "--recovery-threshold";
    world->extra[at++] = "2";
    if (has_second) {
        world->extra[at++] = "--platform";
        world->extra[at++] = second_platform;
    }
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

static void wait_for_root(kms_world *world)
{
    memset(world->extra, 0, sizeof world->extra);
    world->extra[0] = "--join";
    world->extra[1] = kms_text;
    assert_false(kms_start_as(world, KMS_MRTD));
    assert_non_null(strstr(world->process.why, "kms recover"));
    send_collateral(world);
}

static int setup(void **state RD_UNUSED)
{
    first = world_new();
    second = world_beside(first);
    for (size_t i = 0; i < HOLDERS; i++) {
        uint8_t public_key[32];
        keys[i] = rd_secret_random(32);
        rd_x25519_public(keys[i], public_key);
        rd_base64url_encode(RD_BYTES_ARRAY(public_key), key_texts[i]);
    }
    kms_begin(second); /* only to learn which machine it is */
    rd_hex_encode(RD_BYTES_ARRAY(second->parsed.platforms[0]), second_platform);
    kms_end(second, SIGTERM);
    lose_folder(second);
    begin_with_recovery(first, true);
    rd_kms_id_format(&first->id, kms_text);
    assert_int_equal(first->parsed.recovery_count, HOLDERS);
    assert_int_equal(first->parsed.recovery_threshold, 2);
    app = app_new(first);
    RD_CLEANUP(asking_done) kms_asking asking = asking_of(first, app);
    assert_int_equal(ask_grant(first, app, &asking, &before), RD_OK);
    open_shares(first, plain);
    kms_end(first, SIGKILL);
    lose_folder(first);
    wait_for_root(second);
    return 0;
}

static int teardown(void **state RD_UNUSED)
{
    app_free(app);
    rd_grant_done(&before);
    for (size_t i = 0; i < HOLDERS; i++) {
        rd_buf_wipe(&plain[i]);
        keys[i] = rd_secret_free(keys[i]);
    }
    world_free(second);
    world_free(first);
    return 0;
}

/* --- a holder --- */

/* Evidence over a nonce of the holder's, and out of it the key. */
static rd_code recover_with(rd_bytes genesis, uint8_t ret_key[32])
{
    uint8_t nonce[32];
    RD_CLEANUP(rd_buf_done) rd_buf question = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
    RD_CLEANUP(rd_evidence_done) rd_evidence evidence = { 0 };
    rd_random_bytes(nonce, sizeof nonce);
    rd_buf_append(&question, nonce, sizeof nonce);
    rd_buf_append_bytes(&question, genesis);
    rd_code code = kms_exchange(second, RD_KMS_RECOVER, rd_buf_bytes(&question), &bundle);
    if (code != RD_OK)
        return code;
    MUST(rd_evidence_parse(rd_buf_bytes(&bundle), &evidence, err));
    assert_int_equal(evidence.statement.purpose, RD_PURPOSE_JOIN);
    assert_memory_equal(evidence.statement.nonce, nonce, sizeof nonce);
    memcpy(ret_key, evidence.statement.grant_key, 32);
    return RD_OK;
}

static rd_code give(rd_bytes share, uint8_t *ret_given)
{
    uint8_t key[32];
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf answer = { 0 };
    assert_int_equal(recover_with(rd_buf_bytes(&first->genesis), key), RD_OK);
    MUST(rd_kms_share_seal(key, &first->id, share, &sealed, err));
    rd_code code = kms_exchange(second, RD_KMS_SHARE, rd_buf_bytes(&sealed), &answer);
    if (code == RD_OK) {
        assert_int_equal(answer.size, 2);
        assert_int_equal(answer.data[1], 2);
        *ret_given = answer.data[0];
    }
    return code;
}

static void start_recovered(void)
{
    kms_process *process = &second->process;
    (void)waitpid(process->pid, NULL, 0);
    (void)pthread_join(process->thread, NULL);
    (void)close(process->door_fd);
    agent_sim_door_free(process->door);
    rd_close_p(&second->fd);
    *process = (kms_process){ 0 };
    if (!kms_start_as(second, KMS_MRTD))
        fail_msg("%s", second->process.why);
    (void)read_genesis(second);
    send_collateral(second);
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
        start_recovered();
        second->record_number = 0;
        check_recovered();
        kms_end(second, SIGKILL);
        lose_folder(second);
        wait_for_root(second);
    }
}

/* One share is not enough, twice the same is not two, and a restart begins anew. */
static void test_fewer(void **state RD_UNUSED)
{
    uint8_t given = 0;
    RD_CLEANUP(rd_buf_done) rd_buf answer = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf other = { 0 };
    const uint8_t zeros[RD_KMS_SHARE_SEALED_SIZE] = { 0 };
    assert_int_equal(kms_exchange(second, RD_KMS_SHARE, RD_BYTES_ARRAY(zeros), &answer), RD_E_RECOVERY);
    assert_int_equal(give(rd_buf_bytes(&plain[1]), &given), RD_OK);
    assert_int_equal(given, 1);
    assert_int_equal(give(rd_buf_bytes(&plain[1]), &given), RD_E_RECOVERY);
    assert_int_equal(kms_exchange(second, RD_KMS_GENESIS, RD_BYTES_NULL, &other), RD_E_KMS_WAITS);
    kms_end(second, SIGKILL);
    wait_for_root(second);
    assert_int_equal(give(rd_buf_bytes(&plain[2]), &given), RD_OK);
    assert_int_equal(given, 1);
    assert_int_equal(give(rd_buf_bytes(&plain[1]), &given), RD_OK);
    assert_int_equal(given, 2);
    start_recovered();
    check_recovered();
}

static void test_wrong_shares(void **state RD_UNUSED)
{
    uint8_t given = 0, key[32];
    rd_buf theirs[HOLDERS] = { { 0 } };
    /* Of another key service with the very same holders. */
    first->extra[0] = NULL;
    rd_kms_id id = first->id;
    RD_CLEANUP(rd_buf_done) rd_buf genesis = { 0 };
    rd_kms_genesis parsed = first->parsed;
    (void)rd_buf_append_bytes(&genesis, rd_buf_bytes(&first->genesis));
    begin_with_recovery(first, true);
    open_shares(first, theirs);
    assert_int_equal(recover_with(rd_buf_bytes(&first->genesis), key), RD_E_KMS_UNKNOWN);
    first->id = id;
    first->parsed = parsed;
    rd_buf_clear(&first->genesis);
    (void)rd_buf_append_bytes(&first->genesis, rd_buf_bytes(&genesis));
    assert_int_equal(give(rd_buf_bytes(&theirs[0]), &given), RD_E_RECOVERY);
    /* Spoiled in each of its parts: index, value, signature; cut, and longer. */
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
    start_recovered();
    check_recovered();
    for (size_t i = 0; i < HOLDERS; i++)
        rd_buf_wipe(&theirs[i]);
}

/* A machine that the genesis does not list gets nothing out of two right shares. */
static void test_machine_of_no_genesis(void **state RD_UNUSED)
{
    uint8_t given = 0;
    kms_world *stranger = world_beside(first), *listed = second;
    wait_for_root(stranger);
    second = stranger;
    assert_int_equal(give(rd_buf_bytes(&plain[0]), &given), RD_OK);
    assert_int_equal(give(rd_buf_bytes(&plain[1]), &given), RD_E_KMS_PLATFORM);
    second = listed;
    world_free(stranger);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_two_of_three),
        TEST(test_fewer),
        TEST(test_wrong_shares),
        TEST(test_machine_of_no_genesis),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
