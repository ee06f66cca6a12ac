/* grant_proof: whether bytes that came for a grant hold the word of the app's own key service that it gave one.
 * Used by the grants of a host's link before callers are led to an instance: who carries a key service, and who asks
 * it, may be hostile, so that neither the pipe nor the sender is believed. Blocks for two signatures: for a worker. */
#ifndef API_GRANT_PROOF_H
#define API_GRANT_PROOF_H

#include "common/model/ids.h"

typedef struct api_grant_claim {
    rd_bytes kms_genesis; /* as stored; its digest is the id */
    rd_kms_id kms;        /* of the head that the lease runs under */
    rd_app_id app;
    rd_digest release;
    rd_id instance;
    uint64_t epoch;
    rd_digest statement; /* of the evidence that asked, H("statement-v1", ...) */
    int64_t now_us;      /* wall clock */
} api_grant_claim;

/* Follows genesis, certificate and record; what is sealed stays so. GRANT_SIGNATURE, GRANT_MISMATCH for the record of
 * another grant or of none, and the codes of parsing. */
int api_grant_proof_check(rd_bytes answer, const api_grant_claim *claim, rd_err *err) RD_NODISCARD;

#endif
