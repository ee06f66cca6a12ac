/* kms_keys: the root of a key service and what hangs below it: keys of apps, the replica's key, signatures.
 * Used by the root process alone. Nothing here leaves it but what a function returns. */
#ifndef KMS_KEYS_H
#define KMS_KEYS_H

#include "common/model/grant.h"
#include "common/model/kms_genesis.h"

typedef struct kms_keys {
    rd_secret *root;         /* 32 bytes */
    rd_signing_key *signer;  /* its public half is the genesis's root */
    rd_signing_key *replica; /* of this replica alone */
    rd_buf document;         /* the genesis, canonical */
    rd_kms_genesis genesis;
    rd_kms_id id;
} kms_keys;

void kms_keys_done(kms_keys *keys);

/* Makes a root and its genesis; what says everything but the root key. */
int kms_keys_make(const rd_kms_genesis *what, kms_keys *ret, rd_err *err) RD_NODISCARD;
/* Root, seeds and genesis as one file under a key of the platform: nonce ‖ ciphertext. */
int kms_keys_seal(const kms_keys *keys, const uint8_t seal_key[32], rd_buf *ret, rd_err *err) RD_NODISCARD;
/* KMS_STATE when it does not open: another build's, another machine's, or damaged. */
int kms_keys_unseal(rd_bytes sealed, const uint8_t seal_key[32], kms_keys *ret, rd_err *err) RD_NODISCARD;

/* A root that came from another replica, with a replica's key of our own. KMS_STATE when the seed is not the key of
 * the genesis. */
int kms_keys_take(rd_bytes root, const uint8_t signer_seed[RD_SEED_SIZE], rd_bytes genesis, kms_keys *ret,
                  rd_err *err) RD_NODISCARD;

/* KDF(root, "app-root-v1", class, app). */
rd_secret *kms_keys_app_root(const kms_keys *keys, const rd_app_id *app);
/* KDF(app root, label, u64be(version)). */
rd_secret *kms_keys_derive(const rd_secret *app_root, rd_kdf_label label, uint64_t version);

#endif
