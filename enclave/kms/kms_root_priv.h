/* kms_root_priv: what the files of the root's process share. Used by kms_root.c, kms_join.c, kms_recover.c and
 * kms_notes.c alone. */
#ifndef KMS_ROOT_PRIV_H
#define KMS_ROOT_PRIV_H

#include "common/model/kms_replica.h"
#include "common/model/kms_wire.h"
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

/* A refusal of one that waits. */
typedef struct kms_note {
    int64_t at_us;
    rd_code code;
} kms_note;

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
    kms_note notes[16];
    size_t notes_count;
} kms_root;

/* Whether the genesis lists this build and this machine, and all others that the operator named. */
int kms_root_check_place(const kms_root *self, rd_err *err) RD_NODISCARD;
/* Numbers and signs; the chain moves on only when that worked. Appends the envelope. */
int kms_root_chain(kms_root *self, rd_kms_record *record, rd_buf *ret, rd_err *err) RD_NODISCARD;
/* The end of the chain. */
kms_told_record kms_root_end(const kms_root *self);
/* The same, and self->more behind it. */
int kms_root_tell_record(const kms_root *self, int fd);
/* A certificate of this replica's key that is in date is in self->certificate. */
int kms_root_certify(kms_root *self, int64_t now_us, rd_err *err) RD_NODISCARD;

/* kms_notes.c: of a replica that waits: the refusal of a message of a join or a recovery that had begun; at most 16. */
void kms_root_note(kms_root *self, int64_t at_us, const rd_err *why);
/* The root has come: chains a record of each that was noted, and then of the recovery, if it was one. Appends, where
 * there is any, the certificate and the records, each u16be size ‖ envelope. */
int kms_root_chain_notes(kms_root *self, bool is_recovery, int64_t now_us, rd_buf *ret, rd_err *err) RD_NODISCARD;

/* kms_join.c; each answers on fd or says why not. */
int kms_join_nonce(kms_root *self, int fd, rd_bytes question, rd_err *err);
int kms_join_meet(kms_root *self, int fd, rd_bytes question, rd_err *err);
int kms_join_import(kms_root *self, int fd, rd_bytes question, rd_err *err);
int kms_join_export(kms_root *self, int fd, rd_bytes question, rd_err *err);
void kms_join_done(kms_join *join);

/* kms_recover.c. Appends a sealed share for each recovery key of the genesis. */
int kms_recover_split(const kms_root *self, rd_buf *ret, rd_err *err) RD_NODISCARD;
int kms_recover_begin(kms_root *self, int fd, rd_bytes genesis, rd_err *err);
int kms_recover_share(kms_root *self, int fd, rd_bytes question, rd_err *err);
void kms_recover_done(kms_recover *recover);

#endif
