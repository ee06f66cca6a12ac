#include "enclave/engine/subtle_priv.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <string.h>

#define DER_SIGNATURE_SIZE 72 /* of P-256 (SEC 1, C.5) */
#define DERIVED_MAX        ((size_t)255 * 64)
#define IV_MAX             128
#define DATA_MAX           ((size_t)1 << 30) /* OpenSSL counts in int */

static void md_ctx_free_p(EVP_MD_CTX **ctx)
{
    EVP_MD_CTX_free(*ctx);
}

static void cipher_ctx_free_p(EVP_CIPHER_CTX **ctx)
{
    EVP_CIPHER_CTX_free(*ctx);
}

static int fail(encl_ask *ask)
{
    return encl_ask_refuse(ask, ENCL_ASK_OPERATION, "the operation failed");
}

int encl_subtle_digest(encl_ask *ask)
{
    const EVP_MD *md = encl_ask_md(encl_ask_number(ask));
    rd_bytes data = encl_ask_field(ask);
    uint8_t out[EVP_MAX_MD_SIZE];
    unsigned size = 0;

    if (encl_ask_end(ask) < 0)
        return -1;
    if (!md)
        return encl_ask_refuse(ask, ENCL_ASK_NOT_SUPPORTED, "an unknown digest");
    if (EVP_Digest(data.data, data.size, out, &size, md, NULL) != 1)
        return fail(ask);
    rd_buf_append(ask->out, out, size);
    return 0;
}

/* --- signatures --------------------------------------------------------------------------------------------------- */

typedef struct signing {
    uint32_t alg, hash;
    const encl_key *key;
} signing;

static int read_signing(encl_ask *ask, uint32_t may, signing *ret)
{
    ret->alg = encl_ask_number(ask);
    ret->hash = encl_ask_number(ask);
    ret->key = encl_ask_key(ask, encl_ask_field(ask), ret->alg, may);
    if (!ret->key)
        return -1;
    if (ret->alg == ENCL_ALG_ECDSA && !encl_ask_md(ret->hash))
        return encl_ask_refuse(ask, ENCL_ASK_NOT_SUPPORTED, "ECDSA needs SHA-1, SHA-256, SHA-384 or SHA-512");
    return 0;
}

static bool mac(const encl_key *key, rd_bytes data, uint8_t out[EVP_MAX_MD_SIZE], unsigned *size)
{
    return data.size <= DATA_MAX && HMAC(encl_ask_md(key->hash), key->secret.data, (int)key->secret.size,
                                         data.data ? data.data : (const uint8_t *)"", data.size, out, size);
}

/* r ‖ s, as Web Crypto has it (IEEE P1363), out of and into DER. */
static bool raw_of_der(const uint8_t *der, size_t size, uint8_t out[2 * P256_SIZE])
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)size);
    bool is_done = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, P256_SIZE) == P256_SIZE &&
                   BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + P256_SIZE, P256_SIZE) == P256_SIZE;

    ECDSA_SIG_free(sig);
    return is_done;
}

static size_t der_of_raw(const uint8_t raw[2 * P256_SIZE], uint8_t out[DER_SIGNATURE_SIZE])
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, P256_SIZE, NULL), *s = BN_bin2bn(raw + P256_SIZE, P256_SIZE, NULL);
    int size = -1;

    if (sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1) {
        r = s = NULL; /* the signature owns them */
        size = i2d_ECDSA_SIG(sig, NULL) <= DER_SIGNATURE_SIZE ? i2d_ECDSA_SIG(sig, &out) : -1;
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return size > 0 ? (size_t)size : 0;
}

static int sign_pair(encl_ask *ask, const signing *with, rd_bytes data)
{
    bool is_ec = with->alg == ENCL_ALG_ECDSA;
    uint8_t out[DER_SIGNATURE_SIZE], raw[2 * P256_SIZE];
    size_t size = sizeof(out);
    RD_CLEANUP(md_ctx_free_p) EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    if (!ctx || EVP_DigestSignInit(ctx, NULL, is_ec ? encl_ask_md(with->hash) : NULL, NULL, with->key->pkey) != 1 ||
        EVP_DigestSign(ctx, out, &size, data.data, data.size) != 1)
        return fail(ask);
    if (is_ec && !raw_of_der(out, size, raw))
        return fail(ask);
    rd_buf_append_bytes(ask->out, is_ec ? RD_BYTES_ARRAY(raw) : rd_bytes_of(out, size));
    return 0;
}

