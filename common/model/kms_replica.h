/* kms_replica: the root of a key service's word for one replica's key, and the records that such a key signs.
 * Used by the key service, by enclaves (who sealed a grant), and by whoever reads the records. */
#ifndef RD_MODEL_KMS_REPLICA_H
#define RD_MODEL_KMS_REPLICA_H

#include "common/model/envelope.h"
#include "common/model/kms_genesis.h"

#define RD_KMS_DOCUMENT_SIZE_MAX ((size_t)4 << 10) /* of a certificate's or a record's envelope */

/* Signed by the genesis's root under kms-replica-v1. */
typedef struct rd_kms_certificate {
    rd_kms_id kms;
    rd_public_key key;
    uint8_t measurement[RD_KMS_MEASUREMENT_SIZE];
    uint8_t platform[32];
    int64_t not_after_us;
} rd_kms_certificate;

int rd_kms_certificate_parse(rd_bytes canonical, rd_kms_certificate *ret, rd_err *err) RD_NODISCARD;
int rd_kms_certificate_encode(const rd_kms_certificate *certificate, rd_buf *out, rd_err *err) RD_NODISCARD;
/* Appends the envelope. */
int rd_kms_certificate_sign(const rd_kms_certificate *certificate, const rd_signing_key *root, rd_buf *out,
                            rd_err *err) RD_NODISCARD;
/* GRANT_SIGNATURE unless the root of the genesis, whose id is kms, signed it for this KMS, for a build and a machine of
 * the genesis, and it is in date. */
int rd_kms_certificate_accept(rd_bytes envelope, const rd_kms_genesis *genesis, const rd_kms_id *kms, int64_t now_us,
                              rd_kms_certificate *ret, rd_err *err) RD_NODISCARD;

typedef enum rd_kms_record_kind {
    RD_KMS_RECORD_START = 1, /* the genesis, a restart */
    RD_KMS_RECORD_GRANT,
    RD_KMS_RECORD_REFUSAL, /* of a grant, of a join on either side, or of a recovery share */
    RD_KMS_RECORD_JOIN,
    RD_KMS_RECORD_RECOVERY, /* the root was put together out of shares */
} rd_kms_record_kind;

/* Numbered and chained by replica, signed by its key under record-v1. */
typedef struct rd_kms_record {
    rd_kms_id kms;
    rd_public_key replica;
    uint64_t number; /* from 1 */
    bool has_prev;
    rd_digest prev; /* H("record-v1", the record before); none for number 1 */
    rd_kms_record_kind kind;
    int64_t at_us; /* as the replica believes */
    bool has_app, has_release, has_head, has_instance, has_statement, has_until;
    rd_app_id app;
    rd_digest release, head;
    rd_id instance;
    uint64_t epoch;
    rd_digest statement; /* H("statement-v1", …) of what asked */
    int64_t until_us;    /* of a grant */
    char reason[48];     /* code of a refusal, else "" */
} rd_kms_record;

int rd_kms_record_parse(rd_bytes canonical, rd_kms_record *ret, rd_err *err) RD_NODISCARD;
int rd_kms_record_encode(const rd_kms_record *record, rd_buf *out, rd_err *err) RD_NODISCARD;
/* Appends the envelope; *ret_digest is what the next record names. */
int rd_kms_record_sign(const rd_kms_record *record, const rd_signing_key *replica, rd_buf *out, rd_digest *ret_digest,
                       rd_err *err) RD_NODISCARD;
/* Parses and verifies an envelope under the key that the record names and the caller knows. */
int rd_kms_record_accept(rd_bytes envelope, const rd_public_key *replica, rd_kms_record *ret, rd_digest *ret_digest,
                         rd_err *err) RD_NODISCARD;

#endif
