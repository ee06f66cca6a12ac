/* spool: an append-only journal on disk with group fsync, recovery and compaction.
 * Used by the agent for jobs and state changes: a record's callback runs only when it is durable.
 * Never retries a failed fsync (what it left behind is unknown): the spool then takes no new records. */
#ifndef RD_IO_SPOOL_H
#define RD_IO_SPOOL_H

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/io/loop.h"

#define RD_SPOOL_PAYLOAD_MAX ((size_t)256 << 10)
#define RD_SPOOL_ID_SIZE     16

/* File: 48-byte header (magic "redoubt-spool/2\n", journal id, generation, 0, CRC32C), then records of a 36-byte head
 * (magic, length, type, CRC32C from the header's on over head and payload, sequence, up to which offset the file was
 * known to be durable when the record was written, inverse of the length) and the payload. Integers are big-endian.
 * A bad record ends recovery as a torn tail when nothing valid behind it claims that it had been durable; otherwise the
 * file is corrupt and refused. Version 1 (magic "redoubt-spool/1\n", records' CRC32C from 0 on) is read and appended to
 * as such, until compaction makes a file of version 2 of it. */
typedef struct rd_spool rd_spool;

typedef struct rd_spool_record {
    uint64_t seq;
    uint16_t type;    /* of the caller, 1 to 65534 */
    rd_bytes payload; /* borrowed */
} rd_spool_record;

typedef struct rd_spool_config {
    const char *path;
    size_t size_max; /* of the file; 0: 64 MiB */
    void *context;
    /* Each record in order, during rd_spool_open; -1 refuses the journal. */
    int (*on_record)(void *context, const rd_spool_record *record, rd_err *err);
    /* Once, when it fails for good. May be NULL. */
    void (*on_failed)(void *context, const rd_err *error);
} rd_spool_config;

/* Opens or creates, locks against a second process, recovers. Blocks; for the start of a process.
 * RD_E_SPOOL_CORRUPT names the offset; the file is left as it is. */
int rd_spool_open(rd_loop *loop, const rd_spool_config *config, rd_spool **ret, rd_err *err) RD_NODISCARD;
/* Writes what is waiting and a closing mark, blocks, frees. Waiting callbacks are called. Accepts NULL. Not to be
 * called from a callback of the loop. */
rd_spool *rd_spool_close(rd_spool *spool);

/* Random, made with the file, kept by compaction: a new one means that the history is gone. */
const uint8_t *rd_spool_id(const rd_spool *spool);
uint64_t rd_spool_size(const rd_spool *spool);
/* Bytes cut from a torn tail when it was opened. */
uint64_t rd_spool_torn_bytes(const rd_spool *spool);
/* False after a failed fsync or write that could not be undone. */
bool rd_spool_is_healthy(const rd_spool *spool);
/* Half of size_max has been reached: time to compact. */
bool rd_spool_wants_compaction(const rd_spool *spool);

/* error is NULL when the record is durable. */
typedef void (*rd_spool_done_fn)(void *context, const rd_err *error);
/* Queues a copy; fn (may be NULL) is called on a later turn, in order of the sequence.
 * RD_E_SPOOL_FULL past the cap, RD_E_SPOOL_FAILED after a failure. A full disk fails the records in hand with
 * RD_E_SPOOL_FULL and leaves the spool usable. */
int rd_spool_append(rd_spool *spool, uint16_t type, rd_bytes payload, rd_spool_done_fn fn, void *context,
                    rd_err *err) RD_NODISCARD;

/* Rewrites the file from what is live. collect is called on a later turn, when nothing is being written, and adds the
 * records whose callbacks have run; records still queued then follow in the new file. done (may be NULL) tells the
 * outcome. On failure before the rename the old file stays in use. One at a time: -1 RD_E_UNAVAILABLE when one runs. */
typedef struct rd_spool_writer rd_spool_writer;
int rd_spool_writer_add(rd_spool_writer *writer, uint16_t type, rd_bytes payload, rd_err *err) RD_NODISCARD;
typedef int (*rd_spool_collect_fn)(void *context, rd_spool_writer *writer, rd_err *err);
int rd_spool_compact(rd_spool *spool, rd_spool_collect_fn collect, rd_spool_done_fn done, void *context,
                     rd_err *err) RD_NODISCARD;

/* CRC-32C (Castagnoli, RFC 3720 appendix B.4), continued from crc (0 to begin). */
uint32_t rd_crc32c(uint32_t crc, rd_bytes bytes);

#endif
