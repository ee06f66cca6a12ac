/* Reports that a TEE makes for its own machine: MACed with a key that never leaves it, so they prove nothing elsewhere.
 * Recognised by name, to say so. */
#include "attest/intel_quote.h"
#include "attest/verifier.h"

#define TD_REPORT_SIZE  1024 /* Intel TDX Module ABI, TDREPORT_STRUCT */
#define TD_REPORT_TYPE  0x81
#define SGX_REPORT_SIZE 432 /* Intel SDM 3D, REPORT: the body, KEYID and MAC */

static bool is_td_report(rd_bytes bytes)
{
    return bytes.size == TD_REPORT_SIZE && bytes.data[0] == TD_REPORT_TYPE && bytes.data[1] == 0;
}

static bool recognises(rd_bytes bytes)
{
    return is_td_report(bytes) || (bytes.size == SGX_REPORT_SIZE && !rd_intel_has_vendor(bytes));
}

static int verify(const rd_attest_input *input, rd_verdict *verdict, rd_err *err)
{
    bool is_td = is_td_report(input->quote);
    verdict->claims.tee = is_td ? RD_TEE_TDX : RD_TEE_SGX;
    (void)rd_err_set(err, RD_E_EVIDENCE_TYPE,
                     "a local %s: it is sealed for the machine it was made on; ask the platform for a quote",
                     is_td ? "TDREPORT" : "REPORT");
    return rd_step_failed(verdict, "format", err);
}

const rd_verifier rd_verifier_local = { .name = "local", .recognises = recognises, .verify = verify };
