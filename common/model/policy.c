#include "common/model/policy.h"

#include "common/base/mem.h"
#include "common/model/canonical.h"

#include <string.h>

#define TYPE                 "redoubt/policy/v1"
#define COLLATERAL_AGE_MIN_S 3600
#define COLLATERAL_AGE_MAX_S 31536000

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

rd_tcb_status rd_tcb_status_parse(const char *text)
{
    for (int i = RD_TCB_UP_TO_DATE; i < RD_TCB_STATUS_COUNT; i++)
        if (strcmp(rd_tcb_status_names[i], text) == 0)
            return (rd_tcb_status)i;
    return RD_TCB_UNKNOWN;
}

static int refuse_item(rd_err *err, const char *pointer, rd_code code, const char *sentence)
{
    (void)rd_err_set(err, code, "%s", sentence);
    return rd_err_at(err, pointer);
}

static int read_tee(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    rd_policy *policy = context;
    int tee = 0;
    if (rd_json_enum(item, pointer, rd_tee_names, &tee, err) < 0)
        return -1;
    if (rd_policy_accepts_tee(policy, (rd_tee)tee))
        return refuse_item(err, pointer, RD_E_JSON_RANGE, "a TEE stands twice");
    policy->tees[index] = (rd_tee)tee;
    policy->tees_count = index + 1;
    return 0;
}

static int read_tees(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_json_each(value, 0, RD_TEE_COUNT, pointer, read_tee, into, err);
}

static int read_tcb_status(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    rd_policy *policy = context;
    int status = 0;
    if (rd_json_enum(item, pointer, rd_tcb_status_names, &status, err) < 0)
        return -1;
    if (status == RD_TCB_REVOKED)
        return refuse_item(err, pointer, RD_E_POLICY_UNSAFE, "revoked platforms cannot be accepted");
    if (rd_policy_accepts_tcb(policy, (rd_tcb_status)status))
        return refuse_item(err, pointer, RD_E_JSON_RANGE, "a TCB status stands twice");
    policy->tcb[index] = (rd_tcb_status)status;
    policy->tcb_count = index + 1;
    return 0;
}

static int read_tcb(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_json_each(value, 0, RD_TCB_STATUS_COUNT, pointer, read_tcb_status, into, err);
}

static const rd_json_field measurement_fields[] = {
    { "mrtd", RD_JSON_HEX, 0, RD_REQUIRED, .max = RD_MRTD_SIZE },
    RD_JSON_END,
};

static int read_measurement(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    rd_policy *policy = context;
    uint8_t mrtd[RD_MRTD_SIZE];
    if (rd_json_read(item, measurement_fields, RD_UNKNOWN_REFUSED, pointer, mrtd, err) < 0)
        return -1;
    if (rd_policy_accepts_mrtd(policy, mrtd))
        return refuse_item(err, pointer, RD_E_JSON_RANGE, "a measurement stands twice");
    memcpy(policy->measurements[index], mrtd, sizeof mrtd);
    policy->measurements_count = index + 1;
    return 0;
}

static int read_measurements(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_json_each(value, 0, RD_MEASUREMENTS_MAX, pointer, read_measurement, into, err);
}

static const rd_json_field policy_fields[] = {
    { "debug", RD_JSON_BOOL, offsetof(rd_policy, allows_debug), RD_REQUIRED },
    { "max_collateral_age_s", RD_JSON_U32, offsetof(rd_policy, max_collateral_age_s), RD_REQUIRED,
      .min = COLLATERAL_AGE_MIN_S, .max = COLLATERAL_AGE_MAX_S },
    { "measurements", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_measurements },
    { "simulated", RD_JSON_BOOL, offsetof(rd_policy, is_simulated), RD_REQUIRED },
    { "tcb", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_tcb },
    { "tees", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_tees },
    { "type", RD_JSON_CONST, 0, RD_REQUIRED, .text = TYPE },
    RD_JSON_END,
};

static int check_safe(const rd_policy *policy, const char *pointer, rd_err *err)
{
    if (policy->allows_debug && !policy->is_simulated)
        return refuse_item(err, pointer, RD_E_POLICY_UNSAFE, "debug cannot be accepted on hardware");
    return 0;
}

int rd_policy_read(const json_t *value, const char *pointer, rd_policy *ret, rd_err *err)
{
    rd_policy policy = { 0 };
    if (rd_json_read(value, policy_fields, RD_UNKNOWN_REFUSED, pointer, &policy, err) < 0 ||
        check_safe(&policy, pointer, err) < 0)
        return -1;
    *ret = policy;
    return 0;
}

int rd_policy_parse(rd_bytes canonical, rd_policy *ret, rd_err *err)
{
    rd_policy policy = { 0 };
    if (rd_document_load(canonical, TYPE, policy_fields, &policy, err) < 0 || check_safe(&policy, "", err) < 0)
        return rd_err_wrap(err, "policy");
    *ret = policy;
    return 0;
}

json_t *rd_policy_to_json(const rd_policy *policy)
{
    json_t *object = json_object();
    json_t *tees = json_array();
    json_t *tcb = json_array();
    json_t *measurements = json_array();
    for (size_t i = 0; i < policy->tees_count; i++)
        (void)json_array_append_new(tees, json_string(rd_tee_names[policy->tees[i]]));
    for (size_t i = 0; i < policy->tcb_count; i++)
        (void)json_array_append_new(tcb, json_string(rd_tcb_status_names[policy->tcb[i]]));
    for (size_t i = 0; i < policy->measurements_count; i++) {
        json_t *measurement = json_object();
        rd_json_set_hex(measurement, "mrtd", RD_BYTES_ARRAY(policy->measurements[i]));
        (void)json_array_append_new(measurements, measurement);
    }
    rd_json_set_str(object, "type", TYPE);
    rd_json_set_bool(object, "simulated", policy->is_simulated);
    rd_json_set(object, "tees", tees);
    rd_json_set(object, "tcb", tcb);
    rd_json_set(object, "measurements", measurements);
    rd_json_set_bool(object, "debug", policy->allows_debug);
    rd_json_set_int(object, "max_collateral_age_s", policy->max_collateral_age_s);
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

bool rd_policy_accepts_mrtd(const rd_policy *policy, const uint8_t mrtd[RD_MRTD_SIZE])
{
    for (size_t i = 0; i < policy->measurements_count; i++)
        if (memcmp(policy->measurements[i], mrtd, RD_MRTD_SIZE) == 0)
            return true;
    return false;
}

bool rd_policy_accepts_tcb(const rd_policy *policy, rd_tcb_status status)
{
    for (size_t i = 0; i < policy->tcb_count; i++)
        if (policy->tcb[i] == status && status != RD_TCB_REVOKED && status != RD_TCB_UNKNOWN)
            return true;
    return false;
}

bool rd_policy_accepts_tee(const rd_policy *policy, rd_tee tee)
{
    for (size_t i = 0; i < policy->tees_count; i++)
        if (policy->tees[i] == tee)
            return true;
    return false;
}
