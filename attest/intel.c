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
    int rc = rd_intel_quote_parse(intel->input->quote, quote, err);
    claims->format_version = quote->version;
    claims->body_type = (uint16_t)quote->body_type;
    claims->tee = quote->tee_type == RD_TEE_TYPE_TDX ? RD_TEE_TDX : RD_TEE_SGX;
    if (rc < 0)
        return -1;
    claims->has_fields = true;
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
    bool holds_alone; /* needs no collateral */
} steps[] = {
    { "format", read_format, true },
    { "pck_chain", rd_intel_pck_chain, true },
    { "revocation", rd_intel_revocation, false },
    { "platform", rd_intel_platform, true },
    { "tcb_info", rd_intel_tcb_info, false },
    { "qe_identity", rd_intel_qe_identity, false },
    { "scope", rd_intel_scope, false },
    { "module", rd_intel_module, false },
    { "qe_signature", rd_intel_qe_signature, true },
    { "qe_binding", rd_intel_qe_binding, true },
    { "qe", rd_intel_qe, false },
    { "quote_signature", rd_intel_quote_signature, true },
    { "tcb", rd_intel_tcb, false },
};

static bool has_collateral(const rd_collateral *collateral)
{
    return collateral->pck_crl.size || collateral->root_ca_crl.size || collateral->tcb_info.size ||
           collateral->tcb_info_chain.size || collateral->qe_identity.size || collateral->qe_identity_chain.size;
}

static int verify(const rd_attest_input *input, rd_verdict *verdict, rd_err *err)
{
    RD_CLEANUP(rd_intel_done) rd_intel intel = { .input = input, .verdict = verdict };
    bool is_alone = !has_collateral(input->collateral);
    for (size_t i = 0; i < RD_ARRAY_LEN(steps); i++) {
        intel.detail[0] = 0;
        if (is_alone && !steps[i].holds_alone)
            continue;
        if (steps[i].run(&intel, err) < 0)
            return rd_step_failed(verdict, steps[i].name, err);
        rd_step_ok(verdict, steps[i].name, "%s", intel.detail);
    }
    verdict->holds_alone = is_alone;
    return is_alone ? rd_step_no_collateral(verdict, err) : 0;
}

const rd_verifier rd_verifier_intel = { .name = "intel", .recognises = recognises, .verify = verify };
