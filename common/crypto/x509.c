#include "common/crypto/x509.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto/x509_der.h"
#include "common/crypto/x509_priv.h"

#define ELEMENT_MAX   1000
#define EXTENSION_MAX 32

X509 *rd_cert_x509(const rd_cert *cert)
{
    return cert->x509;
}

EVP_PKEY *rd_cert_pkey(const rd_cert *cert)
{
    return X509_get0_pubkey(cert->x509);
}

size_t rd_x509_integer(const ASN1_INTEGER *integer, uint8_t *out, size_t max)
{
    const uint8_t *data = ASN1_STRING_get0_data(integer);
    int length = ASN1_STRING_length(integer);
    if (ASN1_STRING_type(integer) == V_ASN1_NEG_INTEGER || length <= 0)
        return 0;
    size_t size = (size_t)length;
    while (size > 1 && data[0] == 0) {
        data++;
        size--;
    }
    if (size > max)
        return 0;
    memcpy(out, data, size);
    return size;
}

/* Days from 1970-01-01 to a proleptic Gregorian date. */
static int64_t days_from_civil(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

int rd_x509_time(const ASN1_TIME *time, int64_t *ret_us)
{
    struct tm tm;
    if (!time || ASN1_TIME_check(time) != 1 || ASN1_TIME_to_tm(time, &tm) != 1)
        return -1;
    int64_t days = days_from_civil(tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
    *ret_us = (((days * 24 + tm.tm_hour) * 60 + tm.tm_min) * 60 + tm.tm_sec) * 1000000;
    return 0;
}

static char *only_common_name(X509_NAME *name)
{
    int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    if (at < 0 || X509_NAME_get_index_by_NID(name, NID_commonName, at) >= 0)
        return rd_strdup("");
    unsigned char *utf8 = NULL;
    int length = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    if (length < 0)
        return rd_strdup("");
    char *text = memchr(utf8, 0, (size_t)length) ? rd_strdup("") : rd_strndup((const char *)utf8, (size_t)length);
    OPENSSL_free(utf8);
    return text;
}

static void read_san(rd_cert *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert->x509, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI || cert->san_uri_count == RD_ARRAY_LEN(cert->san_uris))
            continue;
        const uint8_t *data = ASN1_STRING_get0_data(name->d.uniformResourceIdentifier);
        size_t size = (size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier);
        if (!memchr(data, 0, size))
            cert->san_uris[cert->san_uri_count++] = rd_strndup((const char *)data, size);
    }
    GENERAL_NAMES_free(names);
}

/* RFC 5280, 4.2: a certificate must not include more than one instance of a particular extension. */
static int check_extensions(const rd_cert *cert, rd_err *err)
{
    int count = X509_get_ext_count(cert->x509);
    if (count > EXTENSION_MAX)
        return rd_err_set(err, RD_E_X509_DER_LIMIT, "%d extensions, at most %d", count, EXTENSION_MAX);
    for (int i = 0; i < count; i++) {
        const ASN1_OBJECT *oid = X509_EXTENSION_get_object(X509_get_ext(cert->x509, i));
        if (X509_get_ext_by_OBJ(cert->x509, oid, i) >= 0)
            return rd_err_set(err, RD_E_X509_FORMAT, "an extension stands twice");
    }
    if (X509_get_extension_flags(cert->x509) & EXFLAG_INVALID)
        return rd_err_set(err, RD_E_X509_FORMAT, "a malformed extension");
    return 0;
}

static int read_fields(rd_cert *cert, rd_err *err)
{
    if (X509_get_version(cert->x509) != X509_VERSION_3)
        return rd_err_set(err, RD_E_CHAIN_PROFILE, "X.509 version %ld, expected 3", X509_get_version(cert->x509) + 1);
    if (check_extensions(cert, err) < 0)
        return -1;
    cert->serial_size = rd_x509_integer(X509_get0_serialNumber(cert->x509), cert->serial, sizeof cert->serial);
    if (cert->serial_size == 0)
        return rd_err_set(err, RD_E_X509_FORMAT, "serial number is negative or longer than %zu bytes",
                          sizeof cert->serial);
    if (rd_x509_time(X509_get0_notBefore(cert->x509), &cert->not_before_us) < 0 ||
        rd_x509_time(X509_get0_notAfter(cert->x509), &cert->not_after_us) < 0)
        return rd_err_set(err, RD_E_X509_FORMAT, "malformed validity");
    if (!rd_cert_pkey(cert))
        return rd_err_set(err, RD_E_CHAIN_PROFILE, "unknown or malformed public key");
    uint8_t *spki = NULL;
    int spki_size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert->x509), &spki);
    if (spki_size <= 0)
        return rd_err_set(err, RD_E_X509_FORMAT, "malformed public key");
    rd_buf_append(&cert->spki, spki, (size_t)spki_size);
    OPENSSL_free(spki);
    cert->subject_cn = only_common_name(X509_get_subject_name(cert->x509));
    cert->issuer_cn = only_common_name(X509_get_issuer_name(cert->x509));
    read_san(cert);
    return 0;
}

