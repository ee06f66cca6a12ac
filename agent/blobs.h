/* blobs: a folder of files named by the SHA-256 of their content, with a size cap.
 * Used for what jobs need (documents, code) and for evidence that the plane may fetch.
 * Verified when written and when read; unpinned files go, least recently used first, when room is needed. What was used
 * of late is kept in memory as well, once, with what is being written: at most 2 MiB in all, or as much as is being
 * written when that alone is more (64 files of at most 256 KiB: 16 MiB). */
#ifndef AGENT_BLOBS_H
#define AGENT_BLOBS_H

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/crypto/hash.h"
#include "common/io/loop.h"

typedef struct agent_blobs agent_blobs;

/* Makes the folder when it is missing (0700) and takes stock of it. size_max in bytes, of all files. With a loop files
 * are written on its thread pool, behind agent_blobs_put: for what can be had again when it was not kept. Then to be
 * freed behind the loop. */
int agent_blobs_open(const char *dir, uint64_t size_max, rd_loop *loop, agent_blobs **ret, rd_err *err) RD_NODISCARD;
agent_blobs *agent_blobs_free(agent_blobs *blobs);
bool agent_blobs_has(agent_blobs *blobs, const rd_digest *digest);
/* DIGEST_MISMATCH when the content does not hash to the name; SPOOL_FULL when there is no room. */
int agent_blobs_put(agent_blobs *blobs, const rd_digest *digest, rd_bytes content, rd_err *err) RD_NODISCARD;
/* The whole content, checked; out is the caller's. A damaged file is removed: NOT_FOUND, as when it is missing. */
int agent_blobs_get(agent_blobs *blobs, const rd_digest *digest, rd_buf *out, rd_err *err) RD_NODISCARD;
/* Pins count; a pinned file is not removed for room. The file need not be there yet. */
void agent_blobs_pin(agent_blobs *blobs, const rd_digest *digest);
void agent_blobs_unpin(agent_blobs *blobs, const rd_digest *digest);
uint64_t agent_blobs_size(const agent_blobs *blobs);

#endif
