#include "agent/reports.h"

#include "common/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define INSTANCE "ins_aaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OTHER    "ins_aaaaaaaaaaaaaaaaaaaaaaaabe"

static agent_report report_of(const char *instance, uint64_t epoch, rd_phase phase)
{
    agent_report report = { .epoch = epoch, .phase = (int)phase, .at_us = 1764000000000000 };
    memcpy(report.instance, instance, sizeof report.instance);
    return report;
}

static uint64_t add(agent_reports *reports, const char *instance, uint64_t epoch, rd_phase phase)
{
    agent_report report = report_of(instance, epoch, phase);
    return agent_reports_add(reports, &report)->seq;
}

static void test_only_durable_ones_are_shown(void **state)
{
    (void)state;
    agent_reports *reports = agent_reports_new(77);
    assert_int_equal(1, add(reports, INSTANCE, 3, RD_PHASE_LAUNCHING));
    assert_int_equal(2, add(reports, INSTANCE, 3, RD_PHASE_SERVING));
    assert_null(agent_reports_after(reports, 0));
    agent_reports_durable(reports, 1);
    assert_int_equal(1, agent_reports_after(reports, 0)->seq);
    assert_null(agent_reports_after(reports, 1));
    agent_reports_durable(reports, 99); /* never beyond what was given out */
    assert_int_equal(2, agent_reports_after(reports, 1)->seq);
    assert_int_equal(77, agent_reports_after(reports, 1)->incarnation);
    assert_null(agent_reports_after(reports, 2));
    agent_reports_free(reports);
}

static void test_acknowledgement(void **state)
{
    (void)state;
    agent_reports *reports = agent_reports_new(77);
    for (int i = 0; i < 3; i++)
        (void)add(reports, INSTANCE, 3, (rd_phase)(RD_PHASE_LAUNCHING + i));
    agent_reports_durable(reports, 2);
    assert_false(agent_reports_ack(reports, 76, 1)); /* of another history */
    assert_false(agent_reports_ack(reports, 77, 3)); /* of what was never sent */
    assert_true(agent_reports_ack(reports, 77, 2));
    assert_true(agent_reports_ack(reports, 77, 1)); /* late: no effect */
    assert_int_equal(2, agent_reports_acked(reports));
    agent_reports_durable(reports, 3);
    assert_int_equal(3, agent_reports_after(reports, 0)->seq); /* what was acknowledged is gone */
    agent_reports_ack(reports, 77, 3);
    uint64_t at = 0;
    const agent_report *kept = NULL;
    assert_true(agent_reports_next(reports, &at, &kept)); /* but for the newest of its lease */
    assert_int_equal(3, kept->seq);
    assert_false(agent_reports_next(reports, &at, &kept));
    agent_reports_forget(reports, INSTANCE, 3);
    at = 0;
    assert_false(agent_reports_next(reports, &at, &kept));
    agent_reports_free(reports);
}

static void test_newest_is_by_lease(void **state)
{
    (void)state;
    agent_reports *reports = agent_reports_new(1);
    (void)add(reports, INSTANCE, 3, RD_PHASE_SERVING);
    (void)add(reports, INSTANCE, 4, RD_PHASE_LAUNCHING);
    (void)add(reports, OTHER, 3, RD_PHASE_FAILED);
    assert_int_equal(RD_PHASE_SERVING, agent_reports_newest(reports, INSTANCE, 3)->phase);
    assert_int_equal(RD_PHASE_LAUNCHING, agent_reports_newest(reports, INSTANCE, 4)->phase);
    assert_null(agent_reports_newest(reports, OTHER, 4));
    agent_reports_free(reports);
}

/* A plane that does not listen for long: levels stay, steps in between go. */
static void test_bound(void **state)
{
    (void)state;
    agent_reports *reports = agent_reports_new(1);
    (void)add(reports, OTHER, 1, RD_PHASE_SERVING);
    for (int i = 0; i < 30000; i++)
        (void)add(reports, INSTANCE, 3, i % 2 ? RD_PHASE_SERVING : RD_PHASE_UNHEALTHY);
    uint64_t at = 0, count = 0;
    const agent_report *kept = NULL;
    bool has_other = false;
    while (agent_reports_next(reports, &at, &kept)) {
        count++;
        has_other |= strcmp(kept->instance, OTHER) == 0;
    }
    assert_true(count <= 10001);
    assert_true(has_other);
    assert_int_equal(30001, agent_reports_last(reports));
    agent_reports_free(reports);
}

static void test_line_and_back(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    agent_report report = report_of(INSTANCE, 3, RD_PHASE_FAILED), again;
    report.seq = 9;
    report.incarnation = 8;
    (void)snprintf(report.reason, sizeof report.reason, "function_error");
    (void)snprintf(report.detail, sizeof report.detail, "a \"quoted\" line\nand more");
    report.has_evidence = true;
    memset(report.evidence.b, 0xab, sizeof report.evidence.b);
    rd_buf line = { 0 };
    assert_true(agent_report_write(&report, &line));
    assert_null(memchr(line.data, '\n', line.size));
    memset(&again, 0, sizeof again);
    assert_int_equal(0, agent_report_read(rd_buf_bytes(&line), &again, &err));
    assert_memory_equal(&report, &again, sizeof report);
    rd_buf told = { 0 };
    assert_true(agent_report_tell(&report, RD_BYTES_LIT("\x01\x02\x03"), &told));
    assert_non_null(memmem(told.data, told.size, "\"bundle\":\"AQID\"", 15));
    assert_null(memmem(line.data, line.size, "bundle", 6));
    rd_buf_done(&told);
    assert_int_equal(-1, agent_report_read(RD_BYTES_LIT("{\"seq\":1}"), &again, &err));
    assert_int_equal(RD_E_JSON_MISSING, err.code);
    rd_buf_done(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_durable_ones_are_shown),
        cmocka_unit_test(test_acknowledgement),
        cmocka_unit_test(test_newest_is_by_lease),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_line_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
