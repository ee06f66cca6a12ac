/* kms_store: the folder of a key service: the sealed root, the public genesis, and the log of its state.
 * Used by main, which opens everything before anything is confined, and by the front, which then writes the state.
 * The log lies in two slots. One begins with a base, the whole state, and goes on with what each later save changed;
 * the next base goes to the other slot, so that a write that was cut off leaves all that was before it. Each piece is
 * bound to its base and to the one in front of it: what lies there and does not belong there never opens. Load takes
 * the newest base that opens and what follows it up to the first piece that does not. A crash leaves such an end, which
 * nobody was ever told of; a host that cuts the file off or puts an older one back leaves the same: nothing here
 * promises freshness over a restart. */
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
#define KMS_CHANGE_MAX    ((size_t)16 << 10)
#define KMS_LOG_MIN       ((size_t)64 << 10) /* of changes behind a base, beside as much again as the base has */
#define KMS_SLOT_MAX      (2 * KMS_STATE_MAX + 2 * KMS_LOG_MIN) /* of one of the two files, with room to spare */

/* Where the next piece of a log goes. */
typedef struct kms_store_place {
    uint64_t generation, index; /* generation 0: nowhere, a base has to begin it */
    size_t offset;
    uint8_t base_tag[16], tag[16]; /* of the base, and of the piece in front */
} kms_store_place;

typedef struct kms_store {
    int slots[2];         /* a generation's slot is its last bit */
    int lock_fd;          /* held while the process lives: one key service a folder */
    uint64_t generation;  /* of the newest base; 0: none yet */
    size_t log_end;       /* no piece goes beyond it */
    kms_store_place next; /* behind what this process wrote; nothing is appended to what another one did */
    bool has_lost;        /* at load: a piece did not open that was durable once, for another follows it */
} kms_store;

/* Makes the folder (0700) when it is not there. CONFIG when it is another user's or another process has it; IO. */
int kms_store_open(const char *dir, kms_store *ret, rd_err *err) RD_NODISCARD;
void kms_store_done(kms_store *store);

/* Takes one piece of the log: the base (index 0), then the changes in their order. */
typedef int (*kms_store_take)(void *context, uint64_t index, rd_bytes piece, rd_err *err);
/* Gives the newest log that opens under key; *ret_found false when there is none. What take fails with. */
int kms_store_load(kms_store *store, const uint8_t key[32], kms_store_take take, void *context, bool *ret_found,
                   rd_err *err) RD_NODISCARD;
/* The whole state begins a new log. Durable when it returns 0; KMS_AUDIT otherwise, and a next save is of the whole. */
int kms_store_save(kms_store *store, const uint8_t key[32], rd_bytes state, rd_err *err) RD_NODISCARD;
/* Whether the log takes a change of size bytes. If not, the whole is to be saved: always first in a process, and once
 * the changes have outgrown their base. */
bool kms_store_has_room(const kms_store *store, size_t size);
/* Goes on with the log, which has room for it. As kms_store_save. */
int kms_store_append(kms_store *store, const uint8_t key[32], rd_bytes change, rd_err *err) RD_NODISCARD;

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
/* It takes its place as KMS_FILE_ROOT, and is dropped. */
int kms_store_adopt_joined(const char *dir, rd_bytes sealed, rd_err *err) RD_NODISCARD;
/* Removes KMS_FILE_JOINED, durably: it does not come back after a power failure. */
int kms_store_drop_joined(const char *dir, rd_err *err) RD_NODISCARD;

#endif
