#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/canonical.h"
#include "common/model/policy_priv.h"

#include <stdio.h>
#include <string.h>

#define COLLATERAL_AGE_MIN_S 3600
#define COLLATERAL_AGE_MAX_S 31536000

static int read_tee(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    rd_policy *policy = context;
    int tee = 0;
    if (rd_json_enum(item, pointer, rd_tee_names, &tee, err) < 0)
        return -1;
    if (rd_policy_accepts_tee(policy, (rd_tee)tee))
        return rd_policy_refuse(err, pointer, RD_E_JSON_RANGE, "a TEE stands twice");
    policy->tees[index] = (rd_tee)tee;
    policy->tees_count = index + 1;
    return 0;
}

static int read_tees(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_json_each(value, 0, RD_TEE_COUNT, pointer, read_tee, into, err);
}

/* Accepted states, in the policy or in its grace. */
typedef struct status_list {
    rd_tcb_status *items;
    size_t *count;
} status_list;

static int read_tcb_status(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    const status_list *list = context;
    int status = 0;
    if (rd_json_enum(item, pointer, rd_tcb_status_names, &status, err) < 0)
        return -1;
    if (status == RD_TCB_REVOKED)
        return rd_policy_refuse(err, pointer, RD_E_POLICY_UNSAFE, "revoked platforms cannot be accepted");
    if (rd_policy_lists_status(list->items, *list->count, (rd_tcb_status)status))
        return rd_policy_refuse(err, pointer, RD_E_JSON_RANGE, "a TCB status stands twice");
    list->items[index] = (rd_tcb_status)status;
    *list->count = index + 1;
    return 0;
}

static int read_tcb(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    rd_policy *policy = into;
    status_list list = { .items = policy->tcb, .count = &policy->tcb_count };
    return rd_json_each(value, 0, RD_TCB_STATUS_COUNT, pointer, read_tcb_status, &list, err);
}

static int read_grace_tcb(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    rd_policy *policy = into;
    status_list list = { .items = policy->grace.tcb, .count = &policy->grace.tcb_count };
    return rd_json_each(value, 1, RD_TCB_STATUS_COUNT, pointer, read_tcb_status, &list, err);
}

/* As the vendor writes them: "INTEL-SA-00828". */
static bool is_advisory(const char *text)
{
    size_t size = strlen(text);
    return size > 0 && size < RD_ADVISORY_SIZE &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") == size;
}

static int read_advisory(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    rd_policy *policy = context;
    const char *text = json_string_value(item);
    if (!text)
        return rd_policy_refuse(err, pointer, RD_E_JSON_TYPE, "a string is needed");
    if (!is_advisory(text))
        return rd_policy_refuse(err, pointer, RD_E_JSON_RANGE, "not the id of an advisory");
    for (size_t i = 0; i < index; i++)
        if (strcmp(policy->advisories[i], text) == 0)
            return rd_policy_refuse(err, pointer, RD_E_JSON_RANGE, "an advisory stands twice");
    (void)snprintf(policy->advisories[index], RD_ADVISORY_SIZE, "%s", text);
    policy->advisories_count = index + 1;
    return 0;
}

static int read_advisories(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_json_each(value, 0, RD_POLICY_ADVISORIES_MAX, pointer, read_advisory, into, err);
}

static int read_platforms(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    rd_policy *policy = into;
    rd_policy_hex_list list = { .items = policy->platforms[0], .count = &policy->platforms_count, .size = 32 };
    return rd_json_each(value, 1, RD_POLICY_PLATFORMS_MAX, pointer, rd_policy_read_hex_item, &list, err);
}

static const rd_json_field grace_fields[] = {
    { "since", RD_JSON_TIME, offsetof(rd_policy, grace.since_us), RD_OPTIONAL },
    { "tcb", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_grace_tcb },
    { "until", RD_JSON_TIME, offsetof(rd_policy, grace.until_us), RD_REQUIRED },
    RD_JSON_END,
};

