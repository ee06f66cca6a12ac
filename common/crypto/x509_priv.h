/* x509_priv: what the x509 files share behind their public headers.
 * Used by x509*.c alone. Nothing outside may include it. */
#ifndef RD_CRYPTO_X509_PRIV_H
#define RD_CRYPTO_X509_PRIV_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "common/crypto/ec_verify.h"
#include "common/crypto/x509.h"

/* --- what is signed: certificate or list --- */

typedef enum rd_x509_alg { RD_X509_ALG_OTHER, RD_X509_ECDSA_SHA256, RD_X509_PSS_SHA384 } rd_x509_alg;

/* SEQUENCE of contents, algorithm, signature (RFC 5280, 4.1.1 and 5.1.1). Borrowed from the bytes that were read. */
typedef struct rd_x509_signed {
    rd_bytes signed_range; /* the contents with tag and length */
    rd_bytes contents;     /* inside them */
    rd_bytes algorithm,
        inside;         /* AlgorithmIdentifier behind, and the one that the contents must repeat; inside theirs */
    rd_bytes signature; /* empty when it is not whole bytes */
} rd_x509_signed;

/* Leaves inside to whoever reads the contents. False unless der is exactly that. */
bool rd_x509_signed_read(rd_bytes der, rd_x509_signed *ret);
/* Whether an element that nothing here reads has a form that every reader takes: a SEQUENCE, an OID, NULL, text or
 * bytes. */
bool rd_x509_is_value(uint8_t tag, rd_bytes value);
/* Takes an AlgorithmIdentifier: an OID and at most one such element behind it. */
bool rd_x509_algorithm_take(rd_bytes *in, rd_bytes *ret);
rd_x509_alg rd_x509_algorithm_of(rd_bytes algorithm);

/* --- keys --- */

typedef enum rd_x509_key_kind { RD_X509_KEY_OTHER, RD_X509_P256, RD_X509_P384, RD_X509_RSA_4096 } rd_x509_key_kind;

typedef struct rd_x509_key {
    rd_x509_key_kind kind;
    rd_ec_key *on_curve; /* of P-256 and P-384 */
    EVP_PKEY *decoded;   /* of all others, and where libcrypto had to read it */
} rd_x509_key;

/* Of a SubjectPublicKeyInfo with tag and length. False: no key; rd_x509_key_done also then. */
bool rd_x509_key_read(rd_bytes spki, rd_x509_key *ret);
void rd_x509_key_done(rd_x509_key *key);
bool rd_x509_is_p256(EVP_PKEY *key);
/* The kind is one that the profile knows; is_ca chooses among AMD's two. */
bool rd_x509_key_fits(rd_x509_key_kind kind, rd_cert_profile profile, bool is_ca);
/* Signed by the key of a CA with the algorithm of the profile, which both its places name. */
bool rd_x509_verify(const rd_x509_signed *object, rd_cert_profile profile, const rd_x509_key *key);

/* --- names --- */

/* A Name's content: sets of (OID, text), where text is UTF-8, printable or IA5. *ret_common_name is the only common
 * name, or empty. False when it is malformed. */
bool rd_x509_name_read(rd_bytes name, rd_bytes *ret_common_name);
/* The tag of a GeneralName that is a URI (RFC 5280, 4.2.1.6). */
#define RD_X509_NAME_URI 0x86

/* --- extensions --- */

typedef struct rd_x509_extension {
    rd_bytes oid;
    bool is_critical;
    rd_bytes value;
} rd_x509_extension;

/* Takes one from the content of an Extensions. */
bool rd_x509_extension_take(rd_bytes *in, rd_x509_extension *ret);
bool rd_x509_extension_find(rd_bytes extensions, rd_bytes oid, rd_x509_extension *ret);
/* Every one of an Extensions' content is well-formed, no two are of one OID, there are at most so many (X509_FORMAT,
 * X509_DER_LIMIT). */
#define RD_X509_EXTENSIONS_MAX 32
int rd_x509_extensions_check(rd_bytes extensions, rd_err *err) RD_NODISCARD;

/* KeyUsage, the first byte of its bits (RFC 5280, 4.2.1.3). */
#define RD_X509_DIGITAL_SIGNATURE 0x80
#define RD_X509_KEY_CERT_SIGN     0x04
#define RD_X509_CRL_SIGN          0x02

struct rd_cert {
    unsigned references;
    rd_buf der; /* what the ranges below are borrowed from */
    rd_x509_signed object;
    rd_bytes subject, issuer, serial, spki;
    rd_bytes extensions; /* content; none: empty */
    uint8_t fingerprint[32];
    rd_x509_key key;
    char *subject_cn;
    char *issuer_cn;
    char *san_uris[4];
    size_t san_uri_count;
    int64_t not_before_us;
    int64_t not_after_us;
    bool is_ca, has_path_length, has_key_usage;
    bool has_unknown_critical; /* an extension that is critical and that nobody here reads */
    uint8_t key_usage;
    uint32_t path_length;
};

/* Reads what the extensions say into the certificate, whose extensions were checked. False: one is malformed. */
bool rd_x509_extensions_read(rd_cert *cert);
/* libcrypto's view of it; the caller's. */
X509 *rd_cert_x509(const rd_cert *cert);

/* --- helpers --- */

/* Takes one PEM block with this label off the front of *in, with white space around it; appends its DER. */
int rd_x509_pem_take(rd_bytes *in, const char *label, size_t size_max, rd_buf *der, rd_err *err) RD_NODISCARD;

#endif
