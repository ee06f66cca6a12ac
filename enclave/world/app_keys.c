#include "enclave/world/app_keys.h"

#include <secp256k1.h>
#include <secp256k1_recovery.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/crypto/frame.h"
#include "common/crypto/keccak.h"
#include "common/crypto/random.h"
#include "common/crypto/sign.h"

typedef struct named_secret {
    char name[ENCL_SECRET_NAME_MAX + 1];
    rd_secret *value;
} named_secret;

struct encl_app_keys {
    rd_secret *key;
    named_secret *secrets;
    size_t count;
};

encl_app_keys *encl_app_keys_new(const uint8_t key[ENCL_APP_KEY_SIZE])
{
    encl_app_keys *keys = rd_alloc(sizeof(*keys));

    keys->key = rd_secret_copy(rd_bytes_of(key, ENCL_APP_KEY_SIZE));
    return keys;
}

encl_app_keys *encl_app_keys_free(encl_app_keys *keys)
{
    if (!keys)
        return NULL;
    for (size_t i = 0; i < keys->count; i++)
        rd_secret_free(keys->secrets[i].value);
    free(keys->secrets);
    rd_secret_free(keys->key);
    free(keys);
    return NULL;
}

/* --- secrets ------------------------------------------------------------------------------------------------------ */

static bool is_name(const char *name)
{
    size_t size = strnlen(name, ENCL_SECRET_NAME_MAX + 1);

    if (size == 0 || size > ENCL_SECRET_NAME_MAX || (name[0] >= '0' && name[0] <= '9') || name[0] == '.')
        return false;
    return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.") == size;
}

int encl_app_keys_add_secret(encl_app_keys *keys, const char *name, rd_bytes value, rd_err *err)
{
    if (!is_name(name))
        return rd_err_set(err, RD_E_JSON_RANGE, "a secret's name is [A-Za-z_][A-Za-z0-9_.]*, at most %d characters",
                          ENCL_SECRET_NAME_MAX);
    if (value.size == 0 || value.size > ENCL_SECRET_VALUE_MAX)
        return rd_err_set(err, RD_E_JSON_RANGE, "secret %s has %zu bytes, from 1 to %zu", name, value.size,
                          ENCL_SECRET_VALUE_MAX);
    if (keys->count == ENCL_SECRETS_MAX || encl_app_keys_secret(keys, rd_bytes_str(name)))
        return rd_err_set(err, RD_E_JSON_RANGE, "secret %s stands twice, or there are more than %d", name,
                          ENCL_SECRETS_MAX);
    keys->secrets = rd_realloc(keys->secrets, (keys->count + 1) * sizeof(*keys->secrets));
    named_secret *added = &keys->secrets[keys->count++];
    *added = (named_secret){ .value = rd_secret_copy(value) };
    memcpy(added->name, name, strlen(name) + 1);
    return 0;
}

const rd_secret *encl_app_keys_secret(const encl_app_keys *keys, rd_bytes name)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (rd_bytes_equal(rd_bytes_str(keys->secrets[i].name), name))
            return keys->secrets[i].value;
    }
    return NULL;
}

