#include "common/model/policy_priv.h"

#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdio.h>
#include <string.h>

#define VALUES_OF_ONE_MAX 32

const rd_measure_row rd_measure_rows[RD_MEASURE_COUNT] = {
    [RD_MEASURE_MRTD] = { "mrtd", RD_TEE_TDX, 48, true },
    [RD_MEASURE_RTMR0] = { "rtmr0", RD_TEE_TDX, 48, false },
    [RD_MEASURE_RTMR1] = { "rtmr1", RD_TEE_TDX, 48, false },
    [RD_MEASURE_RTMR2] = { "rtmr2", RD_TEE_TDX, 48, false },
    [RD_MEASURE_MRCONFIGID] = { "mrconfigid", RD_TEE_TDX, 48, false },
    [RD_MEASURE_MROWNER] = { "mrowner", RD_TEE_TDX, 48, false },
    [RD_MEASURE_MROWNERCONFIG] = { "mrownerconfig", RD_TEE_TDX, 48, false },
    [RD_MEASURE_MRENCLAVE] = { "mrenclave", RD_TEE_SGX, 32, true },
    [RD_MEASURE_MRSIGNER] = { "mrsigner", RD_TEE_SGX, 32, true },
    [RD_MEASURE_CONFIGID] = { "configid", RD_TEE_SGX, 64, false },
    [RD_MEASURE_ISVFAMILYID] = { "isvfamilyid", RD_TEE_SGX, 16, false },
    [RD_MEASURE_ISVEXTPRODID] = { "isvextprodid", RD_TEE_SGX, 16, false },
    [RD_MEASURE_LAUNCH] = { "measurement", RD_TEE_SNP, 48, true },
    [RD_MEASURE_HOST_DATA] = { "host_data", RD_TEE_SNP, 32, false },
    [RD_MEASURE_ID_KEY_DIGEST] = { "id_key_digest", RD_TEE_SNP, 48, false },
    [RD_MEASURE_AUTHOR_KEY_DIGEST] = { "author_key_digest", RD_TEE_SNP, 48, false },
    [RD_MEASURE_FAMILY_ID] = { "family_id", RD_TEE_SNP, 16, false },
    [RD_MEASURE_IMAGE_ID] = { "image_id", RD_TEE_SNP, 16, false },
};

int rd_policy_refuse(rd_err *err, const char *pointer, rd_code code, const char *sentence)
{
    (void)rd_err_set(err, code, "%s", sentence);
    return rd_err_at(err, pointer);
}

/* Values of one part, appended to the policy's. */
typedef struct part_reader {
    rd_policy *policy;
    size_t first;
    uint8_t size;
} part_reader;

static int read_value(const json_t *value, size_t index RD_UNUSED, void *context, const char *pointer, rd_err *err)
{
    part_reader *reader = context;
    rd_policy *policy = reader->policy;
    const char *text = json_string_value(value);
    if (!text)
        return rd_policy_refuse(err, pointer, RD_E_JSON_TYPE, "a string of hex digits is needed");
    if (policy->values_count == RD_POLICY_VALUES_MAX)
        return rd_policy_refuse(err, pointer, RD_E_JSON_RANGE, "more values than a policy holds");
    uint8_t *into = policy->values[policy->values_count];
    memset(into, 0, RD_POLICY_VALUE_SIZE);
    if (strcspn(text, "ABCDEF") != strlen(text) ||
        rd_hex_decode(text, json_string_length(value), into, reader->size) < 0)
        return rd_policy_refuse(err, pointer, RD_E_ENCODING, "not lower-case hex of the measure's length");
    for (size_t i = reader->first; i < policy->values_count; i++)
        if (memcmp(policy->values[i], into, RD_POLICY_VALUE_SIZE) == 0)
            return rd_policy_refuse(err, pointer, RD_E_JSON_RANGE, "a value stands twice");
    policy->values_count++;
    return 0;
}

/* A text, "*", or a list of two or more texts: a list of one is written as a text. */
static int read_part(rd_policy *policy, rd_measurement *item, rd_measure measure, const json_t *value,
                     const char *pointer, rd_err *err)
{
    part_reader reader = { .policy = policy, .first = policy->values_count, .size = rd_measure_rows[measure].size };
    bool is_any = json_is_string(value) && strcmp(json_string_value(value), "*") == 0;
    if (json_is_array(value)) {
        if (rd_json_each(value, 2, VALUES_OF_ONE_MAX, pointer, read_value, &reader, err) < 0)
            return -1;
    } else if (!is_any && read_value(value, 0, &reader, pointer, err) < 0) {
        return -1;
    }
    item->parts[item->parts_count].measure = (uint8_t)measure;
    item->parts[item->parts_count].first = (uint8_t)reader.first;
    item->parts[item->parts_count++].count = (uint8_t)(policy->values_count - reader.first);
    return 0;
}

