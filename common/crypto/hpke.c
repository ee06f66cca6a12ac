#include "common/crypto/hpke.h"

#include "common/base/mem.h"
#include "common/crypto/aead.h"
#include "common/crypto/hash.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define KEM_SUITE_SIZE 5
#define SUITE_SIZE     10

/* ---- X25519 (RFC 7748) ---- */

static void pkey_free_p(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

static void pkey_context_free_p(EVP_PKEY_CTX **context)
{
    EVP_PKEY_CTX_free(*context);
}

static EVP_PKEY *private_pkey(rd_bytes private_key)
{
    assert(private_key.size == RD_X25519_SIZE);
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private_key.data, private_key.size);
    assert(key);
    return key;
}

static void public_of(const EVP_PKEY *key, uint8_t out[RD_X25519_SIZE])
{
    size_t size = RD_X25519_SIZE;
    int rc = EVP_PKEY_get_raw_public_key(key, out, &size);
    assert(rc == 1 && size == RD_X25519_SIZE);
    (void)rc;
}

void rd_x25519_public(const rd_secret *private_key, uint8_t out[RD_X25519_SIZE])
{
    RD_CLEANUP(pkey_free_p) EVP_PKEY *key = private_pkey(rd_secret_bytes(private_key));
    public_of(key, out);
}

/* -1 for a peer whose product is zero, which OpenSSL refuses. */
static int x25519(EVP_PKEY *own, const uint8_t peer[RD_X25519_SIZE], uint8_t out[RD_X25519_SIZE])
{
    RD_CLEANUP(pkey_free_p)
    EVP_PKEY *other = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer, RD_X25519_SIZE);
    RD_CLEANUP(pkey_context_free_p) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(own, NULL);
    size_t size = RD_X25519_SIZE;
    if (!other || !context || EVP_PKEY_derive_init(context) != 1 || EVP_PKEY_derive_set_peer(context, other) != 1 ||
        EVP_PKEY_derive(context, out, &size) != 1)
        return -1;
    return 0;
}

struct rd_hpke_recipient {
    EVP_PKEY *key;
    uint8_t public_key[RD_X25519_SIZE];
};

rd_hpke_recipient *rd_hpke_recipient_new(const rd_secret *private_key)
{
    rd_hpke_recipient *recipient = rd_alloc(sizeof *recipient);
    recipient->key = private_pkey(rd_secret_bytes(private_key));
    public_of(recipient->key, recipient->public_key);
    return recipient;
}

rd_hpke_recipient *rd_hpke_recipient_free(rd_hpke_recipient *recipient)
{
    if (recipient) {
        EVP_PKEY_free(recipient->key); /* wipes */
        free(recipient);
    }
    return NULL;
}

void rd_hpke_recipient_free_p(rd_hpke_recipient **recipient)
{
    *recipient = rd_hpke_recipient_free(*recipient);
}

const uint8_t *rd_hpke_recipient_public(const rd_hpke_recipient *recipient)
{
    return recipient->public_key;
}

/* ---- the labelled functions (RFC 9180, 4) ---- */

static void labeled_extract(rd_bytes suite, rd_bytes salt, const char *label, rd_bytes ikm, uint8_t out[RD_SHA256_SIZE])
{
    rd_hmac hmac;
    rd_hmac_init(&hmac, salt);
    rd_hmac_update(&hmac, RD_BYTES_LIT("HPKE-v1"));
    rd_hmac_update(&hmac, suite);
    rd_hmac_update(&hmac, rd_bytes_str(label));
    rd_hmac_update(&hmac, ikm);
    rd_hmac_final(&hmac, out);
}

static void labeled_expand(rd_bytes suite, const uint8_t prk[RD_SHA256_SIZE], const char *label, rd_bytes context,
                           uint8_t *out, size_t size)
{
    RD_CLEANUP(rd_buf_done) rd_buf info = { 0 };
    rd_buf_append_u16be(&info, (uint16_t)size);
    rd_buf_append(&info, "HPKE-v1", 7);
    rd_buf_append_bytes(&info, suite);
    rd_buf_append_str(&info, label);
    rd_buf_append_bytes(&info, context);
    rd_hkdf_expand_sha256(prk, rd_buf_bytes(&info), out, size);
}

