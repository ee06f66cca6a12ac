// link: kms_core
/* What a key service remembers: state, its changes, files, nonces, and the time that it believes. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "enclave/kms/kms_front.h"

static char dir[32];

static int setup(void **state RD_UNUSED)
{
    memcpy(dir, "/tmp/redoubt-store-XXXXXX", sizeof "/tmp/redoubt-store-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_free_p) char *command = rd_asprintf("rm -rf %s", dir);
    return system(command);
}

static void test_files(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf read = { 0 };
    bool found = true;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(kms_store_read(dir, "x", 10, &read, &found, NULL), 0);
    assert_false(found);
    assert_int_equal(kms_store_write(dir, "x", 0600, RD_BYTES_LIT("longer than ten"), NULL), 0);
    assert_int_equal(kms_store_read(dir, "x", 10, &read, &found, &err), -1);
    assert_int_equal(err.code, RD_E_TOO_LARGE);
    assert_int_equal(kms_store_read(dir, "x", 100, &read, &found, NULL), 0);
    assert_true(found);
    assert_string_equal(rd_buf_text(&read), "longer than ten");
}

static void test_state(void **state RD_UNUSED)
{
    RD_CLEANUP(kms_state_done) kms_state made = { .record_number = 3, .floor_us = 7, .evaluation_number = 2 };
    RD_CLEANUP(kms_state_done) kms_state read = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    rd_app_id app = { { 1 } };
    rd_id instance = { { 2 } };
    rd_public_key first = { { 3 } }, second = { { 4 } };
    const rd_head_known newer = { .seq = 5, .owners_seq = 3 }, older = { .seq = 4, .owners_seq = 4 };
    rd_err err = RD_ERR_INIT;
    assert_null(kms_state_head(&made, &app));
    assert_int_equal(kms_state_learn_head(&made, &app, &newer, NULL), 0);
    assert_int_equal(kms_state_learn_head(&made, &app, &older, NULL), 0);
    kms_state_learn_epoch(&made, &instance, 9, &first);
    assert_true(kms_state_encode(&made, &bytes));
    assert_int_equal(kms_state_parse(rd_buf_bytes(&bytes), &read, NULL), 0);
    assert_int_equal(kms_state_head(&read, &app)->seq, 5);
    assert_int_equal(kms_state_head(&read, &app)->owners_seq, 4); /* whatever came later was built upon an older one */
    assert_int_equal(kms_state_check_epoch(&read, &instance, 9, &first, NULL), 0);
    assert_int_equal(kms_state_check_epoch(&read, &instance, 10, &second, NULL), 0);
    assert_int_equal(kms_state_check_epoch(&read, &instance, 9, &second, &err), -1);
    assert_int_equal(kms_state_check_epoch(&read, &instance, 8, &first, &err), -1);
    assert_int_equal(err.code, RD_E_EPOCH_STALE);
    for (size_t size = 0; size < bytes.size; size++) {
        RD_CLEANUP(kms_state_done) kms_state cut = { 0 };
        assert_int_equal(kms_state_parse(rd_bytes_of(bytes.data, size), &cut, &err), -1);
        assert_int_equal(err.code, RD_E_KMS_STATE);
    }
}

