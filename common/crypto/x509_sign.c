/* Keys of certificates, and signatures by them. The kinds that chains are made of are built directly: libcrypto's search
 * for a decoder takes longer than a verification. */
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto/hash.h"
#include "common/crypto/x509_der.h"
#include "common/crypto/x509_priv.h"

/* --- algorithms --- */

/* 1.2.840.10045.4.3.2; RFC 5758, 3.2: without parameters. */
static const uint8_t ecdsa_sha256[] = { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };
/* 1.2.840.113549.1.1.10, 1.2.840.113549.1.1.8, 2.16.840.1.101.3.4.2.2 */
static const uint8_t oid_pss[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a };
static const uint8_t oid_mgf1[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08 };
static const uint8_t oid_sha384[] = { 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02 };

bool rd_x509_algorithm_take(rd_bytes *in, rd_bytes *ret)
{
    rd_bytes rest, oid, parameters;
    uint8_t tag;
    if (!rd_der_take(in, RD_DER_SEQUENCE, ret))
        return false;
    rest = *ret;
    if (!rd_der_take(&rest, RD_DER_OID, &oid) || !rd_der_is_oid(oid))
        return false;
    return rest.size == 0 || (rd_der_next(&rest, &tag, &parameters) && rest.size == 0);
}

static bool take_oid(rd_bytes *in, const uint8_t *oid, size_t size)
{
    rd_bytes content;
    return rd_der_take(in, RD_DER_OID, &content) && rd_bytes_equal(content, rd_bytes_of(oid, size));
}

/* AlgorithmIdentifier of SHA-384, with or without NULL (RFC 4055, 2.1). */
static bool is_sha384(rd_bytes in)
{
    rd_bytes algorithm, null;
    if (!rd_der_take(&in, RD_DER_SEQUENCE, &algorithm) || in.size != 0 ||
        !take_oid(&algorithm, oid_sha384, sizeof oid_sha384))
        return false;
    return algorithm.size == 0 ||
           (rd_der_take(&algorithm, RD_DER_NULL, &null) && null.size == 0 && algorithm.size == 0);
}

static bool is_mgf1_sha384(rd_bytes in)
{
    rd_bytes algorithm;
    return rd_der_take(&in, RD_DER_SEQUENCE, &algorithm) && in.size == 0 &&
           take_oid(&algorithm, oid_mgf1, sizeof oid_mgf1) && is_sha384(algorithm);
}

static bool is_number(rd_bytes in, uint32_t wanted)
{
    rd_bytes content;
    uint32_t number = 0;
    return rd_der_take(&in, RD_DER_INTEGER, &content) && in.size == 0 && rd_der_uint(content, wanted, &number) &&
           number == wanted;
}

/* RFC 4055, 3.1: hash, mask, salt of 48 bytes; the trailer, which has one value, may stand there. */
static bool is_pss_sha384(rd_bytes in)
{
    rd_bytes parameters, part;
    if (!take_oid(&in, oid_pss, sizeof oid_pss) || !rd_der_take(&in, RD_DER_SEQUENCE, &parameters) || in.size != 0)
        return false;
    if (!rd_der_take(&parameters, RD_DER_PART_BOX(0), &part) || !is_sha384(part) ||
        !rd_der_take(&parameters, RD_DER_PART_BOX(1), &part) || !is_mgf1_sha384(part) ||
        !rd_der_take(&parameters, RD_DER_PART_BOX(2), &part) || !is_number(part, 48))
        return false;
    return parameters.size == 0 ||
           (rd_der_take(&parameters, RD_DER_PART_BOX(3), &part) && is_number(part, 1) && parameters.size == 0);
}

rd_x509_alg rd_x509_algorithm_of(rd_bytes algorithm)
{
    if (rd_bytes_equal(algorithm, RD_BYTES_ARRAY(ecdsa_sha256)))
        return RD_X509_ECDSA_SHA256;
    return is_pss_sha384(algorithm) ? RD_X509_PSS_SHA384 : RD_X509_ALG_OTHER;
}

