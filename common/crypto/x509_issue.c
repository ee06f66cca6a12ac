#include "common/crypto/x509_issue.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "common/crypto/random.h"
#include "common/crypto/x509_priv.h"

#define SERIAL_SIZE 16

/* --- keys --- */

void rd_p256_key_spki(const rd_p256_key *key, uint8_t ret[RD_P256_SPKI_SIZE])
{
    /* RFC 5480, 2: id-ecPublicKey, prime256v1, uncompressed point. */
    static const uint8_t prefix[27] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                        0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                        0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04 };
    memcpy(ret, prefix, sizeof prefix);
    memcpy(ret + sizeof prefix, rd_p256_key_public(key), RD_P256_PUBLIC_SIZE);
}

void rd_p256_key_spki_digest(const rd_p256_key *key, uint8_t ret[32])
{
    uint8_t spki[RD_P256_SPKI_SIZE];
    rd_p256_key_spki(key, spki);
    rd_sha256(RD_BYTES_ARRAY(spki), ret);
}

/* --- parts of a certificate; each returns whether libcrypto did it --- */

static bool add_name(X509_NAME *name, int nid, const char *text)
{
    return X509_NAME_add_entry_by_NID(name, nid, MBSTRING_UTF8, (const unsigned char *)text, -1, -1, 0) == 1;
}

static bool set_subject(X509 *x509, const rd_cert_spec *spec)
{
    X509_NAME *name = X509_get_subject_name(x509);
    return add_name(name, NID_commonName, spec->common_name) &&
           (!spec->organization || add_name(name, NID_organizationName, spec->organization));
}

static bool set_serial(X509 *x509)
{
    uint8_t bytes[SERIAL_SIZE];
    rd_random_bytes(bytes, sizeof bytes);
    /* RFC 5280, 4.1.2.2: positive; a set high bit would cost a byte more. */
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool is_ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x509));
    BN_free(number);
    return is_ok;
}

static bool set_validity(X509 *x509, const rd_cert_spec *spec)
{
    return ASN1_TIME_set(X509_getm_notBefore(x509), (time_t)(spec->not_before_us / 1000000)) &&
           ASN1_TIME_set(X509_getm_notAfter(x509), (time_t)(spec->not_after_us / 1000000));
}

static bool set_key(X509 *x509, rd_bytes spki)
{
    const uint8_t *at = spki.data;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)spki.size);
    bool is_ok = key && at == spki.data + spki.size && rd_x509_is_p256(key) && X509_set_pubkey(x509, key) == 1;
    EVP_PKEY_free(key);
    return is_ok;
}

static bool add_basic_constraints(X509 *x509, const rd_cert_spec *spec)
{
    BASIC_CONSTRAINTS *constraints = BASIC_CONSTRAINTS_new();
    bool is_ok = constraints != NULL;
    if (is_ok && spec->kind == RD_CERT_KIND_CA) {
        constraints->ca = 0xff;
        if (spec->path_length >= 0) {
            constraints->pathlen = ASN1_INTEGER_new();
            is_ok = constraints->pathlen && ASN1_INTEGER_set(constraints->pathlen, spec->path_length) == 1;
        }
    }
    is_ok = is_ok && X509_add1_ext_i2d(x509, NID_basic_constraints, constraints, 1, X509V3_ADD_DEFAULT) == 1;
    BASIC_CONSTRAINTS_free(constraints);
    return is_ok;
}

static bool add_key_usage(X509 *x509, rd_cert_kind kind)
{
    ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();
    bool is_ok = bits != NULL;
    /* RFC 5280, 4.2.1.3: bit 0 digitalSignature, 5 keyCertSign, 6 cRLSign. */
    if (kind == RD_CERT_KIND_CA)
        is_ok = is_ok && ASN1_BIT_STRING_set_bit(bits, 5, 1) == 1 && ASN1_BIT_STRING_set_bit(bits, 6, 1) == 1;
    else
        is_ok = is_ok && ASN1_BIT_STRING_set_bit(bits, 0, 1) == 1;
    is_ok = is_ok && X509_add1_ext_i2d(x509, NID_key_usage, bits, 1, X509V3_ADD_DEFAULT) == 1;
    ASN1_BIT_STRING_free(bits);
    return is_ok;
}

static bool add_extended_usage(X509 *x509, rd_cert_kind kind)
{
    if (kind != RD_CERT_KIND_CLIENT && kind != RD_CERT_KIND_SERVER)
        return true;
    EXTENDED_KEY_USAGE *usage = EXTENDED_KEY_USAGE_new();
    bool is_ok = usage && sk_ASN1_OBJECT_push(
                              usage, OBJ_nid2obj(kind == RD_CERT_KIND_CLIENT ? NID_client_auth : NID_server_auth)) > 0;
    is_ok = is_ok && X509_add1_ext_i2d(x509, NID_ext_key_usage, usage, 0, X509V3_ADD_DEFAULT) == 1;
    EXTENDED_KEY_USAGE_free(usage);
    return is_ok;
}

