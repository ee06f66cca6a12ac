/* The gateway's door: a request opens once, under a key that lives; whatever is wrong with it looks the same. Named
 * after the attacks that they show refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "enclave/runtime/seal.h"

static void fake_free(encl_platform *platform)
{
    free(platform);
}

static const encl_platform_ops fake_ops = { .tee = "sim", .class_ = "simulated", .free = fake_free };

static int64_t fake_now_us;

static int64_t fake_boot_us(void *context RD_UNUSED)
{
    return fake_now_us;
}

static const rd_clock fake_clock = { .boot_us = fake_boot_us };

static const encl_seal_limits limits = { 512, 1536 };

typedef struct fixture {
    encl_platform *platform;
    encl_seal *seal, *sibling;
} fixture;

static int setup(void **state)
{
    fixture *f = rd_alloc(sizeof *f);
    rd_err err = RD_ERR_INIT;
    fake_now_us = 1000000;
    f->platform = rd_alloc(sizeof *f->platform);
    encl_platform_init(f->platform, &fake_ops);
    assert_int_equal(encl_seal_new(f->platform, &fake_clock, limits, &f->seal, &err), 0);
    assert_int_equal(encl_seal_new(f->platform, &fake_clock, limits, &f->sibling, &err), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    encl_seal_free(f->seal);
    encl_seal_free(f->sibling);
    encl_platform_free(f->platform);
    free(f);
    return 0;
}

static void read_key(encl_seal *seal, rd_ohttp_key *ret)
{
    uint8_t keys[RD_OHTTP_KEYS_SIZE];
    rd_err err = RD_ERR_INIT;
    assert_int_equal(encl_seal_keys(seal, keys, &err), 0);
    assert_int_equal(rd_ohttp_keys_read(RD_BYTES_ARRAY(keys), ret, &err), 0);
}

/* A sealed request under the key that evidence names now. */
static void seal_one(encl_seal *seal, rd_buf *ret)
{
    rd_ohttp_key key;
    rd_ohttp client;
    rd_err err = RD_ERR_INIT;
    read_key(seal, &key);
    rd_buf_clear(ret);
    assert_int_equal(rd_ohttp_seal_request(&key, RD_BYTES_LIT("the message"), rd_random_system(), &client, ret, &err),
                     0);
    rd_ohttp_done(&client);
}

static bool opens(encl_seal *seal, rd_bytes sealed)
{
    RD_CLEANUP(rd_buf_done) rd_buf message = { 0 };
    rd_ohttp gateway;
    rd_err err = RD_ERR_INIT;
    (void)rd_buf_append_str(&message, "before ");
    int outcome = encl_seal_open(seal, false, sealed, &gateway, &message, &err);
    assert_string_equal(rd_buf_text(&message), outcome == 0 ? "before the message" : "before ");
    if (outcome < 0) {
        assert_int_equal(err.code, RD_E_SEAL);
        assert_string_equal(err.text, "the seal does not open");
        return false;
    }
    rd_ohttp_done(&gateway);
    return true;
}

static void test_r29_a_captured_request_runs_once(void **state)
{
    fixture *f = *state;
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    seal_one(f->seal, &sealed);
    assert_false(opens(f->sibling, rd_buf_bytes(&sealed)));
    assert_true(opens(f->seal, rd_buf_bytes(&sealed)));
    assert_false(opens(f->seal, rd_buf_bytes(&sealed))); /* at once */
    fake_now_us += ENCL_SEAL_OLD_US;
    rd_ohttp_key key;
    read_key(f->seal, &key);
    assert_false(opens(f->seal, rd_buf_bytes(&sealed))); /* after a rotation, while the key lives */
    fake_now_us += ENCL_SEAL_END_US;
    assert_false(opens(f->seal, rd_buf_bytes(&sealed))); /* after its end */
}

