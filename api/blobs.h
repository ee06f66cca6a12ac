/* blobs: the files of code bundles: <dir>/<2 hex digits>/<64 hex digits>, written whole or not at all.
 * Used by the blob and release routes on workers, and by job delivery to agents.
 * Knows nothing of organisations: who may see a blob is the blobs table's business. */
#ifndef API_BLOBS_H
#define API_BLOBS_H

#include "common/base/bytes.h"
#include "common/base/err.h"

/* Writes when absent: temporary file, fsync, rename, fsync of the folder. digest: plain SHA-256 of bytes, checked by
 * the caller. */
int api_blob_store(const char *dir, const uint8_t digest[32], rd_bytes bytes, rd_err *err) RD_NODISCARD;
/* Opens for reading; BLOB_MISSING when there is none. The descriptor is the caller's. */
int api_blob_open(const char *dir, const uint8_t digest[32], int *ret_fd, uint64_t *ret_size, rd_err *err) RD_NODISCARD;
/* The whole file, at most size_max; checks the digest (a damaged disk is DIGEST_MISMATCH). */
int api_blob_read(const char *dir, const uint8_t digest[32], size_t size_max, rd_buf *out, rd_err *err) RD_NODISCARD;

#endif
