/* x509_priv: what the x509 files share behind their public headers.
 * Used by x509*.c alone. Nothing outside may include it. */
#ifndef RD_CRYPTO_X509_PRIV_H
#define RD_CRYPTO_X509_PRIV_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "common/crypto/x509.h"

struct rd_cert {
    unsigned references;
    X509 *x509;
    rd_buf der;
    rd_buf spki;
    uint8_t fingerprint[32];
    uint8_t serial[24];
    size_t serial_size;
    char *subject_cn;
    char *issuer_cn;
    char *san_uris[4];
    size_t san_uri_count;
    int64_t not_before_us;
    int64_t not_after_us;
};

X509 *rd_cert_x509(const rd_cert *cert);
EVP_PKEY *rd_cert_pkey(const rd_cert *cert);
/* An INTEGER as big-endian bytes without leading zeros; 0 when it is negative or longer than max. */
size_t rd_x509_integer(const ASN1_INTEGER *integer, uint8_t *out, size_t max);
/* Microseconds since the epoch, or -1 when it is no RFC 5280 time. */
int rd_x509_time(const ASN1_TIME *time, int64_t *ret_us);
/* The key is one that the profile knows; is_ca chooses among AMD's two kinds. */
bool rd_x509_key_fits(EVP_PKEY *key, rd_cert_profile profile, bool is_ca);
/* Takes one PEM block with this label off the front of *in, with white space around it; appends its DER. */
int rd_x509_pem_take(rd_bytes *in, const char *label, size_t size_max, rd_buf *der, rd_err *err) RD_NODISCARD;
/* r then s, each half bytes, big-endian, by a key of the profile's size. */
bool rd_x509_verify_raw(EVP_PKEY *key, const EVP_MD *md, rd_bytes message, const uint8_t *signature, size_t half);

#endif
