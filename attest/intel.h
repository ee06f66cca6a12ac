/* intel: the state of one verification of an Intel quote, shared by the files that hold its steps.
 * Used by intel.c (order of the steps), intel_chain.c (certificates, lists, collateral) and intel_tcb.c (QE and TCB).
 * Lives for one call of rd_attest_verify. */
#ifndef RD_ATTEST_INTEL_H
#define RD_ATTEST_INTEL_H

#include "attest/intel_quote.h"
#include "attest/tcb_info.h"
#include "attest/verifier.h"
#include "common/crypto/x509_crl.h"

typedef struct rd_intel {
    const rd_attest_input *input;
    rd_verdict *verdict;
    rd_intel_quote quote;
    uint8_t qe_report_data[64];
    rd_certs pck_certs;
    rd_chain pck_chain; /* leaf, PCK CA, root */
    bool is_platform_ca;
    rd_crl *pck_crl, *root_crl;
    rd_tcb_info tcb_info;
    rd_qe_identity qe_identity;
    const rd_tcb_level *qe_level; /* of qe_identity */
    const rd_tdx_module *module;  /* with levels; NULL for SGX and for module version 0 */
    char detail[160];             /* what the step that passed found */
} rd_intel;

typedef int (*rd_intel_step)(rd_intel *intel, rd_err *err);

#define rd_intel_say(intel, ...) (void)snprintf((intel)->detail, sizeof(intel)->detail, __VA_ARGS__)

/* intel_chain.c */
int rd_intel_pck_chain(rd_intel *intel, rd_err *err);
int rd_intel_revocation(rd_intel *intel, rd_err *err);
int rd_intel_platform(rd_intel *intel, rd_err *err);
int rd_intel_tcb_info(rd_intel *intel, rd_err *err);
int rd_intel_qe_identity(rd_intel *intel, rd_err *err);
/* intel_tcb.c */
int rd_intel_scope(rd_intel *intel, rd_err *err);
int rd_intel_module(rd_intel *intel, rd_err *err);
int rd_intel_qe_signature(rd_intel *intel, rd_err *err);
int rd_intel_qe_binding(rd_intel *intel, rd_err *err);
int rd_intel_qe(rd_intel *intel, rd_err *err);
int rd_intel_quote_signature(rd_intel *intel, rd_err *err);
int rd_intel_tcb(rd_intel *intel, rd_err *err);

#endif
