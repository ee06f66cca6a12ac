/* The low-level SHA-2 calls of OpenSSL: no fetch and no allocation per hash, which receipts need. This is the one file
 * that uses them. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "common/crypto/hash.h"

#include "common/base/mem.h"

#include <assert.h>
#include <openssl/sha.h>
#include <string.h>

#define BLOCK_SIZE 64

_Static_assert(sizeof(SHA256_CTX) <= sizeof((rd_hasher *)0)->state, "state holds SHA-256");
_Static_assert(sizeof(SHA512_CTX) <= sizeof((rd_hasher *)0)->state, "state holds SHA-384 and SHA-512");

bool rd_digest_equal(const rd_digest *a, const rd_digest *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

void rd_hasher_init(rd_hasher *hasher, rd_hash_alg alg)
{
    hasher->alg = alg;
    if (alg == RD_SHA256)
        (void)SHA256_Init((SHA256_CTX *)hasher->state);
    else if (alg == RD_SHA384)
        (void)SHA384_Init((SHA512_CTX *)hasher->state);
    else
        (void)SHA512_Init((SHA512_CTX *)hasher->state);
}

void rd_hasher_update(rd_hasher *hasher, rd_bytes bytes)
{
    if (bytes.size == 0)
        return;
    if (hasher->alg == RD_SHA256)
        (void)SHA256_Update((SHA256_CTX *)hasher->state, bytes.data, bytes.size);
    else
        (void)SHA512_Update((SHA512_CTX *)hasher->state, bytes.data, bytes.size);
}

void rd_hasher_final(rd_hasher *hasher, uint8_t *out)
{
    if (hasher->alg == RD_SHA256)
        (void)SHA256_Final(out, (SHA256_CTX *)hasher->state);
    else
        (void)SHA512_Final(out, (SHA512_CTX *)hasher->state); /* knows its length from Init */
    rd_wipe(hasher, sizeof *hasher);
}

static void hash_once(rd_hash_alg alg, rd_bytes bytes, uint8_t *out)
{
    rd_hasher hasher;
    rd_hasher_init(&hasher, alg);
    rd_hasher_update(&hasher, bytes);
    rd_hasher_final(&hasher, out);
}

void rd_sha256(rd_bytes bytes, uint8_t out[RD_SHA256_SIZE])
{
    hash_once(RD_SHA256, bytes, out);
}

void rd_sha384(rd_bytes bytes, uint8_t out[RD_SHA384_SIZE])
{
    hash_once(RD_SHA384, bytes, out);
}

void rd_sha512(rd_bytes bytes, uint8_t out[RD_SHA512_SIZE])
{
    hash_once(RD_SHA512, bytes, out);
}

static void start_padded(rd_hasher *hasher, const uint8_t key[BLOCK_SIZE], uint8_t pad)
{
    uint8_t block[BLOCK_SIZE];
    for (size_t i = 0; i < BLOCK_SIZE; i++)
        block[i] = key[i] ^ pad;
    rd_hasher_init(hasher, RD_SHA256);
    rd_hasher_update(hasher, RD_BYTES_ARRAY(block));
    rd_wipe(block, sizeof block);
}

void rd_hmac_init(rd_hmac *hmac, rd_bytes key)
{
    uint8_t block[BLOCK_SIZE] = { 0 };
    if (key.size > BLOCK_SIZE)
        rd_sha256(key, block);
    else if (key.size)
        memcpy(block, key.data, key.size);
    start_padded(&hmac->inner, block, 0x36);
    start_padded(&hmac->outer, block, 0x5c);
    rd_wipe(block, sizeof block);
}

void rd_hmac_update(rd_hmac *hmac, rd_bytes bytes)
{
    rd_hasher_update(&hmac->inner, bytes);
}

void rd_hmac_final(rd_hmac *hmac, uint8_t out[RD_SHA256_SIZE])
{
    uint8_t inner[RD_SHA256_SIZE];
    rd_hasher_final(&hmac->inner, inner);
    rd_hasher_update(&hmac->outer, RD_BYTES_ARRAY(inner));
    rd_hasher_final(&hmac->outer, out);
    rd_wipe(inner, sizeof inner);
}

void rd_hmac_sha256(rd_bytes key, rd_bytes message, uint8_t out[RD_SHA256_SIZE])
{
    rd_hmac hmac;
    rd_hmac_init(&hmac, key);
    rd_hmac_update(&hmac, message);
    rd_hmac_final(&hmac, out);
}

void rd_hkdf_expand_sha256(const uint8_t prk[RD_SHA256_SIZE], rd_bytes info, uint8_t *out, size_t size)
{
    assert(size <= (size_t)255 * RD_SHA256_SIZE);
    uint8_t block[RD_SHA256_SIZE];
    for (uint8_t round = 1; size > 0; round++) {
        rd_hmac hmac;
        rd_hmac_init(&hmac, rd_bytes_of(prk, RD_SHA256_SIZE));
        if (round > 1)
            rd_hmac_update(&hmac, RD_BYTES_ARRAY(block));
        rd_hmac_update(&hmac, info);
        rd_hmac_update(&hmac, rd_bytes_of(&round, 1));
        rd_hmac_final(&hmac, block);
        size_t taken = RD_MIN(size, sizeof block);
        memcpy(out, block, taken);
        out += taken;
        size -= taken;
    }
    rd_wipe(block, sizeof block);
}

void rd_hkdf_sha256(rd_bytes salt, rd_bytes ikm, rd_bytes info, uint8_t *out, size_t size)
{
    uint8_t prk[RD_SHA256_SIZE];
    rd_hmac_sha256(salt, ikm, prk); /* an empty salt is a key of zeros, as HMAC pads it */
    rd_hkdf_expand_sha256(prk, info, out, size);
    rd_wipe(prk, sizeof prk);
}
