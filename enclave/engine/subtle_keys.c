#include "enclave/engine/subtle_priv.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <string.h>

#define DER_MAX    ((size_t)4 << 10)
#define SECRET_MAX ((size_t)64 << 10)
#define OKP_SIZE   32

/* Which usages an algorithm's keys may carry, and how OpenSSL names its pairs. */
typedef struct algorithm_row {
    const char *name; /* NULL: no pair */
    uint32_t may_secret, may_public, may_private;
    int raw_type;
} algorithm_row;

static const algorithm_row algorithms[] = {
    [ENCL_ALG_HMAC] = { .may_secret = ENCL_MAY_SIGN | ENCL_MAY_VERIFY },
    [ENCL_ALG_HKDF] = { .may_secret = ENCL_MAY_DERIVE_KEY | ENCL_MAY_DERIVE_BITS },
    [ENCL_ALG_AES_GCM] = { .may_secret = ENCL_MAY_ENCRYPT | ENCL_MAY_DECRYPT },
    [ENCL_ALG_ED25519] = { "ED25519", 0, ENCL_MAY_VERIFY, ENCL_MAY_SIGN, EVP_PKEY_ED25519 },
    [ENCL_ALG_ECDSA] = { "EC", 0, ENCL_MAY_VERIFY, ENCL_MAY_SIGN, 0 },
    [ENCL_ALG_X25519] = { "X25519", 0, 0, ENCL_MAY_DERIVE_KEY | ENCL_MAY_DERIVE_BITS, EVP_PKEY_X25519 },
};

static const algorithm_row *algorithm_of(uint32_t alg)
{
    return alg >= ENCL_ALG_HMAC && alg <= ENCL_ALG_X25519 ? &algorithms[alg] : NULL;
}

static void pkey_free_p(EVP_PKEY **pkey)
{
    EVP_PKEY_free(*pkey);
}

static void pkey_ctx_free_p(EVP_PKEY_CTX **ctx)
{
    EVP_PKEY_CTX_free(*ctx);
}

static void build_free_p(OSSL_PARAM_BLD **build)
{
    OSSL_PARAM_BLD_free(*build);
}

static void params_free_p(OSSL_PARAM **params)
{
    OSSL_PARAM_free(*params);
}

static void bn_free_p(BIGNUM **bn)
{
    BN_clear_free(*bn);
}

/* --- making keys -------------------------------------------------------------------------------------------------- */

int encl_ask_make_secret(encl_ask *ask, uint32_t alg, uint32_t hash, uint32_t flags, rd_bytes bytes, encl_key *ret)
{
    const algorithm_row *algorithm = algorithm_of(alg);

    if (!algorithm || algorithm->name)
        return encl_ask_refuse(ask, ENCL_ASK_NOT_SUPPORTED, "no secret key of this algorithm");
    if (flags & ~(algorithm->may_secret | ENCL_KEY_EXTRACTABLE))
        return encl_ask_refuse(ask, ENCL_ASK_SYNTAX, "a usage that this algorithm does not have");
    if (alg == ENCL_ALG_HKDF && (flags & ENCL_KEY_EXTRACTABLE))
        return encl_ask_refuse(ask, ENCL_ASK_SYNTAX, "HKDF keys are never extractable");
    if (alg == ENCL_ALG_AES_GCM && bytes.size != 16 && bytes.size != 24 && bytes.size != 32)
        return encl_ask_refuse(ask, ENCL_ASK_DATA, "an AES key has 128, 192 or 256 bits");
    if (alg == ENCL_ALG_HMAC && !encl_ask_md(hash))
        return encl_ask_refuse(ask, ENCL_ASK_NOT_SUPPORTED, "HMAC needs SHA-1, SHA-256, SHA-384 or SHA-512");
    if (bytes.size == 0 || bytes.size > SECRET_MAX)
        return encl_ask_refuse(ask, ENCL_ASK_DATA, "a key has 1 byte to 64 KiB");
    *ret = (encl_key){ .alg = alg, .type = ENCL_KEY_SECRET, .hash = alg == ENCL_ALG_HMAC ? hash : 0, .flags = flags };
    rd_buf_append_bytes(&ret->secret, bytes);
    return 0;
}

static bool is_of(EVP_PKEY *pkey, uint32_t alg)
{
    char group[32];
    size_t size;

    if (!pkey || !EVP_PKEY_is_a(pkey, algorithms[alg].name))
        return false;
    return alg != ENCL_ALG_ECDSA ||
           (EVP_PKEY_get_group_name(pkey, group, sizeof(group), &size) == 1 && strcmp(group, "prime256v1") == 0);
}