/* Apps are never forgotten, instances are: the oldest first. */
static void test_state_bounds(void **state RD_UNUSED)
{
    RD_CLEANUP(kms_state_done) kms_state full = { 0 };
    const rd_head_known head = { .seq = 1 };
    rd_public_key receipt_key = { { 3 } };
    rd_err err = RD_ERR_INIT;
    for (unsigned i = 0; i < KMS_APPS_MAX; i++) {
        rd_app_id app = { { (uint8_t)i, (uint8_t)(i >> 8) } };
        assert_int_equal(kms_state_learn_head(&full, &app, &head, NULL), 0);
    }
    rd_app_id more = { { 0, 0, 1 } };
    assert_int_equal(kms_state_learn_head(&full, &more, &head, &err), -1);
    assert_int_equal(err.code, RD_E_NO_CAPACITY);
    for (unsigned i = 0; i <= KMS_INSTANCES_MAX; i++) {
        rd_id instance = { { (uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16) } };
        kms_state_learn_epoch(&full, &instance, 2, &receipt_key);
    }
    rd_id oldest = { { 0 } }, second = { { 1 } };
    assert_int_equal(kms_state_check_epoch(&full, &oldest, 1, &receipt_key, NULL), 0);
    assert_int_equal(kms_state_check_epoch(&full, &second, 1, &receipt_key, NULL), -1);
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { .size_max = KMS_STATE_MAX };
    assert_true(kms_state_encode(&full, &bytes));
}

/* --- what changed --- */

static void encode(const kms_state *state, rd_buf *out)
{
    *out = (rd_buf){ .size_max = KMS_STATE_MAX };
    assert_true(kms_state_encode(state, out));
}

static void expect_same(const kms_state *a, const kms_state *b)
{
    RD_CLEANUP(rd_buf_done) rd_buf one;
    RD_CLEANUP(rd_buf_done) rd_buf two;
    encode(a, &one);
    encode(b, &two);
    assert_true(rd_bytes_equal(rd_buf_bytes(&one), rd_buf_bytes(&two)));
}

/* As a save and a load do: what changed, where that can be said, else the whole. True: a change. */
static bool replay(kms_state *from, kms_state *to)
{
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { .size_max = KMS_CHANGE_MAX };
    bool is_change = kms_state_encode_changes(from, &bytes);
    if (is_change) {
        assert_int_equal(kms_state_apply(to, rd_buf_bytes(&bytes), NULL), 0);
    } else {
        rd_buf_done(&bytes);
        encode(from, &bytes);
        kms_state_done(to);
        assert_int_equal(kms_state_parse(rd_buf_bytes(&bytes), to, NULL), 0);
    }
    kms_state_saved(from);
    return is_change;
}

static void learn_instance(kms_state *to, uint32_t number, uint64_t epoch)
{
    rd_id instance = { { (uint8_t)number, (uint8_t)(number >> 8), (uint8_t)(number >> 16) } };
    rd_public_key receipt_key = { { (uint8_t)epoch } };
    kms_state_learn_epoch(to, &instance, epoch, &receipt_key);
}

static void learn_app(kms_state *to, uint32_t number, uint64_t seq)
{
    rd_app_id app = { { (uint8_t)number, (uint8_t)(number >> 8) } };
    const rd_head_known head = { .seq = seq, .digest = { { (uint8_t)seq } }, .owners_seq = seq / 2 };
    assert_int_equal(kms_state_learn_head(to, &app, &head, NULL), 0);
}

/* Whoever applies what was told of each save has the same memory, place for place, also once the oldest leave. */
static void test_changes_many(void **state RD_UNUSED)
{
    RD_CLEANUP(kms_state_done) kms_state made = { 0 };
    RD_CLEANUP(kms_state_done) kms_state read = { 0 };
    uint32_t draw = 1;
    const uint32_t saves = 2 * KMS_INSTANCES_MAX / 12;
    uint32_t changes = 0;
    for (uint32_t save = 0; save < saves; save++) {
        for (uint32_t i = save * 12; i < (save + 1) * 12; i++) {
            draw = draw * 1664525 + 1013904223;
            learn_instance(&made, i, 1);
            learn_instance(&made, draw % (i + 1), 2 + save);
        }
        learn_app(&made, draw >> 20, save + 1);
        made.record_number++;
        changes += replay(&made, &read);
    }
    assert_int_equal(made.instances_count, KMS_INSTANCES_MAX);
    assert_in_range(changes, saves - saves / 50, saves - 1);
    expect_same(&made, &read);
}

