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

/* Fixed-size hex values, none twice: an item reader with its context, and the way back. */
typedef struct rd_policy_hex_list {
    uint8_t *items;
    size_t *count;
    size_t size;
} rd_policy_hex_list;
int rd_policy_read_hex_item(const json_t *item, size_t index, void *context, const char *pointer,
                            rd_err *err) RD_NODISCARD;
json_t *rd_policy_hex_list_to_json(const uint8_t *items, size_t count, size_t size);
/* Sets a member object only when something stands in it; steals it. */
void rd_policy_set_filled(json_t *object, const char *name, json_t *members);

/* policy_platform.c: the members sgx, snp and td; offsets are in the policy. */
extern const rd_json_field rd_policy_sgx_fields[], rd_policy_snp_fields[], rd_policy_td_fields[];
json_t *rd_policy_sgx_to_json(const rd_policy *policy);
json_t *rd_policy_snp_to_json(const rd_policy *policy);
json_t *rd_policy_td_to_json(const rd_policy *policy);

bool rd_policy_lists_status(const rd_tcb_status *items, size_t count, rd_tcb_status status);

#endif
