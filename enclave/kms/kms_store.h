/* kms_store: the folder of a key service: the sealed root, the public genesis, and a state that is replaced whole.
 * Used by main, which opens everything before anything is confined, and by the front, which then writes the state.
 * The state lies in two slots that are written in turn: a write that was cut off leaves the one before. What the host
 * puts back from earlier, it can: nothing here promises freshness over a restart. */
#ifndef KMS_STORE_H
#define KMS_STORE_H

#include "common/base/bytes.h"
#include "common/base/err.h"

#define KMS_FILE_ROOT     "root.sealed"
#define KMS_FILE_GENESIS  "genesis.json"
#define KMS_FILE_SHARES   "recovery.json" /* the sealed shares of a root that was made here */
#define KMS_FILE_JOINED   "root.joined"   /* a root that came, until the next start takes it as its own */
#define KMS_ROOT_FILE_MAX ((size_t)256 << 10)
#define KMS_STATE_MAX     ((size_t)4 << 20)

typedef struct kms_store {
    int slots[2];
    int lock_fd;         /* held while the process lives: one key service a folder */
    uint64_t generation; /* of the newest slot; 0: none yet */
} kms_store;

/* Makes the folder (0700) when it is not there. CONFIG when it is another user's or another process has it; IO. */
int kms_store_open(const char *dir, kms_store *ret, rd_err *err) RD_NODISCARD;
void kms_store_done(kms_store *store);

/* Appends the newest slot that opens under key; *ret_found false when there is none. */
int kms_store_load(kms_store *store, const uint8_t key[32], rd_buf *ret, bool *ret_found, rd_err *err) RD_NODISCARD;
/* Durable when it returns 0. KMS_AUDIT otherwise. */
int kms_store_save(kms_store *store, const uint8_t key[32], rd_bytes state, rd_err *err) RD_NODISCARD;

/* Whole files beside the state, replaced by rename and synced with their folder. An absent file is *ret_found false. */
int kms_store_read(const char *dir, const char *name, size_t size_max, rd_buf *ret, bool *ret_found,
                   rd_err *err) RD_NODISCARD;
int kms_store_write(const char *dir, const char *name, unsigned mode, rd_bytes bytes, rd_err *err) RD_NODISCARD;

/* For a replica that waits: an empty file, held open, that a confined process then writes the sealed root to, durably.
 * KMS_AUDIT when that fails. */
int kms_store_open_joined(const char *dir, int *ret_fd, rd_err *err) RD_NODISCARD;
int kms_store_write_joined(int fd, rd_bytes sealed, rd_err *err) RD_NODISCARD;
/* What was written whole; what was cut off was never acknowledged and is nothing. */
int kms_store_read_joined(const char *dir, rd_buf *ret, bool *ret_there, rd_err *err) RD_NODISCARD;
/* It takes its place as KMS_FILE_ROOT. */
int kms_store_adopt_joined(const char *dir, rd_bytes sealed, rd_err *err) RD_NODISCARD;

#endif
