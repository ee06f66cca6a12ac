/* kms_share: one share of a key service's root, signed by that root, and how it is sealed: to its holder's key when it
 * is made, to an attested enclave of the genesis when it is used (docs/protocol/kms.md, "Recovery").
 * Used by the key service's root process and by the holder's command line. */
#ifndef RD_MODEL_KMS_SHARE_H
#define RD_MODEL_KMS_SHARE_H

#include "common/crypto/hpke.h"
#include "common/model/kms_genesis.h"

#define RD_KMS_SHARE_VALUE       64
#define RD_KMS_SHARE_SIZE        (1 + RD_KMS_SHARE_VALUE + RD_SIGNATURE_SIZE)
#define RD_KMS_SHARE_SEALED_SIZE (RD_X25519_SIZE + RD_KMS_SHARE_SIZE + 16)

typedef struct rd_kms_share {
    uint8_t index; /* from 1, of its key in the genesis */
    uint8_t value[RD_KMS_SHARE_VALUE];
    rd_signature signature; /* of the genesis's root under recovery-v1 */
} rd_kms_share;

int rd_kms_share_sign(rd_kms_share *share, const rd_kms_id *kms, const rd_signing_key *root, rd_err *err) RD_NODISCARD;
/* index ‖ value ‖ signature. */
void rd_kms_share_encode(const rd_kms_share *share, rd_buf *out);
/* RECOVERY unless it has the one form and the root of this genesis signed it for one of the genesis's keys. */
int rd_kms_share_accept(rd_bytes plain, const rd_kms_id *kms, const rd_kms_genesis *genesis, rd_kms_share *ret,
                        rd_err *err) RD_NODISCARD;

/* HPKE with info F("info","recovery-v1", kms id); appends enc ‖ ciphertext, or the plain share. RECOVERY when it does
 * not open. */
int rd_kms_share_seal(const uint8_t key[RD_X25519_SIZE], const rd_kms_id *kms, rd_bytes plain, rd_buf *ret,
                      rd_err *err) RD_NODISCARD;
int rd_kms_share_open(const rd_secret *key, const rd_kms_id *kms, rd_bytes sealed, rd_buf *ret,
                      rd_err *err) RD_NODISCARD;

#endif
