#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/limits.h"

static int64_t now_us;

static int64_t fake_now(void *context)
{
    (void)context;
    return now_us;
}

static const rd_clock clock_fake = { fake_now, fake_now, NULL };
static const api_limit_rule rule = { "test", 10, 20 };

static unsigned take_all(api_limits *limits, const char *key)
{
    unsigned taken = 0;
    uint32_t left;
    int64_t wait_us;
    while (taken < 1000 && api_limits_take(limits, rd_bytes_str(key), &rule, &left, &wait_us))
        taken++;
    assert_true(wait_us > 0 && wait_us <= 1000000);
    return taken;
}

static void test_bucket(void **state)
{
    (void)state;
    now_us = 1000000;
    api_limits *limits = api_limits_new(&clock_fake);
    assert_int_equal(take_all(limits, "a"), 20); /* the burst */
    assert_int_equal(take_all(limits, "b"), 20); /* of each key by itself */
    now_us += 500000;
    assert_int_equal(take_all(limits, "a"), 5); /* what half a second gave back */
    now_us += 60000000;
    assert_int_equal(take_all(limits, "a"), 20); /* never more than the burst */
    api_limits_free(limits);
}

/* More keys than buckets: full ones are forgotten, and where none is, refusal is the answer, not memory. */
static void test_many_keys(void **state)
{
    (void)state;
    now_us = 1000000;
    api_limits *limits = api_limits_new(&clock_fake);
    uint32_t left;
    int64_t wait_us;
    char key[32];
    bool is_taken = true;
    for (int i = 0; i < 65536 && is_taken; i++) {
        snprintf(key, sizeof(key), "key %d", i);
        is_taken = api_limits_take(limits, rd_bytes_str(key), &rule, &left, &wait_us);
    }
    assert_true(is_taken);
    assert_false(api_limits_take(limits, RD_BYTES_LIT("one more"), &rule, &left, &wait_us));
    now_us += 10000000;
    assert_true(api_limits_take(limits, RD_BYTES_LIT("one more"), &rule, &left, &wait_us));
    assert_int_equal(left, 19);
    api_limits_free(limits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bucket),
        cmocka_unit_test(test_many_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