bool rd_x509_signed_read(rd_bytes der, rd_x509_signed *ret)
{
    rd_bytes parts, bits;
    unsigned unused = 0;
    *ret = (rd_x509_signed){ .inside = RD_BYTES_NULL };
    if (!rd_der_take(&der, RD_DER_SEQUENCE, &parts) || der.size != 0 ||
        !rd_der_take_whole(&parts, RD_DER_SEQUENCE, &ret->signed_range, &ret->contents) ||
        !rd_x509_algorithm_take(&parts, &ret->algorithm) || !rd_der_take(&parts, RD_DER_BIT_STRING, &bits) ||
        parts.size != 0 || !rd_der_bits(bits, &unused, &ret->signature))
        return false;
    if (unused != 0)
        ret->signature = RD_BYTES_NULL;
    return true;
}

/* --- keys --- */

typedef struct curve {
    const char *name;
    rd_x509_key_kind kind;
    uint8_t prefix[27]; /* of the SubjectPublicKeyInfo, up to the point (RFC 5480, 2) */
    size_t prefix_size, point_size;
    EVP_PKEY *parameters; /* made once: what each key is a copy of, as making a group takes long */
} curve;

static curve curves[] = {
    { .name = SN_X9_62_prime256v1,
      .kind = RD_X509_P256,
      .prefix = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
                  0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00 },
      .prefix_size = 26,
      .point_size = 65 },
    { .name = SN_secp384r1,
      .kind = RD_X509_P384,
      .prefix = { 0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
                  0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00 },
      .prefix_size = 23,
      .point_size = 97 },
};

static pthread_once_t curves_once = PTHREAD_ONCE_INIT;

static void make_curves(void)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(curves); i++) {
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
        if (!ctx || EVP_PKEY_paramgen_init(ctx) != 1 || EVP_PKEY_CTX_set_group_name(ctx, curves[i].name) != 1 ||
            EVP_PKEY_paramgen(ctx, &curves[i].parameters) != 1)
            abort(); /* libcrypto without the curves that everything here is about */
        EVP_PKEY_CTX_free(ctx);
    }
}

/* libcrypto refuses what is no point of the curve. */
static EVP_PKEY *key_on(const curve *on, const uint8_t *point)
{
    EVP_PKEY *key = EVP_PKEY_dup(on->parameters);
    if (key && EVP_PKEY_set1_encoded_public_key(key, point, on->point_size) == 1)
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

static bool is_group(EVP_PKEY *key, const char *want)
{
    char name[40];
    size_t size = 0;
    return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, name, sizeof name, &size) == 1 &&
           strcmp(name, want) == 0;
}

rd_x509_key_kind rd_x509_key_kind_of(EVP_PKEY *key)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(curves); i++)
        if (is_group(key, curves[i].name))
            return curves[i].kind;
    return EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) == 4096 ? RD_X509_RSA_4096 : RD_X509_KEY_OTHER;
}

EVP_PKEY *rd_x509_key_read(rd_bytes spki, rd_x509_key_kind *ret_kind)
{
    (void)pthread_once(&curves_once, make_curves);
    for (size_t i = 0; i < RD_ARRAY_LEN(curves); i++) {
        const curve *on = &curves[i];
        if (spki.size != on->prefix_size + on->point_size || memcmp(spki.data, on->prefix, on->prefix_size) != 0 ||
            spki.data[on->prefix_size] != 4)
            continue;
        *ret_kind = on->kind;
        return key_on(on, spki.data + on->prefix_size);
    }
    const uint8_t *at = spki.data;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)spki.size);
    if (key && at == spki.data + spki.size) {
        *ret_kind = rd_x509_key_kind_of(key);
        return key;
    }
    EVP_PKEY_free(key);
    return NULL;
}

