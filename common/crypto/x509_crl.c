#include "common/crypto/x509_crl.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/x509_der.h"
#include "common/crypto/x509_priv.h"

#define ELEMENT_MAX 400000
#define SERIAL_SIZE 24
#define VERSION_2   1

struct rd_crl {
    rd_buf der; /* what the ranges are borrowed from */
    rd_x509_signed object;
    rd_bytes issuer, entries;
    size_t count;
    int64_t this_update_us;
    int64_t next_update_us; /* 0: absent */
    int64_t number;
};

rd_crl *rd_crl_free(rd_crl *crl)
{
    if (!crl)
        return NULL;
    rd_buf_done(&crl->der);
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

static int refuse(const char *why, rd_err *err)
{
    return rd_err_set(err, RD_E_CRL_FORMAT, "%s", why);
}

/* RFC 5280, 5.2.3: at most 20 bytes. What passes 2^63 - 1 counts as none. */
static bool read_number(rd_bytes in, int64_t *ret)
{
    rd_bytes content, bytes;
    if (!rd_der_take(&in, RD_DER_INTEGER, &content) || in.size != 0 || !rd_der_natural(content, &bytes) ||
        bytes.size > 20)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.size && bytes.size <= sizeof value; i++)
        value = value << 8 | bytes.data[i];
    *ret = value <= INT64_MAX ? (int64_t)value : 0;
    return true;
}

/* RFC 5280, 5.2: what a critical extension says must be understood; a delta or partial list is none of ours. */
static int read_extension(const rd_x509_extension *extension, rd_crl *crl, rd_err *err)
{
    static const uint8_t number[] = { 0x55, 0x1d, 0x14 }, delta[] = { 0x55, 0x1d, 0x1b },
                         authority_key_id[] = { 0x55, 0x1d, 0x23 };
    bool is_number = rd_bytes_equal(extension->oid, RD_BYTES_ARRAY(number));
    bool is_known = is_number || rd_bytes_equal(extension->oid, RD_BYTES_ARRAY(authority_key_id));
    if (rd_bytes_equal(extension->oid, RD_BYTES_ARRAY(delta)) || (extension->is_critical && !is_known))
        return refuse("unknown critical extension, or a delta list", err);
    if (is_number && !read_number(extension->value, &crl->number))
        return refuse("malformed list number", err);
    return 0;
}

static int read_extensions(rd_bytes box, rd_crl *crl, rd_err *err)
{
    rd_bytes list;
    rd_x509_extension extension;
    rd_err why = RD_ERR_INIT;
    if (!rd_der_take(&box, RD_DER_SEQUENCE, &list) || box.size != 0)
        return refuse("malformed extensions", err);
    if (rd_x509_extensions_check(list, &why) < 0)
        return refuse(why.text, err);
    while (list.size > 0)
        if (!rd_x509_extension_take(&list, &extension) || read_extension(&extension, crl, err) < 0)
            return -1;
    return 0;
}

/* RFC 5280, 5.3: an entry with an unknown critical extension (an indirect list's issuer) refuses the list. */
static int check_entry_extensions(rd_bytes list, rd_err *err)
{
    rd_x509_extension extension;
    rd_err why = RD_ERR_INIT;
    if (rd_x509_extensions_check(list, &why) < 0)
        return refuse(why.text, err);
    while (list.size > 0)
        if (!rd_x509_extension_take(&list, &extension) || extension.is_critical)
            return refuse("an entry with a critical extension", err);
    return 0;
}

/* Takes an entry: serial, date, extensions. */
static bool take_entry(rd_bytes *in, rd_bytes *ret_serial, rd_bytes *ret_rest)
{
    rd_bytes content;
    return rd_der_take(in, RD_DER_SEQUENCE, ret_rest) && rd_der_take(ret_rest, RD_DER_INTEGER, &content) &&
           rd_der_natural(content, ret_serial) && ret_serial->size <= SERIAL_SIZE;
}

static int read_entries(rd_crl *crl, rd_err *err)
{
    rd_bytes in = crl->entries, serial, rest, list;
    int64_t revoked_us;
    for (; in.size > 0; crl->count++) {
        if (!take_entry(&in, &serial, &rest))
            return refuse("an entry with a negative or overlong serial number", err);
        if (!rd_der_take_time(&rest, &revoked_us))
            return refuse("an entry without a date", err);
        if (rest.size == 0)
            continue;
        if (!rd_der_take(&rest, RD_DER_SEQUENCE, &list) || rest.size != 0)
            return refuse("an entry with malformed extensions", err);
        if (check_entry_extensions(list, err) < 0)
            return -1;
    }
    return 0;
}