/* Takes the pair's half over. */
static int make_half(encl_ask *ask, uint32_t alg, encl_key_type type, uint32_t flags, EVP_PKEY *taken, encl_key *ret)
{
    const algorithm_row *algorithm = &algorithms[alg];
    uint32_t may = type == ENCL_KEY_PRIVATE ? algorithm->may_private : algorithm->may_public;
    RD_CLEANUP(pkey_free_p) EVP_PKEY *pkey = taken;

    if (!is_of(pkey, alg))
        return encl_ask_refuse(ask, ENCL_ASK_DATA, "not a key of this algorithm");
    if (flags & ~(may | ENCL_KEY_EXTRACTABLE))
        return encl_ask_refuse(ask, ENCL_ASK_SYNTAX, "a usage that this half of the pair does not have");
    *ret = (encl_key){ .alg = alg, .type = type, .flags = flags, .pkey = RD_TAKE(pkey) };
    return 0;
}

/* A P-256 key out of its point and, when there is one, its scalar. */
static EVP_PKEY *ec_of(rd_bytes point, const BIGNUM *scalar)
{
    RD_CLEANUP(build_free_p) OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    RD_CLEANUP(pkey_ctx_free_p) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    RD_CLEANUP(params_free_p) OSSL_PARAM *params = NULL;
    EVP_PKEY *pkey = NULL;

    if (!build || !ctx || point.size != POINT_SIZE || point.data[0] != 4 ||
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) != 1 ||
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point.data, point.size) != 1 ||
        (scalar && OSSL_PARAM_BLD_push_BN_pad(build, OSSL_PKEY_PARAM_PRIV_KEY, scalar, P256_SIZE) != 1))
        return NULL;
    params = OSSL_PARAM_BLD_to_param(build);
    if (!params || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, scalar ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params) != 1)
        return NULL;
    return pkey;
}

/* SEC 1, 3.2.2 and 3.2.3: the point is on the curve, the scalar in range and the point's own. */
static bool is_sound(EVP_PKEY *pkey, encl_key_type type)
{
    RD_CLEANUP(pkey_ctx_free_p) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);

    return ctx && (type == ENCL_KEY_PRIVATE ? EVP_PKEY_check(ctx) : EVP_PKEY_public_check(ctx)) == 1;
}

/* --- import ------------------------------------------------------------------------------------------------------- */

static EVP_PKEY *read_spki(rd_bytes der)
{
    const uint8_t *at = der.data;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)der.size);

    if (pkey && at == der.data + der.size)
        return pkey;
    EVP_PKEY_free(pkey);
    return NULL;
}

static EVP_PKEY *read_pkcs8(rd_bytes der)
{
    const uint8_t *at = der.data;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)der.size);
    EVP_PKEY *pkey = info && at == der.data + der.size ? EVP_PKCS82PKEY(info) : NULL;

    PKCS8_PRIV_KEY_INFO_free(info);
    return pkey;
}

static EVP_PKEY *read_ec_jwk(rd_bytes x, rd_bytes y, rd_bytes d)
{
    uint8_t point[POINT_SIZE] = { 4 };
    RD_CLEANUP(bn_free_p) BIGNUM *scalar = NULL;

    if (x.size != P256_SIZE || y.size != P256_SIZE || (d.size != 0 && d.size != P256_SIZE))
        return NULL;
    memcpy(point + 1, x.data, P256_SIZE);
    memcpy(point + 1 + P256_SIZE, y.data, P256_SIZE);
    if (d.size > 0)
        scalar = BN_bin2bn(d.data, (int)d.size, NULL);
    return ec_of(RD_BYTES_ARRAY(point), scalar);
}

/* RFC 8037, 2: x must be there beside d, and be its public key. */
static EVP_PKEY *read_okp_jwk(int type, rd_bytes x, rd_bytes d)
{
    uint8_t public_key[OKP_SIZE];
    size_t size = sizeof(public_key);
    EVP_PKEY *pkey;

    if (x.size != OKP_SIZE || (d.size != 0 && d.size != OKP_SIZE))
        return NULL;
    if (d.size == 0)
        return EVP_PKEY_new_raw_public_key(type, NULL, x.data, x.size);
    pkey = EVP_PKEY_new_raw_private_key(type, NULL, d.data, d.size);
    if (pkey && EVP_PKEY_get_raw_public_key(pkey, public_key, &size) == 1 && memcmp(public_key, x.data, OKP_SIZE) == 0)
        return pkey;
    EVP_PKEY_free(pkey);
    return NULL;
}

