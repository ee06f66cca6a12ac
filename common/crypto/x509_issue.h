/* x509_issue: certificate requests, certificates and revocation lists that we issue ourselves, all P-256.
 * Used by the plane CA (enrolment, links), by the agent for its request, and by the simulation PKI.
 * Reads no clock and no file: dates come in, PEM and DER go out. */
#ifndef RD_CRYPTO_X509_ISSUE_H
#define RD_CRYPTO_X509_ISSUE_H

#include "common/crypto/sign.h"
#include "common/crypto/x509.h"

/* SubjectPublicKeyInfo of a P-256 key, DER: always 91 bytes; and its SHA-256. */
#define RD_P256_SPKI_SIZE 91
void rd_p256_key_spki(const rd_p256_key *key, uint8_t ret[RD_P256_SPKI_SIZE]);
void rd_p256_key_spki_digest(const rd_p256_key *key, uint8_t ret[32]);

/* What the certificate is for; decides basicConstraints, keyUsage and extendedKeyUsage. */
typedef enum rd_cert_kind {
    RD_CERT_KIND_CA,     /* issues certificates and CRLs */
    RD_CERT_KIND_CLIENT, /* TLS client authentication */
    RD_CERT_KIND_SERVER, /* TLS server authentication */
    RD_CERT_KIND_SIGNER  /* signs data, no TLS */
} rd_cert_kind;

typedef struct rd_cert_extra {
    const char *oid; /* dotted */
    rd_bytes value;  /* DER inside the OCTET STRING */
} rd_cert_extra;

typedef struct rd_cert_spec {
    rd_cert_kind kind;
    const char *common_name;             /* required, at most 64 bytes */
    const char *organization;            /* NULL: none */
    const char *san_uri;                 /* NULL: none */
    const char *const *san_dns;          /* names or IP literals, NULL-terminated; NULL: none */
    int path_length;                     /* CA only; -1: unlimited */
    int64_t not_before_us, not_after_us; /* cut to whole seconds */
    const rd_cert_extra *extras;
    size_t extra_count;
} rd_cert_spec;

/* Issues a certificate for a SubjectPublicKeyInfo with a random serial of 16 bytes, subject and authority key
 * identifiers. issuer NULL: self-signed, spki must be the issuer key's. *ret is the caller's. */
int rd_cert_issue(const rd_cert_spec *spec, rd_bytes spki, const rd_cert *issuer, const rd_p256_key *issuer_key,
                  rd_cert **ret, rd_err *err) RD_NODISCARD;

/* A CRL v2, DER, appended to out. serials are big-endian as rd_cert_serial gives them. */
typedef struct rd_crl_spec {
    int64_t this_update_us, next_update_us;
    uint64_t number;
    const rd_bytes *revoked;
    size_t revoked_count;
} rd_crl_spec;
int rd_crl_issue(const rd_crl_spec *spec, const rd_cert *issuer, const rd_p256_key *issuer_key, rd_buf *out,
                 rd_err *err) RD_NODISCARD;

/* A certificate request (PKCS #10, RFC 2986). */
typedef struct rd_csr {
    char common_name[65];
    rd_buf spki; /* SubjectPublicKeyInfo, DER */
    uint8_t spki_digest[32];
} rd_csr;

/* Appends PEM. */
int rd_csr_create(const rd_p256_key *key, const char *common_name, rd_buf *out, rd_err *err) RD_NODISCARD;
/* PEM, at most 8 KiB, P-256, self-signature valid (KEY_FORMAT, SIGNATURE). Whatever else the request asks for is
 * ignored: who issues decides names and usage. Free with rd_csr_done. */
int rd_csr_parse(rd_bytes pem, rd_csr *ret, rd_err *err) RD_NODISCARD;
void rd_csr_done(rd_csr *csr);

#endif
