/* hash: SHA-256, SHA-384, SHA-512, HMAC-SHA-256 and HKDF-SHA-256, one-shot and incremental.
 * Used everywhere; what is ours is hashed through frame.h, never bare, except blobs, which plain SHA-256 addresses.
 * Cannot fail and allocates nothing, because receipts hash on the hot path. */
#ifndef RD_CRYPTO_HASH_H
#define RD_CRYPTO_HASH_H

#include "common/base/bytes.h"

#define RD_SHA256_SIZE 32
#define RD_SHA384_SIZE 48
#define RD_SHA512_SIZE 64

/* A SHA-256 value as it stands in structs: of a blob (plain) or of a framed object. */
typedef struct rd_digest {
    uint8_t b[RD_SHA256_SIZE];
} rd_digest;

bool rd_digest_equal(const rd_digest *a, const rd_digest *b);

/* FIPS 180-4, one shot. */
void rd_sha256(rd_bytes bytes, uint8_t out[RD_SHA256_SIZE]);
void rd_sha384(rd_bytes bytes, uint8_t out[RD_SHA384_SIZE]);
void rd_sha512(rd_bytes bytes, uint8_t out[RD_SHA512_SIZE]);

typedef enum rd_hash_alg { RD_SHA256, RD_SHA384, RD_SHA512 } rd_hash_alg;

/* Embedded by value; a copy of the struct forks the computation. */
typedef struct rd_hasher {
    rd_hash_alg alg;
    uint64_t state[28];
} rd_hasher;

void rd_hasher_init(rd_hasher *hasher, rd_hash_alg alg);
void rd_hasher_update(rd_hasher *hasher, rd_bytes bytes);
/* out has the algorithm's size. The hasher is wiped. */
void rd_hasher_final(rd_hasher *hasher, uint8_t *out);

/* RFC 2104 with SHA-256, incremental. */
typedef struct rd_hmac {
    rd_hasher inner;
    rd_hasher outer;
} rd_hmac;

void rd_hmac_init(rd_hmac *hmac, rd_bytes key);
void rd_hmac_update(rd_hmac *hmac, rd_bytes bytes);
void rd_hmac_final(rd_hmac *hmac, uint8_t out[RD_SHA256_SIZE]);
void rd_hmac_sha256(rd_bytes key, rd_bytes message, uint8_t out[RD_SHA256_SIZE]);

/* RFC 5869, 2.3 alone: prk is a pseudorandom key already; size at most 255 * 32. */
void rd_hkdf_expand_sha256(const uint8_t prk[RD_SHA256_SIZE], rd_bytes info, uint8_t *out, size_t size);
/* RFC 5869, sections 2.2 and 2.3; size at most 255 * 32. */
void rd_hkdf_sha256(rd_bytes salt, rd_bytes ikm, rd_bytes info, uint8_t *out, size_t size);

#endif
