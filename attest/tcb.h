/* tcb: which TCB level a platform stands on, and one status out of platform, quoting enclave and TDX module
 * (attestation.md 2.13 to 2.16; Intel SGX and TDX DCAP quote verification).
 * Used by the Intel verifier. Pure: structs in, structs out. */
#ifndef RD_ATTEST_TCB_H
#define RD_ATTEST_TCB_H

#include "attest/tcb_info.h"

/* What the platform has: components and PCE SVN of the PCK certificate, TEE_TCB_SVN of the TD report. */
typedef struct rd_platform_svns {
    const uint8_t *sgx; /* 16 */
    uint16_t pce_svn;
    const uint8_t *tdx; /* 16, NULL for SGX */
} rd_platform_svns;

/* The first level, as served, that asks for no more than the platform has; NULL when there is none. */
const rd_tcb_level *rd_tcb_match_platform(const rd_tcb_levels *levels, const rd_platform_svns *svns);
/* The first level with isvsvn at most svn, or NULL. */
const rd_tcb_level *rd_tcb_match_isv(const rd_tcb_levels *levels, uint32_t svn);

/* What was missing: appended to a verdict's shortfalls. The level that is compared with is the nearest one above level
 * whose status is better, or the lowest one when nothing matched (level NULL); where there is none, nothing is lacking
 * that a newer version would mend. */
void rd_tcb_note_platform(const rd_tcb_levels *levels, const rd_tcb_level *level, const rd_platform_svns *svns,
                          rd_tcb_verdict *ret);
void rd_tcb_note_isv(const rd_tcb_levels *levels, const rd_tcb_level *level, uint32_t svn, const char *component,
                     rd_tcb_kind kind, rd_tcb_verdict *ret);

/* One status out of three; RD_TCB_UP_TO_DATE for a part that does not exist. */
rd_tcb_status rd_tcb_converge(rd_tcb_status platform, rd_tcb_status qe, rd_tcb_status module);
/* TD report 1.5: the status at launch against that of the module that runs now. */
rd_tcb_status rd_tcb_relaunch(rd_tcb_status launch, rd_tcb_status current);

/* The identity for a module of this major version (TEE_TCB_SVN[1] > 0), or NULL. */
const rd_tdx_module *rd_tcb_module(const rd_tcb_info *info, uint8_t major);

/* Adds a level's advisories (without doubles) and takes the earlier date. COLLATERAL_FORMAT when there are more than a
 * verdict holds: one that was left out could be the one that somebody denies. */
int rd_tcb_add_level(rd_tcb_verdict *verdict, const rd_tcb_level *level, rd_err *err) RD_NODISCARD;

#endif
