/* verifier: one evidence format behind attest.h, as a table of functions; and the steps that they record.
 * Used inside attest alone: verify.c picks the first verifier that recognises the bytes.
 * A new format is a new file with one of these, and a line in verify.c. */
#ifndef RD_ATTEST_VERIFIER_H
#define RD_ATTEST_VERIFIER_H

#include "attest/attest.h"
#include "common/crypto/x509.h"

typedef struct rd_verifier {
    const char *name;
    /* Cheap, by the first bytes; says nothing about whether the rest is well-formed. */
    bool (*recognises)(rd_bytes quote);
    /* Fills claims and TCB verdict; records a step for each thing looked at. 0 only when genuine. */
    int (*verify)(const rd_attest_input *input, rd_verdict *verdict, rd_err *err);
} rd_verifier;

extern const rd_verifier rd_verifier_intel;
extern const rd_verifier rd_verifier_snp;
extern const rd_verifier rd_verifier_local;

/* Appends a step that passed. */
void rd_step_ok(rd_verdict *verdict, const char *name, const char *fmt, ...) RD_PRINTF(3, 4);
/* Appends the step that failed with err's sentence; returns -1. */
int rd_step_failed(rd_verdict *verdict, const char *name, const rd_err *err);

/* The last step of evidence that came without any collateral: COLLATERAL_MISSING; returns -1. */
int rd_step_no_collateral(rd_verdict *verdict, rd_err *err);
/* After CHAIN_TIME: notes whether the instant lies before the validity of one of them. */
void rd_note_early(rd_verdict *verdict, const rd_certs *certs, int64_t time_us);

/* The fingerprints of one kind of anchors, for a chain's rules; index maps back into anchors. */
typedef struct rd_roots {
    uint8_t fingerprints[RD_ANCHORS_MAX][32];
    size_t index[RD_ANCHORS_MAX];
    size_t count;
} rd_roots;
void rd_roots_of(const rd_anchors *anchors, rd_tee tee, rd_roots *ret);

/* H("platform-v1", tee name, raw id). */
void rd_platform_id(rd_tee tee, rd_bytes raw_id, uint8_t ret[32]);

#endif