int encl_subtle_sign(encl_ask *ask)
{
    signing with;
    uint8_t out[EVP_MAX_MD_SIZE];
    unsigned size = 0;

    if (read_signing(ask, ENCL_MAY_SIGN, &with) < 0)
        return -1;
    rd_bytes data = encl_ask_field(ask);
    if (encl_ask_end(ask) < 0)
        return -1;
    /* ECDSA draws; what is drawn before the snapshot would be every request's. */
    if (with.alg == ENCL_ALG_ECDSA && ask->subtle->keys.generation == 0)
        return encl_ask_refuse(ask, ENCL_ASK_ENTROPY, "");
    if (with.alg != ENCL_ALG_HMAC)
        return sign_pair(ask, &with, data);
    if (!mac(with.key, data, out, &size))
        return fail(ask);
    rd_buf_append(ask->out, out, size);
    return 0;
}

static bool verify_pair(const signing *with, rd_bytes signature, rd_bytes data)
{
    bool is_ec = with->alg == ENCL_ALG_ECDSA;
    uint8_t der[DER_SIGNATURE_SIZE];
    RD_CLEANUP(md_ctx_free_p) EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    if (is_ec) {
        if (signature.size != sizeof(uint8_t[2 * P256_SIZE]))
            return false;
        signature = rd_bytes_of(der, der_of_raw(signature.data, der));
    }
    return ctx && signature.size > 0 &&
           EVP_DigestVerifyInit(ctx, NULL, is_ec ? encl_ask_md(with->hash) : NULL, NULL, with->key->pkey) == 1 &&
           EVP_DigestVerify(ctx, signature.data, signature.size, data.data, data.size) == 1;
}

int encl_subtle_verify(encl_ask *ask)
{
    signing with;
    uint8_t out[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    bool is_good;

    if (read_signing(ask, ENCL_MAY_VERIFY, &with) < 0)
        return -1;
    rd_bytes signature = encl_ask_field(ask);
    rd_bytes data = encl_ask_field(ask);
    if (encl_ask_end(ask) < 0)
        return -1;
    if (with.alg != ENCL_ALG_HMAC)
        is_good = verify_pair(&with, signature, data);
    else if (!mac(with.key, data, out, &size))
        return fail(ask);
    else
        is_good = signature.size == size && CRYPTO_memcmp(signature.data, out, size) == 0;
    rd_buf_append_u8(ask->out, is_good);
    return 0;
}

/* --- AES-GCM (NIST SP 800-38D) ------------------------------------------------------------------------------------ */

typedef struct crypting {
    const encl_key *key;
    rd_bytes iv, aad, data;
    size_t tag_size;
} crypting;

static int read_crypting(encl_ask *ask, bool is_encrypting, crypting *ret)
{
    ret->key =
        encl_ask_key(ask, encl_ask_field(ask), ENCL_ALG_AES_GCM, is_encrypting ? ENCL_MAY_ENCRYPT : ENCL_MAY_DECRYPT);
    if (!ret->key)
        return -1;
    ret->iv = encl_ask_field(ask);
    ret->aad = encl_ask_field(ask);
    uint32_t tag_bits = encl_ask_number(ask);
    ret->data = encl_ask_field(ask);
    ret->tag_size = tag_bits / 8;
    if (encl_ask_end(ask) < 0)
        return -1;
    if (tag_bits % 8 != 0 || tag_bits < 96 || tag_bits > 128)
        return encl_ask_refuse(ask, ENCL_ASK_OPERATION, "the tag has 96, 104, 112, 120 or 128 bits");
    if (ret->iv.size == 0 || ret->iv.size > IV_MAX)
        return encl_ask_refuse(ask, ENCL_ASK_OPERATION, "the iv has 1 to 128 bytes; draw 12");
    if (ret->data.size > DATA_MAX || ret->aad.size > DATA_MAX)
        return encl_ask_refuse(ask, ENCL_ASK_OPERATION, "the data is too large");
    return 0;
}

static const EVP_CIPHER *cipher_of(const encl_key *key)
{
    return key->secret.size == 16 ? EVP_aes_128_gcm() : key->secret.size == 24 ? EVP_aes_192_gcm() : EVP_aes_256_gcm();
}

static EVP_CIPHER_CTX *start(const crypting *with, bool is_encrypting)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int size = 0;

    if (ctx && EVP_CipherInit_ex2(ctx, cipher_of(with->key), NULL, NULL, is_encrypting, NULL) == 1 &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, (int)with->iv.size, NULL) == 1 &&
        EVP_CipherInit_ex2(ctx, NULL, with->key->secret.data, with->iv.data, is_encrypting, NULL) == 1 &&
        (with->aad.size == 0 || EVP_CipherUpdate(ctx, NULL, &size, with->aad.data, (int)with->aad.size) == 1))
        return ctx;
    EVP_CIPHER_CTX_free(ctx);
    return NULL;
}

