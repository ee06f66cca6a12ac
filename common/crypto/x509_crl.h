/* x509_crl: certificate revocation lists: read, verify, look up (RFC 5280, section 5).
 * Used by the verifier for PCK and root lists, and by the plane for its own.
 * Never says "not revoked" for a list that was not verified at the time in question. */
#ifndef RD_CRYPTO_X509_CRL_H
#define RD_CRYPTO_X509_CRL_H

#include "common/crypto/x509.h"

#define RD_CRL_SIZE_MAX ((size_t)1 << 20)

typedef struct rd_crl rd_crl;

/* Reads a list from DER, PEM or hex text (mirrors answer each). CRL_FORMAT: not a list, bytes behind it, an unknown
 * critical extension, a delta list. */
int rd_crl_parse(rd_bytes bytes, rd_crl **ret, rd_err *err) RD_NODISCARD;
rd_crl *rd_crl_free(rd_crl *crl);
void rd_crl_free_p(rd_crl **crl);

/* The list was issued and signed by issuer (CRL_ISSUER otherwise; the issuer must have cRLSign) and
 * thisUpdate <= time <= nextUpdate (CRL_TIME; a list without nextUpdate is refused). */
int rd_crl_verify(const rd_crl *crl, const rd_cert *issuer, rd_cert_profile profile, int64_t time_us,
                  rd_err *err) RD_NODISCARD;
/* The certificate's serial stands in the list. Only its issuer's list has a meaning: check that with rd_crl_verify. */
bool rd_crl_contains(const rd_crl *crl, const rd_cert *cert);

rd_bytes rd_crl_issuer(const rd_crl *crl);
int64_t rd_crl_this_update_us(const rd_crl *crl);
int64_t rd_crl_next_update_us(const rd_crl *crl);
/* CRL number, 0 when absent or larger than 2^63 - 1. */
int64_t rd_crl_number(const rd_crl *crl);
size_t rd_crl_count(const rd_crl *crl);

#endif
