/* fields_json: what a quote or report says, member by member, under the names of the vendors' structures in snake case.
 * Used by `redoubt evidence` and the API. Hex is the bytes as they stand in the structure; numbers are numbers, and the
 * two 64-bit words of SEV-SNP (policy, platform_info) are 16 digits, high digit first. */
#ifndef RD_ATTEST_FIELDS_JSON_H
#define RD_ATTEST_FIELDS_JSON_H

#include "attest/claims.h"
#include "common/model/json.h"

/* A new object; empty for evidence that could not be read. */
json_t *rd_attest_fields(const rd_claims *claims);

#endif
