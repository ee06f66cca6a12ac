// link: kms_core
/* What a key service remembers, and how it lies on disk: state, slots, nonces, and the time that it believes. */
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

static const uint8_t key[32] = { 1 };

static void expect_load(kms_store *store, const char *want)
{
    RD_CLEANUP(rd_buf_done) rd_buf read = { 0 };
    bool found = false;
    assert_int_equal(kms_store_load(store, key, &read, &found, NULL), 0);
    assert_int_equal(found, want != NULL);
    if (want)
        assert_string_equal(rd_buf_text(&read), want);
}

/* A write that was cut off leaves the state before it; one that was finished is the newest. */
static void test_slots(void **state RD_UNUSED)
{
    kms_store store, other;
    rd_err err = RD_ERR_INIT;
    const uint8_t wrong[32] = { 2 };
    assert_int_equal(kms_store_open(dir, &store, NULL), 0);
    assert_int_equal(kms_store_open(dir, &other, &err), -1); /* one process a folder */
    assert_int_equal(err.code, RD_E_CONFIG);
    kms_store_done(&other);
    expect_load(&store, NULL);
    assert_int_equal(kms_store_save(&store, key, RD_BYTES_LIT("one"), NULL), 0);
    assert_int_equal(kms_store_save(&store, key, RD_BYTES_LIT("second"), NULL), 0);
    expect_load(&store, "second");
    assert_int_equal(kms_store_save(&store, key, RD_BYTES_LIT("three"), NULL), 0);
    expect_load(&store, "three");
    int newest = store.slots[store.generation & 1];
    for (off_t size = lseek(newest, 0, SEEK_END) - 1; size >= 0; size--) {
        assert_int_equal(ftruncate(newest, size), 0);
        expect_load(&store, "second");
    }
    assert_int_equal(kms_store_save(&store, key, RD_BYTES_LIT("again"), NULL), 0);
    expect_load(&store, "again");
    RD_CLEANUP(rd_buf_done) rd_buf read = { 0 };
    bool found = true;
    assert_int_equal(kms_store_load(&store, wrong, &read, &found, NULL), 0);
    assert_false(found);
    kms_store_done(&store);
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
        cmocka_unit_test_setup_teardown(test_slots, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files, setup, teardown),
        cmocka_unit_test(test_state),
        cmocka_unit_test(test_state_bounds),
        cmocka_unit_test(test_nonces),
        cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