bool rd_x509_key_fits(rd_x509_key_kind kind, rd_cert_profile profile, bool is_ca)
{
    if (profile == RD_CERT_P256)
        return kind == RD_X509_P256;
    return kind == (is_ca ? RD_X509_RSA_4096 : RD_X509_P384);
}

/* --- signatures --- */

static bool verify_ecdsa(EVP_PKEY *key, rd_bytes digest, rd_bytes signature)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    bool is_good = ctx && EVP_PKEY_verify_init(ctx) == 1 &&
                   EVP_PKEY_verify(ctx, signature.data, signature.size, digest.data, digest.size) == 1;
    EVP_PKEY_CTX_free(ctx);
    return is_good;
}

static bool verify_pss(EVP_PKEY *key, rd_bytes digest, rd_bytes signature)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    bool is_good = ctx && EVP_PKEY_verify_init(ctx) == 1 &&
                   EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
                   EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha384()) == 1 &&
                   EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha384()) == 1 &&
                   EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, 48) == 1 &&
                   EVP_PKEY_verify(ctx, signature.data, signature.size, digest.data, digest.size) == 1;
    EVP_PKEY_CTX_free(ctx);
    return is_good;
}

bool rd_x509_verify(const rd_x509_signed *object, rd_cert_profile profile, EVP_PKEY *key)
{
    uint8_t digest[RD_SHA384_SIZE];
    rd_x509_alg wanted = profile == RD_CERT_P256 ? RD_X509_ECDSA_SHA256 : RD_X509_PSS_SHA384;
    if (rd_x509_algorithm_of(object->algorithm) != wanted || !rd_bytes_equal(object->algorithm, object->inside) ||
        object->signature.size == 0)
        return false;
    bool is_good;
    if (profile == RD_CERT_P256) {
        rd_sha256(object->signed_range, digest);
        is_good = verify_ecdsa(key, rd_bytes_of(digest, RD_SHA256_SIZE), object->signature);
    } else {
        rd_sha384(object->signed_range, digest);
        is_good = verify_pss(key, RD_BYTES_ARRAY(digest), object->signature);
    }
    ERR_clear_error();
    return is_good;
}

/* An INTEGER of DER from bytes that may have leading zeros; its size. */
static size_t put_integer(uint8_t *out, const uint8_t *bytes, size_t size)
{
    while (size > 1 && bytes[0] == 0) {
        bytes++;
        size--;
    }
    bool is_high = bytes[0] & 0x80;
    out[0] = RD_DER_INTEGER;
    out[1] = (uint8_t)(size + is_high);
    out[2] = 0;
    memcpy(out + 2 + is_high, bytes, size);
    return 2 + is_high + size;
}

/* r then s, each half bytes. libcrypto refuses what is not between zero and the order. */
static bool verify_raw(EVP_PKEY *key, rd_bytes digest, const uint8_t *signature, size_t half)
{
    uint8_t der[2 + 2 * (3 + RD_SHA384_SIZE)];
    size_t size = put_integer(der + 2, signature, half);
    size += put_integer(der + 2 + size, signature + half, half);
    der[0] = RD_DER_SEQUENCE;
    der[1] = (uint8_t)size;
    bool is_good = verify_ecdsa(key, digest, rd_bytes_of(der, 2 + size));
    ERR_clear_error();
    return is_good;
}

bool rd_cert_verify_raw(const rd_cert *cert, rd_bytes message, const uint8_t signature[64])
{
    uint8_t digest[RD_SHA256_SIZE];
    if (cert->key_kind != RD_X509_P256)
        return false;
    rd_sha256(message, digest);
    return verify_raw(cert->key, RD_BYTES_ARRAY(digest), signature, 32);
}

bool rd_cert_verify_raw_p384(const rd_cert *cert, rd_bytes message, const uint8_t signature[96])
{
    uint8_t digest[RD_SHA384_SIZE];
    if (cert->key_kind != RD_X509_P384)
        return false;
    rd_sha384(message, digest);
    return verify_raw(cert->key, RD_BYTES_ARRAY(digest), signature, 48);
}
