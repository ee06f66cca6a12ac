// link: test_evidence
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/evidence_builder.h"

static void good(void **state)
{
    (void)state;
    ev_builder b;
    rd_attest_report report;
    ev_build(&b, EV_NONE, NULL);
    rd_code code = ev_check(&b, &report);
    if (code != RD_OK)
        print_message("%s: %s\n", rd_code_describe(code)->name, report.refusal.text);
    for (size_t i = 0; i < report.verdict.step_count; i++)
        print_message("  %s %s: %s\n", report.verdict.steps[i].is_ok ? "ok" : "NO", report.verdict.steps[i].name,
                      report.verdict.steps[i].detail);
    assert_int_equal(code, RD_OK);
    assert_true(report.is_accepted && report.verdict.is_genuine);
    assert_int_equal(report.verdict.tcb.status, RD_TCB_UP_TO_DATE);
    assert_int_equal(report.verdict.claims.class, RD_CLASS_SIMULATED);
    ev_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(good) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
