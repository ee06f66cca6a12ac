#include "common/crypto/pem.h"

#include "common/base/mem.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#define PEM_SIZE_MAX 65536

static void bio_free_p(BIO **bio)
{
    (void)BIO_free(*bio);
}

static int refuse_passphrase(char *out RD_UNUSED, int size RD_UNUSED, int is_writing RD_UNUSED, void *context RD_UNUSED)
{
    return -1;
}

int rd_pem_read_private(rd_bytes pem, EVP_PKEY **ret, rd_err *err)
{
    if (pem.size == 0 || pem.size > PEM_SIZE_MAX)
        return rd_err_set(err, RD_E_KEY_FORMAT, "a key file has 1 to %d bytes, not %zu", PEM_SIZE_MAX, pem.size);
    RD_CLEANUP(bio_free_p) BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, NULL) : NULL;
    ERR_clear_error();
    if (!key)
        return rd_err_set(err, RD_E_KEY_FORMAT, "not an unencrypted private key in PEM form");
    *ret = key;
    return 0;
}

int rd_pem_write_private(EVP_PKEY *key, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(bio_free_p) BIO *bio = BIO_new(BIO_s_secmem());
    char *text = NULL;
    if (!bio || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
        return rd_err_set(err, RD_E_INTERNAL, "writing the private key failed");
    long size = BIO_get_mem_data(bio, &text);
    if (size <= 0 || !rd_buf_append(out, text, (size_t)size))
        return rd_err_set(err, RD_E_TOO_LARGE, "no room for the private key");
    return 0;
}
