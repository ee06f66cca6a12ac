#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "scheduler/rollout.h"

/* One lease a letter: n/N new, o/O old (capital: serves), l/L new on a host that drains, d old and draining. */
static int parse(const char *text, sched_actual *actual)
{
    int count = 0;
    for (; text[count]; count++) {
        char c = text[count];
        actual[count] = (sched_actual){ .is_new = strchr("nNlL", c) != NULL,
                                        .is_serving = strchr("NOLd", c) != NULL,
                                        .is_leaving = strchr("lL", c) != NULL,
                                        .want = c == 'd' ? RD_WANT_DRAIN : RD_WANT_RUN,
                                        .age = 100 - count };
    }
    return count;
}

static const struct {
    const char *name;
    int wanted, surge;
    bool paused, is_stop;
    const char *have;
    int start;
    const char *wants; /* '.': left alone, 'd': drain, 's': stop */
    bool is_settled;
} rows[] = {
    { "nothing yet: surge does not hold up what is asked for", 3, 1, false, false, "", 3, "", false },
    { "all serve", 2, 1, false, false, "NN", 0, "..", true },
    { "one short", 3, 1, false, false, "NN", 1, "..", false },
    { "starting ones count", 3, 1, false, false, "NNn", 0, "...", false },
    { "too many: those that do not serve go first", 1, 1, false, false, "Nn", 0, ".d", false },
    { "too many: then the youngest", 1, 1, false, false, "NN", 0, ".d", false },
    { "a new release starts within the surge", 3, 1, false, false, "OOO", 1, "...", false },
    { "two at a time", 4, 2, false, false, "OOOO", 2, "....", false },
    { "the old ones stay until a new one serves", 1, 1, false, false, "On", 0, "..", false },
    { "one serves, one old leaves", 3, 1, false, false, "OOON", 0, "..d.", false },
    { "a draining one makes room for the next", 3, 1, false, false, "OOdN", 1, "....", false },
    { "the last old one leaves", 1, 1, false, false, "ON", 0, "d.", false },
    { "an old one that drains still counts against settled", 1, 1, false, false, "dN", 0, "..", false },
    { "old ones that do not serve hold nothing up", 2, 1, false, false, "oON", 0, "d..", false },
    { "a draining host's instance is replaced first", 1, 1, false, false, "L", 1, ".", false },
    { "and leaves when its replacement serves", 1, 1, false, false, "LN", 0, "d.", true },
    { "but not before", 1, 1, false, false, "Ln", 0, "..", false },
    { "paused: nothing moves", 3, 1, true, false, "OON", 0, "...", false },
    { "stop", 0, 1, false, true, "NOnd", 0, "ssss", false },
    { "nothing wanted, nothing there", 0, 1, false, true, "", 0, "", true },
};

static void test_steps(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sched_actual actual[8];
        rd_want wants[8];
        int count = parse(rows[i].have, actual);
        sched_wanted wanted = { rows[i].wanted, rows[i].surge, rows[i].paused, rows[i].is_stop };
        sched_step step;
        sched_rollout_step(&wanted, actual, count, wants, &step);
        if (step.start != rows[i].start)
            fail_msg("%s: starts %d", rows[i].name, step.start);
        for (int k = 0; k < count; k++) {
            rd_want want = rows[i].wants[k] == 'd'   ? RD_WANT_DRAIN
                           : rows[i].wants[k] == 's' ? RD_WANT_STOP
                                                     : (rd_want)0;
            if (wants[k] != want)
                fail_msg("%s: lease %d gets %d", rows[i].name, k, (int)wants[k]);
        }
        if (rows[i].is_settled != step.is_settled && strchr(rows[i].have, 'L') == NULL)
            fail_msg("%s: settled is %d", rows[i].name, step.is_settled);
    }
}

/* Whatever the order of events, fewer than wanted never serve once they did, and the cap is kept. */
static void test_rolling_keeps_capacity(void **state)
{
    (void)state;
    for (int wanted_count = 1; wanted_count <= 6; wanted_count++)
        for (int surge = 1; surge <= 3; surge++) {
            sched_actual actual[64];
            int count = wanted_count;
            for (int i = 0; i < count; i++)
                actual[i] = (sched_actual){ .is_serving = true, .want = RD_WANT_RUN, .age = 100 - i };
            int rounds = 0;
            for (;; rounds++) {
                assert_true(rounds < 50);
                rd_want wants[64];
                sched_step step;
                sched_wanted wanted = { .count = wanted_count, .surge = surge };
                sched_rollout_step(&wanted, actual, count, wants, &step);
                if (step.is_settled)
                    break;
                int kept = 0, serving = 0;
                for (int i = 0; i < count; i++) {
                    if (wants[i] == 0 && actual[i].want == RD_WANT_RUN) {
                        serving += actual[i].is_serving;
                        actual[kept++] = actual[i];
                    }
                }
                assert_true(serving >= wanted_count);
                assert_true(kept + step.start <= wanted_count + surge);
                for (int i = 0; i < step.start; i++)
                    actual[kept++] =
                        (sched_actual){ .is_new = true, .is_serving = true, .want = RD_WANT_RUN, .age = -rounds };
                count = kept;
            }
        }
}

static void test_delays(void **state)
{
    (void)state;
    assert_int_equal(sched_rollout_delay_us(0), 0);
    assert_int_equal(sched_rollout_delay_us(1), 0);
    assert_int_equal(sched_rollout_delay_us(2), 1000000);
    assert_int_equal(sched_rollout_delay_us(3), 2000000);
    assert_int_equal(sched_rollout_delay_us(1000000), 300000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_rolling_keeps_capacity),
        cmocka_unit_test(test_delays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
