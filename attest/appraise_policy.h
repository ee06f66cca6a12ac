/* appraise_policy: the rules of appraisal that read a policy's lists: measurements, platforms, report data, AMD's
 * levels and guest policy. Used by appraise.c alone, in its order; pure. */
#ifndef RD_ATTEST_APPRAISE_POLICY_H
#define RD_ATTEST_APPRAISE_POLICY_H

#include "attest/claims.h"

/* Whether one item of the policy fits in all its parts. MEASUREMENT names the part of the nearest item that does not.
 * detail: what was found, for people. */
int rd_appraise_measurement(const rd_claims *claims, const rd_policy *policy, char *detail, size_t size,
                            rd_err *err) RD_NODISCARD;
/* Platform id (POLICY_PLATFORM), report data when the policy names it (BINDING), and by TEE:
 * TDX: attributes under a mask (TD_ATTR), XFAM (TD_XFAM), MRSEAM (TDX_MODULE), versions of module and loader
 * (TDX_MODULE_TCB). SGX: provisioning key, attributes, XFRM, MISCSELECT (SGX_CONFIG). SEV-SNP: VMPL (SNP_VMPL),
 * migration agent and guest policy bits (SNP_POLICY), kind of key (KEY_KIND), hidden chip (CHIP_ID), ID block (SNP_ID),
 * PLATFORM_INFO (SNP_PLATFORM), lowest TCB, both reported and committed (TCB_STATUS). */
int rd_appraise_platform(const rd_claims *claims, const rd_policy *policy, char *detail, size_t size,
                         rd_err *err) RD_NODISCARD;

#endif
