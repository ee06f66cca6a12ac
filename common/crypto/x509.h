/* x509: certificates read strictly, and chains built to a pinned root.
 * Used by the verifier, by enrolment and by links.
 * Reads no clock, file or trust store: time and root fingerprints come in as arguments (RFC 5280). */
#ifndef RD_CRYPTO_X509_H
#define RD_CRYPTO_X509_H

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/mem.h"

/* One certificate is at most this long; a PEM text of a chain at most twice as much a certificate. */
#define RD_CERT_SIZE_MAX ((size_t)16 << 10)
/* Certificates in one list. */
#define RD_CERT_COUNT_MAX 16

typedef struct rd_cert rd_cert;

/* Reads one certificate from DER: definite lengths, at most 16 levels and 1000 elements (X509_DER_LIMIT), X.509 v3,
 * nothing after it (X509_FORMAT). *ret is the caller's. Nothing is verified yet. */
int rd_cert_parse_der(rd_bytes der, rd_cert **ret, rd_err *err) RD_NODISCARD;
/* One certificate from PEM; anything else in the text than that block and white space is refused. */
int rd_cert_parse_pem(rd_bytes pem, rd_cert **ret, rd_err *err) RD_NODISCARD;
rd_cert *rd_cert_free(rd_cert *cert);
void rd_cert_free_p(rd_cert **cert);
/* Another reference to the same certificate. */
rd_cert *rd_cert_ref(rd_cert *cert);

/* A list that owns its certificates. Zero-initialise; free with rd_certs_done. */
typedef struct rd_certs {
    rd_cert *items[RD_CERT_COUNT_MAX];
    size_t count;
} rd_certs;

/* Every CERTIFICATE block of a PEM text, in order; one or more NUL bytes may end it. Refused: no block, more than
 * count_max, other blocks, text between blocks other than white space (X509_FORMAT). */
int rd_certs_parse_pem(rd_bytes pem, size_t count_max, rd_certs *ret, rd_err *err) RD_NODISCARD;
/* The same, where a certificate that stands in known, byte by byte, is not read a second time. known may be NULL. */
int rd_certs_parse_pem_known(rd_bytes pem, size_t count_max, const rd_certs *known, rd_certs *ret,
                             rd_err *err) RD_NODISCARD;
/* Certificates one after another, each DER or a PEM block (CHAIN_SHAPE for none or too many). */
int rd_certs_parse_mixed(rd_bytes bytes, size_t count_max, rd_certs *ret, rd_err *err) RD_NODISCARD;
void rd_certs_done(rd_certs *certs);

/* Accessors. What they return is borrowed from the certificate. */
rd_bytes rd_cert_der(const rd_cert *cert);
/* SHA-256 of the DER. */
void rd_cert_fingerprint(const rd_cert *cert, uint8_t ret[32]);
/* The only common name of the subject or issuer as UTF-8, "" when there is none or more than one. */
const char *rd_cert_subject_cn(const rd_cert *cert);
const char *rd_cert_issuer_cn(const rd_cert *cert);
/* Subject and issuer name, DER. */
rd_bytes rd_cert_subject(const rd_cert *cert);
rd_bytes rd_cert_issuer(const rd_cert *cert);
/* Serial number as an unsigned integer, big-endian, without leading zeros; never empty. */
rd_bytes rd_cert_serial(const rd_cert *cert);
int64_t rd_cert_not_before_us(const rd_cert *cert);
int64_t rd_cert_not_after_us(const rd_cert *cert);
/* SubjectPublicKeyInfo, DER, and its SHA-256 (RFC 7469). */
rd_bytes rd_cert_spki(const rd_cert *cert);
void rd_cert_spki_digest(const rd_cert *cert, uint8_t ret[32]);
bool rd_cert_is_ca(const rd_cert *cert);
/* Subject name equals issuer name. */
bool rd_cert_is_self_issued(const rd_cert *cert);
/* Its signature is by its own key, of any kind. */
bool rd_cert_verifies_itself(const rd_cert *cert);
/* The nth subject alternative name of type URI, or NULL (RFC 5280, 4.2.1.6). */
const char *rd_cert_san_uri(const rd_cert *cert, size_t n);
/* Value (inside the OCTET STRING) of the extension with a dotted OID. False when it is absent. Duplicates were refused
 * at parsing. */
bool rd_cert_extension(const rd_cert *cert, const char *oid, rd_bytes *ret_value);
/* Appends PEM. */
void rd_cert_to_pem(const rd_cert *cert, rd_buf *out);

/* Kinds of keys and signatures; a chain says which it accepts. */
typedef enum rd_cert_profile {
    RD_CERT_P256 = 0, /* P-256 keys, ECDSA with SHA-256: Intel and ourselves */
    RD_CERT_AMD = 1   /* CAs RSA-4096 with PSS (SHA-384, MGF1 SHA-384, salt 48), leaf P-384: AMD 57230 */
} rd_cert_profile;

/* What a chain must look like. */
typedef struct rd_chain_rules {
    const uint8_t (*roots)[32]; /* SHA-256 fingerprints of the roots that count, borrowed */
    size_t root_count;
    int64_t time_us; /* every certificate must be valid then, both boundary seconds included */
    size_t depth;    /* certificates from leaf to root, both counted; 0: 2 to 4 */
    rd_cert_profile profile;
    bool leaf_is_ca; /* the chain of an issuer: its first is a CA too */
} rd_chain_rules;

/* Leaf first, root last; borrowed from the certificates given. */
typedef struct rd_chain {
    const rd_cert *items[4];
    size_t count;
    size_t root_index; /* which of the rules' roots */
} rd_chain;

/* Builds the path from leaf by issuer name and key through others (in any order, extra ones are left aside) to a pinned
 * root, then checks it by RFC 5280 section 6: signatures and profile, validity, basicConstraints, keyUsage, path
 * length. CHAIN_ROOT no path to a pinned root, CHAIN_SIG, CHAIN_TIME, CHAIN_USAGE, CHAIN_PROFILE, CHAIN_SHAPE (length).
 */
int rd_chain_verify(const rd_cert *leaf, const rd_certs *others, const rd_chain_rules *rules, rd_chain *ret,
                    rd_err *err) RD_NODISCARD;

/* ECDSA-P256-SHA256 by the certificate's key; signature r then s, 32 bytes each, big-endian. False also when the key is
 * no P-256 key or r or s out of range. */
bool rd_cert_verify_raw(const rd_cert *cert, rd_bytes message, const uint8_t signature[64]);
/* ECDSA-P384-SHA384, r then s, 48 bytes each, big-endian. */
bool rd_cert_verify_raw_p384(const rd_cert *cert, rd_bytes message, const uint8_t signature[96]);

#endif