static int encrypt(encl_ask *ask, const crypting *with)
{
    encl_subtle *subtle = ask->subtle;
    uint8_t *room;
    int size = 0;

    /* What a module encrypts while it loads, its iv would be every request's. */
    if (subtle->keys.generation == 0)
        return encl_ask_refuse(ask, ENCL_ASK_ENTROPY, "");
    if (!subtle->ivs)
        subtle->ivs = encl_iv_memory_new();
    if (!encl_iv_memory_take(subtle->ivs, rd_buf_bytes(&with->key->secret), with->iv))
        return encl_ask_refuse(ask, ENCL_ASK_OPERATION,
                               "this iv was used with this key before: draw it with crypto.getRandomValues");
    RD_CLEANUP(cipher_ctx_free_p) EVP_CIPHER_CTX *ctx = start(with, true);
    room = rd_buf_reserve(ask->out, with->data.size + 16);
    if (!ctx || !room ||
        (with->data.size > 0 && EVP_CipherUpdate(ctx, room, &size, with->data.data, (int)with->data.size) != 1) ||
        EVP_CipherFinal_ex(ctx, room + with->data.size, &size) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, (int)with->tag_size, room + with->data.size) != 1)
        return fail(ask);
    rd_buf_commit(ask->out, with->data.size + with->tag_size);
    return 0;
}

static int decrypt(encl_ask *ask, const crypting *with)
{
    uint8_t tag[16];
    int size = 0;

    if (with->data.size < with->tag_size)
        return encl_ask_refuse(ask, ENCL_ASK_OPERATION, "the data does not open under this key");
    size_t text_size = with->data.size - with->tag_size;
    memcpy(tag, with->data.data + text_size, with->tag_size);
    RD_CLEANUP(cipher_ctx_free_p) EVP_CIPHER_CTX *ctx = start(with, false);
    uint8_t *room = rd_buf_reserve(ask->out, text_size + 16);
    if (!ctx || !room || (text_size > 0 && EVP_CipherUpdate(ctx, room, &size, with->data.data, (int)text_size) != 1) ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, (int)with->tag_size, tag) != 1)
        return fail(ask);
    if (EVP_CipherFinal_ex(ctx, room + text_size, &size) != 1) {
        rd_wipe(room, text_size);
        return encl_ask_refuse(ask, ENCL_ASK_OPERATION, "the data does not open under this key");
    }
    rd_buf_commit(ask->out, text_size);
    return 0;
}

int encl_subtle_crypt(encl_ask *ask, bool is_encrypting)
{
    crypting with;

    if (read_crypting(ask, is_encrypting, &with) < 0)
        return -1;
    return is_encrypting ? encrypt(ask, &with) : decrypt(ask, &with);
}

/* --- derivation --------------------------------------------------------------------------------------------------- */

/* RFC 5869. */
static bool hkdf(const encl_key *key, const EVP_MD *md, rd_bytes salt, rd_bytes info, uint8_t *out, size_t size)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    static uint8_t nothing[1];
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)EVP_MD_get0_name(md), 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key->secret.data, key->secret.size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt.size ? (void *)(uintptr_t)salt.data : nothing,
                                          salt.size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.size ? (void *)(uintptr_t)info.data : nothing,
                                          info.size),
        OSSL_PARAM_construct_end(),
    };
    bool is_done = ctx && EVP_KDF_derive(ctx, out, size, params) == 1;

    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return is_done;
}

