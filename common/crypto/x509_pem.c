#include <string.h>

#include "common/base/text.h"
#include "common/crypto/x509_der.h"
#include "common/crypto/x509_priv.h"

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_space(rd_bytes *in)
{
    while (in->size > 0 && is_space(in->data[0]))
        *in = rd_bytes_of(in->data + 1, in->size - 1);
}

static bool skip_text(rd_bytes *in, const char *text)
{
    size_t size = strlen(text);
    if (in->size < size || memcmp(in->data, text, size) != 0)
        return false;
    *in = rd_bytes_of(in->data + size, in->size - size);
    return true;
}

static bool skip_boundary(rd_bytes *in, const char *edge, const char *label)
{
    return skip_text(in, "-----") && skip_text(in, edge) && skip_text(in, label) && skip_text(in, "-----");
}

/* What stands before the next boundary, without white space. */
static bool take_compact(rd_bytes *in, rd_buf *out)
{
    const uint8_t *edge = in->size ? memchr(in->data, '-', in->size) : NULL;
    size_t size = edge ? (size_t)(edge - in->data) : in->size, used = 0;
    uint8_t *room = rd_buf_reserve(out, RD_MIN(size, out->size_max));
    for (size_t i = 0; i < size; i++) {
        if (is_space(in->data[i]))
            continue;
        if (used == out->size_max)
            return false;
        room[used++] = in->data[i];
    }
    rd_buf_commit(out, used);
    *in = rd_bytes_of(in->data + size, in->size - size);
    return true;
}

/* RFC 7468: base64 in lines between the two boundaries; white space is dropped, everything else must be base64, so that
 * headers (RFC 1421), and encryption with them, refuse. */
int rd_x509_pem_take(rd_bytes *in, const char *label, size_t size_max, rd_buf *der, rd_err *err)
{
    skip_space(in);
    if (!skip_boundary(in, "BEGIN ", label))
        return rd_err_set(err, RD_E_X509_FORMAT, "PEM: expected a block %s", label);
    RD_CLEANUP(rd_buf_done) rd_buf text = { .size_max = size_max / 3 * 4 + 8 };
    if (!take_compact(in, &text))
        return rd_err_set(err, RD_E_X509_DER_LIMIT, "%s larger than %zu bytes", label, size_max);
    if (!skip_boundary(in, "END ", label))
        return rd_err_set(err, RD_E_X509_FORMAT, "PEM: the block %s does not end", label);
    uint8_t *room = rd_buf_reserve(der, text.size + 4);
    ssize_t size = room ? rd_base64_decode(rd_buf_text(&text), text.size, room, text.size + 4) : -1;
    if (size < 0)
        return rd_err_set(err, RD_E_X509_FORMAT, "PEM: not base64");
    rd_buf_commit(der, (size_t)size);
    skip_space(in);
    return 0;
}

static int take_cert(rd_bytes *in, const rd_certs *known, rd_cert **ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf der = { .size_max = RD_CERT_SIZE_MAX * 2 };
    if (rd_x509_pem_take(in, "CERTIFICATE", RD_CERT_SIZE_MAX, &der, err) < 0)
        return -1;
    for (size_t i = 0; known && i < known->count; i++)
        if (rd_bytes_equal(rd_cert_der(known->items[i]), rd_buf_bytes(&der))) {
            *ret = rd_cert_ref(known->items[i]);
            return 0;
        }
    return rd_cert_parse_der(rd_buf_bytes(&der), ret, err);
}

static int take_any(rd_bytes *in, rd_cert **ret, rd_err *err)
{
    rd_bytes rest = *in, content;
    uint8_t tag;
    if (in->data[0] == '-')
        return take_cert(in, NULL, ret, err);
    if (!rd_der_next(&rest, &tag, &content))
        return rd_err_set(err, RD_E_X509_FORMAT, "neither DER nor PEM");
    rd_bytes der = rd_bytes_of(in->data, in->size - rest.size);
    *in = rest;
    skip_space(in);
    return rd_cert_parse_der(der, ret, err);
}

int rd_certs_parse_mixed(rd_bytes bytes, size_t count_max, rd_certs *ret, rd_err *err)
{
    RD_CLEANUP(rd_certs_done) rd_certs certs = { 0 };
    rd_bytes in = bytes;
    skip_space(&in);
    while (in.size > 0) {
        if (certs.count >= RD_MIN(count_max, RD_CERT_COUNT_MAX))
            return rd_err_set(err, RD_E_CHAIN_SHAPE, "more than %zu certificates", count_max);
        if (take_any(&in, &certs.items[certs.count], err) < 0)
            return rd_err_wrap(err, "certificate %zu", certs.count + 1);
        certs.count++;
    }
    if (certs.count == 0)
        return rd_err_set(err, RD_E_CHAIN_SHAPE, "no certificate");
    *ret = RD_TAKE(certs);
    return 0;
}

int rd_certs_parse_pem(rd_bytes pem, size_t count_max, rd_certs *ret, rd_err *err)
{
    return rd_certs_parse_pem_known(pem, count_max, NULL, ret, err);
}

int rd_certs_parse_pem_known(rd_bytes pem, size_t count_max, const rd_certs *known, rd_certs *ret, rd_err *err)
{
    RD_CLEANUP(rd_certs_done) rd_certs certs = { 0 };
    rd_bytes in = pem;
    while (in.size > 0 && in.data[in.size - 1] == 0)
        in.size--;
    skip_space(&in);
    while (in.size > 0) {
        if (certs.count >= RD_MIN(count_max, RD_CERT_COUNT_MAX))
            return rd_err_set(err, RD_E_CHAIN_SHAPE, "more than %zu certificates", count_max);
        if (take_cert(&in, known, &certs.items[certs.count], err) < 0)
            return rd_err_wrap(err, "certificate %zu", certs.count + 1);
        certs.count++;
    }
    if (certs.count == 0)
        return rd_err_set(err, RD_E_CHAIN_SHAPE, "no certificate");
    *ret = RD_TAKE(certs);
    return 0;
}

int rd_cert_parse_pem(rd_bytes pem, rd_cert **ret, rd_err *err)
{
    RD_CLEANUP(rd_certs_done) rd_certs certs = { 0 };
    if (rd_certs_parse_pem(pem, 1, &certs, err) < 0)
        return -1;
    *ret = rd_cert_ref(certs.items[0]);
    return 0;
}

void rd_cert_to_pem(const rd_cert *cert, rd_buf *out)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_buf_append_base64(&text, rd_cert_der(cert));
    rd_buf_append_str(out, "-----BEGIN CERTIFICATE-----\n");
    for (size_t at = 0; at < text.size; at += 64) {
        rd_buf_append(out, text.data + at, RD_MIN((size_t)64, text.size - at));
        rd_buf_append_str(out, "\n");
    }
    rd_buf_append_str(out, "-----END CERTIFICATE-----\n");
}