static bool push_name(GENERAL_NAMES *names, int type, const void *data, size_t size)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value = type == GEN_IPADD ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
    if (!name || !value || ASN1_STRING_set(value, data, (int)size) != 1) {
        GENERAL_NAME_free(name);
        ASN1_STRING_free(value);
        return false;
    }
    GENERAL_NAME_set0_value(name, type, value);
    if (sk_GENERAL_NAME_push(names, name) > 0)
        return true;
    GENERAL_NAME_free(name);
    return false;
}

static bool push_host(GENERAL_NAMES *names, const char *host)
{
    uint8_t address[16];
    if (inet_pton(AF_INET, host, address) == 1)
        return push_name(names, GEN_IPADD, address, 4);
    if (inet_pton(AF_INET6, host, address) == 1)
        return push_name(names, GEN_IPADD, address, 16);
    return push_name(names, GEN_DNS, host, strlen(host));
}

static bool add_san(X509 *x509, const rd_cert_spec *spec)
{
    if (!spec->san_uri && !(spec->san_dns && spec->san_dns[0]))
        return true;
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    bool is_ok = names != NULL;
    if (is_ok && spec->san_uri)
        is_ok = push_name(names, GEN_URI, spec->san_uri, strlen(spec->san_uri));
    for (size_t i = 0; is_ok && spec->san_dns && spec->san_dns[i]; i++)
        is_ok = push_host(names, spec->san_dns[i]);
    is_ok = is_ok && X509_add1_ext_i2d(x509, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
    GENERAL_NAMES_free(names);
    return is_ok;
}

/* RFC 7093, 2 (1): the leftmost 160 bits of the SHA-256 of the key. */
static ASN1_OCTET_STRING *key_id(const X509 *x509)
{
    uint8_t digest[32];
    const ASN1_BIT_STRING *bits = X509_get0_pubkey_bitstr(x509);
    rd_sha256(rd_bytes_of(ASN1_STRING_get0_data(bits), (size_t)ASN1_STRING_length(bits)), digest);
    ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();
    if (id && ASN1_OCTET_STRING_set(id, digest, 20) == 1)
        return id;
    ASN1_OCTET_STRING_free(id);
    return NULL;
}

static AUTHORITY_KEYID *authority_of(const X509 *issuer)
{
    AUTHORITY_KEYID *authority = AUTHORITY_KEYID_new();
    if (!authority)
        return NULL;
    const ASN1_OCTET_STRING *id = X509_get0_subject_key_id((X509 *)issuer);
    authority->keyid = id ? ASN1_OCTET_STRING_dup(id) : key_id(issuer);
    if (authority->keyid)
        return authority;
    AUTHORITY_KEYID_free(authority);
    return NULL;
}

static bool add_key_ids(X509 *x509, const X509 *issuer)
{
    ASN1_OCTET_STRING *id = key_id(x509);
    bool is_ok = id && X509_add1_ext_i2d(x509, NID_subject_key_identifier, id, 0, X509V3_ADD_DEFAULT) == 1;
    ASN1_OCTET_STRING_free(id);
    if (!is_ok || !issuer)
        return is_ok;
    AUTHORITY_KEYID *authority = authority_of(issuer);
    is_ok = authority && X509_add1_ext_i2d(x509, NID_authority_key_identifier, authority, 0, X509V3_ADD_DEFAULT) == 1;
    AUTHORITY_KEYID_free(authority);
    return is_ok;
}

static bool add_extra(X509 *x509, const rd_cert_extra *extra)
{
    ASN1_OBJECT *oid = OBJ_txt2obj(extra->oid, 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    X509_EXTENSION *extension = NULL;
    bool is_ok = oid && value && ASN1_OCTET_STRING_set(value, extra->value.data, (int)extra->value.size) == 1;
    if (is_ok)
        extension = X509_EXTENSION_create_by_OBJ(NULL, oid, 0, value);
    is_ok = extension && X509_add_ext(x509, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(oid);
    return is_ok;
}

static bool add_extensions(X509 *x509, const rd_cert_spec *spec, const X509 *issuer)
{
    bool is_ok = add_basic_constraints(x509, spec) && add_key_usage(x509, spec->kind) &&
                 add_extended_usage(x509, spec->kind) && add_san(x509, spec) && add_key_ids(x509, issuer);
    for (size_t i = 0; is_ok && i < spec->extra_count; i++)
        is_ok = add_extra(x509, &spec->extras[i]);
    return is_ok;
}

static bool fill(X509 *x509, const rd_cert_spec *spec, rd_bytes spki, const X509 *issuer)
{
    X509_NAME *issuer_name = issuer ? X509_get_subject_name(issuer) : X509_get_subject_name(x509);
    return X509_set_version(x509, X509_VERSION_3) == 1 && set_serial(x509) && set_subject(x509, spec) &&
           X509_set_issuer_name(x509, issuer_name) == 1 && set_validity(x509, spec) && set_key(x509, spki) &&
           add_extensions(x509, spec, issuer);
}

int rd_cert_issue(const rd_cert_spec *spec, rd_bytes spki, const rd_cert *issuer, const rd_p256_key *issuer_key,
                  rd_cert **ret, rd_err *err)
{
    X509 *x509 = X509_new(), *by = issuer ? rd_cert_x509(issuer) : NULL;
    uint8_t *der = NULL;
    int size = -1;
    if (x509 && (by || !issuer) && fill(x509, spec, spki, by) &&
        X509_sign(x509, rd_p256_key_pkey(issuer_key), EVP_sha256()) > 0)
        size = i2d_X509(x509, &der);
    X509_free(x509);
    X509_free(by);
    if (size <= 0) {
        ERR_clear_error();
        return rd_err_set(err, RD_E_KEY_FORMAT, "certificate for %s could not be issued: bad key or name",
                          spec->common_name);
    }
    int rc = rd_cert_parse_der(rd_bytes_of(der, (size_t)size), ret, err);
    OPENSSL_free(der);
    return rc;
}

/* --- revocation lists --- */

static bool add_revoked(X509_CRL *crl, rd_bytes serial, const ASN1_TIME *date)
{
    X509_REVOKED *entry = X509_REVOKED_new();
    BIGNUM *number = BN_bin2bn(serial.data, (int)serial.size, NULL);
    ASN1_INTEGER *integer = number ? BN_to_ASN1_INTEGER(number, NULL) : NULL;
    bool is_ok = entry && integer && X509_REVOKED_set_serialNumber(entry, integer) == 1 &&
                 X509_REVOKED_set_revocationDate(entry, (ASN1_TIME *)date) == 1 &&
                 X509_CRL_add0_revoked(crl, entry) == 1;
    if (!is_ok)
        X509_REVOKED_free(entry);
    ASN1_INTEGER_free(integer);
    BN_free(number);
    return is_ok;
}

static bool add_crl_number(X509_CRL *crl, uint64_t number)
{
    ASN1_INTEGER *integer = ASN1_INTEGER_new();
    bool is_ok = integer && ASN1_INTEGER_set_uint64(integer, number) == 1 &&
                 X509_CRL_add1_ext_i2d(crl, NID_crl_number, integer, 0, X509V3_ADD_DEFAULT) == 1;
    ASN1_INTEGER_free(integer);
    return is_ok;
}

static bool fill_crl(X509_CRL *crl, const rd_crl_spec *spec, const X509 *issuer)
{
    ASN1_TIME *begin = ASN1_TIME_set(NULL, (time_t)(spec->this_update_us / 1000000));
    ASN1_TIME *end = ASN1_TIME_set(NULL, (time_t)(spec->next_update_us / 1000000));
    AUTHORITY_KEYID *authority = authority_of(issuer);
    bool is_ok = begin && end && authority && X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 &&
                 X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer)) == 1 &&
                 X509_CRL_set1_lastUpdate(crl, begin) == 1 && X509_CRL_set1_nextUpdate(crl, end) == 1 &&
                 add_crl_number(crl, spec->number) &&
                 X509_CRL_add1_ext_i2d(crl, NID_authority_key_identifier, authority, 0, X509V3_ADD_DEFAULT) == 1;
    for (size_t i = 0; is_ok && i < spec->revoked_count; i++)
        is_ok = add_revoked(crl, spec->revoked[i], begin);
    ASN1_TIME_free(begin);
    ASN1_TIME_free(end);
    AUTHORITY_KEYID_free(authority);
    return is_ok;
}

int rd_crl_issue(const rd_crl_spec *spec, const rd_cert *issuer, const rd_p256_key *issuer_key, rd_buf *out,
                 rd_err *err)
{
    X509_CRL *crl = X509_CRL_new();
    X509 *by = rd_cert_x509(issuer);
    uint8_t *der = NULL;
    int size = -1;
    if (crl && by && fill_crl(crl, spec, by) && X509_CRL_sign(crl, rd_p256_key_pkey(issuer_key), EVP_sha256()) > 0)
        size = i2d_X509_CRL(crl, &der);
    X509_CRL_free(crl);
    X509_free(by);
    ERR_clear_error();
    if (size <= 0)
        return rd_err_set(err, RD_E_INTERNAL, "revocation list could not be issued");
    bool is_ok = rd_buf_append(out, der, (size_t)size);
    OPENSSL_free(der);
    return is_ok ? 0 : rd_err_set(err, RD_E_TOO_LARGE, "revocation list of %d bytes", size);
}
