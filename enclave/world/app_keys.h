/* app_keys: what a grant brings to an instance: the app's key, from which its function's keys derive, and its secrets.
 * Used by world.c; filled by whoever opened a grant. Without one there is none, and what needs it says NO_KEYS.
 * Gives out no key that signs: signatures are made here.
 */
#ifndef ENCL_APP_KEYS_H
#define ENCL_APP_KEYS_H

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/crypto/secret.h"

#define ENCL_APP_KEY_SIZE     32
#define ENCL_SECRETS_MAX      256
#define ENCL_SECRET_NAME_MAX  64
#define ENCL_SECRET_VALUE_MAX ((size_t)64 << 10)
#define ENCL_PATH_MAX         ((size_t)1 << 10)

typedef enum encl_scheme {
    ENCL_SCHEME_ED25519,   /* RFC 8032, over the data as it is; 64 bytes; public key of 32 */
    ENCL_SCHEME_SECP256K1, /* ECDSA over the EIP-191 hash of the data; r, s (low), v (27, 28); public key of 64 */
} encl_scheme;

typedef struct encl_app_keys encl_app_keys;

/* key: the app's key of the grant. */
encl_app_keys *encl_app_keys_new(const uint8_t key[ENCL_APP_KEY_SIZE]);
encl_app_keys *encl_app_keys_free(encl_app_keys *keys);

/* Copies the value. JSON_RANGE: a name that is no [A-Za-z_][A-Za-z0-9_.]*, a name twice, too many, too large. */
int encl_app_keys_add_secret(encl_app_keys *keys, const char *name, rd_bytes value, rd_err *err) RD_NODISCARD;
/* Borrowed; NULL when there is no such secret. */
const rd_secret *encl_app_keys_secret(const encl_app_keys *keys, rd_bytes name);
/* By index, for env; NULL past the end. */
const char *encl_app_keys_secret_name(const encl_app_keys *keys, size_t index);

/* KDF(app key, "app-user-v1", path): 32 bytes for the function's own use. */
int encl_app_keys_derive(const encl_app_keys *keys, rd_bytes path, uint8_t out[32], rd_err *err) RD_NODISCARD;
/* With the key KDF(app key, "app-sign-v1", scheme's name). Appends. */
int encl_app_keys_sign(const encl_app_keys *keys, encl_scheme scheme, rd_bytes data, rd_buf *ret,
                       rd_err *err) RD_NODISCARD;
int encl_app_keys_public(const encl_app_keys *keys, encl_scheme scheme, rd_buf *ret, rd_err *err) RD_NODISCARD;

#endif
