#include <string.h>

#include "common/base/text.h"
#include "common/crypto/x509.h"

#define PEM_BEGIN "-----BEGIN CERTIFICATE-----"
#define PEM_END   "-----END CERTIFICATE-----"

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

/* RFC 7468: base64 in lines between the two boundaries; white space is dropped, everything else must be base64. */
static int take_block(rd_bytes *in, rd_cert **ret, rd_err *err)
{
    if (!skip_text(in, PEM_BEGIN))
        return rd_err_set(err, RD_E_X509_FORMAT, "PEM: expected a certificate block");
    RD_CLEANUP(rd_buf_done) rd_buf text = { .size_max = RD_CERT_SIZE_MAX * 4 / 3 + 4 };
    while (in->size > 0 && in->data[0] != '-') {
        if (!is_space(in->data[0]) && !rd_buf_append_u8(&text, in->data[0]))
            return rd_err_set(err, RD_E_X509_DER_LIMIT, "certificate larger than %zu bytes", RD_CERT_SIZE_MAX);
        *in = rd_bytes_of(in->data + 1, in->size - 1);
    }
    if (!skip_text(in, PEM_END))
        return rd_err_set(err, RD_E_X509_FORMAT, "PEM: a certificate block does not end");
    RD_CLEANUP(rd_buf_done) rd_buf der = { .size_max = RD_CERT_SIZE_MAX + 4 };
    uint8_t *room = rd_buf_reserve(&der, RD_CERT_SIZE_MAX + 4);
    ssize_t size = rd_base64_decode(rd_buf_text(&text), text.size, room, RD_CERT_SIZE_MAX + 4);
    if (size < 0)
        return rd_err_set(err, RD_E_X509_FORMAT, "PEM: not base64");
    rd_buf_commit(&der, (size_t)size);
    return rd_cert_parse_der(rd_buf_bytes(&der), ret, err);
}

int rd_certs_parse_pem(rd_bytes pem, size_t count_max, rd_certs *ret, rd_err *err)
{
    RD_CLEANUP(rd_certs_done) rd_certs certs = { 0 };
    rd_bytes in = pem;
    while (in.size > 0 && in.data[in.size - 1] == 0)
        in.size--;
    skip_space(&in);
    while (in.size > 0) {
        if (certs.count >= RD_MIN(count_max, RD_CERT_COUNT_MAX))
            return rd_err_set(err, RD_E_CHAIN_SHAPE, "more than %zu certificates", count_max);
        if (take_block(&in, &certs.items[certs.count], err) < 0)
            return rd_err_wrap(err, "certificate %zu", certs.count + 1);
        certs.count++;
        skip_space(&in);
    }
    if (certs.count == 0)
        return rd_err_set(err, RD_E_CHAIN_SHAPE, "no certificate");
    *ret = certs;
    certs = (rd_certs){ 0 };
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
    rd_buf_append_str(out, PEM_BEGIN "\n");
    for (size_t at = 0; at < text.size; at += 64) {
        rd_buf_append(out, text.data + at, RD_MIN((size_t)64, text.size - at));
        rd_buf_append_str(out, "\n");
    }
    rd_buf_append_str(out, PEM_END "\n");
}
