#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#include "common/crypto/x509_der.h"
#include "common/crypto/x509_issue.h"
#include "common/crypto/x509_priv.h"

#define CSR_SIZE_MAX ((size_t)8 << 10)

static bool fill(X509_REQ *request, const rd_p256_key *key, const char *common_name)
{
    X509_NAME *name = X509_REQ_get_subject_name(request);
    return X509_REQ_set_version(request, X509_REQ_VERSION_1) == 1 &&
           X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, (const unsigned char *)common_name, -1, -1,
                                      0) == 1 &&
           X509_REQ_set_pubkey(request, rd_p256_key_pkey(key)) == 1 &&
           X509_REQ_sign(request, rd_p256_key_pkey(key), EVP_sha256()) > 0;
}

int rd_csr_create(const rd_p256_key *key, const char *common_name, rd_buf *out, rd_err *err)
{
    X509_REQ *request = X509_REQ_new();
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    bool is_ok = request && bio && fill(request, key, common_name) && PEM_write_bio_X509_REQ(bio, request) == 1;
    long size = is_ok ? BIO_get_mem_data(bio, &text) : 0;
    is_ok = is_ok && rd_buf_append(out, text, (size_t)size);
    BIO_free(bio);
    X509_REQ_free(request);
    ERR_clear_error();
    return is_ok ? 0 : rd_err_set(err, RD_E_KEY_FORMAT, "certificate request for %s could not be made", common_name);
}

static int read_name(X509_REQ *request, rd_csr *ret, rd_err *err)
{
    X509_NAME *name = X509_REQ_get_subject_name(request);
    int size = X509_NAME_get_text_by_NID(name, NID_commonName, NULL, 0);
    if (size < 0) {
        ret->common_name[0] = 0;
        return 0;
    }
    if ((size_t)size >= sizeof ret->common_name)
        return rd_err_set(err, RD_E_KEY_FORMAT, "common name of %d bytes, at most %zu", size,
                          sizeof ret->common_name - 1);
    X509_NAME_get_text_by_NID(name, NID_commonName, ret->common_name, sizeof ret->common_name);
    if (strlen(ret->common_name) != (size_t)size)
        return rd_err_set(err, RD_E_KEY_FORMAT, "common name with a NUL");
    return 0;
}

static int read_request(X509_REQ *request, rd_csr *ret, rd_err *err)
{
    EVP_PKEY *key = X509_REQ_get0_pubkey(request);
    if (!key || !rd_x509_is_p256(key))
        return rd_err_set(err, RD_E_KEY_FORMAT, "the key is not on P-256");
    /* RFC 2986, 3: the signature proves that the requester holds the key. */
    if (X509_REQ_get_signature_nid(request) != NID_ecdsa_with_SHA256 || X509_REQ_verify(request, key) != 1)
        return rd_err_set(err, RD_E_SIGNATURE, "the request was not signed by its own key");
    uint8_t *spki = NULL;
    int size = i2d_X509_PUBKEY(X509_REQ_get_X509_PUBKEY(request), &spki);
    if (size <= 0)
        return rd_err_set(err, RD_E_KEY_FORMAT, "malformed key");
    rd_buf_append(&ret->spki, spki, (size_t)size);
    OPENSSL_free(spki);
    rd_sha256(rd_buf_bytes(&ret->spki), ret->spki_digest);
    return read_name(request, ret, err);
}

static X509_REQ *read_pem(rd_bytes pem)
{
    RD_CLEANUP(rd_buf_done) rd_buf der = { .size_max = CSR_SIZE_MAX * 2 };
    if (rd_x509_pem_take(&pem, "CERTIFICATE REQUEST", CSR_SIZE_MAX, &der, NULL) < 0 || pem.size != 0 ||
        rd_der_check(rd_buf_bytes(&der), 500, NULL) < 0)
        return NULL;
    const uint8_t *at = der.data;
    return d2i_X509_REQ(NULL, &at, (long)der.size);
}

int rd_csr_parse(rd_bytes pem, rd_csr *ret, rd_err *err)
{
    *ret = (rd_csr){ 0 };
    if (pem.size == 0 || pem.size > CSR_SIZE_MAX)
        return rd_err_set(err, RD_E_KEY_FORMAT, "certificate request of %zu bytes, at most %zu", pem.size,
                          CSR_SIZE_MAX);
    X509_REQ *request = read_pem(pem);
    int rc = request ? read_request(request, ret, err) : rd_err_set(err, RD_E_KEY_FORMAT, "not a certificate request");
    X509_REQ_free(request);
    ERR_clear_error();
    if (rc < 0)
        rd_csr_done(ret);
    return rc;
}

void rd_csr_done(rd_csr *csr)
{
    rd_buf_done(&csr->spki);
}