static void put_u16(uint8_t *out, unsigned value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
}

static void suite_of(rd_hpke_aead aead, uint8_t out[SUITE_SIZE])
{
    memcpy(out, "HPKE", 4);
    put_u16(out + 4, RD_HPKE_KEM_X25519);
    put_u16(out + 6, RD_HPKE_KDF_SHA256);
    put_u16(out + 8, aead);
}

/* ExtractAndExpand of the KEM over the product and both public values (RFC 9180, 4.1). */
static void kem_secret(const uint8_t dh[RD_X25519_SIZE], const uint8_t enc[RD_X25519_SIZE],
                       const uint8_t recipient[RD_X25519_SIZE], uint8_t out[RD_SHA256_SIZE])
{
    uint8_t suite[KEM_SUITE_SIZE] = "KEM";
    put_u16(suite + 3, RD_HPKE_KEM_X25519);
    uint8_t context[2 * RD_X25519_SIZE], prk[RD_SHA256_SIZE];
    memcpy(context, enc, RD_X25519_SIZE);
    memcpy(context + RD_X25519_SIZE, recipient, RD_X25519_SIZE);
    labeled_extract(RD_BYTES_ARRAY(suite), RD_BYTES_NULL, "eae_prk", rd_bytes_of(dh, RD_X25519_SIZE), prk);
    labeled_expand(RD_BYTES_ARRAY(suite), prk, "shared_secret", RD_BYTES_ARRAY(context), out, RD_SHA256_SIZE);
    rd_wipe(prk, sizeof prk);
}

static size_t key_size(rd_hpke_aead aead)
{
    return aead == RD_HPKE_AES_128_GCM ? 16 : 32;
}

/* KeySchedule in base mode (RFC 9180, 5.1). */
static void schedule(rd_hpke_aead aead, const uint8_t shared[RD_SHA256_SIZE], rd_bytes info, rd_hpke *ret)
{
    uint8_t suite_bytes[SUITE_SIZE], context[1 + 2 * RD_SHA256_SIZE] = { 0 }, secret[RD_SHA256_SIZE];
    suite_of(aead, suite_bytes);
    rd_bytes suite = RD_BYTES_ARRAY(suite_bytes);
    labeled_extract(suite, RD_BYTES_NULL, "psk_id_hash", RD_BYTES_NULL, context + 1);
    labeled_extract(suite, RD_BYTES_NULL, "info_hash", info, context + 1 + RD_SHA256_SIZE);
    labeled_extract(suite, rd_bytes_of(shared, RD_SHA256_SIZE), "secret", RD_BYTES_NULL, secret);
    *ret = (rd_hpke){ .aead = aead };
    labeled_expand(suite, secret, "key", RD_BYTES_ARRAY(context), ret->key, key_size(aead));
    labeled_expand(suite, secret, "base_nonce", RD_BYTES_ARRAY(context), ret->base_nonce, sizeof ret->base_nonce);
    labeled_expand(suite, secret, "exp", RD_BYTES_ARRAY(context), ret->exporter_secret, sizeof ret->exporter_secret);
    rd_wipe(secret, sizeof secret);
}

/* ---- both sides ---- */

int rd_hpke_setup_sender(rd_hpke_aead aead, const uint8_t recipient[RD_X25519_SIZE], rd_bytes info,
                         const rd_random *random, uint8_t enc[RD_X25519_SIZE], rd_hpke *ret, rd_err *err)
{
    uint8_t dh[RD_X25519_SIZE], shared[RD_SHA256_SIZE];
    RD_CLEANUP(rd_secret_free_p) rd_secret *ephemeral = rd_secret_new(RD_X25519_SIZE);
    rd_random_fill(random, rd_secret_data(ephemeral), RD_X25519_SIZE);
    RD_CLEANUP(pkey_free_p) EVP_PKEY *own = private_pkey(rd_secret_bytes(ephemeral));
    public_of(own, enc);
    if (x25519(own, recipient, dh) < 0)
        return rd_err_set(err, RD_E_KEY_FORMAT, "an X25519 key of small order");
    kem_secret(dh, enc, recipient, shared);
    schedule(aead, shared, info, ret);
    rd_wipe(dh, sizeof dh);
    rd_wipe(shared, sizeof shared);
    return 0;
}

