/* pem: private keys as unencrypted PKCS #8 PEM, for key files.
 * Used by sign.c and p256.c alone: others use the typed functions of sign.h. Never asks for a passphrase. */
#ifndef RD_CRYPTO_PEM_H
#define RD_CRYPTO_PEM_H

#include "common/base/bytes.h"
#include "common/base/err.h"

struct evp_pkey_st;

/* KEY_FORMAT unless the bytes hold one readable private key. *ret is owned by the caller. */
int rd_pem_read_private(rd_bytes pem, struct evp_pkey_st **ret, rd_err *err) RD_NODISCARD;
int rd_pem_write_private(struct evp_pkey_st *key, rd_buf *out, rd_err *err) RD_NODISCARD;

#endif
