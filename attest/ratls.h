/* ratls: certificates that carry evidence of the enclave which holds their key (CCC Interoperable RA-TLS, Gramine's
 * older extension, dstack's).
 * Used by judge.c: takes the evidence out, and says what its report data must be. The chain that such a certificate
 * belongs to is nobody's word: evidence, bound key and dates are what counts. A saved certificate is not fresh. */
#ifndef RD_ATTEST_RATLS_H
#define RD_ATTEST_RATLS_H

#include "common/crypto/x509.h"

typedef struct rd_ratls {
    rd_cert *cert;
    const char *convention;  /* "interoperable", "gramine" or "dstack" */
    rd_bytes evidence;       /* quote or report, borrowed from the certificate */
    rd_bytes event_log;      /* dstack's JSON; no data when there is none */
    uint8_t report_data[64]; /* what binds the certificate's key */
} rd_ratls;

/* A certificate is what begins as PEM or as a DER SEQUENCE. */
bool rd_ratls_recognises(rd_bytes bytes);
/* RATLS_EXT: no evidence extension, two of them, or a malformed one; RATLS_KEY: claims about another key, a broken
 * self-signature; x509 codes. Call rd_ratls_done also after a failure. */
int rd_ratls_read(rd_bytes bytes, rd_ratls *ret, rd_err *err) RD_NODISCARD;
/* RATLS_TIME. */
int rd_ratls_check_time(const rd_ratls *ratls, int64_t time_us, rd_err *err) RD_NODISCARD;
void rd_ratls_done(rd_ratls *ratls);

#endif