int rd_hpke_setup_recipient(rd_hpke_aead aead, const rd_hpke_recipient *recipient, const uint8_t enc[RD_X25519_SIZE],
                            rd_bytes info, rd_hpke *ret, rd_err *err)
{
    uint8_t dh[RD_X25519_SIZE], shared[RD_SHA256_SIZE];
    if (x25519(recipient->key, enc, dh) < 0)
        return rd_err_set(err, RD_E_SEAL, "the seal does not open");
    kem_secret(dh, enc, recipient->public_key, shared);
    schedule(aead, shared, info, ret);
    rd_wipe(dh, sizeof dh);
    rd_wipe(shared, sizeof shared);
    return 0;
}

void rd_hpke_done(rd_hpke *hpke)
{
    rd_wipe(hpke, sizeof *hpke);
}

/* ---- messages ---- */

static void nonce_of(const rd_hpke *hpke, uint8_t out[RD_AEAD_NONCE_SIZE])
{
    memcpy(out, hpke->base_nonce, RD_AEAD_NONCE_SIZE);
    for (size_t i = 0; i < 8; i++)
        out[RD_AEAD_NONCE_SIZE - 1 - i] ^= (uint8_t)(hpke->seq >> (8 * i));
}

int rd_hpke_seal(rd_hpke *hpke, rd_bytes aad, rd_bytes plaintext, rd_buf *ret, rd_err *err)
{
    uint8_t nonce[RD_AEAD_NONCE_SIZE];
    nonce_of(hpke, nonce);
    if (rd_aead_seal(rd_bytes_of(hpke->key, key_size(hpke->aead)), nonce, aad, plaintext, ret, err) < 0)
        return -1;
    hpke->seq++;
    return 0;
}

int rd_hpke_open(rd_hpke *hpke, rd_bytes aad, rd_bytes sealed, rd_buf *ret, rd_err *err)
{
    uint8_t nonce[RD_AEAD_NONCE_SIZE];
    nonce_of(hpke, nonce);
    if (rd_aead_open(rd_bytes_of(hpke->key, key_size(hpke->aead)), nonce, aad, sealed, ret, err) < 0)
        return -1;
    hpke->seq++;
    return 0;
}

void rd_hpke_export(const rd_hpke *hpke, rd_bytes context, uint8_t *out, size_t size)
{
    uint8_t suite[SUITE_SIZE];
    suite_of(hpke->aead, suite);
    labeled_expand(RD_BYTES_ARRAY(suite), hpke->exporter_secret, "sec", context, out, size);
}

/* ---- one message ---- */

int rd_hpke_seal_once(const uint8_t recipient[RD_X25519_SIZE], rd_bytes info, rd_bytes aad, rd_bytes plaintext,
                      const rd_random *random, rd_buf *ret, rd_err *err)
{
    uint8_t enc[RD_X25519_SIZE];
    RD_CLEANUP(rd_hpke_done) rd_hpke hpke = { 0 };
    if (rd_hpke_setup_sender(RD_HPKE_AES_256_GCM, recipient, info, random, enc, &hpke, err) < 0)
        return -1;
    if (!rd_buf_append(ret, enc, sizeof enc))
        return rd_err_set(err, RD_E_TOO_LARGE, "the message does not fit");
    return rd_hpke_seal(&hpke, aad, plaintext, ret, err);
}

int rd_hpke_open_once(const rd_secret *private_key, rd_bytes info, rd_bytes aad, rd_bytes sealed, rd_buf *ret,
                      rd_err *err)
{
    if (sealed.size < RD_X25519_SIZE)
        return rd_err_set(err, RD_E_SEAL, "shorter than a key");
    RD_CLEANUP(rd_hpke_recipient_free_p) rd_hpke_recipient *recipient = rd_hpke_recipient_new(private_key);
    RD_CLEANUP(rd_hpke_done) rd_hpke hpke = { 0 };
    if (rd_hpke_setup_recipient(RD_HPKE_AES_256_GCM, recipient, sealed.data, info, &hpke, err) < 0)
        return -1;
    return rd_hpke_open(&hpke, aad, rd_bytes_of(sealed.data + RD_X25519_SIZE, sealed.size - RD_X25519_SIZE), ret, err);
}