/* Reads the parts of the format; type says which half it was. */
static EVP_PKEY *read_pair(encl_ask *ask, uint32_t format, uint32_t alg, encl_key_type *type)
{
    rd_bytes first = encl_ask_field(ask);
    bool is_ec = alg == ENCL_ALG_ECDSA;

    *type = format == ENCL_FORMAT_PKCS8 ? ENCL_KEY_PRIVATE : ENCL_KEY_PUBLIC;
    if (format == ENCL_FORMAT_JWK) {
        rd_bytes y = is_ec ? encl_ask_field(ask) : RD_BYTES_NULL;
        rd_bytes d = encl_ask_field(ask);
        *type = d.size > 0 ? ENCL_KEY_PRIVATE : ENCL_KEY_PUBLIC;
        return is_ec ? read_ec_jwk(first, y, d) : read_okp_jwk(algorithms[alg].raw_type, first, d);
    }
    if (first.size == 0 || first.size > DER_MAX)
        return NULL;
    if (format == ENCL_FORMAT_RAW)
        return is_ec ? ec_of(first, NULL)
                     : EVP_PKEY_new_raw_public_key(algorithms[alg].raw_type, NULL, first.data, first.size);
    return format == ENCL_FORMAT_SPKI ? read_spki(first) : format == ENCL_FORMAT_PKCS8 ? read_pkcs8(first) : NULL;
}

static int import_pair(encl_ask *ask, uint32_t format, uint32_t alg, uint32_t flags)
{
    encl_key_type type = ENCL_KEY_SECRET;
    encl_key key = { 0 };
    EVP_PKEY *pkey = read_pair(ask, format, alg, &type);

    if (encl_ask_end(ask) < 0) {
        EVP_PKEY_free(pkey);
        return -1;
    }
    if (make_half(ask, alg, type, flags, pkey, &key) < 0)
        return -1;
    if (alg == ENCL_ALG_ECDSA && !is_sound(key.pkey, type)) {
        encl_key_done(&key);
        return encl_ask_refuse(ask, ENCL_ASK_DATA, "not a point or key of P-256");
    }
    return encl_ask_put_key(ask, &key);
}

int encl_subtle_import(encl_ask *ask)
{
    uint32_t format = encl_ask_number(ask);
    uint32_t alg = encl_ask_number(ask);
    uint32_t hash = encl_ask_number(ask);
    uint32_t flags = encl_ask_number(ask);
    const algorithm_row *algorithm = algorithm_of(alg);
    encl_key key = { 0 };

    if (algorithm && algorithm->name)
        return import_pair(ask, format, alg, flags);
    rd_bytes bytes = encl_ask_field(ask);
    if (encl_ask_end(ask) < 0)
        return -1;
    if (format != ENCL_FORMAT_RAW && (format != ENCL_FORMAT_JWK || alg == ENCL_ALG_HKDF))
        return encl_ask_refuse(ask, ENCL_ASK_NOT_SUPPORTED, "this key does not come in this format");
    if (encl_ask_make_secret(ask, alg, hash, flags, bytes, &key) < 0)
        return -1;
    return encl_ask_put_key(ask, &key);
}

/* --- export ------------------------------------------------------------------------------------------------------- */

static int put_der(encl_ask *ask, uint8_t *der, int size)
{
    bool is_whole = size > 0 && rd_buf_append(ask->out, der, (size_t)size);

    if (size > 0)
        OPENSSL_clear_free(der, (size_t)size);
    return is_whole ? 0 : encl_ask_refuse(ask, ENCL_ASK_OPERATION, "the key cannot be encoded");
}

static int export_pkcs8(encl_ask *ask, const encl_key *key)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key->pkey);
    uint8_t *der = NULL;
    int size = info ? i2d_PKCS8_PRIV_KEY_INFO(info, &der) : -1;

    PKCS8_PRIV_KEY_INFO_free(info);
    return put_der(ask, der, size);
}

static int export_spki(encl_ask *ask, const encl_key *key)
{
    uint8_t *der = NULL;
    int size = i2d_PUBKEY(key->pkey, &der);

    return put_der(ask, der, size);
}

/* The public half: the point, or the 32 bytes. */
static size_t read_public(const encl_key *key, uint8_t out[POINT_SIZE])
{
    size_t size = POINT_SIZE;

    if (key->alg != ENCL_ALG_ECDSA)
        return EVP_PKEY_get_raw_public_key(key->pkey, out, &size) == 1 ? size : 0;
    if (EVP_PKEY_get_octet_string_param(key->pkey, OSSL_PKEY_PARAM_PUB_KEY, out, POINT_SIZE, &size) != 1)
        return 0;
    return size == POINT_SIZE && out[0] == 4 ? size : 0;
}

