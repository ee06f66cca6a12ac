/* spool_format: the bytes of a spool's file: header, record heads, and what recovery makes of them.
 * Used by spool.c and its fuzz target. Works on memory alone: no file, no loop. */
#ifndef RD_IO_SPOOL_FORMAT_H
#define RD_IO_SPOOL_FORMAT_H

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/io/spool.h"

#define SPOOL_HEADER_SIZE 48
#define SPOOL_HEAD_SIZE   36
#define SPOOL_TYPE_CLOSED 0xffffu /* closing mark: everything before it was durable */

#define SPOOL_VERSION 2 /* of files that are made now; version 1 is read and appended to */

typedef struct spool_header {
    uint8_t version; /* 1 or 2: the file's */
    uint8_t id[RD_SPOOL_ID_SIZE];
    uint64_t generation; /* files that compaction has made before this one */
} spool_header;

/* Writes and reads the version that the header has. SPOOL_CORRUPT: neither 1 nor 2, or damaged. */
void spool_header_write(const spool_header *header, rd_buf *out);
int spool_header_read(rd_bytes file, spool_header *ret, rd_err *err) RD_NODISCARD;

/* header: of the file that the record is for; from version 2 on its checksum begins there, so that no payload, chosen
 * by whomever, holds what passes for a record of this file. durable_to: offset up to which the file was known to be on
 * disk. False past out's cap. */
bool spool_record_write(const spool_header *header, uint16_t type, uint64_t seq, uint64_t durable_to, rd_bytes payload,
                        rd_buf *out);

typedef struct spool_scan {
    uint64_t last_seq;
    uint64_t valid_size; /* where the next record goes */
    uint64_t torn_size;  /* behind that: a tail that never became durable */
    uint64_t count;
} spool_scan;

/* Walks a whole file, header included. on_record may be NULL. SPOOL_CORRUPT: a record that had been durable is bad. */
int spool_recover(rd_bytes file, int (*on_record)(void *context, const rd_spool_record *record, rd_err *err),
                  void *context, spool_scan *ret, rd_err *err) RD_NODISCARD;

#endif
