/* kms_channel: questions of fixed layout between the processes of a key service, over one socket pair.
 * Used by main and the front, which ask, and by the root, which answers. Both ends are one program, so a question is a
 * struct of bytes and integers and what its sizes say follows; whoever answers checks every one. */
#ifndef KMS_CHANNEL_H
#define KMS_CHANNEL_H

#include "common/model/grant.h"
#include "common/model/kms_genesis.h"

#define KMS_CHANNEL_MAX ((size_t)1 << 20)

typedef enum kms_op { KMS_OP_OPEN = 1, KMS_OP_SEAL_KEY, KMS_OP_GRANT, KMS_OP_RECORD, KMS_OP_COUNT } kms_op;

/* What a genesis says, but for its root key: fixed when the root is made, compared with it afterwards. One replica and
 * no recovery set: replicas that join, and shares, are not part of this version. */
typedef struct kms_ask_open {
    uint8_t has_file; /* the sealed root follows */
    uint8_t class_;
    uint8_t has_sim_root;
    uint8_t measurement[RD_KMS_MEASUREMENT_SIZE]; /* of this replica */
    uint8_t platform[32];
    uint8_t sim_root[32];
    uint8_t record[32];
    uint64_t record_number; /* the last that is durable */
    int64_t now_us;
} kms_ask_open;

/* Followed by the sealed root (when it was made now) and the genesis. */
typedef struct kms_told_open {
    uint32_t sealed_size, genesis_size;
    uint8_t replica[32]; /* public key */
} kms_told_open;

typedef struct kms_ask_seal_key {
    uint8_t app[32];
    uint64_t version;
} kms_ask_seal_key;

typedef struct kms_told_seal_key {
    uint8_t key[RD_X25519_SIZE];
    uint8_t signature[RD_SIGNATURE_SIZE];
} kms_told_seal_key;

/* Followed by the statement and the secret set. */
typedef struct kms_ask_grant {
    uint8_t app[32], release[32], head[32];
    uint8_t receipt_key[32], grant_key[32], nonce[32];
    uint8_t instance[16];
    uint64_t head_seq, epoch, requests_max;
    int64_t not_before_us, not_after_us;
    uint32_t statement_size, secrets_size;
} kms_ask_grant;

enum { KMS_HAS_APP = 1, KMS_HAS_RELEASE = 2, KMS_HAS_HEAD = 4, KMS_HAS_INSTANCE = 8, KMS_HAS_STATEMENT = 16 };

typedef struct kms_ask_record {
    uint8_t kind; /* rd_kms_record_kind */
    uint8_t has;
    uint8_t app[32], release[32], head[32], statement[32];
    uint8_t instance[16];
    char reason[48];
    uint64_t epoch;
    int64_t at_us;
} kms_ask_record;

/* Of grants and records; followed by the grant's answer or the record's envelope. */
typedef struct kms_told_record {
    uint64_t record_number;
    uint8_t record[32];
} kms_told_record;

/* Asks and waits. Appends what follows the fixed part of the answer. The error is the other side's own; CONTROL_LOST
 * when it is gone. */
int kms_channel_ask(int fd, kms_op op, rd_bytes fixed, rd_bytes more, void *told, size_t told_size, rd_buf *ret_more,
                    rd_err *err) RD_NODISCARD;

/* For the root: the next question whole. 0; -1 when the other end is gone or does not keep to the form. */
int kms_channel_receive(int fd, uint8_t *ret_op, rd_buf *ret_question);
int kms_channel_tell(int fd, rd_bytes fixed, rd_bytes more);
int kms_channel_refuse(int fd, const rd_err *why);

#endif
