#include "common/crypto/x509.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto/hash.h"
#include "common/crypto/x509_der.h"
#include "common/crypto/x509_priv.h"

#define ELEMENT_MAX 1000
#define SERIAL_SIZE 24
#define OID_SIZE    32
#define VERSION_3   2

static int malformed(const char *what, rd_err *err)
{
    return rd_err_set(err, RD_E_X509_FORMAT, "malformed %s", what);
}

/* RFC 5280, 4.1.2.1: [0], and version 1 when it is absent. */
static bool take_version(rd_bytes *in, uint32_t *ret)
{
    rd_bytes box, content;
    *ret = 0;
    if (!rd_der_is_next(*in, RD_DER_PART_BOX(0)))
        return true;
    return rd_der_take(in, RD_DER_PART_BOX(0), &box) && rd_der_take(&box, RD_DER_INTEGER, &content) && box.size == 0 &&
           rd_der_uint(content, INT32_MAX, ret);
}

static char *text_of(rd_bytes text)
{
    bool is_plain = text.size > 0 && !memchr(text.data, 0, text.size);
    return is_plain ? rd_strndup((const char *)text.data, text.size) : rd_strdup("");
}

static bool take_name(rd_bytes *in, rd_bytes *ret_whole, char **ret_common_name)
{
    rd_bytes content, common_name;
    if (!rd_der_take_whole(in, RD_DER_SEQUENCE, ret_whole, &content) || !rd_x509_name_read(content, &common_name))
        return false;
    *ret_common_name = text_of(common_name);
    return true;
}

static int take_serial(rd_bytes *in, rd_bytes *ret, rd_err *err)
{
    rd_bytes content;
    if (!rd_der_take(in, RD_DER_INTEGER, &content) || !rd_der_natural(content, ret) || ret->size > SERIAL_SIZE)
        return rd_err_set(err, RD_E_X509_FORMAT, "serial number is negative or longer than %d bytes", SERIAL_SIZE);
    return 0;
}

static bool take_validity(rd_bytes *in, rd_cert *cert)
{
    rd_bytes times;
    return rd_der_take(in, RD_DER_SEQUENCE, &times) && rd_der_take_time(&times, &cert->not_before_us) &&
           rd_der_take_time(&times, &cert->not_after_us) && times.size == 0;
}

static int read_contents(rd_cert *cert, uint32_t *ret_version, rd_err *err)
{
    rd_bytes in = cert->object.contents, content;
    if (!take_version(&in, ret_version))
        return malformed("version", err);
    if (take_serial(&in, &cert->serial, err) < 0)
        return -1;
    if (!rd_x509_algorithm_take(&in, &cert->object.inside))
        return malformed("signature algorithm", err);
    if (!take_name(&in, &cert->issuer, &cert->issuer_cn))
        return malformed("issuer", err);
    if (!take_validity(&in, cert))
        return malformed("validity", err);
    if (!take_name(&in, &cert->subject, &cert->subject_cn))
        return malformed("subject", err);
    if (!rd_der_take_whole(&in, RD_DER_SEQUENCE, &cert->spki, &content))
        return malformed("public key", err);
    /* Unique identifiers ([1], [2]) are not issued any more (RFC 5280, 4.1.2.8). */
    if (in.size > 0 && (!rd_der_take(&in, RD_DER_PART_BOX(3), &content) || in.size != 0 ||
                        !rd_der_take(&content, RD_DER_SEQUENCE, &cert->extensions) || content.size != 0))
        return malformed("extensions", err);
    return 0;
}

static int read_cert(rd_cert *cert, rd_err *err)
{
    uint32_t version = 0;
    if (!rd_x509_signed_read(rd_buf_bytes(&cert->der), &cert->object))
        return rd_err_set(err, RD_E_X509_FORMAT, "not an X.509 certificate");
    if (read_contents(cert, &version, err) < 0)
        return -1;
    if (version != VERSION_3)
        return rd_err_set(err, RD_E_CHAIN_PROFILE, "X.509 version %u, expected 3", version + 1);
    if (rd_x509_extensions_check(cert->extensions, err) < 0)
        return -1;
    if (!rd_x509_extensions_read(cert))
        return rd_err_set(err, RD_E_X509_FORMAT, "a malformed extension");
    if (!rd_x509_key_read(cert->spki, &cert->key))
        return rd_err_set(err, RD_E_CHAIN_PROFILE, "unknown or malformed public key");
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
    rd_buf_append_bytes(&cert->der, der);
    rd_sha256(der, cert->fingerprint);
    if (read_cert(cert, err) < 0)
        return rd_err_wrap(err, "certificate");
    *ret = RD_TAKE(cert);
    return 0;
}

rd_cert *rd_cert_free(rd_cert *cert)
{
    if (!cert || __atomic_sub_fetch(&cert->references, 1, __ATOMIC_ACQ_REL) != 0)
        return NULL;
    rd_x509_key_done(&cert->key);
    rd_buf_done(&cert->der);
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

rd_bytes rd_cert_subject(const rd_cert *cert)
{
    return cert->subject;
}

rd_bytes rd_cert_issuer(const rd_cert *cert)
{
    return cert->issuer;
}

rd_bytes rd_cert_serial(const rd_cert *cert)
{
    return cert->serial;
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
    return cert->spki;
}

void rd_cert_spki_digest(const rd_cert *cert, uint8_t ret[32])
{
    rd_sha256(cert->spki, ret);
}

bool rd_cert_is_ca(const rd_cert *cert)
{
    /* RFC 5280, 4.2.1.9: an issuing certificate says cA TRUE. */
    return cert->is_ca;
}

bool rd_cert_is_self_issued(const rd_cert *cert)
{
    return rd_bytes_equal(rd_cert_subject(cert), rd_cert_issuer(cert));
}

X509 *rd_cert_x509(const rd_cert *cert)
{
    const uint8_t *at = cert->der.data;
    return d2i_X509(NULL, &at, (long)cert->der.size);
}

bool rd_cert_verifies_itself(const rd_cert *cert)
{
    X509 *x509 = rd_cert_x509(cert);
    bool is_good = x509 && X509_verify(x509, X509_get0_pubkey(x509)) == 1;
    X509_free(x509);
    ERR_clear_error();
    return is_good;
}

const char *rd_cert_san_uri(const rd_cert *cert, size_t n)
{
    return n < cert->san_uri_count ? cert->san_uris[n] : NULL;
}

bool rd_cert_extension(const rd_cert *cert, const char *oid, rd_bytes *ret_value)
{
    uint8_t wanted[OID_SIZE];
    rd_x509_extension extension;
    size_t size = rd_der_oid_of(oid, wanted, sizeof wanted);
    if (size == 0 || !rd_x509_extension_find(cert->extensions, rd_bytes_of(wanted, size), &extension))
        return false;
    *ret_value = extension.value;
    return true;
}
