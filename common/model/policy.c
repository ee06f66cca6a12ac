#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/canonical.h"
#include "common/model/policy_priv.h"

#include <stdio.h>
#include <string.h>

const char *const rd_tee_names[] = { "", "tdx", "sgx", "snp", NULL };

const char *const rd_tcb_status_names[] = {
    "",
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
    "Revoked",
    "TDRelaunchAdvised",
    "TDRelaunchAdvisedConfigurationNeeded",
    NULL,
};

const char *const rd_snp_product_names[] = { "", "Milan", "Genoa", "Turin", NULL };

rd_tcb_status rd_tcb_status_parse(const char *text)
{
    for (int i = RD_TCB_UP_TO_DATE; i < RD_TCB_STATUS_COUNT; i++)
        if (strcmp(rd_tcb_status_names[i], text) == 0)
            return (rd_tcb_status)i;
    return RD_TCB_UNKNOWN;
}

bool rd_policy_lists_status(const rd_tcb_status *items, size_t count, rd_tcb_status status)
{
    for (size_t i = 0; i < count; i++)
        if (items[i] == status)
            return true;
    return false;
}

static json_t *statuses_to_json(const rd_tcb_status *items, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(list, json_string(rd_tcb_status_names[items[i]]));
    return list;
}

/* Whole seconds stand without a fraction, as people write them. */
static void set_time(json_t *object, const char *name, int64_t time_us)
{
    char text[RD_TIME_TEXT_SIZE];
    rd_time_format(time_us, text);
    if (time_us % 1000000 == 0)
        (void)snprintf(strchr(text, '.'), 2, "Z");
    rd_json_set_str(object, name, text);
}

static json_t *grace_to_json(const rd_policy *policy)
{
    json_t *object = json_object();
    rd_json_set(object, "tcb", statuses_to_json(policy->grace.tcb, policy->grace.tcb_count));
    set_time(object, "until", policy->grace.until_us);
    if (policy->grace.since_us)
        set_time(object, "since", policy->grace.since_us);
    return object;
}

static json_t *advisories_to_json(const rd_policy *policy)
{
    json_t *list = json_array();
    for (size_t i = 0; i < policy->advisories_count; i++)
        (void)json_array_append_new(list, json_string(policy->advisories[i]));
    return list;
}

json_t *rd_policy_to_json(const rd_policy *policy)
{
    json_t *object = json_object();
    json_t *tees = json_array();
    for (size_t i = 0; i < policy->tees_count; i++)
        (void)json_array_append_new(tees, json_string(rd_tee_names[policy->tees[i]]));
    rd_json_set_str(object, "type", RD_POLICY_TYPE);
    rd_json_set_bool(object, "simulated", policy->is_simulated);
    rd_json_set(object, "tees", tees);
    rd_json_set(object, "tcb", statuses_to_json(policy->tcb, policy->tcb_count));
    rd_json_set(object, "measurements", rd_policy_measurements_to_json(policy));
    rd_json_set_bool(object, "debug", policy->allows_debug);
    rd_json_set_int(object, "max_collateral_age_s", policy->max_collateral_age_s);
    if (policy->has_advisories)
        rd_json_set(object, "advisories", advisories_to_json(policy));
    if (policy->has_grace)
        rd_json_set(object, "grace", grace_to_json(policy));
    if (policy->min_evaluation)
        rd_json_set_int(object, "min_evaluation", policy->min_evaluation);
    if (policy->platforms_count)
        rd_json_set(object, "platforms", rd_policy_hex_list_to_json(policy->platforms[0], policy->platforms_count, 32));
    if (policy->has_report_data)
        rd_json_set_hex(object, "report_data", RD_BYTES_ARRAY(policy->report_data));
    rd_policy_set_filled(object, "sgx", rd_policy_sgx_to_json(policy));
    rd_policy_set_filled(object, "snp", rd_policy_snp_to_json(policy));
    rd_policy_set_filled(object, "td", rd_policy_td_to_json(policy));
    if (policy->webhook.is_set)
        rd_json_set(object, "webhook", rd_webhook_to_json(&policy->webhook));
    return object;
}

int rd_policy_encode(const rd_policy *policy, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *object = rd_policy_to_json(policy);
    return rd_canonical_write(object, out, err);
}

int rd_policy_digest(const rd_policy *policy, rd_digest *ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf canonical = { 0 };
    if (rd_policy_encode(policy, &canonical, err) < 0)
        return -1;
    RD_H(ret->b, RD_HASH_POLICY, rd_buf_bytes(&canonical));
    return 0;
}

bool rd_policy_accepts_tcb(const rd_policy *policy, rd_tcb_status status)
{
    return status != RD_TCB_REVOKED && status != RD_TCB_UNKNOWN &&
           rd_policy_lists_status(policy->tcb, policy->tcb_count, status);
}

bool rd_policy_grace_covers(const rd_policy *policy, rd_tcb_status status, int64_t tcb_date_us, int64_t time_us)
{
    return policy->has_grace && status != RD_TCB_REVOKED && status != RD_TCB_UNKNOWN &&
           rd_policy_lists_status(policy->grace.tcb, policy->grace.tcb_count, status) &&
           time_us < policy->grace.until_us && tcb_date_us >= policy->grace.since_us;
}

bool rd_policy_accepts_tee(const rd_policy *policy, rd_tee tee)
{
    for (size_t i = 0; i < policy->tees_count; i++)
        if (policy->tees[i] == tee)
            return true;
    return false;
}

bool rd_policy_accepts_service_td(const rd_policy *policy, const uint8_t mr_service_td[48])
{
    static const uint8_t none[48] = { 0 };
    bool fits = memcmp(mr_service_td, none, sizeof none) == 0;
    for (size_t i = 0; i < policy->td.service_tds_count; i++)
        fits |= memcmp(policy->td.service_tds[i], mr_service_td, sizeof none) == 0;
    return fits;
}

bool rd_policy_accepts_advisory(const rd_policy *policy, const char *id)
{
    for (size_t i = 0; i < policy->advisories_count; i++)
        if (strcmp(policy->advisories[i], id) == 0)
            return true;
    return !policy->has_advisories;
}

bool rd_policy_accepts_platform(const rd_policy *policy, const uint8_t platform_id[32])
{
    for (size_t i = 0; i < policy->platforms_count; i++)
        if (memcmp(policy->platforms[i], platform_id, 32) == 0)
            return true;
    return policy->platforms_count == 0;
}
