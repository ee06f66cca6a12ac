/* kms_records: what a replica of a key service put on record, as it hands it over with a root that has come: read,
 * verified, and said in words. Used by kms join and kms recover; records show reads single ones. */
#ifndef CLI_KMS_RECORDS_H
#define CLI_KMS_RECORDS_H

#include "cli/cmd.h"
#include "common/base/bytes.h"
#include "common/model/kms_genesis.h"
#include "common/model/kms_replica.h"

/* bundle: the certificate and the records, each u16be size ‖ envelope (docs/protocol/kms.md), or nothing. Rows
 * {"number","at","words","reason","record":envelope}, an empty list where there are none; a new reference. Each is
 * signed by a key that the root of the genesis certified, and names the one before it. GRANT_SIGNATURE, SIGNATURE,
 * KMS_UNKNOWN, KMS_FRAME. */
int cli_kms_records_read(rd_bytes bundle, const rd_kms_genesis *genesis, const rd_kms_id *kms, int64_t now_us,
                         json_t **ret, rd_err *err) RD_NODISCARD;
/* One line each, as notes. */
void cli_kms_records_note(const cli_out *out, const json_t *rows);
/* "a grant was given": what a record says, for people. */
void cli_kms_record_words(const rd_kms_record *record, char *out, size_t out_size);

#endif
