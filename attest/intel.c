#include "attest/intel.h"

#include <stdio.h>
#include <string.h>

#include "common/base/cursor.h"

static bool recognises(rd_bytes quote)
{
    /* The last one asked: what no other format claims is judged as a quote, and says what is wrong with it. */
    (void)quote;
    return true;
}

static void read_td(rd_intel *intel, rd_claims *claims)
{
    rd_td_report_read(intel->quote.body, &claims->tdx, claims->report_data);
    claims->tee = RD_TEE_TDX;
    /* TDATTRIBUTES bits 0 to 7: the TD under debug group. */
    claims->is_debug = claims->tdx.td_attributes[0] != 0;
}

static void read_enclave(rd_intel *intel, rd_claims *claims)
{
    rd_sgx_report_read(intel->quote.body, &claims->sgx, claims->report_data);
    claims->tee = RD_TEE_SGX;
    claims->is_debug = claims->sgx.attributes[0] & 0x02;
}

static int read_format(rd_intel *intel, rd_err *err)
{
    rd_intel_quote *quote = &intel->quote;
    rd_claims *claims = &intel->verdict->claims;
    if (rd_intel_quote_parse(intel->input->quote, quote, err) < 0)
        return -1;
    claims->format_version = quote->version;
    claims->body_type = (uint16_t)quote->body_type;
    if (quote->body_type == RD_BODY_SGX)
        read_enclave(intel, claims);
    else
        read_td(intel, claims);
    rd_sgx_report_read(quote->qe_report, &claims->qe, intel->qe_report_data);
    intel->verdict->padding = quote->padding;
    rd_intel_say(intel, "%s quote version %u, body type %u", rd_tee_names[claims->tee], quote->version,
                 quote->body_type);
    return 0;
}

/* attestation.md section 2, in its order. */
static const struct {
    const char *name;
    rd_intel_step run;
} steps[] = {
    { "format", read_format },
    { "pck_chain", rd_intel_pck_chain },
    { "revocation", rd_intel_revocation },
    { "platform", rd_intel_platform },
    { "tcb_info", rd_intel_tcb_info },
    { "qe_identity", rd_intel_qe_identity },
    { "scope", rd_intel_scope },
    { "module", rd_intel_module },
    { "qe_signature", rd_intel_qe_signature },
    { "qe_binding", rd_intel_qe_binding },
    { "qe", rd_intel_qe },
    { "quote_signature", rd_intel_quote_signature },
    { "tcb", rd_intel_tcb },
};

static void done(rd_intel *intel)
{
    rd_certs_done(&intel->pck_certs);
    rd_crl_free(intel->pck_crl);
    rd_crl_free(intel->root_crl);
    rd_tcb_info_done(&intel->tcb_info);
    rd_qe_identity_done(&intel->qe_identity);
}

static int verify(const rd_attest_input *input, rd_verdict *verdict, rd_err *err)
{
    RD_CLEANUP(done) rd_intel intel = { .input = input, .verdict = verdict };
    for (size_t i = 0; i < RD_ARRAY_LEN(steps); i++) {
        intel.detail[0] = 0;
        if (steps[i].run(&intel, err) < 0)
            return rd_step_failed(verdict, steps[i].name, err);
        rd_step_ok(verdict, steps[i].name, "%s", intel.detail);
    }
    return 0;
}

const rd_verifier rd_verifier_intel = { .name = "intel", .recognises = recognises, .verify = verify };
