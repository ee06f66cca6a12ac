/* decision: the signed record of one decision about evidence (docs/protocol/formats.md, Decision record).
 * Made by believe where the decision is made, kept in verdict_log.record. Names evidence, collateral and policy by
 * their digests, so that whoever has the bytes can judge again. Any thread. */
#ifndef API_DECISION_H
#define API_DECISION_H

#include "api/believe.h"

#define API_DECISION_SIZE_MAX ((size_t)4096)

/* An envelope under record-v1. app: of the lease, NULL when no lease is known. */
int api_decision_record(const api_verdict *verdict, const rd_app_id *app, const char *plane_id,
                        const rd_signing_key *key, rd_buf *ret, rd_err *err) RD_NODISCARD;

#endif
