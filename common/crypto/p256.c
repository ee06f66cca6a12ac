#include "common/crypto/sign.h"

#include "common/base/mem.h"
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

static void pkey_ctx_free_p(EVP_PKEY_CTX **ctx)
{
    EVP_PKEY_CTX_free(*ctx);
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

static int load_public(const uint8_t key[RD_P256_PUBLIC_SIZE], EVP_PKEY **ret, rd_err *err)
{
    uint8_t point[POINT_SIZE] = { 4 };
    memcpy(point + 1, key, RD_P256_PUBLIC_SIZE);
    char group[] = "P-256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point),
        OSSL_PARAM_construct_end(),
    };
    RD_CLEANUP(pkey_ctx_free_p) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1)
        return rd_err_set(err, RD_E_INTERNAL, "P-256 verification cannot start");
    /* SP 800-186, D.1: a point off the curve is no key. */
    if (EVP_PKEY_fromdata(ctx, ret, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        ERR_clear_error();
        return rd_err_set(err, RD_E_KEY_FORMAT, "not a point of P-256");
    }
    return 0;
}

static int signature_to_der(const uint8_t signature[RD_P256_SIGNATURE_SIZE], uint8_t **ret)
{
    RD_CLEANUP(sig_free_p) ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature, 32, NULL);
    BIGNUM *s = BN_bin2bn(signature + 32, 32, NULL);
    if (!sig || !r || !s || ECDSA_SIG_set0(sig, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        return -1;
    }
    return i2d_ECDSA_SIG(sig, ret);
}

struct rd_p256_public {
    EVP_PKEY *pkey;
};

int rd_p256_public_new(const uint8_t key[RD_P256_PUBLIC_SIZE], rd_p256_public **ret, rd_err *err)
{
    EVP_PKEY *pkey = NULL;
    if (load_public(key, &pkey, err) < 0)
        return -1;
    *ret = rd_alloc(sizeof **ret);
    (*ret)->pkey = pkey;
    return 0;
}

rd_p256_public *rd_p256_public_free(rd_p256_public *key)
{
    if (key)
        EVP_PKEY_free(key->pkey);
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
    uint8_t *der = NULL;
    int der_size = signature_to_der(signature, &der);
    RD_CLEANUP(md_ctx_free_p) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool is_started = der_size > 0 && ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key->pkey) == 1;
    int outcome = is_started ? EVP_DigestVerify(ctx, der, (size_t)der_size, message.data, message.size) : -1;
    OPENSSL_free(der);
    ERR_clear_error();
    if (!is_started)
        return rd_err_set(err, RD_E_INTERNAL, "P-256 verification cannot start");
    if (outcome != 1)
        return rd_err_set(err, RD_E_SIGNATURE, "signature does not verify");
    return 0;
}

int rd_p256_verify(const uint8_t key[RD_P256_PUBLIC_SIZE], rd_bytes message,
                   const uint8_t signature[RD_P256_SIGNATURE_SIZE], rd_err *err)
{
    RD_CLEANUP(rd_p256_public_free_p) rd_p256_public *public = NULL;
    if (rd_p256_public_new(key, &public, err) < 0)
        return -1;
    return rd_p256_public_verify(public, message, signature, err);
}
