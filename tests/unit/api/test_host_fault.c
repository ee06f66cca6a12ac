#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "api/host_fault.h"

/* What an application's owner can bring about, and what the plane lacks, must never cost an operator a host. */
static void test_whose(void **state)
{
    (void)state;
    static const struct {
        rd_code code;
        api_fault whose;
    } rows[] = {
        { RD_E_QUOTE_SIG, API_FAULT_HOST },
        { RD_E_BINDING, API_FAULT_HOST },
        { RD_E_RTMR, API_FAULT_HOST },
        { RD_E_NONCE, API_FAULT_HOST },
        { RD_E_EVIDENCE_MISSING, API_FAULT_HOST },
        { RD_E_DIGEST_MISMATCH, API_FAULT_HOST },
        { RD_E_COLLATERAL_TIME, API_FAULT_PLANE },
        { RD_E_CRL_TIME, API_FAULT_PLANE },
        { RD_E_MEASUREMENT, API_FAULT_POLICY },
        { RD_E_TCB_STATUS, API_FAULT_POLICY },
        { RD_E_POLICY_PLATFORM, API_FAULT_POLICY },
        { RD_E_RELEASE_NOT_ALLOWED, API_FAULT_POLICY },
        { RD_E_TD_DEBUG, API_FAULT_POLICY },
        { RD_E_EVIDENCE_UNAVAILABLE, API_FAULT_POLICY },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (api_fault_of(rows[i].code) != rows[i].whose)
            fail_msg("%s", rd_code_describe(rows[i].code)->name);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_whose) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