static bool read_private(const encl_key *key, uint8_t out[P256_SIZE])
{
    RD_CLEANUP(bn_free_p) BIGNUM *scalar = NULL;
    size_t size = P256_SIZE;

    if (key->alg != ENCL_ALG_ECDSA)
        return EVP_PKEY_get_raw_private_key(key->pkey, out, &size) == 1 && size == P256_SIZE;
    return EVP_PKEY_get_bn_param(key->pkey, OSSL_PKEY_PARAM_PRIV_KEY, &scalar) == 1 &&
           BN_bn2binpad(scalar, out, P256_SIZE) == P256_SIZE;
}

static int export_jwk(encl_ask *ask, const encl_key *key)
{
    uint8_t public_key[POINT_SIZE] = { 0 }, private_key[P256_SIZE] = { 0 };
    size_t size = read_public(key, public_key);
    bool is_ec = key->alg == ENCL_ALG_ECDSA, is_private = key->type == ENCL_KEY_PRIVATE;

    if (size == 0 || (is_private && !read_private(key, private_key)))
        return encl_ask_refuse(ask, ENCL_ASK_OPERATION, "the key cannot be encoded");
    int outcome = encl_ask_put_field(ask, rd_bytes_of(public_key + is_ec, 32));
    if (outcome == 0 && is_ec)
        outcome = encl_ask_put_field(ask, rd_bytes_of(public_key + 1 + P256_SIZE, P256_SIZE));
    if (outcome == 0)
        outcome = encl_ask_put_field(ask, is_private ? RD_BYTES_ARRAY(private_key) : RD_BYTES_NULL);
    rd_wipe(private_key, sizeof(private_key));
    return outcome;
}

static int export_pair(encl_ask *ask, uint32_t format, const encl_key *key)
{
    uint8_t public_key[POINT_SIZE] = { 0 };

    switch (format) {
    case ENCL_FORMAT_JWK:
        return export_jwk(ask, key);
    case ENCL_FORMAT_PKCS8:
        if (key->type == ENCL_KEY_PRIVATE)
            return export_pkcs8(ask, key);
        break;
    case ENCL_FORMAT_SPKI:
        if (key->type == ENCL_KEY_PUBLIC)
            return export_spki(ask, key);
        break;
    case ENCL_FORMAT_RAW:
        if (key->type == ENCL_KEY_PUBLIC)
            return rd_buf_append(ask->out, public_key, read_public(key, public_key))
                       ? 0
                       : encl_ask_refuse(ask, ENCL_ASK_OPERATION, "the key cannot be encoded");
        break;
    default:
        return encl_ask_refuse(ask, ENCL_ASK_NOT_SUPPORTED, "an unknown key format");
    }
    return encl_ask_refuse(ask, ENCL_ASK_ACCESS, "the other half of the pair goes into this format");
}

int encl_subtle_export(encl_ask *ask)
{
    uint32_t format = encl_ask_number(ask);
    const encl_key *key = encl_keys_find(&ask->subtle->keys, encl_ask_field(ask));

    if (encl_ask_end(ask) < 0)
        return -1;
    if (!key)
        return encl_ask_refuse(ask, ENCL_ASK_ACCESS, "the key is of another request");
    if (!(key->flags & ENCL_KEY_EXTRACTABLE))
        return encl_ask_refuse(ask, ENCL_ASK_ACCESS, "the key is not extractable");
    if (key->type != ENCL_KEY_SECRET)
        return export_pair(ask, format, key);
    if (format == ENCL_FORMAT_JWK)
        return encl_ask_put_field(ask, rd_buf_bytes(&key->secret));
    if (format != ENCL_FORMAT_RAW)
        return encl_ask_refuse(ask, ENCL_ASK_NOT_SUPPORTED, "this key does not go into this format");
    rd_buf_append_bytes(ask->out, rd_buf_bytes(&key->secret));
    return 0;
}

/* --- generate ----------------------------------------------------------------------------------------------------- */

static int draw(encl_ask *ask, uint8_t *out, size_t size)
{
    if (ask->subtle->random(ask->subtle->context, out, size) < 0)
        return encl_ask_refuse(ask, ENCL_ASK_OPERATION, "no randomness");
    return 0;
}

/* FIPS 186-5, A.2.2: candidates until one lies in 1 … n - 1, which almost always is the first. */
static BIGNUM *draw_scalar(encl_ask *ask, const EC_GROUP *group)
{
    uint8_t bytes[P256_SIZE];
    BIGNUM *scalar = NULL;

    for (int tries = 0; tries < 64; tries++) {
        if (draw(ask, bytes, sizeof(bytes)) < 0)
            break;
        scalar = BN_bin2bn(bytes, sizeof(bytes), scalar);
        rd_wipe(bytes, sizeof(bytes));
        if (!scalar)
            break;
        if (!BN_is_zero(scalar) && BN_cmp(scalar, EC_GROUP_get0_order(group)) < 0)
            return scalar;
    }
    BN_clear_free(scalar);
    return NULL;
}

