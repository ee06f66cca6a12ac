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

static json_t *hex_list_to_json(const uint8_t *items, size_t count, size_t size)
{
    char hex[2 * 64 + 1];
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        rd_hex_encode(rd_bytes_of(items + i * size, size), hex);
        (void)json_array_append_new(list, json_string(hex));
    }
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

static json_t *min_tcb_to_json(const rd_policy *policy)
{
    json_t *object = json_object();
    for (int p = RD_SNP_MILAN; p < RD_SNP_PRODUCT_COUNT; p++) {
        const rd_snp_tcb *tcb = &policy->snp.min_tcb[p].tcb;
        if (!policy->snp.min_tcb[p].is_set)
            continue;
        json_t *parts = json_object();
        rd_json_set_int(parts, "boot_loader", tcb->boot_loader);
        if (p == RD_SNP_TURIN)
            rd_json_set_int(parts, "fmc", tcb->fmc);
        rd_json_set_int(parts, "microcode", tcb->microcode);
        rd_json_set_int(parts, "snp", tcb->snp);
        rd_json_set_int(parts, "tee", tcb->tee);
        rd_json_set(object, rd_snp_product_names[p], parts);
    }
    return object;
}

/* Sets a member object only when something stands in it; steals it. */
static void set_filled(json_t *object, const char *name, json_t *members)
{
    if (json_object_size(members) > 0)
        rd_json_set(object, name, members);
    else
        json_decref(members);
}

static json_t *snp_to_json(const rd_policy *policy)
{
    json_t *object = json_object();
    if (policy->snp.allows_migration_agent)
        rd_json_set_bool(object, "migration_agent", true);
    if (policy->snp.demands_vcek)
        rd_json_set_bool(object, "vcek_only", true);
    if (policy->snp.max_vmpl)
        rd_json_set_int(object, "max_vmpl", policy->snp.max_vmpl);
    set_filled(object, "min_tcb", min_tcb_to_json(policy));
    return object;
}

static json_t *td_to_json(const rd_policy *policy)
{
    json_t *object = json_object();
    if (policy->td.allows_migratable)
        rd_json_set_bool(object, "migratable", true);
    if (policy->td.allows_sept_ve)
        rd_json_set_bool(object, "sept_ve", true);
    if (policy->td.service_tds_count)
        rd_json_set(object, "service_tds",
                    hex_list_to_json(policy->td.service_tds[0], policy->td.service_tds_count, 48));
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
        rd_json_set(object, "platforms", hex_list_to_json(policy->platforms[0], policy->platforms_count, 32));
    if (policy->has_report_data)
        rd_json_set_hex(object, "report_data", RD_BYTES_ARRAY(policy->report_data));
    set_filled(object, "snp", snp_to_json(policy));
    set_filled(object, "td", td_to_json(policy));
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
