#include "common/base/mem.h"
#include "common/crypto/random.h"
#include "common/crypto/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_life(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_secret_free_p) rd_secret *zero = rd_secret_new(32);
    RD_CLEANUP(rd_secret_free_p) rd_secret *copy = rd_secret_copy(RD_BYTES_LIT("key material"));
    static const uint8_t zeros[32];
    assert_memory_equal(rd_secret_bytes(zero).data, zeros, 32);
    assert_int_equal(rd_secret_bytes(copy).size, 12);
    assert_memory_equal(rd_secret_bytes(copy).data, "key material", 12);
    rd_secret_data(copy)[0] = 'K';
    assert_memory_equal(rd_secret_bytes(copy).data, "Key material", 12);
    assert_null(rd_secret_free(NULL));
}

static void test_comparison(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_secret_free_p) rd_secret *a = rd_secret_copy(RD_BYTES_LIT("same"));
    RD_CLEANUP(rd_secret_free_p) rd_secret *b = rd_secret_copy(RD_BYTES_LIT("same"));
    RD_CLEANUP(rd_secret_free_p) rd_secret *other = rd_secret_copy(RD_BYTES_LIT("samf"));
    RD_CLEANUP(rd_secret_free_p) rd_secret *longer = rd_secret_copy(RD_BYTES_LIT("same!"));
    assert_true(rd_secret_equal(a, b));
    assert_false(rd_secret_equal(a, other));
    assert_false(rd_secret_equal(a, longer));
}

static void test_random_is_not_constant(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_secret_free_p) rd_secret *a = rd_secret_random(32);
    RD_CLEANUP(rd_secret_free_p) rd_secret *b = rd_secret_random(32);
    assert_false(rd_secret_equal(a, b));
    uint8_t large[4096] = { 0 };
    rd_random_fill(rd_random_system(), large, sizeof large);
    size_t zeros = 0;
    for (size_t i = 0; i < sizeof large; i++)
        zeros += large[i] == 0;
    assert_true(zeros < 100); /* 16 are expected */
}

static void test_large(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_secret_free_p) rd_secret *secret = rd_secret_new(1 << 20);
    memset(rd_secret_data(secret), 0x5a, 1 << 20);
    assert_int_equal(rd_secret_bytes(secret).size, 1 << 20);
    (void)rd_secret_is_locked(secret); /* depends on RLIMIT_MEMLOCK: either answer is right */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_comparison),
        cmocka_unit_test(test_random_is_not_constant),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
