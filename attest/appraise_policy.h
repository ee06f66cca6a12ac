/* appraise_policy: the rules of appraisal that read a policy's lists: measurements, platforms, report data, AMD's
 * levels and guest policy. Used by appraise.c alone, in its order; pure. */
#ifndef RD_ATTEST_APPRAISE_POLICY_H
#define RD_ATTEST_APPRAISE_POLICY_H

#include "attest/claims.h"

/* Whether one item of the policy fits in all its parts. MEASUREMENT names the part of the nearest item that does not.
 * detail: what was found, for people. */
int rd_appraise_measurement(const rd_claims *claims, const rd_policy *policy, char *detail, size_t size,
                            rd_err *err) RD_NODISCARD;
/* Platform id (POLICY_PLATFORM), report data when the policy names it (BINDING); SEV-SNP: VMPL (SNP_VMPL), migration
 * agent (SNP_POLICY), kind of key (KEY_KIND), lowest TCB, both reported and committed (TCB_STATUS). */
int rd_appraise_platform(const rd_claims *claims, const rd_policy *policy, char *detail, size_t size,
                         rd_err *err) RD_NODISCARD;

#endif
