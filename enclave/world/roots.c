#include "enclave/world/roots.h"

#include <openssl/x509.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/x509_der.h"

#define BEGIN "-----BEGIN CERTIFICATE-----"
#define END   "-----END CERTIFICATE-----"

/* Takes one certificate off the front of the text, as DER; false at the end. */
static bool next(rd_bytes *text, rd_buf *ret_der)
{
    const char *begin = memmem(text->data, text->size, BEGIN, strlen(BEGIN));
    const char *limit = (const char *)text->data + text->size;
    const char *end = begin ? memmem(begin, (size_t)(limit - begin), END, strlen(END)) : NULL;
    rd_buf base64 = { 0 };
    bool is_good = false;

    if (!end)
        return false;
    for (const char *at = begin + strlen(BEGIN); at < end; at++) {
        if (*at != '\n' && *at != '\r')
            rd_buf_append_u8(&base64, (uint8_t)*at);
    }
    rd_buf_clear(ret_der);
    uint8_t *room = rd_buf_reserve(ret_der, base64.size);
    ssize_t size = room ? rd_base64_decode((const char *)base64.data, base64.size, room, base64.size) : -1;
    if (size > 0) {
        rd_buf_commit(ret_der, (size_t)size);
        is_good = true;
    }
    rd_buf_done(&base64);
    end += strlen(END);
    *text = rd_bytes_of(end, (size_t)(limit - end));
    return is_good;
}

/* RFC 5280, 4.1: TBSCertificate is version, serial, signature, issuer, validity, subject, …; the subject's content. */
static rd_bytes subject_of(rd_bytes der)
{
    rd_bytes certificate, tbs, element = RD_BYTES_NULL;
    uint8_t tag = 0;

    if (!rd_der_take(&der, RD_DER_SEQUENCE, &certificate) || !rd_der_take(&certificate, RD_DER_SEQUENCE, &tbs))
        return RD_BYTES_NULL;
    for (int i = 0; i < 6; i++) {
        if (!rd_der_next(&tbs, &tag, &element))
            return RD_BYTES_NULL;
    }
    return tag == RD_DER_SEQUENCE ? element : RD_BYTES_NULL;
}

void encl_roots_add(X509_STORE *store, const X509_NAME *subject)
{
    rd_bytes text = rd_bytes_of(encl_roots_pem, encl_roots_pem_size), wanted;
    RD_CLEANUP(rd_buf_done) rd_buf der = { 0 };
    const unsigned char *name_der = NULL;
    size_t name_size = 0;

    if (X509_NAME_get0_der(subject, &name_der, &name_size) != 1)
        return;
    rd_bytes name = rd_bytes_of(name_der, name_size);
    if (!rd_der_take(&name, RD_DER_SEQUENCE, &wanted))
        return;
    while (next(&text, &der)) {
        const uint8_t *at = der.data;
        if (!rd_bytes_equal(subject_of(rd_buf_bytes(&der)), wanted))
            continue;
        X509 *root = d2i_X509(NULL, &at, (long)der.size);
        if (root)
            (void)X509_STORE_add_cert(store, root);
        X509_free(root);
    }
}

X509 *encl_roots_first(void)
{
    rd_bytes text = rd_bytes_of(encl_roots_pem, encl_roots_pem_size);
    RD_CLEANUP(rd_buf_done) rd_buf der = { 0 };
    const uint8_t *at;

    if (!next(&text, &der))
        return NULL;
    at = der.data;
    return d2i_X509(NULL, &at, (long)der.size);
}

size_t encl_roots_count(void)
{
    rd_bytes text = rd_bytes_of(encl_roots_pem, encl_roots_pem_size);
    RD_CLEANUP(rd_buf_done) rd_buf der = { 0 };
    size_t count = 0;

    while (next(&text, &der))
        count += subject_of(rd_buf_bytes(&der)).size > 0;
    return count;
}