/* What no list of changes can say is a whole: too many, a place that changed hands twice, another's memory. */
static void test_changes_whole(void **state RD_UNUSED)
{
    RD_CLEANUP(kms_state_done) kms_state made = { 0 };
    RD_CLEANUP(kms_state_done) kms_state read = { 0 };
    for (uint32_t i = 0; i < KMS_CHANGES_MAX; i++)
        learn_app(&made, i, 1), learn_instance(&made, i, 1);
    assert_true(replay(&made, &read));
    for (uint32_t i = 0; i <= KMS_CHANGES_MAX; i++)
        learn_app(&made, i, 2);
    assert_false(replay(&made, &read));
    for (uint32_t i = 0; i <= KMS_CHANGES_MAX; i++)
        learn_instance(&made, i, 2);
    assert_false(replay(&made, &read));
    for (uint32_t i = 0; i < KMS_INSTANCES_MAX; i++)
        learn_instance(&made, i, 3);
    assert_false(replay(&made, &read));
    learn_instance(&made, 1, 4); /* the second oldest */
    learn_instance(&made, KMS_INSTANCES_MAX, 1);
    assert_true(replay(&made, &read));
    expect_same(&made, &read);
    learn_instance(&made, 2, 4);
    learn_instance(&made, KMS_INSTANCES_MAX + 1, 1);
    learn_instance(&made, KMS_INSTANCES_MAX + 2, 1); /* it leaves */
    assert_false(replay(&made, &read));
    assert_int_equal(kms_state_learn(&made, &read, NULL), 0);
    assert_false(replay(&made, &read));
    assert_true(replay(&made, &read)); /* nothing but the scalars */
    expect_same(&made, &read);
}

/* One form: nothing cut off, nothing behind it, nothing twice, nothing that was known. */
static void test_changes_form(void **state RD_UNUSED)
{
    RD_CLEANUP(kms_state_done) kms_state made = { .record_number = 7 };
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf whole;
    rd_err err = RD_ERR_INIT;
    learn_app(&made, 1, 6);
    learn_app(&made, 1, 6); /* is known */
    learn_instance(&made, 2, 9);
    learn_instance(&made, 2, 9);
    assert_true(kms_state_encode_changes(&made, &bytes));
    encode(&made, &whole);
    for (size_t size = 0; size <= bytes.size; size++) {
        RD_CLEANUP(kms_state_done) kms_state cut = { 0 };
        bool is_good = size == bytes.size;
        assert_int_equal(kms_state_apply(&cut, rd_bytes_of(bytes.data, size), &err), is_good ? 0 : -1);
        assert_true(is_good || err.code == RD_E_KMS_STATE);
        if (is_good)
            expect_same(&cut, &made);
    }
    RD_CLEANUP(kms_state_done) kms_state again = { 0 };
    assert_int_equal(kms_state_parse(rd_buf_bytes(&whole), &again, NULL), 0);
    assert_int_equal(kms_state_apply(&again, rd_buf_bytes(&bytes), &err), -1);
    RD_CLEANUP(kms_state_done) kms_state other = { 0 };
    assert_int_equal(kms_state_apply(&other, rd_buf_bytes(&whole), &err), -1);
    rd_buf_append_u8(&bytes, 0);
    RD_CLEANUP(kms_state_done) kms_state longer = { 0 };
    assert_int_equal(kms_state_apply(&longer, rd_buf_bytes(&bytes), &err), -1);
}