static int read_number(const json_t *value, int64_t min, int64_t max, const char *pointer, int64_t *ret, rd_err *err)
{
    if (!json_is_integer(value))
        return rd_policy_refuse(err, pointer, RD_E_JSON_TYPE, "an integer is needed");
    *ret = json_integer_value(value);
    return *ret >= min && *ret <= max ? 0 : rd_policy_refuse(err, pointer, RD_E_JSON_RANGE, "a number out of range");
}

/* The numbers beside the measures. Returns 1 when the name is none of them. */
static int read_counter(rd_measurement *item, unsigned *seen, const char *name, const json_t *value,
                        const char *pointer, rd_err *err)
{
    int64_t number = 0;
    if (strcmp(name, "isvprodid") == 0) {
        *seen |= 1;
        if (read_number(value, 0, UINT16_MAX, pointer, &number, err) < 0)
            return -1;
        item->isv_prod_id = (uint16_t)number;
    } else if (strcmp(name, "isvsvn_min") == 0) {
        *seen |= 2;
        if (read_number(value, 0, UINT16_MAX, pointer, &number, err) < 0)
            return -1;
        item->isv_svn_min = (uint16_t)number;
    } else if (strcmp(name, "guest_svn_min") == 0) {
        *seen |= 4;
        if (read_number(value, 1, UINT32_MAX, pointer, &number, err) < 0)
            return -1;
        item->guest_svn_min = (uint32_t)number;
    } else if (strcmp(name, "configsvn_min") == 0) {
        if (read_number(value, 1, UINT16_MAX, pointer, &number, err) < 0)
            return -1;
        item->config_svn_min = (uint16_t)number;
    } else {
        return 1;
    }
    return 0;
}

static bool names_identity(const rd_measurement *item)
{
    for (size_t i = 0; i < item->parts_count; i++)
        if (rd_measure_rows[item->parts[i].measure].is_identity && item->parts[i].count > 0)
            return true;
    return false;
}

static bool has_part(const rd_measurement *item, rd_measure measure)
{
    for (size_t i = 0; i < item->parts_count; i++)
        if (item->parts[i].measure == measure)
            return true;
    return false;
}

static int check_item(rd_measurement *item, unsigned seen, const char *pointer, rd_err *err)
{
    if (!names_identity(item))
        return rd_policy_refuse(
            err, pointer, RD_E_JSON_MISSING,
            "mrtd, mrenclave, mrsigner or measurement must say which code is meant, and not all by \"*\"");
    item->has_isv = (seen & 3) != 0;
    bool is_by_signer = item->tee == RD_TEE_SGX && !has_part(item, RD_MEASURE_MRENCLAVE);
    if ((seen & 3) != 0 && ((seen & 3) != 3 || item->tee != RD_TEE_SGX))
        return rd_policy_refuse(err, pointer, RD_E_JSON_RANGE, "isvprodid and isvsvn_min go together, for SGX");
    if (is_by_signer && !item->has_isv)
        return rd_policy_refuse(err, pointer, RD_E_JSON_MISSING,
                                "a signer signs many enclaves: isvprodid and isvsvn_min are needed");
    if (item->guest_svn_min && item->tee != RD_TEE_SNP)
        return rd_policy_refuse(err, pointer, RD_E_JSON_RANGE, "guest_svn_min is of SEV-SNP");
    if (item->config_svn_min && item->tee != RD_TEE_SGX)
        return rd_policy_refuse(err, pointer, RD_E_JSON_RANGE, "configsvn_min is of SGX");
    return 0;
}

static bool same_part(const rd_policy *policy, const rd_measurement *a, const rd_measurement *b, size_t part)
{
    return a->parts[part].measure == b->parts[part].measure && a->parts[part].count == b->parts[part].count &&
           memcmp(policy->values[a->parts[part].first], policy->values[b->parts[part].first],
                  (size_t)a->parts[part].count * RD_POLICY_VALUE_SIZE) == 0;
}

static bool same_item(const rd_policy *policy, const rd_measurement *a, const rd_measurement *b)
{
    if (a->tee != b->tee || a->parts_count != b->parts_count || a->has_isv != b->has_isv ||
        a->isv_prod_id != b->isv_prod_id || a->isv_svn_min != b->isv_svn_min || a->guest_svn_min != b->guest_svn_min ||
        a->config_svn_min != b->config_svn_min)
        return false;
    for (size_t i = 0; i < a->parts_count; i++)
        if (!same_part(policy, a, b, i))
            return false;
    return true;
}

static int read_parts(rd_policy *policy, rd_measurement *item, const json_t *object, const char *pointer, rd_err *err)
{
    char here[sizeof err->pointer];
    for (int m = 0; m < RD_MEASURE_COUNT; m++) {
        const rd_measure_row *row = &rd_measure_rows[m];
        const json_t *value = json_object_get(object, row->name);
        (void)snprintf(here, sizeof here, "%s/%s", pointer, row->name);
        if (!value)
            continue;
        if (item->tee && item->tee != row->tee)
            return rd_policy_refuse(err, here, RD_E_JSON_RANGE, "measures of two kinds of TEE in one item");
        item->tee = row->tee;
        if (read_part(policy, item, (rd_measure)m, value, here, err) < 0)
            return -1;
    }
    return 0;
}

