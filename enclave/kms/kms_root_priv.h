/* kms_root_priv: what the files of the root's process share. Used by kms_root.c, kms_join.c and kms_recover.c alone. */
#ifndef KMS_ROOT_PRIV_H
#define KMS_ROOT_PRIV_H

#include "common/model/kms_replica.h"
#include "enclave/kms/kms_channel.h"
#include "enclave/kms/kms_keys.h"
#include "enclave/kms/kms_shares.h"
#include "enclave/platform/platform.h"

typedef enum kms_root_phase {
    KMS_ROOT_NEW = 1,
    KMS_ROOT_WAITS = 2, /* for a root that another replica has */
    KMS_ROOT_OPEN = 4,
} kms_root_phase;

/* One join on its way, on either side. */
typedef struct kms_join {
    bool has_nonce;
    uint8_t nonce[32]; /* that the other side's evidence must be over; spent by the first that comes */
    rd_secret *key;    /* X25519; of a replica that waits */
    rd_buf genesis, admit_statement;
} kms_join;

/* Shares that were given, until they are enough. */
typedef struct kms_recover {
    rd_kms_genesis genesis;
    kms_share shares[KMS_SHARES_MAX];
    size_t count;
} kms_recover;

typedef struct kms_root {
    encl_platform *platform; /* NULL once it is open or waits */
    int judge_fd;
    kms_root_phase phase;
    kms_keys keys;
    rd_secret *seal_key; /* kept while it waits, for what will be kept then */
    kms_ask_open place;  /* build, machine, class, and the id that is waited for */
    kms_join join;
    kms_recover recover;
    rd_secret *recovery_key; /* X25519; of a replica that waits, for as long as it does */
    rd_buf recovery_genesis;
    uint64_t record_number;
    rd_digest record;
    rd_buf certificate;
    int64_t certificate_until_us;
    rd_buf more; /* what follows the fixed part of an answer */
} kms_root;

/* Whether the genesis lists this build and this machine, and all others that the operator named. */
int kms_root_check_place(const kms_root *self, rd_err *err) RD_NODISCARD;
/* Numbers and signs; the chain moves on only when that worked. Appends the envelope. */
int kms_root_chain(kms_root *self, rd_kms_record *record, rd_buf *ret, rd_err *err) RD_NODISCARD;
/* The end of the chain, and self->more behind it. */
int kms_root_tell_record(const kms_root *self, int fd);

/* kms_join.c; each answers on fd or says why not. */
int kms_join_nonce(kms_root *self, int fd, rd_bytes question, rd_err *err);
int kms_join_meet(kms_root *self, int fd, rd_bytes question, rd_err *err);
int kms_join_import(kms_root *self, int fd, rd_bytes question, rd_err *err);
int kms_join_export(kms_root *self, int fd, rd_bytes question, rd_err *err);
void kms_join_done(kms_join *join);

/* kms_recover.c. Appends a sealed share for each recovery key of the genesis. */
int kms_recover_split(const kms_root *self, rd_buf *ret, rd_err *err) RD_NODISCARD;
int kms_recover_begin(kms_root *self, int fd, rd_bytes genesis, rd_err *err);
int kms_recover_share(kms_root *self, int fd, rd_bytes sealed, rd_err *err);
void kms_recover_done(kms_recover *recover);

#endif
