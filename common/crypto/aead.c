#include "common/crypto/aead.h"

#include "common/base/mem.h"

#include <assert.h>
#include <openssl/evp.h>
#include <string.h>

#define MESSAGE_MAX ((size_t)1 << 30)

static void cipher_free_p(EVP_CIPHER_CTX **context)
{
    EVP_CIPHER_CTX_free(*context);
}

/* Begins one message: key, nonce, associated data. */
static EVP_CIPHER_CTX *begin(rd_bytes key, const uint8_t *nonce, rd_bytes aad, bool is_sealing)
{
    assert(key.size == 16 || key.size == 32);
    const EVP_CIPHER *cipher = key.size == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm();
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int size;
    if (!context || EVP_CipherInit_ex(context, cipher, NULL, key.data, nonce, is_sealing) != 1 ||
        (aad.size > 0 && EVP_CipherUpdate(context, NULL, &size, aad.data, (int)aad.size) != 1)) {
        EVP_CIPHER_CTX_free(context);
        return NULL;
    }
    return context;
}

static int too_large(rd_err *err)
{
    return rd_err_set(err, RD_E_TOO_LARGE, "the message does not fit");
}

int rd_aead_seal(rd_bytes key, const uint8_t nonce[RD_AEAD_NONCE_SIZE], rd_bytes aad, rd_bytes plaintext, rd_buf *ret,
                 rd_err *err)
{
    if (plaintext.size > MESSAGE_MAX || aad.size > MESSAGE_MAX)
        return too_large(err);
    uint8_t *out = rd_buf_reserve(ret, plaintext.size + RD_AEAD_TAG_SIZE);
    if (!out)
        return too_large(err);
    RD_CLEANUP(cipher_free_p) EVP_CIPHER_CTX *context = begin(key, nonce, aad, true);
    int size = 0, last = 0;
    if (!context || EVP_CipherUpdate(context, out, &size, plaintext.data, (int)plaintext.size) != 1 ||
        EVP_CipherFinal_ex(context, out + size, &last) != 1 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, RD_AEAD_TAG_SIZE, out + plaintext.size) != 1)
        return rd_err_set(err, RD_E_INTERNAL, "AES-GCM");
    rd_buf_commit(ret, plaintext.size + RD_AEAD_TAG_SIZE);
    return 0;
}

int rd_aead_open(rd_bytes key, const uint8_t nonce[RD_AEAD_NONCE_SIZE], rd_bytes aad, rd_bytes sealed, rd_buf *ret,
                 rd_err *err)
{
    if (sealed.size > MESSAGE_MAX || aad.size > MESSAGE_MAX)
        return too_large(err);
    if (sealed.size < RD_AEAD_TAG_SIZE)
        return rd_err_set(err, RD_E_SEAL, "shorter than a seal's tag");
    size_t plain_size = sealed.size - RD_AEAD_TAG_SIZE;
    uint8_t *out = rd_buf_reserve(ret, plain_size + 1); /* never NULL for want of bytes */
    if (!out)
        return too_large(err);
    uint8_t tag[RD_AEAD_TAG_SIZE];
    memcpy(tag, sealed.data + plain_size, sizeof tag);
    RD_CLEANUP(cipher_free_p) EVP_CIPHER_CTX *context = begin(key, nonce, aad, false);
    int size = 0, last = 0;
    if (!context || EVP_CipherUpdate(context, out, &size, sealed.data, (int)plain_size) != 1 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) != 1)
        return rd_err_set(err, RD_E_INTERNAL, "AES-GCM");
    if (EVP_CipherFinal_ex(context, out + size, &last) != 1) {
        rd_wipe(out, plain_size);
        return rd_err_set(err, RD_E_SEAL, "the seal does not open");
    }
    rd_buf_commit(ret, plain_size);
    return 0;
}