static bool is_measure(const char *name)
{
    for (int m = 0; m < RD_MEASURE_COUNT; m++)
        if (strcmp(rd_measure_rows[m].name, name) == 0)
            return true;
    return false;
}

static int read_item(const json_t *value, size_t index, void *context, const char *pointer, rd_err *err)
{
    rd_policy *policy = context;
    rd_measurement *item = &policy->measurements[index];
    unsigned seen = 0;
    char here[sizeof err->pointer];
    if (!json_is_object(value))
        return rd_policy_refuse(err, pointer, RD_E_JSON_TYPE, "an object is needed");
    *item = (rd_measurement){ .parts_count = 0 };
    if (read_parts(policy, item, value, pointer, err) < 0)
        return -1;
    const char *name;
    json_t *member;
    json_object_foreach((json_t *)value, name, member)
    {
        (void)snprintf(here, sizeof here, "%s/%s", pointer, name);
        int rc = is_measure(name) ? 0 : read_counter(item, &seen, name, member, here, err);
        if (rc > 0)
            return rd_policy_refuse(err, here, RD_E_JSON_UNKNOWN, "a member that is not known here");
        if (rc < 0)
            return -1;
    }
    if (check_item(item, seen, pointer, err) < 0)
        return -1;
    for (size_t i = 0; i < index; i++)
        if (same_item(policy, &policy->measurements[i], item))
            return rd_policy_refuse(err, pointer, RD_E_JSON_RANGE, "a measurement stands twice");
    policy->measurements_count = index + 1;
    return 0;
}

int rd_policy_read_measurements(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_json_each(value, 0, RD_MEASUREMENTS_MAX, pointer, read_item, into, err);
}

static json_t *value_to_json(const rd_policy *policy, size_t index, uint8_t size)
{
    char hex[2 * RD_POLICY_VALUE_SIZE + 1];
    rd_hex_encode(rd_bytes_of(policy->values[index], size), hex);
    return json_string(hex);
}

static json_t *part_to_json(const rd_policy *policy, const rd_measurement *item, size_t part)
{
    uint8_t size = rd_measure_rows[item->parts[part].measure].size;
    size_t first = item->parts[part].first;
    size_t count = item->parts[part].count;
    if (count == 0)
        return json_string("*");
    if (count == 1)
        return value_to_json(policy, first, size);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(list, value_to_json(policy, first + i, size));
    return list;
}

json_t *rd_policy_measurements_to_json(const rd_policy *policy)
{
    json_t *list = json_array();
    for (size_t i = 0; i < policy->measurements_count; i++) {
        const rd_measurement *item = &policy->measurements[i];
        json_t *object = json_object();
        for (size_t p = 0; p < item->parts_count; p++)
            rd_json_set(object, rd_measure_rows[item->parts[p].measure].name, part_to_json(policy, item, p));
        if (item->has_isv) {
            rd_json_set_int(object, "isvprodid", item->isv_prod_id);
            rd_json_set_int(object, "isvsvn_min", item->isv_svn_min);
        }
        if (item->guest_svn_min)
            rd_json_set_int(object, "guest_svn_min", item->guest_svn_min);
        if (item->config_svn_min)
            rd_json_set_int(object, "configsvn_min", item->config_svn_min);
        (void)json_array_append_new(list, object);
    }
    return list;
}

int rd_policy_add_mrtd(rd_policy *policy, const uint8_t mrtd[RD_MRTD_SIZE])
{
    if (policy->measurements_count == RD_MEASUREMENTS_MAX || policy->values_count == RD_POLICY_VALUES_MAX)
        return -1;
    rd_measurement *item = &policy->measurements[policy->measurements_count++];
    *item = (rd_measurement){ .tee = RD_TEE_TDX, .parts_count = 1 };
    item->parts[0].measure = RD_MEASURE_MRTD;
    item->parts[0].first = (uint8_t)policy->values_count;
    item->parts[0].count = 1;
    memset(policy->values[policy->values_count], 0, RD_POLICY_VALUE_SIZE);
    memcpy(policy->values[policy->values_count++], mrtd, RD_MRTD_SIZE);
    return 0;
}

bool rd_policy_part_accepts(const rd_policy *policy, const rd_measurement *item, size_t part, const uint8_t *bytes)
{
    size_t size = rd_measure_rows[item->parts[part].measure].size;
    bool fits = item->parts[part].count == 0;
    for (size_t i = 0; i < item->parts[part].count; i++)
        fits |= rd_equal_ct(policy->values[item->parts[part].first + i], bytes, size);
    return fits;
}
