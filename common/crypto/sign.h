/* sign: Ed25519 signatures (framed by purpose, and raw for JWS) and P-256 ECDSA for quotes and certificates.
 * Used by owners, enclaves and verifiers. Refuses keys of small order or non-canonical form and S >= L, so that
 * every implementation agrees on what verifies. */
#ifndef RD_CRYPTO_SIGN_H
#define RD_CRYPTO_SIGN_H

#include "common/base/err.h"
#include "common/crypto/frame.h"

struct evp_pkey_st;

#define RD_PUBLIC_KEY_SIZE 32
#define RD_SIGNATURE_SIZE  64
#define RD_SEED_SIZE       32

/* An Ed25519 public key (RFC 8032, 5.1.5). */
typedef struct rd_public_key {
    uint8_t b[RD_PUBLIC_KEY_SIZE];
} rd_public_key;

typedef struct rd_signature {
    uint8_t b[RD_SIGNATURE_SIZE];
} rd_signature;

bool rd_public_key_equal(const rd_public_key *a, const rd_public_key *b);
/* KEY_FORMAT unless canonical and not of small order (RFC 8032, 5.1.3; RFC 7748, 6.1 for why). */
int rd_public_key_check(const rd_public_key *key, rd_err *err) RD_NODISCARD;

/* An Ed25519 private key. */
typedef struct rd_signing_key rd_signing_key;

/* From the system's generator. Never NULL. */
rd_signing_key *rd_signing_key_new(void);
/* From a 32-byte seed (RFC 8032, 5.1.5). Never NULL. */
rd_signing_key *rd_signing_key_from_seed(const uint8_t seed[RD_SEED_SIZE]);
/* PKCS #8 PEM (RFC 8410): "PRIVATE KEY", Ed25519 only. KEY_FORMAT otherwise. */
int rd_signing_key_from_pem(rd_bytes pem, rd_signing_key **ret, rd_err *err) RD_NODISCARD;
/* Appends the PEM; the caller wipes out and keeps the file at mode 0600. */
int rd_signing_key_to_pem(const rd_signing_key *key, rd_buf *out, rd_err *err) RD_NODISCARD;
/* Wipes and frees; accepts NULL; returns NULL. */
rd_signing_key *rd_signing_key_free(rd_signing_key *key);
void rd_signing_key_free_p(rd_signing_key **key);
/* Borrowed until the key is freed. */
const rd_public_key *rd_signing_key_public(const rd_signing_key *key);
/* The seed, for sealed storage; the caller wipes it. */
void rd_signing_key_seed(const rd_signing_key *key, uint8_t out[RD_SEED_SIZE]);
/* Borrowed OpenSSL key, for certificates and TLS. */
struct evp_pkey_st *rd_signing_key_pkey(const rd_signing_key *key);

/* Sign(key, label, message) = Ed25519(key, F("sign", label, message)). */
int rd_sign(const rd_signing_key *key, rd_sign_label label, rd_bytes message, rd_signature *ret,
            rd_err *err) RD_NODISCARD;
/* SIGNATURE when it does not verify, KEY_FORMAT for a key that must not be used. */
int rd_verify(const rd_public_key *key, rd_sign_label label, rd_bytes message, const rd_signature *signature,
              rd_err *err) RD_NODISCARD;

/* Raw Ed25519 over the bytes as they are: for JWS (RFC 8037) alone, whose protected header carries the purpose. */
int rd_ed25519_sign(const rd_signing_key *key, rd_bytes message, rd_signature *ret, rd_err *err) RD_NODISCARD;
int rd_ed25519_verify(const rd_public_key *key, rd_bytes message, const rd_signature *signature,
                      rd_err *err) RD_NODISCARD;

#define RD_P256_PUBLIC_SIZE    64 /* x ‖ y, big-endian */
#define RD_P256_SIGNATURE_SIZE 64 /* r ‖ s, big-endian */

/* A P-256 private key (FIPS 186-4). */
typedef struct rd_p256_key rd_p256_key;

rd_p256_key *rd_p256_key_new(void);
/* PEM, PKCS #8 or SEC 1; P-256 only, KEY_FORMAT otherwise. */
int rd_p256_key_from_pem(rd_bytes pem, rd_p256_key **ret, rd_err *err) RD_NODISCARD;
int rd_p256_key_to_pem(const rd_p256_key *key, rd_buf *out, rd_err *err) RD_NODISCARD;
rd_p256_key *rd_p256_key_free(rd_p256_key *key);
void rd_p256_key_free_p(rd_p256_key **key);
const uint8_t *rd_p256_key_public(const rd_p256_key *key);
struct evp_pkey_st *rd_p256_key_pkey(const rd_p256_key *key);
/* ECDSA with SHA-256 over message. */
int rd_p256_sign(const rd_p256_key *key, rd_bytes message, uint8_t out[RD_P256_SIGNATURE_SIZE],
                 rd_err *err) RD_NODISCARD;
/* KEY_FORMAT for a point off the curve, SIGNATURE otherwise (r or s zero or not below n included). */
int rd_p256_verify(const uint8_t key[RD_P256_PUBLIC_SIZE], rd_bytes message,
                   const uint8_t signature[RD_P256_SIGNATURE_SIZE], rd_err *err) RD_NODISCARD;

/* A P-256 public key made ready once for many verifications; immutable, any thread. */
typedef struct rd_p256_public rd_p256_public;
/* KEY_FORMAT for a point off the curve. */
int rd_p256_public_new(const uint8_t key[RD_P256_PUBLIC_SIZE], rd_p256_public **ret, rd_err *err) RD_NODISCARD;
rd_p256_public *rd_p256_public_free(rd_p256_public *key);
void rd_p256_public_free_p(rd_p256_public **key);
/* As rd_p256_verify, without the part that is about the key. */
int rd_p256_public_verify(const rd_p256_public *key, rd_bytes message, const uint8_t signature[RD_P256_SIGNATURE_SIZE],
                          rd_err *err) RD_NODISCARD;

/* RFC 7638 thumbprint of the key as {"crv":"Ed25519","kty":"OKP","x":…} (RFC 8037, appendix A.3): 32 bytes of SHA-256.
 */
void rd_jwk_thumbprint(const rd_public_key *key, uint8_t out[RD_SHA256_SIZE]);
/* The same of a P-256 key: {"crv":"P-256","kty":"EC","x":…,"y":…} (RFC 7518, 6.2). */
void rd_jwk_thumbprint_p256(const uint8_t key[RD_P256_PUBLIC_SIZE], uint8_t out[RD_SHA256_SIZE]);

#endif
