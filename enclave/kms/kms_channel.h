/* kms_channel: questions of fixed layout between the processes of a key service, over a socket pair.
 * Used by main and the front, which ask the root, and by the root, which asks the judge. Both ends are one program, so
 * a question is a struct of bytes and integers and what its sizes say follows; whoever answers checks every one. */
#ifndef KMS_CHANNEL_H
#define KMS_CHANNEL_H

#include "common/model/grant.h"
#include "common/model/kms_genesis.h"

#define KMS_CHANNEL_MAX ((size_t)2 << 20)

typedef enum kms_op {
    KMS_OP_OPEN = 1,
    KMS_OP_SEAL_KEY,
    KMS_OP_GRANT,
    KMS_OP_RECORD,
    KMS_OP_NONCE,   /* for the other side of a join: a fresh one, in the place of any before */
    KMS_OP_EXPORT,  /* the root, for a replica that joins */
    KMS_OP_MEET,    /* of a replica that waits: the one that admits */
    KMS_OP_IMPORT,  /* of a replica that waits: the root */
    KMS_OP_RECOVER, /* of a replica that waits: the genesis; the key that shares are to be sealed to */
    KMS_OP_SHARE,   /* of a replica that waits: a sealed share */
    KMS_OP_JUDGE,   /* of the judge: evidence of the other side */
    KMS_OP_COUNT
} kms_op;

/* What a genesis says, but for its root key: fixed when the root is made, compared with it afterwards. */
typedef struct kms_ask_open {
    uint8_t has_file; /* the sealed root follows */
    uint8_t class_;
    uint8_t has_sim_root;
    uint8_t waits;           /* there is no root: that of the key service kms will come */
    uint8_t platforms_count; /* of the genesis beside this one */
    uint8_t recovery_count, recovery_threshold;
    uint8_t kms[32];
    uint8_t measurement[RD_KMS_MEASUREMENT_SIZE]; /* of this replica */
    uint8_t platform[32];
    uint8_t platforms[RD_KMS_REPLICAS_MAX - 1][32];
    uint8_t recovery_keys[RD_KMS_RECOVERY_MAX][32];
    uint8_t sim_root[32];
    uint8_t record[32];
    uint64_t record_number; /* the last that is durable */
    int64_t now_us;
} kms_ask_open;

/* Followed by the sealed root, the genesis, and the sealed shares in the order of their keys; the first and the last
 * when the root was made now. */
typedef struct kms_told_open {
    uint32_t sealed_size, genesis_size, shares_size;
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

/* Below which no join is judged: time and collateral, as the front remembers them. */
typedef struct kms_floor {
    int64_t now_us;
    int64_t pck_crl_number, root_crl_number;
    uint32_t evaluation_number;
} kms_floor;

/* Followed by the genesis, the evidence and the collateral set. Answered with kms_told_judge and the statement, or the
 * verifier's refusal. */
typedef struct kms_ask_judge {
    uint8_t purpose; /* rd_purpose: join or admit */
    uint8_t nonce[32];
    uint8_t kms[32];
    uint8_t measurement[RD_KMS_MEASUREMENT_SIZE];
    kms_floor floor;
    uint32_t genesis_size, evidence_size, collateral_size;
} kms_ask_judge;

typedef struct kms_told_judge {
    uint8_t grant_key[RD_X25519_SIZE]; /* of purpose join */
} kms_told_judge;

/* Followed by genesis, evidence, collateral. Answered with the X25519 key that the root is to be sealed to. */
typedef struct kms_ask_meet {
    kms_floor floor;
    uint32_t genesis_size, evidence_size, collateral_size;
} kms_ask_meet;

/* Followed by the statement of purpose admit, the evidence of purpose join, the collateral, and what the newcomer is to
 * remember. Answered with kms_told_record, then the signature and the sealed root. */
typedef struct kms_ask_export {
    kms_floor floor;
    uint32_t statement_size, evidence_size, collateral_size, memory_size;
} kms_ask_export;

/* Followed by the statement of purpose join, and signature and sealed root. Answered with what is kept, what is to be
 * remembered, and the records of what was refused before. */
typedef struct kms_ask_import {
    int64_t now_us;
    uint32_t statement_size, root_size;
} kms_ask_import;

/* end: of the chain with these records. */
typedef struct kms_told_import {
    kms_told_record end;
    uint32_t sealed_size, memory_size, records_size;
} kms_told_import;

/* Followed by the sealed share. */
typedef struct kms_ask_share {
    int64_t now_us;
} kms_ask_share;

/* Followed by what is kept, and the records, once the last share that was needed has come. */
typedef struct kms_told_share {
    kms_told_record end;
    uint8_t given, needed;
    uint32_t sealed_size, records_size;
} kms_told_share;

/* Asks and waits. Appends what follows the fixed part of the answer. The error is the other side's own; CONTROL_LOST
 * when it is gone. */
int kms_channel_ask(int fd, kms_op op, rd_bytes fixed, rd_bytes more, void *told, size_t told_size, rd_buf *ret_more,
                    rd_err *err) RD_NODISCARD;

/* For the root: the next question whole. 0; -1 when the other end is gone or does not keep to the form. */
int kms_channel_receive(int fd, uint8_t *ret_op, rd_buf *ret_question);
int kms_channel_tell(int fd, rd_bytes fixed, rd_bytes more);
int kms_channel_refuse(int fd, const rd_err *why);

#endif
