/* claims_json: parts of a verdict as JSON, which every report of the verifier shares.
 * Used inside attest alone. Each returns a new reference. */
#ifndef RD_ATTEST_CLAIMS_JSON_H
#define RD_ATTEST_CLAIMS_JSON_H

#include "attest/attest.h"
#include "common/model/json.h"

json_t *rd_tcb_to_json(const rd_tcb_verdict *tcb);
json_t *rd_verdict_collateral_json(const rd_verdict *verdict);
json_t *rd_verdict_steps_json(const rd_verdict *verdict);

#endif