static const rd_json_field policy_fields[] = {
    { "advisories", RD_JSON_CUSTOM, 0, RD_OPTIONAL, .parse = read_advisories,
      .has = RD_HAS(rd_policy, has_advisories) },
    { "debug", RD_JSON_BOOL, offsetof(rd_policy, allows_debug), RD_REQUIRED },
    { "grace", RD_JSON_OBJECT, 0, RD_OPTIONAL, .fields = grace_fields, .has = RD_HAS(rd_policy, has_grace) },
    { "max_collateral_age_s", RD_JSON_U32, offsetof(rd_policy, max_collateral_age_s), RD_REQUIRED,
      .min = COLLATERAL_AGE_MIN_S, .max = COLLATERAL_AGE_MAX_S },
    { "measurements", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = rd_policy_read_measurements },
    { "min_evaluation", RD_JSON_U32, offsetof(rd_policy, min_evaluation), RD_OPTIONAL, .min = 1 },
    { "platforms", RD_JSON_CUSTOM, 0, RD_OPTIONAL, .parse = read_platforms },
    { "report_data", RD_JSON_HEX, offsetof(rd_policy, report_data), RD_OPTIONAL, .max = 64,
      .has = RD_HAS(rd_policy, has_report_data) },
    { "sgx", RD_JSON_OBJECT, 0, RD_OPTIONAL, .fields = rd_policy_sgx_fields },
    { "simulated", RD_JSON_BOOL, offsetof(rd_policy, is_simulated), RD_REQUIRED },
    { "snp", RD_JSON_OBJECT, 0, RD_OPTIONAL, .fields = rd_policy_snp_fields },
    { "tcb", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_tcb },
    { "td", RD_JSON_OBJECT, 0, RD_OPTIONAL, .fields = rd_policy_td_fields },
    { "tees", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_tees },
    { "type", RD_JSON_CONST, 0, RD_REQUIRED, .text = RD_POLICY_TYPE },
    { "webhook", RD_JSON_OBJECT, offsetof(rd_policy, webhook), RD_OPTIONAL, .fields = rd_webhook_fields,
      .has = RD_HAS(rd_policy, webhook.is_set) },
    RD_JSON_END,
};

static int check_webhook(const rd_policy *policy, const char *pointer, rd_err *err)
{
    rd_egress_entry place;
    rd_bytes target;
    char at[96];
    if (!policy->webhook.is_set || rd_webhook_place(&policy->webhook, policy->is_simulated, &place, &target, err) == 0)
        return 0;
    (void)snprintf(at, sizeof at, "%s/webhook/url", pointer);
    return rd_err_at(err, at);
}

/* value is the document that policy was read from: a default that is spelt out would give one policy two digests. */
static int check_read(const rd_policy *policy, const json_t *value, const char *pointer, rd_err *err)
{
    if (policy->allows_debug && !policy->is_simulated)
        return rd_policy_refuse(err, pointer, RD_E_POLICY_UNSAFE, "debug cannot be accepted on hardware");
    if (check_webhook(policy, pointer, err) < 0)
        return -1;
    RD_CLEANUP(rd_json_free_p) json_t *again = rd_policy_to_json(policy);
    if (!json_equal(again, value))
        return rd_policy_refuse(err, pointer, RD_E_NOT_CANONICAL,
                                "a member that has its default is left out, and names stand in their order");
    return 0;
}

int rd_policy_read(const json_t *value, const char *pointer, rd_policy *ret, rd_err *err)
{
    *ret = (rd_policy){ 0 };
    if (rd_json_read(value, policy_fields, RD_UNKNOWN_REFUSED, pointer, ret, err) == 0 &&
        check_read(ret, value, pointer, err) == 0)
        return 0;
    *ret = (rd_policy){ 0 };
    return -1;
}

static int read_document(const json_t *document, rd_policy *ret, rd_err *err)
{
    const char *type = json_string_value(json_object_get(document, "type"));
    if (type && strcmp(type, RD_POLICY_TYPE) != 0)
        return rd_policy_refuse(err, "/type", RD_E_PURPOSE, "not a policy of type " RD_POLICY_TYPE);
    return rd_policy_read(document, "", ret, err) < 0 ? rd_err_wrap(err, "policy") : 0;
}

int rd_policy_parse(rd_bytes canonical, rd_policy *ret, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *document = NULL;
    if (rd_canonical_check(canonical, &document, err) < 0)
        return rd_err_wrap(err, "policy");
    return read_document(document, ret, err);
}

int rd_policy_load(rd_bytes text, rd_policy *ret, rd_err *err)
{
    static const rd_json_limits limits = { .integers_only = true };
    RD_CLEANUP(rd_json_free_p) json_t *document = NULL;
    if (rd_json_parse(text, &limits, &document, err) < 0)
        return rd_err_wrap(err, "policy");
    return read_document(document, ret, err);
}
