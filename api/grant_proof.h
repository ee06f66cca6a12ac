/* grant_proof: whether bytes that came for a grant hold the word of the app's own key service that it gave one, and
 * whether a refusal's record can be of this question.
 * Used by the grants of a host's link before callers are led to an instance and before a record is kept: who carries a
 * key service, and who asks it, may be hostile, so that neither the pipe nor the sender is believed. Blocks for two
 * signatures: for a worker. */
#ifndef API_GRANT_PROOF_H
#define API_GRANT_PROOF_H

#include "common/model/grant.h"
#include "common/model/kms_replica.h"

typedef struct api_grant_claim {
    rd_bytes kms_genesis; /* as stored; its digest is the id; not looked at for a refusal */
    rd_kms_id kms;        /* who was asked */
    rd_app_id app;
    rd_digest release;
    rd_id instance;
    uint64_t epoch;
    rd_digest statement; /* of the evidence that asked, H("statement-v1", ...) */
    int64_t now_us;      /* wall clock */
} api_grant_claim;

/* Follows genesis, certificate and record of an answer; what is sealed stays so. *ret is the record. GRANT_SIGNATURE,
 * GRANT_MISMATCH for the record of another grant or of none, and the codes of parsing. */
int api_grant_proof_check(const rd_grant_answer *answer, const api_grant_claim *claim, rd_kms_record *ret,
                          rd_err *err) RD_NODISCARD;
/* A refusal comes without a certificate: it is signed by the key that it names, names this key service, and nothing in
 * it is of another question. Whose key it is stays open. SIGNATURE, GRANT_MISMATCH, and the codes of parsing. */
int api_grant_refusal_check(rd_bytes record, const api_grant_claim *claim, rd_kms_record *ret,
                            rd_err *err) RD_NODISCARD;

#endif