static int read_times(rd_bytes *in, rd_crl *crl, rd_err *err)
{
    if (!rd_der_take_time(in, &crl->this_update_us))
        return refuse("malformed thisUpdate", err);
    bool has_next = rd_der_is_next(*in, RD_DER_UTC_TIME) || rd_der_is_next(*in, RD_DER_TIME);
    if (has_next && !rd_der_take_time(in, &crl->next_update_us))
        return refuse("malformed nextUpdate", err);
    return 0;
}

/* RFC 5280, 5.1: TBSCertList, version 2. */
static int read_list(rd_crl *crl, rd_err *err)
{
    rd_bytes in, content, name, unused;
    uint32_t version = 0;
    if (!rd_x509_signed_read(rd_buf_bytes(&crl->der), &crl->object))
        return refuse("not an X.509 revocation list", err);
    in = crl->object.contents;
    if (!rd_der_take(&in, RD_DER_INTEGER, &content) || !rd_der_uint(content, INT32_MAX, &version) ||
        version != VERSION_2 || !rd_x509_algorithm_take(&in, &crl->object.inside) ||
        !rd_bytes_equal(crl->object.inside, crl->object.algorithm))
        return refuse("two signature algorithms, or not a version 2 list", err);
    if (!rd_der_take_whole(&in, RD_DER_SEQUENCE, &crl->issuer, &name) || !rd_x509_name_read(name, &unused))
        return refuse("malformed issuer", err);
    if (read_times(&in, crl, err) < 0)
        return -1;
    if (rd_der_is_next(in, RD_DER_SEQUENCE) && !rd_der_take(&in, RD_DER_SEQUENCE, &crl->entries))
        return refuse("malformed entries", err);
    if (read_entries(crl, err) < 0)
        return -1;
    if (in.size == 0)
        return 0;
    if (!rd_der_take(&in, RD_DER_PART_BOX(0), &content) || in.size != 0)
        return refuse("not an X.509 revocation list", err);
    return read_extensions(content, crl, err);
}

int rd_crl_parse(rd_bytes bytes, rd_crl **ret, rd_err *err)
{
    /* A page of HTML is what a broken mirror answers where a list should stand. */
    if (bytes.size == 0 || bytes.data[0] == '<')
        return rd_err_set(err, RD_E_CRL_MISSING, "no revocation list");
    RD_CLEANUP(rd_crl_free_p) rd_crl *crl = rd_alloc(sizeof *crl);
    crl->der.size_max = RD_CRL_SIZE_MAX * 2;
    if (to_der(bytes, &crl->der, err) < 0)
        return -1;
    rd_err why = RD_ERR_INIT;
    if (rd_der_check(rd_buf_bytes(&crl->der), ELEMENT_MAX, &why) < 0)
        return refuse(why.text, err);
    if (read_list(crl, err) < 0)
        return -1;
    *ret = RD_TAKE(crl);
    return 0;
}

/* --- judging --- */

static int check_issuer(const rd_crl *crl, const rd_cert *issuer, rd_cert_profile profile, rd_err *err)
{
    const char *name = rd_cert_subject_cn(issuer);
    if (!rd_bytes_equal(rd_crl_issuer(crl), rd_cert_subject(issuer)))
        return rd_err_set(err, RD_E_CRL_ISSUER, "the list was not issued by %s", name);
    /* RFC 5280, 6.3.3 (f): cRLSign is set in the issuer's key usage. */
    if (!issuer->has_key_usage || !(issuer->key_usage & RD_X509_CRL_SIGN))
        return rd_err_set(err, RD_E_CRL_ISSUER, "%s may not sign revocation lists", name);
    if (!rd_x509_verify(&crl->object, profile, &issuer->key))
        return rd_err_set(err, RD_E_CRL_ISSUER, "the list was not signed by %s", name);
    return 0;
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
    rd_bytes wanted = rd_cert_serial(cert), in = crl->entries, serial, rest;
    while (take_entry(&in, &serial, &rest))
        if (rd_bytes_equal(serial, wanted))
            return true;
    return false;
}

rd_bytes rd_crl_issuer(const rd_crl *crl)
{
    return crl->issuer;
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