static void test_r29_a_flood_rotates_the_key_and_memory_stays_bounded(void **state)
{
    fixture *f = *state;
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf captured = { 0 };
    rd_ohttp_key first, next;
    rd_err err = RD_ERR_INIT;
    read_key(f->seal, &first);
    seal_one(f->seal, &captured);
    assert_true(opens(f->seal, rd_buf_bytes(&captured)));
    size_t count = 1;
    for (; count < limits.taken_many; count++) {
        seal_one(f->seal, &sealed);
        assert_true(opens(f->seal, rd_buf_bytes(&sealed)));
    }
    read_key(f->seal, &next);
    assert_true(next.id != first.id);
    /* Whoever verified the first key a moment ago is served until it is full; what it remembers stays. */
    rd_ohttp client;
    for (; count < limits.taken_max + 1; count++) {
        rd_buf_clear(&sealed);
        assert_int_equal(
            rd_ohttp_seal_request(&first, RD_BYTES_LIT("the message"), rd_random_system(), &client, &sealed, &err), 0);
        assert_int_equal(opens(f->seal, rd_buf_bytes(&sealed)), count < limits.taken_max);
    }
    assert_false(opens(f->seal, rd_buf_bytes(&captured)));
}

static void test_r37_a_key_ends_after_an_hour_and_is_wiped(void **state)
{
    fixture *f = *state;
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    rd_ohttp_key first, same, second;
    read_key(f->seal, &first);
    seal_one(f->seal, &sealed);
    fake_now_us += ENCL_SEAL_OLD_US - 1;
    read_key(f->seal, &same);
    assert_memory_equal(&first, &same, sizeof first);
    fake_now_us += 1;
    read_key(f->seal, &second);
    assert_memory_not_equal(first.public_key, second.public_key, RD_X25519_SIZE);
    assert_int_not_equal(first.id, second.id);
    assert_int_equal(encl_seal_timeout_ms(f->seal), (ENCL_SEAL_END_US - ENCL_SEAL_OLD_US) / 1000 + 1);
    assert_true(opens(f->seal, rd_buf_bytes(&sealed))); /* what was sealed before still opens */
    fake_now_us += ENCL_SEAL_END_US - ENCL_SEAL_OLD_US;
    assert_int_equal(encl_seal_timeout_ms(f->seal), 0);
    encl_seal_tidy(f->seal);
    assert_int_equal(encl_seal_timeout_ms(f->seal), (ENCL_SEAL_OLD_US) / 1000 + 1);
    fake_now_us += ENCL_SEAL_OLD_US;
    encl_seal_tidy(f->seal);
    assert_int_equal(encl_seal_timeout_ms(f->seal), -1); /* no key at all until somebody asks */
    seal_one(f->seal, &sealed);
    assert_true(opens(f->seal, rd_buf_bytes(&sealed)));
}

static void test_r44_all_callers_get_the_same_bytes(void **state)
{
    fixture *f = *state;
    rd_err err = RD_ERR_INIT;
    uint8_t one[RD_OHTTP_KEYS_SIZE], two[RD_OHTTP_KEYS_SIZE];
    assert_int_equal(encl_seal_keys(f->seal, one, &err), 0);
    assert_int_equal(encl_seal_keys(f->seal, two, &err), 0);
    assert_memory_equal(one, two, sizeof one);
}

/* Every bit of a request, each length, and whole replacements: one answer for all. */
static void test_r46_whatever_is_wrong_looks_the_same(void **state)
{
    fixture *f = *state;
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    seal_one(f->seal, &sealed);
    for (size_t i = 0; i < sealed.size * 8; i++) {
        sealed.data[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_false(opens(f->seal, rd_buf_bytes(&sealed)));
        sealed.data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t size = 0; size < sealed.size; size++)
        assert_false(opens(f->seal, rd_bytes_of(sealed.data, size)));
    uint8_t small_order[RD_OHTTP_REQUEST_EXTRA + 11];
    memcpy(small_order, sealed.data, sizeof small_order);
    memset(small_order + 7, 0, RD_X25519_SIZE);
    assert_false(opens(f->seal, RD_BYTES_ARRAY(small_order)));
    assert_true(opens(f->seal, rd_buf_bytes(&sealed))); /* nothing of that spent it */
    (void)rd_buf_append_u8(&sealed, 0);
    assert_false(opens(f->seal, rd_buf_bytes(&sealed)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_r29_a_captured_request_runs_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_r29_a_flood_rotates_the_key_and_memory_stays_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_r37_a_key_ends_after_an_hour_and_is_wiped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_r44_all_callers_get_the_same_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_r46_whatever_is_wrong_looks_the_same, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
