#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "scheduler/lease.h"
#include "scheduler/parked.h"

static void test_numbers_grow(void **state)
{
    (void)state;
    assert_true(sched_epoch(1, 1) > sched_job_base(1));
    assert_true(sched_epoch(2, 0) > sched_epoch(1, ((int64_t)1 << 40) - 1));
    assert_true(sched_epoch(8191, ((int64_t)1 << 40) - 1) < (int64_t)1 << 53);
}

static void test_slots_carry_the_shard(void **state)
{
    (void)state;
    assert_int_equal(sched_slot(0, 7), 7);
    assert_int_equal(sched_slot_number(sched_slot(63, 12345)), 12345);
    assert_int_equal((uint32_t)sched_slot(63, 0) >> 25, 63);
    assert_true(sched_slot(63, (1 << 25) - 1) > 0);
}

static void test_parking(void **state)
{
    (void)state;
    sched_parked *parked = sched_parked_new();
    rd_app_id app = { { 1 } }, other = { { 2 } };
    for (int i = 1; i < SCHED_PARKED_TRIES; i++)
        assert_false(sched_parked_refused(parked, &app, 0));
    assert_int_equal(sched_parked_until_us(parked, &app, 1), 0);
    assert_true(sched_parked_refused(parked, &app, 0));
    assert_int_equal(sched_parked_until_us(parked, &app, 1), 60000000);
    assert_int_equal(sched_parked_until_us(parked, &app, 60000000), 0);
    assert_int_equal(sched_parked_until_us(parked, &other, 1), 0);
    for (int i = 0; i < 20; i++)
        assert_true(sched_parked_refused(parked, &app, 0));
    assert_int_equal(sched_parked_until_us(parked, &app, 1), 600000000);
    sched_parked_accepted(parked, &app);
    assert_int_equal(sched_parked_until_us(parked, &app, 1), 0);
    sched_parked_free(parked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_grow),
        cmocka_unit_test(test_slots_carry_the_shard),
        cmocka_unit_test(test_parking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
