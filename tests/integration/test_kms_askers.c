// link: test_evidence rd_model
// needs: redoubt-kms
/* R48: many who ask a key service for evidence at once. It pauses for 100 ms after each quote, so that time bounds them
 * and not those who ask. */
#include "common/base/clock.h"
#include "tests/support/kms_world.h"

#define ASKERS 48

static void nonce_of(size_t number, uint8_t ret[RD_NONCE_SIZE])
{
    memset(ret, 0x3c, RD_NONCE_SIZE);
    ret[31] = (uint8_t)number;
}

static int put_question(kms_world *world, size_t number)
{
    RD_CLEANUP(rd_buf_done) rd_buf frame = { 0 };
    uint8_t nonce[RD_NONCE_SIZE];
    nonce_of(number, nonce);
    MUST(rd_kms_frame(RD_KMS_EVIDENCE, RD_BYTES_ARRAY(nonce), &frame, err));
    dial(world);
    int fd = world->fd;
    world->fd = -1;
    assert_int_equal(send(fd, frame.data, frame.size, MSG_NOSIGNAL), (ssize_t)frame.size);
    return fd;
}

/* The statement's nonce goes to ret_root. */
static void take_answer(kms_world *world, size_t number, uint8_t ret_root[RD_NONCE_SIZE])
{
    RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
    RD_CLEANUP(rd_evidence_done) rd_evidence evidence;
    uint8_t type, nonce[RD_NONCE_SIZE];
    assert_true(exchange_raw(world, RD_BYTES_NULL, RD_KMS_EVIDENCE, &type, &bundle));
    assert_int_equal(type, RD_KMS_ANSWER | RD_KMS_EVIDENCE);
    MUST(rd_evidence_parse(rd_buf_bytes(&bundle), &evidence, err));
    nonce_of(number, nonce);
    assert_true(rd_evidence_answers(&evidence, nonce));
    nonce_of(number + 1, nonce);
    assert_false(rd_evidence_answers(&evidence, nonce));
    memcpy(ret_root, evidence.statement.nonce, RD_NONCE_SIZE);
}

static void test_askers_share_quotes(void **state RD_UNUSED)
{
    kms_world *world = world_new();
    uint8_t roots[ASKERS][RD_NONCE_SIZE];
    int fds[ASKERS];
    size_t quotes = 0;
    kms_begin(world);
    rd_close_p(&world->fd);
    int64_t began_us = rd_clock_boot_us(rd_clock_system());
    for (size_t i = 0; i < ASKERS; i++)
        fds[i] = put_question(world, i);
    for (size_t i = 0; i < ASKERS; i++) {
        world->fd = fds[i];
        take_answer(world, i, roots[i]);
        rd_close_p(&world->fd);
    }
    int64_t took_us = rd_clock_boot_us(rd_clock_system()) - began_us;
    for (size_t i = 0; i < ASKERS; i++) {
        size_t same = 0;
        while (memcmp(roots[same], roots[i], RD_NONCE_SIZE) != 0)
            same++;
        quotes += same == i;
    }
    assert_in_range(quotes, 1, 1 + took_us / 100000 + 1);
    /* Who asks and leaves is nobody's trouble, and neither is a question of another size. */
    int gone = put_question(world, 1);
    (void)close(gone);
    RD_CLEANUP(rd_buf_done) rd_buf refusal = { 0 };
    assert_int_equal(kms_exchange(world, RD_KMS_EVIDENCE, RD_BYTES_LIT("short"), &refusal), RD_E_KMS_FRAME);
    RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
    uint8_t nonce[RD_NONCE_SIZE];
    nonce_of(7, nonce);
    assert_int_equal(kms_exchange(world, RD_KMS_EVIDENCE, RD_BYTES_ARRAY(nonce), &bundle), RD_OK);
    world_free(world);
}

#define PIPES 120 /* more than may wait for one quote */

static void ask_on(kms_world *world, int fd, size_t number)
{
    RD_CLEANUP(rd_buf_done) rd_buf frame = { 0 };
    uint8_t nonce[RD_NONCE_SIZE];
    (void)world;
    nonce_of(number, nonce);
    MUST(rd_kms_frame(RD_KMS_EVIDENCE, RD_BYTES_ARRAY(nonce), &frame, err));
    assert_int_equal(send(fd, frame.data, frame.size, MSG_NOSIGNAL), (ssize_t)frame.size);
}

