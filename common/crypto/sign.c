#include "common/crypto/sign.h"

#include "common/base/mem.h"
#include "common/crypto/pem.h"
#include "common/crypto/random.h"
#include "common/crypto/secret.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_ROOM 128 /* label and sizes: a message, which may be secret, is copied once and wiped */

struct rd_signing_key {
    EVP_PKEY *pkey;
    rd_secret *seed;
    rd_public_key public_key;
};

static void md_ctx_free_p(EVP_MD_CTX **ctx)
{
    EVP_MD_CTX_free(*ctx);
}

static void pkey_free_p(EVP_PKEY **pkey)
{
    EVP_PKEY_free(*pkey);
}

bool rd_public_key_equal(const rd_public_key *a, const rd_public_key *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

/* y of the eight points of small order, in their canonical encodings without the sign of x. */
static const uint8_t small_order[][RD_PUBLIC_KEY_SIZE] = {
    { 0 },
    { 1 },
    { 0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f },
    { 0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
      0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05 },
    { 0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
      0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a },
};

/* 2^255 - 19 and the order L of the base point, little-endian. */
static const uint8_t field_prime[32] = { 0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f };
static const uint8_t group_order[32] = { 0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7,
                                         0xa2, 0xde, 0xf9, 0xde, 0x14, 0,    0,    0,    0,    0,    0,
                                         0,    0,    0,    0,    0,    0,    0,    0,    0,    0x10 };

/* Public values only: no need for constant time. */
static bool is_below(const uint8_t value[32], const uint8_t bound[32])
{
    for (int i = 31; i >= 0; i--)
        if (value[i] != bound[i])
            return value[i] < bound[i];
    return false;
}

int rd_public_key_check(const rd_public_key *key, rd_err *err)
{
    uint8_t y[RD_PUBLIC_KEY_SIZE];
    memcpy(y, key->b, sizeof y);
    y[31] &= 0x7f; /* the top bit is the sign of x */
    /* RFC 8032, 5.1.3: y not below p is no encoding of a point. */
    if (!is_below(y, field_prime))
        return rd_err_set(err, RD_E_KEY_FORMAT, "key is not in canonical form");
    for (size_t i = 0; i < RD_ARRAY_LEN(small_order); i++)
        if (memcmp(y, small_order[i], sizeof y) == 0)
            return rd_err_set(err, RD_E_KEY_FORMAT, "key is of small order");
    return 0;
}

static rd_signing_key *key_of_pkey(EVP_PKEY *stolen)
{
    rd_signing_key *key = rd_alloc(sizeof *key);
    key->pkey = stolen;
    key->seed = rd_secret_new(RD_SEED_SIZE);
    size_t seed_size = RD_SEED_SIZE;
    size_t public_size = sizeof key->public_key.b;
    if (EVP_PKEY_get_raw_private_key(stolen, rd_secret_data(key->seed), &seed_size) != 1 ||
        EVP_PKEY_get_raw_public_key(stolen, key->public_key.b, &public_size) != 1)
        abort();
    return key;
}

rd_signing_key *rd_signing_key_from_seed(const uint8_t seed[RD_SEED_SIZE])
{
    EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, RD_SEED_SIZE);
    if (!pkey)
        abort(); /* any 32 bytes are a seed: only memory can have run out */
    return key_of_pkey(pkey);
}

rd_signing_key *rd_signing_key_new(void)
{
    uint8_t seed[RD_SEED_SIZE];
    rd_random_bytes(seed, sizeof seed);
    rd_signing_key *key = rd_signing_key_from_seed(seed);
    rd_wipe(seed, sizeof seed);
    return key;
}