/* RFC 7748, 6.1: OpenSSL refuses the result zero, which a peer's key of small order gives. */
static bool x25519(const encl_key *key, const encl_key *peer, uint8_t out[32])
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    size_t size = 32;
    bool is_done = ctx && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, peer->pkey) == 1 &&
                   EVP_PKEY_derive(ctx, out, &size) == 1 && size == 32;

    EVP_PKEY_CTX_free(ctx);
    return is_done;
}

typedef struct deriving {
    uint32_t alg, hash, bits;
    const encl_key *key;
    rd_bytes salt, info;
    uint32_t into_alg, into_hash, into_flags;
} deriving;

static int read_deriving(encl_ask *ask, deriving *ret)
{
    ret->alg = encl_ask_number(ask);
    rd_bytes handle = encl_ask_field(ask);
    ret->hash = encl_ask_number(ask);
    ret->salt = encl_ask_field(ask);
    ret->info = encl_ask_field(ask);
    ret->bits = encl_ask_number(ask);
    ret->into_alg = encl_ask_number(ask);
    ret->into_hash = encl_ask_number(ask);
    ret->into_flags = encl_ask_number(ask);
    if (encl_ask_end(ask) < 0)
        return -1;
    ret->key = encl_ask_key(ask, handle, ret->alg, ret->into_alg == 0 ? ENCL_MAY_DERIVE_BITS : ENCL_MAY_DERIVE_KEY);
    if (!ret->key)
        return -1;
    if (ret->bits == 0 || ret->bits % 8 != 0 || ret->bits / 8 > DERIVED_MAX)
        return encl_ask_refuse(ask, ENCL_ASK_OPERATION, "whole bytes are derived, at least one");
    return 0;
}

static int derive(encl_ask *ask, const deriving *with, uint8_t *out)
{
    if (with->alg == ENCL_ALG_HKDF) {
        const EVP_MD *md = encl_ask_md(with->hash);
        if (!md)
            return encl_ask_refuse(ask, ENCL_ASK_NOT_SUPPORTED, "HKDF needs SHA-1, SHA-256, SHA-384 or SHA-512");
        if (with->bits / 8 > 255 * (size_t)EVP_MD_get_size(md))
            return encl_ask_refuse(ask, ENCL_ASK_OPERATION, "HKDF gives at most 255 digests");
        return hkdf(with->key, md, with->salt, with->info, out, with->bits / 8) ? 0 : fail(ask);
    }
    const encl_key *peer = encl_ask_key(ask, with->salt, ENCL_ALG_X25519, 0);
    if (!peer)
        return -1;
    if (peer->type != ENCL_KEY_PUBLIC || with->key->type != ENCL_KEY_PRIVATE)
        return encl_ask_refuse(ask, ENCL_ASK_ACCESS, "a private key and another's public key are needed");
    if (with->bits > 256)
        return encl_ask_refuse(ask, ENCL_ASK_OPERATION, "X25519 gives at most 256 bits");
    return x25519(with->key, peer, out) ? 0 : fail(ask);
}

int encl_subtle_derive(encl_ask *ask)
{
    deriving with;
    encl_key key;

    if (read_deriving(ask, &with) < 0)
        return -1;
    RD_CLEANUP(rd_buf_wipe) rd_buf derived = { 0 };
    uint8_t *out = rd_buf_reserve(&derived, RD_MAX(with.bits / 8, (size_t)32));
    if (!out || derive(ask, &with, out) < 0)
        return ask->status == ENCL_ASK_OK ? fail(ask) : -1;
    rd_buf_commit(&derived, with.bits / 8);
    if (with.into_alg == 0) {
        rd_buf_append_bytes(ask->out, rd_buf_bytes(&derived));
        return 0;
    }
    if (encl_ask_make_secret(ask, with.into_alg, with.into_hash, with.into_flags, rd_buf_bytes(&derived), &key) < 0)
        return -1;
    return encl_ask_put_key(ask, &key);
}