/* A whole that names an app or an instance twice, or an oldest where there is none, is none. */
static void test_state_form(void **state RD_UNUSED)
{
    const size_t scalars = sizeof "redoubt/kms-memory/v2" - 1 + 68, app = 80, instance = 56;
    RD_CLEANUP(kms_state_done) kms_state made = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf bytes;
    rd_err err = RD_ERR_INIT;
    learn_app(&made, 1, 1), learn_app(&made, 2, 1);
    learn_instance(&made, 1, 1), learn_instance(&made, 2, 1);
    encode(&made, &bytes);
    const size_t instances = scalars + 4 + 2 * app + 8;
    assert_int_equal(bytes.size, instances + 2 * instance);
    for (size_t at = 0; at < 3; at++) {
        static const size_t step[] = { 80, 0, 56 };
        size_t offset = at == 0 ? scalars + 4 : at == 1 ? instances - 1 : instances;
        uint8_t kept = bytes.data[offset];
        RD_CLEANUP(kms_state_done) kms_state read = { 0 };
        bytes.data[offset] = at == 1 ? 1 : bytes.data[offset + step[at]];
        assert_int_equal(kms_state_parse(rd_buf_bytes(&bytes), &read, &err), -1);
        assert_int_equal(err.code, RD_E_KMS_STATE);
        bytes.data[offset] = kept;
    }
    RD_CLEANUP(kms_state_done) kms_state good = { 0 };
    assert_int_equal(kms_state_parse(rd_buf_bytes(&bytes), &good, &err), 0);
}

static void test_nonces(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_free_p) kms_nonces *nonces = rd_alloc(sizeof *nonces);
    uint8_t nonce[32], zero[32] = { 0 };
    rd_err err = RD_ERR_INIT;
    assert_int_equal(kms_nonces_take(nonces, 0, zero, &err), -1); /* an unused slot is no nonce */
    kms_nonces_draw(nonces, 100, nonce);
    assert_int_equal(kms_nonces_take(nonces, 99 + KMS_NONCE_TERM_US, nonce, NULL), 0);
    assert_int_equal(kms_nonces_take(nonces, 100, nonce, &err), -1);
    kms_nonces_draw(nonces, 100, nonce);
    assert_int_equal(kms_nonces_take(nonces, 100 + KMS_NONCE_TERM_US, nonce, &err), -1);
    assert_int_equal(err.code, RD_E_KMS_NONCE);
    assert_int_equal(kms_nonces_take(nonces, 100, nonce, &err), -1); /* late once, gone for good */
}

/* --- R16: the host turns the clock --- */

static int64_t host_now;

static int64_t host_us(void)
{
    return host_now;
}

static void test_clock(void **state RD_UNUSED)
{
    const int64_t year = INT64_C(365) * 86400 * 1000000;
    RD_CLEANUP(rd_free_p) kms_front *front = rd_alloc(sizeof *front);
    encl_platform *platform = encl_platform_skeleton_new();
    int64_t now = 0;
    rd_err err = RD_ERR_INIT;
    platform->host_us = host_us;
    front->platform = platform;
    host_now = encl_platform_build_floor_us() + year;
    assert_int_equal(kms_front_time(front, &now, NULL), 0);
    assert_int_equal(now, host_now);
    host_now -= 2 * year;
    assert_int_equal(kms_front_time(front, &now, &err), -1);
    assert_int_equal(err.code, RD_E_KMS_CLOCK);
    host_now = encl_platform_build_floor_us() + year - 1000000; /* a second back is taken for the time before */
    assert_int_equal(kms_front_time(front, &now, NULL), 0);
    assert_int_equal(now, encl_platform_build_floor_us() + year);
    encl_platform_free(platform);

    /* The floor that is kept: after a restart an earlier clock is refused as well. */
    platform = encl_platform_skeleton_new();
    platform->host_us = host_us;
    front->platform = platform;
    encl_platform_raise_floor(platform, encl_platform_build_floor_us() + year);
    host_now = encl_platform_build_floor_us() + year - INT64_C(301000000);
    assert_int_equal(kms_front_time(front, &now, &err), -1);
    encl_platform_free(platform);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_files, setup, teardown),
        cmocka_unit_test(test_state),
        cmocka_unit_test(test_state_bounds),
        cmocka_unit_test(test_state_form),
        cmocka_unit_test(test_changes_many),
        cmocka_unit_test(test_changes_whole),
        cmocka_unit_test(test_changes_form),
        cmocka_unit_test(test_nonces),
        cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
