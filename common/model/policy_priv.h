/* policy_priv: what the halves of a policy document share. Used inside common/model/policy*.c alone. */
#ifndef RD_MODEL_POLICY_PRIV_H
#define RD_MODEL_POLICY_PRIV_H

#include "common/model/policy.h"

#define RD_POLICY_TYPE "redoubt/policy/v1"

/* For RD_JSON_CUSTOM: into is the policy. */
int rd_policy_read_measurements(const json_t *value, void *into, const char *pointer, rd_err *err) RD_NODISCARD;
json_t *rd_policy_measurements_to_json(const rd_policy *policy);
/* Code and sentence at a pointer; returns -1. */
int rd_policy_refuse(rd_err *err, const char *pointer, rd_code code, const char *sentence);

bool rd_policy_lists_status(const rd_tcb_status *items, size_t count, rd_tcb_status status);

#endif