int rd_signing_key_from_pem(rd_bytes pem, rd_signing_key **ret, rd_err *err)
{
    RD_CLEANUP(pkey_free_p) EVP_PKEY *pkey = NULL;
    if (rd_pem_read_private(pem, &pkey, err) < 0)
        return -1;
    if (!EVP_PKEY_is_a(pkey, "ED25519"))
        return rd_err_set(err, RD_E_KEY_FORMAT, "the PEM holds a key of another kind than Ed25519");
    *ret = key_of_pkey(RD_TAKE(pkey));
    return 0;
}

int rd_signing_key_to_pem(const rd_signing_key *key, rd_buf *out, rd_err *err)
{
    return rd_pem_write_private(key->pkey, out, err);
}

rd_signing_key *rd_signing_key_free(rd_signing_key *key)
{
    if (!key)
        return NULL;
    EVP_PKEY_free(key->pkey);
    (void)rd_secret_free(key->seed);
    free(key);
    return NULL;
}

void rd_signing_key_free_p(rd_signing_key **key)
{
    *key = rd_signing_key_free(*key);
}

const rd_public_key *rd_signing_key_public(const rd_signing_key *key)
{
    return &key->public_key;
}

void rd_signing_key_seed(const rd_signing_key *key, uint8_t out[RD_SEED_SIZE])
{
    memcpy(out, rd_secret_bytes(key->seed).data, RD_SEED_SIZE);
}

EVP_PKEY *rd_signing_key_pkey(const rd_signing_key *key)
{
    return key->pkey;
}

int rd_ed25519_sign(const rd_signing_key *key, rd_bytes message, rd_signature *ret, rd_err *err)
{
    RD_CLEANUP(md_ctx_free_p) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t size = sizeof ret->b;
    if (!ctx || EVP_DigestSignInit(ctx, NULL, NULL, NULL, key->pkey) != 1 ||
        EVP_DigestSign(ctx, ret->b, &size, message.data, message.size) != 1 || size != sizeof ret->b)
        return rd_err_set(err, RD_E_INTERNAL, "Ed25519 signing failed");
    return 0;
}

int rd_ed25519_verify(const rd_public_key *key, rd_bytes message, const rd_signature *signature, rd_err *err)
{
    if (rd_public_key_check(key, err) < 0)
        return -1;
    /* RFC 8032, 5.1.7: S is in the range 0 <= S < L, or the same message has many signatures. */
    if (!is_below(signature->b + 32, group_order))
        return rd_err_set(err, RD_E_SIGNATURE, "signature is not in canonical form");
    RD_CLEANUP(pkey_free_p)
    EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->b, sizeof key->b);
    RD_CLEANUP(md_ctx_free_p) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!pkey || !ctx || EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) != 1)
        return rd_err_set(err, RD_E_INTERNAL, "Ed25519 verification cannot start");
    if (EVP_DigestVerify(ctx, signature->b, sizeof signature->b, message.data, message.size) != 1)
        return rd_err_set(err, RD_E_SIGNATURE, "signature does not verify");
    return 0;
}

int rd_sign(const rd_signing_key *key, rd_sign_label label, rd_bytes message, rd_signature *ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_wipe) rd_buf framed = { 0 };
    (void)rd_buf_reserve(&framed, message.size + FRAME_ROOM);
    if (!rd_frame_sign(&framed, label, message))
        return rd_err_set(err, RD_E_TOO_LARGE, "%zu bytes are too many to sign", message.size);
    return rd_ed25519_sign(key, rd_buf_bytes(&framed), ret, err);
}

int rd_verify(const rd_public_key *key, rd_sign_label label, rd_bytes message, const rd_signature *signature,
              rd_err *err)
{
    RD_CLEANUP(rd_buf_wipe) rd_buf framed = { 0 };
    (void)rd_buf_reserve(&framed, message.size + FRAME_ROOM);
    if (!rd_frame_sign(&framed, label, message))
        return rd_err_set(err, RD_E_TOO_LARGE, "%zu bytes are too many to be signed", message.size);
    return rd_ed25519_verify(key, rd_buf_bytes(&framed), signature, err);
}
