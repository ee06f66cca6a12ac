/* intel: the state of one verification of an Intel quote, shared by the files that hold its steps.
 * Used by intel.c (order of the steps), intel_chain.c (certificates, lists), intel_collateral.c and intel_tcb.c (QE and
 * TCB). Lives for one call of rd_attest_verify. */
#ifndef RD_ATTEST_INTEL_H
#define RD_ATTEST_INTEL_H

#include "attest/cache.h"
#include "attest/intel_quote.h"
#include "attest/tcb_info.h"
#include "attest/verifier.h"
#include "common/crypto/x509_crl.h"

/* A chain that was verified: of the PCK (leaf, PCK CA, root), or of a piece of collateral (signer, root). */
typedef struct rd_intel_chain {
    rd_certs certs;
    rd_chain path; /* borrowed from certs */
} rd_intel_chain;

#define RD_INTEL_MEMOS 9 /* chain, two lists, two pieces, their signers, QE report, attestation key */

typedef struct rd_intel {
    const rd_attest_input *input;
    rd_verdict *verdict;
    rd_intel_quote quote;
    uint8_t qe_report_data[64];
    rd_memo *memos[RD_INTEL_MEMOS]; /* hold what is borrowed below */
    size_t memo_count;
    const rd_chain *pck_chain; /* leaf, PCK CA, root */
    bool is_platform_ca;
    const rd_crl *pck_crl, *root_crl;
    rd_memo *signer; /* of the piece that was opened last, with its chain's text */
    rd_bytes signer_pem;
    const rd_tcb_info *tcb_info;
    const rd_qe_identity *qe_identity;
    const rd_tcb_level *qe_level; /* of qe_identity */
    const rd_tdx_module *module;  /* with levels; NULL for SGX and for module version 0 */
    char detail[160];             /* what the step that passed found */
} rd_intel;

typedef int (*rd_intel_step)(rd_intel *intel, rd_err *err);

#define rd_intel_say(intel, ...) (void)snprintf((intel)->detail, sizeof(intel)->detail, __VA_ARGS__)

/* intel_chain.c, and what it shares with intel_collateral.c */
/* Holds a reference of the caller's until rd_intel_done. */
void rd_intel_hold(rd_intel *intel, rd_memo *memo);
void rd_intel_done(rd_intel *intel);
void rd_intel_chain_free(void *chain);
/* issued_us 0: has no date of issue that counts. */
void rd_intel_note_window(rd_verdict *verdict, int64_t issued_us, int64_t expires_us);
/* The first whose common name has this part, or NULL. */
const rd_cert *rd_intel_find_named(const rd_certs *certs, const char *part);
int rd_intel_pck_chain(rd_intel *intel, rd_err *err);
int rd_intel_revocation(rd_intel *intel, rd_err *err);
int rd_intel_platform(rd_intel *intel, rd_err *err);
/* intel_collateral.c */
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