static EVP_PKEY *draw_ec(encl_ask *ask)
{
    uint8_t octets[POINT_SIZE] = { 0 };
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    EC_POINT *point = group ? EC_POINT_new(group) : NULL;
    RD_CLEANUP(bn_free_p) BIGNUM *scalar = group ? draw_scalar(ask, group) : NULL;
    EVP_PKEY *pkey = NULL;

    if (scalar)
        BN_set_flags(scalar, BN_FLG_CONSTTIME);
    if (scalar && point && EC_POINT_mul(group, point, scalar, NULL, NULL, NULL) == 1 &&
        EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, octets, sizeof(octets), NULL) == sizeof(octets))
        pkey = ec_of(RD_BYTES_ARRAY(octets), scalar);
    EC_POINT_free(point);
    EC_GROUP_free(group);
    return pkey;
}

static EVP_PKEY *draw_pair(encl_ask *ask, uint32_t alg)
{
    uint8_t seed[OKP_SIZE];
    EVP_PKEY *pkey = NULL;

    if (alg == ENCL_ALG_ECDSA)
        return draw_ec(ask);
    if (draw(ask, seed, sizeof(seed)) == 0)
        pkey = EVP_PKEY_new_raw_private_key(algorithms[alg].raw_type, NULL, seed, sizeof(seed));
    rd_wipe(seed, sizeof(seed));
    return pkey;
}

/* The public half alone, so that no public handle reaches the private key. */
static EVP_PKEY *public_of(const encl_key *private_key)
{
    uint8_t octets[POINT_SIZE] = { 0 };
    size_t size = read_public(private_key, octets);

    if (size == 0)
        return NULL;
    return private_key->alg == ENCL_ALG_ECDSA
               ? ec_of(rd_bytes_of(octets, size), NULL)
               : EVP_PKEY_new_raw_public_key(algorithms[private_key->alg].raw_type, NULL, octets, size);
}

static int generate_pair(encl_ask *ask, uint32_t alg, uint32_t flags, uint32_t public_flags)
{
    encl_key private_key = { 0 }, public_key = { 0 };
    EVP_PKEY *pkey = draw_pair(ask, alg);

    if (!pkey)
        return encl_ask_refuse(ask, ENCL_ASK_OPERATION, "the key could not be made");
    if (make_half(ask, alg, ENCL_KEY_PRIVATE, flags, pkey, &private_key) < 0)
        return -1;
    if (make_half(ask, alg, ENCL_KEY_PUBLIC, public_flags, public_of(&private_key), &public_key) < 0 ||
        encl_ask_put_key(ask, &public_key) < 0) {
        encl_key_done(&private_key);
        return -1;
    }
    return encl_ask_put_key(ask, &private_key);
}

int encl_subtle_generate(encl_ask *ask)
{
    uint32_t alg = encl_ask_number(ask);
    uint32_t hash = encl_ask_number(ask);
    uint32_t bits = encl_ask_number(ask);
    uint32_t flags = encl_ask_number(ask);
    uint32_t public_flags = encl_ask_number(ask);
    const algorithm_row *algorithm = algorithm_of(alg);
    uint8_t bytes[512];
    encl_key key = { 0 };

    if (encl_ask_end(ask) < 0)
        return -1;
    if (ask->subtle->keys.generation == 0)
        return encl_ask_refuse(ask, ENCL_ASK_ENTROPY, "");
    if (!algorithm || alg == ENCL_ALG_HKDF)
        return encl_ask_refuse(ask, ENCL_ASK_NOT_SUPPORTED, "keys of this algorithm are not generated");
    if (algorithm->name)
        return generate_pair(ask, alg, flags, public_flags);
    if (bits == 0 || bits % 8 != 0 || bits / 8 > sizeof(bytes))
        return encl_ask_refuse(ask, ENCL_ASK_OPERATION, "a key has 8 to 4096 bits, in whole bytes");
    if (draw(ask, bytes, bits / 8) < 0)
        return -1;
    int outcome = encl_ask_make_secret(ask, alg, hash, flags, rd_bytes_of(bytes, bits / 8), &key);
    rd_wipe(bytes, sizeof(bytes));
    return outcome < 0 ? -1 : encl_ask_put_key(ask, &key);
}
