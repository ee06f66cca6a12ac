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

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_askers_share_quotes) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
