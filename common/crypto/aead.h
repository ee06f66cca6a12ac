/* aead: AES-GCM with 128 and 256 bit keys (NIST SP 800-38D), whole messages.
 * Used by hpke.h and for sealed bodies. Whoever calls gives each key a nonce once; nothing here draws or counts them.
 */
#ifndef RD_CRYPTO_AEAD_H
#define RD_CRYPTO_AEAD_H

#include "common/base/bytes.h"
#include "common/base/err.h"

#define RD_AEAD_NONCE_SIZE 12
#define RD_AEAD_TAG_SIZE   16

/* Appends the ciphertext and its tag. key has 16 or 32 bytes. TOO_LARGE past ret's cap or above 1 GiB. */
int rd_aead_seal(rd_bytes key, const uint8_t nonce[RD_AEAD_NONCE_SIZE], rd_bytes aad, rd_bytes plaintext, rd_buf *ret,
                 rd_err *err) RD_NODISCARD;
/* Appends the plaintext, or nothing. SEAL when the tag does not fit, TOO_LARGE as above. */
int rd_aead_open(rd_bytes key, const uint8_t nonce[RD_AEAD_NONCE_SIZE], rd_bytes aad, rd_bytes sealed, rd_buf *ret,
                 rd_err *err) RD_NODISCARD;

#endif
