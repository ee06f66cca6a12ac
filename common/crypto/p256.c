#include "common/crypto/sign.h"

#include "common/base/mem.h"
#include "common/crypto/ec_verify.h"
#include "common/crypto/hash.h"
#include "common/crypto/pem.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <string.h>

#define POINT_SIZE         (1 + RD_P256_PUBLIC_SIZE) /* 0x04 ‖ x ‖ y (SEC 1, 2.3.3) */
#define DER_SIGNATURE_SIZE 72

struct rd_p256_key {
    EVP_PKEY *pkey;
    uint8_t public_key[RD_P256_PUBLIC_SIZE];
};

static void md_ctx_free_p(EVP_MD_CTX **ctx)
{
    EVP_MD_CTX_free(*ctx);
}

static void pkey_free_p(EVP_PKEY **pkey)
{
    EVP_PKEY_free(*pkey);
}

static void sig_free_p(ECDSA_SIG **sig)
{
    ECDSA_SIG_free(*sig);
}

static bool is_p256(const EVP_PKEY *pkey)
{
    char group[32];
    size_t size;
    return EVP_PKEY_is_a(pkey, "EC") && EVP_PKEY_get_group_name(pkey, group, sizeof group, &size) == 1 &&
           strcmp(group, "prime256v1") == 0;
}

static rd_p256_key *key_of_pkey(EVP_PKEY *stolen)
{
    uint8_t point[POINT_SIZE];
    size_t size = 0;
    rd_p256_key *key = rd_alloc(sizeof *key);
    key->pkey = stolen;
    if (EVP_PKEY_get_octet_string_param(stolen, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &size) != 1 ||
        size != sizeof point || point[0] != 4)
        return rd_p256_key_free(key);
    memcpy(key->public_key, point + 1, sizeof key->public_key);
    return key;
}

rd_p256_key *rd_p256_key_new(void)
{
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    rd_p256_key *key = pkey ? key_of_pkey(pkey) : NULL;
    if (!key)
        abort(); /* memory or the kernel's generator failed: no key can be had */
    return key;
}

int rd_p256_key_from_pem(rd_bytes pem, rd_p256_key **ret, rd_err *err)
{
    RD_CLEANUP(pkey_free_p) EVP_PKEY *pkey = NULL;
    if (rd_pem_read_private(pem, &pkey, err) < 0)
        return -1;
    if (!is_p256(pkey))
        return rd_err_set(err, RD_E_KEY_FORMAT, "the PEM holds a key of another kind than P-256");
    rd_p256_key *key = key_of_pkey(RD_TAKE(pkey));
    if (!key)
        return rd_err_set(err, RD_E_KEY_FORMAT, "the PEM holds no usable P-256 public key");
    *ret = key;
    return 0;
}

int rd_p256_key_to_pem(const rd_p256_key *key, rd_buf *out, rd_err *err)
{
    return rd_pem_write_private(key->pkey, out, err);
}

rd_p256_key *rd_p256_key_free(rd_p256_key *key)
{
    if (key)
        EVP_PKEY_free(key->pkey);
    free(key);
    return NULL;
}

void rd_p256_key_free_p(rd_p256_key **key)
{
    *key = rd_p256_key_free(*key);
}

const uint8_t *rd_p256_key_public(const rd_p256_key *key)
{
    return key->public_key;
}

EVP_PKEY *rd_p256_key_pkey(const rd_p256_key *key)
{
    return key->pkey;
}

int rd_p256_sign(const rd_p256_key *key, rd_bytes message, uint8_t out[RD_P256_SIGNATURE_SIZE], rd_err *err)
{
    uint8_t der[DER_SIGNATURE_SIZE];
    size_t size = sizeof der;
    RD_CLEANUP(md_ctx_free_p) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx || EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key->pkey) != 1 ||
        EVP_DigestSign(ctx, der, &size, message.data, message.size) != 1)
        return rd_err_set(err, RD_E_INTERNAL, "P-256 signing failed");
    const uint8_t *at = der;
    RD_CLEANUP(sig_free_p) ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)size);
    if (!sig || BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, 32) != 32 ||
        BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + 32, 32) != 32)
        return rd_err_set(err, RD_E_INTERNAL, "P-256 signature has an unexpected form");
    return 0;
}

struct rd_p256_public {
    rd_ec_key *key;
};

int rd_p256_public_new(const uint8_t key[RD_P256_PUBLIC_SIZE], rd_p256_public **ret, rd_err *err)
{
    /* SP 800-186, D.1: a point off the curve is no key. */
    rd_ec_key *public = rd_ec_key_new(RD_CURVE_P256, key);
    if (!public)
        return rd_err_set(err, RD_E_KEY_FORMAT, "not a point of P-256");
    *ret = rd_alloc(sizeof **ret);
    (*ret)->key = public;
    return 0;
}

rd_p256_public *rd_p256_public_free(rd_p256_public *key)
{
    if (key)
        rd_ec_key_free(key->key);
    free(key);
    return NULL;
}

void rd_p256_public_free_p(rd_p256_public **key)
{
    *key = rd_p256_public_free(*key);
}

int rd_p256_public_verify(const rd_p256_public *key, rd_bytes message, const uint8_t signature[RD_P256_SIGNATURE_SIZE],
                          rd_err *err)
{
    uint8_t digest[RD_SHA256_SIZE];
    rd_sha256(message, digest);
    if (rd_ec_verify_raw(key->key, RD_BYTES_ARRAY(digest), signature, RD_P256_SIGNATURE_SIZE / 2))
        return 0;
    return rd_err_set(err, RD_E_SIGNATURE, "signature does not verify");
}

int rd_p256_verify(const uint8_t key[RD_P256_PUBLIC_SIZE], rd_bytes message,
                   const uint8_t signature[RD_P256_SIGNATURE_SIZE], rd_err *err)
{
    RD_CLEANUP(rd_p256_public_free_p) rd_p256_public *public = NULL;
    if (rd_p256_public_new(key, &public, err) < 0)
        return -1;
    return rd_p256_public_verify(public, message, signature, err);
}
