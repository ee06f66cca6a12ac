/* Keys of certificates, and signatures by them. The kinds that chains are made of are built directly: libcrypto's
 * search for a decoder takes longer than a verification. */
#include <openssl/err.h>
#include <openssl/rsa.h>
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

bool rd_x509_is_value(uint8_t tag, rd_bytes value)
{
    switch (tag) {
    case RD_DER_NULL:
        return value.size == 0;
    case RD_DER_OID:
        return rd_der_is_oid(value);
    case RD_DER_SEQUENCE:
    case RD_DER_OCTET_STRING:
    case RD_DER_UTF8:
    case RD_DER_PRINTABLE:
    case RD_DER_IA5:
        return true;
    default:
        return false;
    }
}

bool rd_x509_algorithm_take(rd_bytes *in, rd_bytes *ret)
{
    rd_bytes rest, oid, parameters;
    uint8_t tag;
    if (!rd_der_take(in, RD_DER_SEQUENCE, ret))
        return false;
    rest = *ret;
    if (!rd_der_take(&rest, RD_DER_OID, &oid) || !rd_der_is_oid(oid))
        return false;
    return rest.size == 0 ||
           (rd_der_next(&rest, &tag, &parameters) && rest.size == 0 && rd_x509_is_value(tag, parameters));
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

/* SubjectPublicKeyInfo of the two curves, up to the coordinates (RFC 5480, 2). */
static const struct {
    rd_curve curve;
    uint8_t prefix[27];
    size_t prefix_size, size;
} shapes[] = {
    { RD_CURVE_P256,
      { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
        0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04 },
      27,
      91 },
    { RD_CURVE_P384,
      { 0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
        0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00, 0x04 },
      24,
      120 },
};

static rd_x509_key_kind kind_on(rd_curve curve)
{
    return curve == RD_CURVE_P256 ? RD_X509_P256 : RD_X509_P384;
}

/* A curve of neither kind: the point at infinity is no key there either. */
static bool is_sound(EVP_PKEY *key)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    bool is_good = ctx && EVP_PKEY_public_check(ctx) == 1;
    EVP_PKEY_CTX_free(ctx);
    return is_good;
}

/* Any other form of any kind of key, as libcrypto decodes it. */
static bool decode_key(rd_bytes spki, rd_x509_key *ret)
{
    const uint8_t *at = spki.data;
    rd_curve curve;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)spki.size);
    *ret = (rd_x509_key){ .decoded = key };
    if (!key || at != spki.data + spki.size)
        return false;
    ret->on_curve = rd_ec_key_of(key, &curve);
    if (ret->on_curve)
        ret->kind = kind_on(curve);
    else if (EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) == 4096)
        ret->kind = RD_X509_RSA_4096;
    return ret->on_curve || !EVP_PKEY_is_a(key, "EC") || is_sound(key);
}

bool rd_x509_key_read(rd_bytes spki, rd_x509_key *ret)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(shapes); i++) {
        if (spki.size != shapes[i].size || memcmp(spki.data, shapes[i].prefix, shapes[i].prefix_size) != 0)
            continue;
        *ret = (rd_x509_key){ .kind = kind_on(shapes[i].curve),
                              .on_curve = rd_ec_key_new(shapes[i].curve, spki.data + shapes[i].prefix_size) };
        return ret->on_curve != NULL;
    }
    bool is_good = decode_key(spki, ret);
    ERR_clear_error();
    return is_good;
}

void rd_x509_key_done(rd_x509_key *key)
{
    rd_ec_key_free(key->on_curve);
    EVP_PKEY_free(key->decoded);
    *key = (rd_x509_key){ .kind = RD_X509_KEY_OTHER };
}

bool rd_x509_is_p256(EVP_PKEY *key)
{
    rd_curve curve = RD_CURVE_COUNT;
    rd_ec_key_free(rd_ec_key_of(key, &curve));
    return curve == RD_CURVE_P256;
}

bool rd_x509_key_fits(rd_x509_key_kind kind, rd_cert_profile profile, bool is_ca)
{
    if (profile == RD_CERT_P256)
        return kind == RD_X509_P256;
    return kind == (is_ca ? RD_X509_RSA_4096 : RD_X509_P384);
}

/* --- signatures --- */

static bool verify_pss(EVP_PKEY *key, rd_bytes digest, rd_bytes signature)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    bool is_good =
        ctx && EVP_PKEY_verify_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
        EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha384()) == 1 && EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha384()) == 1 &&
        EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, 48) == 1 &&
        EVP_PKEY_verify(ctx, signature.data, signature.size, digest.data, digest.size) == 1;
    EVP_PKEY_CTX_free(ctx);
    return is_good;
}

bool rd_x509_verify(const rd_x509_signed *object, rd_cert_profile profile, const rd_x509_key *key)
{
    uint8_t digest[RD_SHA384_SIZE];
    rd_x509_alg wanted = profile == RD_CERT_P256 ? RD_X509_ECDSA_SHA256 : RD_X509_PSS_SHA384;
    if (rd_x509_algorithm_of(object->algorithm) != wanted || !rd_bytes_equal(object->algorithm, object->inside) ||
        object->signature.size == 0 || !rd_x509_key_fits(key->kind, profile, true))
        return false;
    if (profile == RD_CERT_P256) {
        rd_sha256(object->signed_range, digest);
        return rd_ec_verify(key->on_curve, rd_bytes_of(digest, RD_SHA256_SIZE), object->signature);
    }
    rd_sha384(object->signed_range, digest);
    bool is_good = verify_pss(key->decoded, RD_BYTES_ARRAY(digest), object->signature);
    ERR_clear_error();
    return is_good;
}

bool rd_cert_verify_raw(const rd_cert *cert, rd_bytes message, const uint8_t signature[64])
{
    uint8_t digest[RD_SHA256_SIZE];
    if (cert->key.kind != RD_X509_P256)
        return false;
    rd_sha256(message, digest);
    return rd_ec_verify_raw(cert->key.on_curve, RD_BYTES_ARRAY(digest), signature, 32);
}

bool rd_cert_verify_raw_p384(const rd_cert *cert, rd_bytes message, const uint8_t signature[96])
{
    uint8_t digest[RD_SHA384_SIZE];
    if (cert->key.kind != RD_X509_P384)
        return false;
    rd_sha384(message, digest);
    return rd_ec_verify_raw(cert->key.on_curve, RD_BYTES_ARRAY(digest), signature, 48);
}