const char *encl_app_keys_secret_name(const encl_app_keys *keys, size_t index)
{
    return index < keys->count ? keys->secrets[index].name : NULL;
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

int encl_app_keys_derive(const encl_app_keys *keys, rd_bytes path, uint8_t out[32], rd_err *err)
{
    if (path.size == 0 || path.size > ENCL_PATH_MAX)
        return rd_err_set(err, RD_E_USAGE, "a path has 1 to %zu bytes", ENCL_PATH_MAX);
    rd_kdf(rd_secret_bytes(keys->key), RD_KDF_APP_USER, &path, 1, out);
    return 0;
}

static void signing_seed(const encl_app_keys *keys, encl_scheme scheme, uint8_t out[32])
{
    rd_bytes name = scheme == ENCL_SCHEME_ED25519 ? RD_BYTES_LIT("ed25519") : RD_BYTES_LIT("secp256k1");

    rd_kdf(rd_secret_bytes(keys->key), RD_KDF_APP_SIGN, &name, 1, out);
}

static rd_signing_key *ed25519_key(const encl_app_keys *keys)
{
    uint8_t seed[32];

    signing_seed(keys, ENCL_SCHEME_ED25519, seed);
    rd_signing_key *key = rd_signing_key_from_seed(seed);
    rd_wipe(seed, sizeof(seed));
    return key;
}

/* EIP-191, version 0x45: what wallets show before they sign, so that no such signature is ever a transaction's. */
static void ethereum_hash(rd_bytes data, uint8_t out[RD_KECCAK256_SIZE])
{
    rd_buf text = { 0 };

    rd_buf_printf(&text,
                  "\x19"
                  "Ethereum Signed Message:\n%zu",
                  data.size);
    rd_buf_append_bytes(&text, data);
    rd_keccak256(rd_buf_bytes(&text), out);
    rd_buf_done(&text);
}

/* A context that is blinded afresh, so that timing tells nothing of the key. */
static secp256k1_context *blinded(void)
{
    uint8_t noise[32];
    secp256k1_context *context = secp256k1_context_create(SECP256K1_CONTEXT_SIGN);

    rd_random_bytes(noise, sizeof(noise));
    (void)!secp256k1_context_randomize(context, noise);
    return context;
}

static int secp256k1_sign(const uint8_t seed[32], rd_bytes data, rd_buf *ret, rd_err *err)
{
    uint8_t hash[RD_KECCAK256_SIZE], out[65];
    int recovery = 0;
    secp256k1_ecdsa_recoverable_signature signature;
    secp256k1_context *context = blinded();

    ethereum_hash(data, hash);
    /* The nonce is RFC 6979's, and s comes out low. */
    bool is_done = secp256k1_ecdsa_sign_recoverable(context, &signature, hash, seed, NULL, NULL) == 1 &&
                   secp256k1_ecdsa_recoverable_signature_serialize_compact(context, out, &recovery, &signature) == 1;
    secp256k1_context_destroy(context);
    if (!is_done)
        return rd_err_set(err, RD_E_INTERNAL, "the app's secp256k1 key is out of range");
    out[64] = (uint8_t)(27 + recovery);
    return rd_buf_append(ret, out, sizeof(out)) ? 0 : rd_err_set(err, RD_E_TOO_LARGE, "no room for the signature");
}

static int secp256k1_public(const uint8_t seed[32], rd_buf *ret, rd_err *err)
{
    uint8_t out[65];
    size_t size = sizeof(out);
    secp256k1_pubkey key;
    secp256k1_context *context = blinded();
    bool is_done = secp256k1_ec_pubkey_create(context, &key, seed) == 1 &&
                   secp256k1_ec_pubkey_serialize(context, out, &size, &key, SECP256K1_EC_UNCOMPRESSED) == 1;

    secp256k1_context_destroy(context);
    if (!is_done || !rd_buf_append(ret, out + 1, 64))
        return rd_err_set(err, RD_E_INTERNAL, "the app's secp256k1 key is out of range");
    return 0;
}

int encl_app_keys_sign(const encl_app_keys *keys, encl_scheme scheme, rd_bytes data, rd_buf *ret, rd_err *err)
{
    uint8_t seed[32];
    rd_signature signature;

    if (scheme == ENCL_SCHEME_SECP256K1) {
        signing_seed(keys, scheme, seed);
        int outcome = secp256k1_sign(seed, data, ret, err);
        rd_wipe(seed, sizeof(seed));
        return outcome;
    }
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *key = ed25519_key(keys);
    if (rd_ed25519_sign(key, data, &signature, err) < 0)
        return -1;
    rd_buf_append(ret, signature.b, sizeof(signature.b));
    return 0;
}

int encl_app_keys_public(const encl_app_keys *keys, encl_scheme scheme, rd_buf *ret, rd_err *err)
{
    uint8_t seed[32];

    if (scheme == ENCL_SCHEME_SECP256K1) {
        signing_seed(keys, scheme, seed);
        int outcome = secp256k1_public(seed, ret, err);
        rd_wipe(seed, sizeof(seed));
        return outcome;
    }
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *key = ed25519_key(keys);
    rd_buf_append(ret, rd_signing_key_public(key)->b, RD_PUBLIC_KEY_SIZE);
    return 0;
}
