#include "common/crypto/x509_crl.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"
#include "common/crypto/x509_der.h"
#include "common/crypto/x509_priv.h"

#define ELEMENT_MAX 400000
#define SERIAL_SIZE 24

typedef struct serial {
    uint8_t size;
    uint8_t bytes[SERIAL_SIZE];
} serial;

struct rd_crl {
    X509_CRL *x509;
    serial *serials;
    size_t count;
    int64_t this_update_us;
    int64_t next_update_us; /* 0: absent */
    int64_t number;
};

rd_crl *rd_crl_free(rd_crl *crl)
{
    if (!crl)
        return NULL;
    X509_CRL_free(crl->x509);
    free(crl->serials);
    free(crl);
    return NULL;
}

void rd_crl_free_p(rd_crl **crl)
{
    *crl = rd_crl_free(*crl);
}

/* --- to DER --- */

static bool append_compact(rd_buf *out, rd_bytes text)
{
    for (size_t i = 0; i < text.size; i++)
        if (!memchr(" \t\r\n", text.data[i], 4) && !rd_buf_append_u8(out, text.data[i]))
            return false;
    return true;
}

static int from_pem(rd_bytes pem, rd_buf *der, rd_err *err)
{
    rd_err why = RD_ERR_INIT;
    if (rd_x509_pem_take(&pem, "X509 CRL", RD_CRL_SIZE_MAX, der, &why) < 0)
        return rd_err_set(err, RD_E_CRL_FORMAT, "%s", why.text);
    return pem.size == 0 ? 0 : rd_err_set(err, RD_E_CRL_FORMAT, "%zu bytes behind the PEM block", pem.size);
}

static int from_hex(rd_bytes hex, rd_buf *der, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { .size_max = RD_CRL_SIZE_MAX * 2 + 2 };
    if (!append_compact(&text, hex))
        return rd_err_set(err, RD_E_CRL_FORMAT, "hex: too large");
    uint8_t *room = rd_buf_reserve(der, text.size / 2 + 1);
    if (!room || rd_hex_decode(rd_buf_text(&text), text.size, room, text.size / 2) < 0)
        return rd_err_set(err, RD_E_CRL_FORMAT, "neither DER, PEM nor hex");
    rd_buf_commit(der, text.size / 2);
    return 0;
}

static int to_der(rd_bytes bytes, rd_buf *der, rd_err *err)
{
    if (bytes.data[0] == RD_DER_SEQUENCE && bytes.size > 1 && bytes.data[1] >= 0x80)
        return rd_buf_append_bytes(der, bytes) ? 0 : rd_err_set(err, RD_E_CRL_FORMAT, "too large");
    if (bytes.data[0] == '-')
        return from_pem(bytes, der, err);
    return from_hex(bytes, der, err);
}

/* --- reading --- */

/* RFC 5280, 5.2: what a critical extension says must be understood; a delta or partial list is none of ours. */
static int check_extensions(const X509_CRL *x509, rd_err *err)
{
    for (int i = 0; i < X509_CRL_get_ext_count(x509); i++) {
        X509_EXTENSION *extension = X509_CRL_get_ext(x509, i);
        int nid = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
        bool is_known = nid == NID_crl_number || nid == NID_authority_key_identifier;
        if (nid == NID_delta_crl || (X509_EXTENSION_get_critical(extension) && !is_known))
            return rd_err_set(err, RD_E_CRL_FORMAT, "unknown critical extension, or a delta list");
        if (X509_CRL_get_ext_by_OBJ(x509, X509_EXTENSION_get_object(extension), i) >= 0)
            return rd_err_set(err, RD_E_CRL_FORMAT, "an extension stands twice");
    }
    return 0;
}

