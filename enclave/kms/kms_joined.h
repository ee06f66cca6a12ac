/* kms_joined: a root that came to a replica that waited, with the end of the chain of records that its root process has
 * begun, until the next start takes both (docs/protocol/kms.md, "What lies on disk").
 * Used by the front, which writes it, and by main, which reads it. A root without the end of its chain is none, so that
 * no key signs a number twice. */
#ifndef KMS_JOINED_H
#define KMS_JOINED_H

#include "enclave/kms/kms_channel.h"

/* Durable when it returns 0. fd: kms_store_open_joined's. KMS_AUDIT. */
int kms_joined_write(int fd, const uint8_t state_key[32], rd_bytes sealed, const kms_told_record *end,
                     rd_err *err) RD_NODISCARD;
/* Appends the sealed root. What was cut off is nothing: *ret_there is false. KMS_STATE for what another one wrote. */
int kms_joined_read(const char *dir, const uint8_t state_key[32], rd_buf *ret_sealed, kms_told_record *ret_end,
                    bool *ret_there, rd_err *err) RD_NODISCARD;
/* Whether a start before this one has taken it: the folder has that root, and the state's chain, which record_number
 * ends, is at the joined end or past it. It is then only dropped: taken again it would set the chain back. IO. */
int kms_joined_is_taken(const char *dir, rd_bytes sealed, const kms_told_record *end, uint64_t record_number,
                        bool *ret_taken, rd_err *err) RD_NODISCARD;

#endif