int rd_cert_parse_der(rd_bytes der, rd_cert **ret, rd_err *err)
{
    if (der.size > RD_CERT_SIZE_MAX)
        return rd_err_set(err, RD_E_X509_DER_LIMIT, "certificate of %zu bytes, at most %zu", der.size,
                          RD_CERT_SIZE_MAX);
    if (rd_der_check(der, ELEMENT_MAX, err) < 0)
        return rd_err_wrap(err, "certificate");
    RD_CLEANUP(rd_cert_free_p) rd_cert *cert = rd_alloc(sizeof *cert);
    cert->references = 1;
    const uint8_t *at = der.data;
    cert->x509 = d2i_X509(NULL, &at, (long)der.size);
    if (!cert->x509 || at != der.data + der.size) {
        ERR_clear_error();
        return rd_err_set(err, RD_E_X509_FORMAT, "not an X.509 certificate");
    }
    rd_buf_append_bytes(&cert->der, der);
    if (EVP_Digest(der.data, der.size, cert->fingerprint, NULL, EVP_sha256(), NULL) != 1)
        return rd_err_set(err, RD_E_INTERNAL, "SHA-256 failed");
    int rc = read_fields(cert, err);
    ERR_clear_error();
    if (rc < 0)
        return rd_err_wrap(err, "certificate");
    *ret = RD_TAKE(cert);
    return 0;
}

rd_cert *rd_cert_free(rd_cert *cert)
{
    if (!cert || __atomic_sub_fetch(&cert->references, 1, __ATOMIC_ACQ_REL) != 0)
        return NULL;
    X509_free(cert->x509);
    rd_buf_done(&cert->der);
    rd_buf_done(&cert->spki);
    free(cert->subject_cn);
    free(cert->issuer_cn);
    for (size_t i = 0; i < cert->san_uri_count; i++)
        free(cert->san_uris[i]);
    free(cert);
    return NULL;
}

void rd_cert_free_p(rd_cert **cert)
{
    *cert = rd_cert_free(*cert);
}

rd_cert *rd_cert_ref(rd_cert *cert)
{
    __atomic_add_fetch(&cert->references, 1, __ATOMIC_RELAXED);
    return cert;
}

void rd_certs_done(rd_certs *certs)
{
    for (size_t i = 0; i < certs->count; i++)
        rd_cert_free(certs->items[i]);
    *certs = (rd_certs){ 0 };
}

rd_bytes rd_cert_der(const rd_cert *cert)
{
    return rd_buf_bytes(&cert->der);
}

void rd_cert_fingerprint(const rd_cert *cert, uint8_t ret[32])
{
    memcpy(ret, cert->fingerprint, 32);
}

const char *rd_cert_subject_cn(const rd_cert *cert)
{
    return cert->subject_cn;
}

const char *rd_cert_issuer_cn(const rd_cert *cert)
{
    return cert->issuer_cn;
}

static rd_bytes name_bytes(X509_NAME *name)
{
    const uint8_t *der = NULL;
    size_t size = 0;
    return X509_NAME_get0_der(name, &der, &size) == 1 ? rd_bytes_of(der, size) : RD_BYTES_NULL;
}

rd_bytes rd_cert_subject(const rd_cert *cert)
{
    return name_bytes(X509_get_subject_name(cert->x509));
}

rd_bytes rd_cert_issuer(const rd_cert *cert)
{
    return name_bytes(X509_get_issuer_name(cert->x509));
}

rd_bytes rd_cert_serial(const rd_cert *cert)
{
    return rd_bytes_of(cert->serial, cert->serial_size);
}

int64_t rd_cert_not_before_us(const rd_cert *cert)
{
    return cert->not_before_us;
}

int64_t rd_cert_not_after_us(const rd_cert *cert)
{
    return cert->not_after_us;
}

rd_bytes rd_cert_spki(const rd_cert *cert)
{
    return rd_buf_bytes(&cert->spki);
}

void rd_cert_spki_digest(const rd_cert *cert, uint8_t ret[32])
{
    (void)EVP_Digest(cert->spki.data, cert->spki.size, ret, NULL, EVP_sha256(), NULL);
}

bool rd_cert_is_ca(const rd_cert *cert)
{
    /* RFC 5280, 4.2.1.9: an issuing certificate says cA TRUE. */
    uint32_t flags = X509_get_extension_flags(cert->x509);
    return (flags & EXFLAG_BCONS) && (flags & EXFLAG_CA);
}

bool rd_cert_is_self_issued(const rd_cert *cert)
{
    return rd_bytes_equal(rd_cert_subject(cert), rd_cert_issuer(cert));
}

bool rd_cert_verifies_itself(const rd_cert *cert)
{
    EVP_PKEY *key = rd_cert_pkey(cert);
    bool is_good = key && X509_verify(cert->x509, key) == 1;
    ERR_clear_error();
    return is_good;
}

const char *rd_cert_san_uri(const rd_cert *cert, size_t n)
{
    return n < cert->san_uri_count ? cert->san_uris[n] : NULL;
}

bool rd_cert_extension(const rd_cert *cert, const char *oid, rd_bytes *ret_value)
{
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    int at = object ? X509_get_ext_by_OBJ(cert->x509, object, -1) : -1;
    ASN1_OBJECT_free(object);
    if (at < 0)
        return false;
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(X509_get_ext(cert->x509, at));
    *ret_value = rd_bytes_of(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
    return true;
}
