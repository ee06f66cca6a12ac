/* pck: the SGX extension of a PCK certificate (Intel SGX PCK Certificate and CRL Profile; attestation.md 2.4).
 * Used by the Intel verifier. Entries are found by OID; a missing, doubled or malformed one refuses (PCK_EXT). */
#ifndef RD_ATTEST_PCK_H
#define RD_ATTEST_PCK_H

#include "attest/claims.h"
#include "common/crypto/x509.h"

#define RD_PCK_EXTENSION_OID "1.2.840.113741.1.13.1"

/* is_platform_ca: the issuer is a platform CA, whose leaves carry an instance id and a configuration. */
int rd_pck_read(const rd_cert *leaf, bool is_platform_ca, rd_pck_claims *ret, rd_err *err) RD_NODISCARD;
/* The extension's value alone. */
int rd_pck_parse(rd_bytes extension, bool is_platform_ca, rd_pck_claims *ret, rd_err *err) RD_NODISCARD;

#endif
