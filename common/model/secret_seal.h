/* secret_seal: a secret of an app, sealed to the app's seal key of a key service, and the exact set that a head names.
 * Used by clients, which seal; by the plane, which stores and counts; by the key service, which opens; by enclaves,
 * which check the set. Nothing here tells whose a seal key is: its signature below the KMS's root does. */
#ifndef RD_MODEL_SECRET_SEAL_H
#define RD_MODEL_SECRET_SEAL_H

#include "common/crypto/hpke.h"
#include "common/crypto/sign.h"
#include "common/model/ids.h"

#define RD_SECRETS_MAX        64
#define RD_SECRET_NAME_MAX    77 /* "redoubt.code." and 64 digits */
#define RD_SECRET_VALUE_MAX   ((size_t)32 << 10)
#define RD_SECRET_STEP        256
#define RD_SECRET_SEALED_MAX  (RD_X25519_SIZE + RD_SECRET_VALUE_MAX + RD_SECRET_STEP + 16)
#define RD_SECRETS_SEALED_MAX ((size_t)512 << 10) /* all of an app together */
#define RD_SECRET_CODE_PREFIX "redoubt.code."
#define RD_SECRET_VERSION_MAX UINT64_C(9007199254740991) /* 2^53 - 1: versions stand in JSON, too */

/* A secret as heads count it. */
typedef struct rd_secret_ref {
    char name[RD_SECRET_NAME_MAX + 1];
    uint64_t version; /* from 1 */
    rd_digest sealed; /* plain SHA-256 of the sealed bytes */
} rd_secret_ref;

/* [A-Z_][A-Z0-9_]{0,63}. */
bool rd_secret_name_is_ok(const char *name);
/* That, or the reserved name of a sealed release's code key. */
bool rd_secret_name_is_known(const char *name);
/* "redoubt.code." and the hex of the code's ciphertext digest. */
void rd_secret_code_name(const rd_digest *code, char out[RD_SECRET_NAME_MAX + 1]);

/* HPKE SealBase: info F("info", "secret-v1", app), aad F("aad", "secret-v1", app, name, u64be(version)), plaintext
 * u32be(size) ‖ value ‖ zeros up to the next step of 256 bytes. Appends enc ‖ ciphertext. SECRET_NAME, TOO_LARGE,
 * KEY_FORMAT. */
int rd_secret_seal(const uint8_t seal_key[RD_X25519_SIZE], const rd_app_id *app, const char *name, uint64_t version,
                   rd_bytes value, const rd_random *random, rd_buf *ret, rd_err *err) RD_NODISCARD;
/* Appends the value. SEAL_CONTEXT when it does not open under exactly this app, name and version, SEAL_FORMAT for
 * lengths that no seal has. */
int rd_secret_open(const rd_secret *seal_key, const rd_app_id *app, const char *name, uint64_t version, rd_bytes sealed,
                   rd_buf *ret, rd_err *err) RD_NODISCARD;

/* H("secrets-v1", name1, u64be(version1), digest1, name2 …), refs in byte order of names. */
void rd_secrets_root(const rd_secret_ref *refs, size_t count, rd_digest *ret);
/* Byte order of names, for qsort of rd_secret_ref. */
int rd_secret_ref_compare(const void *a, const void *b);

/* A set as it travels to the key service; the sealed bytes are borrowed. */
typedef struct rd_secret_set {
    rd_secret_ref refs[RD_SECRETS_MAX];
    rd_bytes sealed[RD_SECRETS_MAX];
    size_t count;
} rd_secret_set;

/* Adds one; names must come in byte order. SEAL_FORMAT, SECRET_NAME, TOO_LARGE past the count or the bytes together. */
int rd_secret_set_add(rd_secret_set *set, const char *name, uint64_t version, rd_bytes sealed,
                      rd_err *err) RD_NODISCARD;
/* u16be count, then for each: u8 name size, name, u64be version, u32be size, sealed. */
int rd_secret_set_parse(rd_bytes bytes, rd_secret_set *ret, rd_err *err) RD_NODISCARD;
int rd_secret_set_encode(const rd_secret_set *set, rd_buf *out, rd_err *err) RD_NODISCARD;
/* SECRETS_INCOMPLETE unless the refs are exactly those of count and root. */
int rd_secrets_check(const rd_secret_ref *refs, size_t count, uint64_t wanted_count, const rd_digest *wanted_root,
                     rd_err *err) RD_NODISCARD;

/* The key service's word for an app's seal key: Sign(root, "app-seal-v1", app ‖ u64be(version) ‖ key). */
int rd_seal_key_sign(const rd_signing_key *root, const rd_app_id *app, uint64_t version,
                     const uint8_t key[RD_X25519_SIZE], rd_signature *ret, rd_err *err) RD_NODISCARD;
int rd_seal_key_verify(const rd_public_key *root, const rd_app_id *app, uint64_t version,
                       const uint8_t key[RD_X25519_SIZE], const rd_signature *signature, rd_err *err) RD_NODISCARD;

#endif