/* True: evidence; false: it is busy, in so many words. */
static bool was_served(kms_world *world, int fd)
{
    RD_CLEANUP(rd_buf_done) rd_buf answer = { 0 };
    rd_kms_refusal refusal;
    uint8_t type = 0;
    world->fd = fd;
    assert_true(exchange_raw(world, RD_BYTES_NULL, RD_KMS_EVIDENCE, &type, &answer));
    world->fd = -1;
    if (type != RD_KMS_REFUSAL)
        return true;
    MUST(rd_kms_refusal_parse(rd_buf_bytes(&answer), &refusal, err));
    assert_true(rd_bytes_equal(refusal.code, RD_BYTES_LIT("busy")));
    assert_int_equal(refusal.record.size, 0);
    return false;
}

/* More pipes than places: who went without is served at the next quote, although all others ask before him; and
 * everything else is answered meanwhile, on a pipe of its own. */
static void test_each_pipe_has_its_turn(void **state RD_UNUSED)
{
    kms_world *world = world_new();
    int fds[PIPES];
    bool served[PIPES] = { false }, now[PIPES];
    size_t refused = 0;
    uint8_t nonce[RD_NONCE_SIZE];
    kms_begin(world);
    rd_close_p(&world->fd);
    for (size_t i = 0; i < PIPES; i++) {
        dial(world);
        fds[i] = world->fd;
        world->fd = -1;
    }
    for (size_t round = 0; round < 3 || (refused == 0 && round < 20); round++) {
        for (size_t turn = 0; turn < 2; turn++)
            for (size_t i = 0; i < PIPES; i++)
                if (served[i] == (turn == 0))
                    ask_on(world, fds[i], i);
        dial(world);
        take_nonce(world, nonce);
        rd_close_p(&world->fd);
        for (size_t i = 0; i < PIPES; i++) {
            now[i] = was_served(world, fds[i]);
            refused += !now[i];
            assert_true(now[i] || served[i] || round == 0);
        }
        memcpy(served, now, sizeof served);
    }
    assert_int_not_equal(refused, 0);

    /* Those beyond all places wait for one, and none is turned away without a word. */
    int more[20];
    for (size_t i = 0; i < RD_ARRAY_LEN(more); i++)
        more[i] = put_question(world, i);
    for (size_t i = 0; i < RD_ARRAY_LEN(more); i++) {
        (void)was_served(world, more[i]);
        (void)close(more[i]);
    }
    for (size_t i = 0; i < PIPES; i++)
        (void)close(fds[i]);
    world_free(world);
}

/* Who begins messages and does not end them keeps nobody else out, and large ones that come at once are all read. */
static void test_messages_that_do_not_end(void **state RD_UNUSED)
{
    kms_world *world = world_new();
    RD_CLEANUP(rd_buf_done) rd_buf json = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf frame = { 0 };
    int fds[160];
    kms_begin(world);
    rd_close_p(&world->fd);
    for (size_t i = 0; i < RD_ARRAY_LEN(fds); i++) {
        dial(world);
        fds[i] = world->fd;
        world->fd = -1;
        assert_int_equal(send(fds[i], "\0\0", 2, MSG_NOSIGNAL), 2);
    }
    uint8_t nonce[RD_NONCE_SIZE];
    dial(world);
    take_nonce(world, nonce);
    rd_close_p(&world->fd);
    for (size_t i = 0; i < RD_ARRAY_LEN(fds); i++)
        (void)close(fds[i]);

    MUST(agent_sim_read(world->pki, "collateral.json", &json, err));
    while (json.size <= (size_t)100 << 10)
        rd_buf_append_str(&json, "          ");
    MUST(rd_kms_frame(RD_KMS_COLLATERAL, rd_buf_bytes(&json), &frame, err));
    for (size_t i = 0; i < 40; i++) {
        dial(world);
        fds[i] = world->fd;
        world->fd = -1;
        assert_int_equal(send(fds[i], frame.data, RD_KMS_FRAME_HEAD, MSG_NOSIGNAL), RD_KMS_FRAME_HEAD);
    }
    for (size_t i = 0; i < 40; i++) { /* each whole, and its answer, before the next */
        RD_CLEANUP(rd_buf_done) rd_buf answer = { 0 };
        uint8_t type = 0;
        world->fd = fds[i];
        (void)exchange_raw(world, rd_bytes_of(frame.data + RD_KMS_FRAME_HEAD, frame.size - RD_KMS_FRAME_HEAD),
                           RD_KMS_COLLATERAL, &type, &answer);
        assert_int_equal(answer.size > 0 || type == (RD_KMS_ANSWER | RD_KMS_COLLATERAL), 1);
        rd_close_p(&world->fd);
    }
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_askers_share_quotes),
                                        cmocka_unit_test(test_each_pipe_has_its_turn),
                                        cmocka_unit_test(test_messages_that_do_not_end) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
