#include "api/intake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECOND INT64_C(1000000)

/* Sends `size` bytes in pieces, one each `every_us`: whether it ends in time; *ret_us is how long it was let go on. */
static bool comes(size_t size, size_t piece, int64_t every_us, int64_t *ret_us)
{
    int64_t now_us = 0, due_us = API_BODY_GRACE_US;
    for (size_t sent = 0; sent < size; sent += piece) {
        now_us += every_us;
        if (now_us > due_us) {
            *ret_us = due_us;
            return false;
        }
        due_us = api_body_due_us(due_us, now_us, piece);
    }
    *ret_us = now_us;
    return true;
}

static void paces(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t size, piece;
        int64_t every_us;
        bool want;
    } rows[] = {
        { "at once", (size_t)17 << 20, (size_t)17 << 20, 1, true },
        { "at the rate", (size_t)17 << 20, API_BODY_RATE, SECOND, true },
        { "below the rate", (size_t)17 << 20, API_BODY_RATE * 9 / 10, SECOND, false },
        { "a small one within the grace", 100, 10, SECOND, true },
        { "a small one past the grace", 1000, 10, SECOND, false },
        { "a byte now and then", (size_t)1 << 20, 1, 9 * SECOND, false },
        { "nothing", 1, 1, API_BODY_GRACE_US + 1, false },
        { "large pieces with rests", (size_t)17 << 20, (size_t)1 << 20, API_BODY_REST_US / 2, true },
        { "rests that are too long", (size_t)17 << 20, (size_t)1 << 20, API_BODY_REST_US + 1, false },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        int64_t took_us;
        if (comes(rows[i].size, rows[i].piece, rows[i].every_us, &took_us) != rows[i].want)
            fail_msg("%s: %lld us", rows[i].name, (long long)took_us);
        /* Nobody is let go on beyond what his size gives. */
        assert_true(took_us <=
                    API_BODY_GRACE_US + (int64_t)(rows[i].size / API_BODY_RATE + 1) * SECOND + API_BODY_REST_US / 2);
    }
}

/* What was ahead of the rate and then stops is let go soon, however much of it came. */
static void a_burst_buys_no_long_rest(void **state)
{
    (void)state;
    int64_t due_us = api_body_due_us(API_BODY_GRACE_US, 0, (size_t)16 << 20);
    assert_int_equal(due_us, API_BODY_REST_US);
    for (int64_t now_us = SECOND; now_us < due_us; now_us += SECOND)
        due_us = api_body_due_us(due_us, now_us, 1);
    assert_true(due_us < API_BODY_REST_US + SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(paces), cmocka_unit_test(a_burst_buys_no_long_rest) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
