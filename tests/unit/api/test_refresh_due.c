/* When the plane fetches next: before the end, not too often, and further apart while it fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "api/refresh_due.h"

#define HOUR INT64_C(3600000000)

static void test_success(void **state RD_UNUSED)
{
    static const struct {
        int64_t left_us, wait_us;
    } rows[] = {
        { 30 * 24 * HOUR, 24 * HOUR }, { 24 * HOUR, 12 * HOUR }, { 2 * HOUR, HOUR },       { HOUR / 60, HOUR / 6 },
        { -HOUR, HOUR / 6 },           { 0, HOUR / 6 },          { INT64_MAX, 24 * HOUR }, { INT64_MIN / 2, HOUR / 6 },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        assert_int_equal(api_refresh_after_success(rows[i].left_us, 0), rows[i].wait_us);
        int64_t early_us = api_refresh_after_success(rows[i].left_us, UINT32_MAX);
        assert_true(early_us >= rows[i].wait_us - rows[i].wait_us / 10 && early_us < rows[i].wait_us);
    }
}

static void test_failure(void **state RD_UNUSED)
{
    int64_t last_us = 0;
    for (int64_t failures = 1; failures < 100; failures++) {
        int64_t wait_us = api_refresh_after_failure(failures, 0);
        int64_t early_us = api_refresh_after_failure(failures, UINT32_MAX);
        assert_true(wait_us >= last_us && wait_us <= API_REFRESH_AWAY_US);
        assert_true(early_us >= wait_us / 2 && early_us < wait_us);
        last_us = wait_us;
    }
    assert_int_equal(api_refresh_after_failure(1, 0), HOUR / 60);
    assert_int_equal(api_refresh_after_failure(2, 0), HOUR / 30);
    assert_int_equal(last_us, HOUR);
    assert_int_equal(api_refresh_after_failure(INT64_MAX, 0), HOUR);
    assert_int_equal(api_refresh_after_failure(0, 0), HOUR / 60);
}

static void test_due(void **state RD_UNUSED)
{
    const int64_t now = 1000 * HOUR;
    assert_int_equal(api_refresh_due(&(api_refresh_last){ .was_tried = false }, now), 0);
    const api_refresh_last good = { .was_tried = true, .tried_us = now, .next_us = now + 20 * HOUR };
    assert_int_equal(api_refresh_due(&good, 0), now + 20 * HOUR);
    assert_int_equal(api_refresh_due(&good, now + 100 * HOUR), now + 20 * HOUR);
    /* A set was brought since that ends sooner; never more often than the shortest time. */
    assert_int_equal(api_refresh_due(&good, now + 6 * HOUR), now + 3 * HOUR);
    assert_int_equal(api_refresh_due(&good, now - HOUR), now + API_REFRESH_SHORTEST_US);
    const api_refresh_last bad = { .was_tried = true, .tried_us = now, .next_us = now + HOUR, .failures = 3 };
    assert_int_equal(api_refresh_due(&bad, now - HOUR), now + HOUR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_success),
        cmocka_unit_test(test_failure),
        cmocka_unit_test(test_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
