/* ear: a judgement as an EAT Attestation Result, a signed JWT that other systems read (draft-ietf-rats-ear, in the form
 * that its deployed readers know; trustworthiness vector of draft-ietf-rats-ar4si; RFC 9711, RFC 7519).
 * Used by `redoubt evidence verify --ear` and POST /v1/evidence/verify. docs/verifier.md has the mapping.
 * A simulated platform is never affirming, and neither is anything that was refused. */
#ifndef RD_ATTEST_EAR_H
#define RD_ATTEST_EAR_H

#include "attest/judge.h"
#include "common/crypto/sign.h"

#define RD_EAR_PROFILE  "tag:github.com,2023:veraison/ear"
#define RD_EAR_TYPE     "redoubt-ear+jwt"
#define RD_EAR_SIZE_MAX ((size_t)16 << 10)

/* What the judgement itself does not know. */
typedef struct rd_ear_input {
    const rd_judgement *judgement;
    rd_bytes evidence;       /* as it was judged: named by its SHA-256 */
    const rd_policy *policy; /* NULL: the default policy */
    int64_t judged_us;       /* the instant of the judgement */
    int64_t issued_us;       /* iat: now */
    const char *trust;       /* whose word it is: "caller" (an own key, or inputs that the caller brought), "plane" */
} rd_ear_input;

/* One of the two: ES256 or EdDSA. */
typedef struct rd_ear_key {
    const rd_p256_key *p256;
    const rd_signing_key *ed25519;
} rd_ear_key;

/* The claims; a new reference. */
json_t *rd_ear_claims(const rd_ear_input *input);
/* Appends the JWT in compact form; its header is {"alg","kid","typ"}, kid the RFC 7638 thumbprint. INTERNAL when the
 * signature cannot be made. */
int rd_ear_sign(const json_t *claims, const rd_ear_key *key, rd_buf *out, rd_err *err) RD_NODISCARD;

#endif
