#include "common/model/instance_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Rows from, columns to: none delivered launching attesting serving unhealthy stopping refused failed stopped. */
static const char *const phase_table[RD_PHASE_COUNT] = {
    "-xxxxxxxxx", /* none */
    "--xxxxxxxx", /* delivered */
    "---xxxx-xx", /* launching */
    "----xxx-xx", /* attesting */
    "-----xx-xx", /* serving */
    "----x-x-xx", /* unhealthy */
    "--------xx", /* stopping */
    "----------", /* refused */
    "----------", /* failed */
    "----------", /* stopped */
};

static void test_phases(void **state RD_UNUSED)
{
    for (int from = 0; from < RD_PHASE_COUNT; from++) {
        bool has_way_out = false;
        for (int to = 0; to < RD_PHASE_COUNT; to++) {
            bool is_ok = rd_phase_ok((rd_phase)from, (rd_phase)to);
            has_way_out = has_way_out || is_ok;
            if (is_ok != (phase_table[from][to] == 'x'))
                fail_msg("%s to %s", rd_phase_name((rd_phase)from), rd_phase_name((rd_phase)to));
        }
        assert_int_equal(rd_phase_is_final((rd_phase)from), !has_way_out);
    }
    assert_false(rd_phase_ok(RD_PHASE_COUNT, RD_PHASE_FAILED));
    assert_false(rd_phase_ok(RD_PHASE_NONE, (rd_phase)-1));
    assert_false(rd_phase_ok((rd_phase)-1, RD_PHASE_FAILED));
}

static void test_names(void **state RD_UNUSED)
{
    for (int i = 1; i < RD_PHASE_COUNT; i++)
        assert_int_equal(rd_phase_parse(rd_phase_name((rd_phase)i)), i);
    assert_int_equal(rd_phase_parse(""), RD_PHASE_NONE);
    assert_int_equal(rd_phase_parse("Serving"), RD_PHASE_NONE);
    assert_int_equal(rd_phase_parse("lost"), RD_PHASE_NONE);
    assert_string_equal(rd_phase_name(RD_PHASE_NONE), "");
    assert_string_equal(rd_phase_name((rd_phase)99), "");
    assert_string_equal(rd_phase_name(RD_PHASE_SERVING), "serving");
    rd_want want;
    for (int i = RD_WANT_RUN; i <= RD_WANT_ENDED; i++) {
        assert_true(rd_want_parse(rd_want_name((rd_want)i), &want));
        assert_int_equal(want, i);
    }
    assert_false(rd_want_parse("", &want));
    assert_false(rd_want_parse("start", &want));
    rd_host_state host;
    for (int i = 1; i < RD_HOST_STATE_COUNT; i++) {
        assert_true(rd_host_state_parse(rd_host_state_name((rd_host_state)i), &host));
        assert_int_equal(host, i);
    }
    assert_false(rd_host_state_parse("", &host));
    assert_string_equal(rd_host_state_name((rd_host_state)0), "");
}

static void test_wants(void **state RD_UNUSED)
{
    for (int from = RD_WANT_RUN; from <= RD_WANT_ENDED; from++)
        for (int to = RD_WANT_RUN; to <= RD_WANT_ENDED; to++)
            assert_int_equal(rd_want_ok((rd_want)from, (rd_want)to), from < to);
    assert_false(rd_want_ok((rd_want)0, RD_WANT_RUN));
    assert_false(rd_want_ok(RD_WANT_RUN, (rd_want)5));
}

/* Rows from, columns to: enrolled reconciling ready cordoned draining drained retired suspect lost quarantined. */
static const char *const host_table[RD_HOST_STATE_COUNT - 1] = {
    "-x----x--x", /* enrolled */
    "--xxxxxxxx", /* reconciling */
    "---xxxxxxx", /* ready */
    "--x-xxxxxx", /* cordoned */
    "--xx-xxxxx", /* draining */
    "--xxx-xxxx", /* drained */
    "----------", /* retired */
    "-xxxxxx-xx", /* suspect */
    "-x----x--x", /* lost */
    "-x----x-x-", /* quarantined */
};

static void test_hosts(void **state RD_UNUSED)
{
    for (int from = 1; from < RD_HOST_STATE_COUNT; from++)
        for (int to = 1; to < RD_HOST_STATE_COUNT; to++)
            if (rd_host_state_ok((rd_host_state)from, (rd_host_state)to) != (host_table[from - 1][to - 1] == 'x'))
                fail_msg("%s to %s", rd_host_state_name((rd_host_state)from), rd_host_state_name((rd_host_state)to));
    assert_false(rd_host_state_ok((rd_host_state)0, RD_HOST_READY));
    assert_false(rd_host_state_ok(RD_HOST_READY, RD_HOST_STATE_COUNT));
}

/* Numbers stand in databases: they never change. */
static void test_numbers(void **state RD_UNUSED)
{
    assert_int_equal(RD_PHASE_SERVING, 4);
    assert_int_equal(RD_PHASE_STOPPED, 9);
    assert_int_equal(RD_WANT_STOP, 3);
    assert_int_equal(RD_HOST_QUARANTINED, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_phases), cmocka_unit_test(test_names),   cmocka_unit_test(test_wants),
        cmocka_unit_test(test_hosts),  cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