/* RFC 5280, 5.3: an entry with an unknown critical extension (an indirect list's issuer) refuses the list. */
static int read_entry(const X509_REVOKED *entry, serial *out, rd_err *err)
{
    for (int i = 0; i < X509_REVOKED_get_ext_count(entry); i++)
        if (X509_EXTENSION_get_critical(X509_REVOKED_get_ext(entry, i)))
            return rd_err_set(err, RD_E_CRL_FORMAT, "an entry with a critical extension");
    out->size = (uint8_t)rd_x509_integer(X509_REVOKED_get0_serialNumber(entry), out->bytes, SERIAL_SIZE);
    if (out->size == 0)
        return rd_err_set(err, RD_E_CRL_FORMAT, "an entry with a negative or overlong serial number");
    return 0;
}

static int read_entries(rd_crl *crl, rd_err *err)
{
    STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(crl->x509);
    int count = entries ? sk_X509_REVOKED_num(entries) : 0;
    crl->serials = rd_alloc_array((size_t)RD_MAX(count, 1), sizeof *crl->serials);
    for (int i = 0; i < count; i++)
        if (read_entry(sk_X509_REVOKED_value(entries, i), &crl->serials[crl->count++], err) < 0)
            return -1;
    return 0;
}

static int64_t read_number(const X509_CRL *x509)
{
    ASN1_INTEGER *integer = X509_CRL_get_ext_d2i(x509, NID_crl_number, NULL, NULL);
    int64_t number = 0;
    if (!integer || ASN1_INTEGER_get_int64(&number, integer) != 1 || number < 0)
        number = 0;
    ASN1_INTEGER_free(integer);
    return number;
}

static int read_fields(rd_crl *crl, rd_err *err)
{
    if (X509_CRL_get_version(crl->x509) != X509_CRL_VERSION_2)
        return rd_err_set(err, RD_E_CRL_FORMAT, "not a version 2 list");
    if (check_extensions(crl->x509, err) < 0 || read_entries(crl, err) < 0)
        return -1;
    if (rd_x509_time(X509_CRL_get0_lastUpdate(crl->x509), &crl->this_update_us) < 0)
        return rd_err_set(err, RD_E_CRL_FORMAT, "malformed thisUpdate");
    const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl->x509);
    if (next && rd_x509_time(next, &crl->next_update_us) < 0)
        return rd_err_set(err, RD_E_CRL_FORMAT, "malformed nextUpdate");
    crl->number = read_number(crl->x509);
    return 0;
}

/* RFC 5280, 5.1.1.2: the algorithm behind the list, which no signature covers, is the one inside. */
static bool names_one_algorithm(rd_bytes der)
{
    rd_bytes list, tbs, version, inside, behind;
    return rd_der_take(&der, RD_DER_SEQUENCE, &list) && rd_der_take(&list, RD_DER_SEQUENCE, &tbs) &&
           rd_der_take(&tbs, RD_DER_INTEGER, &version) && rd_der_take(&tbs, RD_DER_SEQUENCE, &inside) &&
           rd_der_take(&list, RD_DER_SEQUENCE, &behind) && rd_bytes_equal(inside, behind);
}

int rd_crl_parse(rd_bytes bytes, rd_crl **ret, rd_err *err)
{
    /* A page of HTML is what a broken mirror answers where a list should stand. */
    if (bytes.size == 0 || bytes.data[0] == '<')
        return rd_err_set(err, RD_E_CRL_MISSING, "no revocation list");
    RD_CLEANUP(rd_buf_done) rd_buf der = { .size_max = RD_CRL_SIZE_MAX * 2 };
    if (to_der(bytes, &der, err) < 0)
        return -1;
    rd_err why = RD_ERR_INIT;
    if (rd_der_check(rd_buf_bytes(&der), ELEMENT_MAX, &why) < 0)
        return rd_err_set(err, RD_E_CRL_FORMAT, "%s", why.text);
    RD_CLEANUP(rd_crl_free_p) rd_crl *crl = rd_alloc(sizeof *crl);
    const uint8_t *at = der.data;
    crl->x509 = d2i_X509_CRL(NULL, &at, (long)der.size);
    ERR_clear_error();
    if (!crl->x509 || at != der.data + der.size)
        return rd_err_set(err, RD_E_CRL_FORMAT, "not an X.509 revocation list");
    if (!names_one_algorithm(rd_buf_bytes(&der)))
        return rd_err_set(err, RD_E_CRL_FORMAT, "two signature algorithms, or not a version 2 list");
    if (read_fields(crl, err) < 0)
        return -1;
    *ret = RD_TAKE(crl);
    return 0;
}

/* --- judging --- */

static bool signature_fits(const X509_CRL *x509, rd_cert_profile profile)
{
    int nid = X509_CRL_get_signature_nid(x509);
    return nid == (profile == RD_CERT_P256 ? NID_ecdsa_with_SHA256 : NID_rsassaPss);
}

static int check_issuer(const rd_crl *crl, const rd_cert *issuer, rd_cert_profile profile, rd_err *err)
{
    const char *name = rd_cert_subject_cn(issuer);
    if (!rd_bytes_equal(rd_crl_issuer(crl), rd_cert_subject(issuer)))
        return rd_err_set(err, RD_E_CRL_ISSUER, "the list was not issued by %s", name);
    /* RFC 5280, 6.3.3 (f): cRLSign is set in the issuer's key usage. */
    if (!(X509_get_extension_flags(issuer->x509) & EXFLAG_KUSAGE) || !(X509_get_key_usage(issuer->x509) & KU_CRL_SIGN))
        return rd_err_set(err, RD_E_CRL_ISSUER, "%s may not sign revocation lists", name);
    bool is_good = signature_fits(crl->x509, profile) && X509_CRL_verify(crl->x509, rd_cert_pkey(issuer)) == 1;
    ERR_clear_error();
    return is_good ? 0 : rd_err_set(err, RD_E_CRL_ISSUER, "the list was not signed by %s", name);
}

int rd_crl_verify(const rd_crl *crl, const rd_cert *issuer, rd_cert_profile profile, int64_t time_us, rd_err *err)
{
    if (check_issuer(crl, issuer, profile, err) < 0)
        return -1;
    char at[RD_TIME_TEXT_SIZE], bound[RD_TIME_TEXT_SIZE];
    rd_time_format(time_us, at);
    if (time_us < crl->this_update_us) {
        rd_time_format(crl->this_update_us, bound);
        return rd_err_set(err, RD_E_CRL_TIME, "list of %s begins %s, the time is %s", rd_cert_subject_cn(issuer), bound,
                          at);
    }
    /* RFC 5280, 5.1.2.5: nextUpdate must be there. */
    if (crl->next_update_us == 0)
        return rd_err_set(err, RD_E_CRL_TIME, "list of %s has no end", rd_cert_subject_cn(issuer));
    if (time_us >= crl->next_update_us + 1000000) {
        rd_time_format(crl->next_update_us, bound);
        return rd_err_set(err, RD_E_CRL_TIME, "list of %s ended %s, the time is %s", rd_cert_subject_cn(issuer), bound,
                          at);
    }
    return 0;
}

bool rd_crl_contains(const rd_crl *crl, const rd_cert *cert)
{
    rd_bytes wanted = rd_cert_serial(cert);
    for (size_t i = 0; i < crl->count; i++)
        if (rd_bytes_equal(rd_bytes_of(crl->serials[i].bytes, crl->serials[i].size), wanted))
            return true;
    return false;
}

rd_bytes rd_crl_issuer(const rd_crl *crl)
{
    const uint8_t *der = NULL;
    size_t size = 0;
    return X509_NAME_get0_der(X509_CRL_get_issuer(crl->x509), &der, &size) == 1 ? rd_bytes_of(der, size)
                                                                                : RD_BYTES_NULL;
}

int64_t rd_crl_this_update_us(const rd_crl *crl)
{
    return crl->this_update_us;
}

int64_t rd_crl_next_update_us(const rd_crl *crl)
{
    return crl->next_update_us;
}

int64_t rd_crl_number(const rd_crl *crl)
{
    return crl->number;
}

size_t rd_crl_count(const rd_crl *crl)
{
    return crl->count;
}
