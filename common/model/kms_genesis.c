#include "common/model/kms_genesis.h"

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/canonical.h"

#include <string.h>

#define TYPE "redoubt/kms-genesis/v1"

static int refuse_at(rd_err *err, const char *pointer, rd_code code, const char *sentence)
{
    (void)rd_err_set(err, code, "%s", sentence);
    return rd_err_at(err, pointer);
}

/* --- lists of byte strings --- */

typedef struct list {
    uint8_t *items;
    size_t size, *count;
} list;

static int add_item(const list *into, size_t index, const uint8_t *item, const char *pointer, rd_err *err)
{
    for (size_t i = 0; i < index; i++)
        if (memcmp(into->items + i * into->size, item, into->size) == 0)
            return refuse_at(err, pointer, RD_E_JSON_RANGE, "stands twice in its list");
    memcpy(into->items + index * into->size, item, into->size);
    *into->count = index + 1;
    return 0;
}

typedef struct hex_item {
    uint8_t bytes[RD_KMS_MEASUREMENT_SIZE];
} hex_item;

static int read_platform(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    uint8_t bytes[32];
    const char *text = json_string_value(item);
    rd_digest digest;
    char prefixed[RD_DIGEST_TEXT_SIZE] = "sha256:";
    if (!text || json_string_length(item) != 64)
        return refuse_at(err, pointer, RD_E_ENCODING, "not 64 lower-case hex digits");
    memcpy(prefixed + 7, text, 65);
    if (rd_digest_parse(prefixed, RD_DIGEST_TEXT_SIZE - 1, &digest, err) < 0)
        return rd_err_at(err, pointer);
    memcpy(bytes, digest.b, sizeof bytes);
    return add_item(context, index, bytes, pointer, err);
}

static const rd_json_field measurement_fields[] = {
    { "mrtd", RD_JSON_HEX, 0, RD_REQUIRED, .max = RD_KMS_MEASUREMENT_SIZE },
    RD_JSON_END,
};

static int read_measurement(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    hex_item read;
    if (rd_json_read(item, measurement_fields, RD_UNKNOWN_REFUSED, pointer, &read, err) < 0)
        return -1;
    return add_item(context, index, read.bytes, pointer, err);
}

static int read_key(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    uint8_t key[32];
    if (rd_json_b64(item, pointer, key, sizeof key, err) < 0)
        return -1;
    return add_item(context, index, key, pointer, err);
}

/* --- members --- */

static int read_measurements(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    rd_kms_genesis *genesis = into;
    list items = { genesis->measurements[0], RD_KMS_MEASUREMENT_SIZE, &genesis->measurements_count };
    return rd_json_each(value, 1, RD_KMS_MEASUREMENTS_MAX, pointer, read_measurement, &items, err);
}

static int read_platforms(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    rd_kms_genesis *genesis = into;
    list items = { genesis->platforms[0], 32, &genesis->platforms_count };
    return rd_json_each(value, 1, RD_KMS_PLATFORMS_MAX, pointer, read_platform, &items, err);
}

static int read_recovery_keys(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    rd_kms_genesis *genesis = into;
    list items = { genesis->recovery_keys[0], 32, &genesis->recovery_count };
    return rd_json_each(value, 1, RD_KMS_RECOVERY_MAX, pointer, read_key, &items, err);
}

static const rd_json_field recovery_fields[] = {
    { "keys", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_recovery_keys },
    { "threshold", RD_JSON_U32, offsetof(rd_kms_genesis, recovery_threshold), RD_REQUIRED, .min = 1,
      .max = RD_KMS_RECOVERY_MAX },
    RD_JSON_END,
};

static int read_nothing(const json_t *value, void *into RD_UNUSED, const char *pointer, rd_err *err)
{
    if (json_is_array(value) && json_array_size(value) == 0)
        return 0;
    return refuse_at(err, pointer, RD_E_UNSUPPORTED, "must be empty in this version");
}

static int read_zero(const json_t *value, void *into RD_UNUSED, const char *pointer, rd_err *err)
{
    if (json_is_integer(value) && json_integer_value(value) == 0)
        return 0;
    return refuse_at(err, pointer, RD_E_UNSUPPORTED, "must be 0 in this version");
}

static const rd_json_field governance_fields[] = {
    { "delay_s", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_zero },
    { "keys", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_nothing },
    { "threshold", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_zero },
    RD_JSON_END,
};

static const rd_json_field witnesses_fields[] = {
    { "keys", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_nothing },
    { "quorum", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_zero },
    RD_JSON_END,
};

static const rd_json_field genesis_fields[] = {
    { "class", RD_JSON_ENUM, offsetof(rd_kms_genesis, class), RD_REQUIRED, .names = rd_class_names },
    { "governance", RD_JSON_OBJECT, 0, RD_REQUIRED, .fields = governance_fields },
    { "log", RD_JSON_NULL, 0, RD_REQUIRED },
    { "measurements", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_measurements },
    { "platforms", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_platforms },
    { "quorum", RD_JSON_U32, offsetof(rd_kms_genesis, quorum), RD_REQUIRED, .min = 1, .max = RD_KMS_REPLICAS_MAX },
    { "recovery", RD_JSON_OBJECT, 0, RD_NULLABLE, .fields = recovery_fields },
    { "replicas", RD_JSON_U32, offsetof(rd_kms_genesis, replicas), RD_REQUIRED, .min = 1, .max = RD_KMS_REPLICAS_MAX },
    { "root", RD_JSON_KEY, offsetof(rd_kms_genesis, root), RD_REQUIRED },
    { "sim_root", RD_JSON_HEX, offsetof(rd_kms_genesis, sim_root), RD_NULLABLE, .max = 32,
      .has = RD_HAS(rd_kms_genesis, has_sim_root) },
    { "type", RD_JSON_CONST, 0, RD_REQUIRED, .text = TYPE },
    { "witnesses", RD_JSON_OBJECT, 0, RD_REQUIRED, .fields = witnesses_fields },
    RD_JSON_END,
};

static int check(const rd_kms_genesis *genesis, rd_err *err)
{
    if (genesis->recovery_threshold > genesis->recovery_count)
        return refuse_at(err, "/recovery/threshold", RD_E_JSON_RANGE, "the threshold is above the count of keys");
    if (genesis->quorum != genesis->replicas / 2 + 1)
        return refuse_at(err, "/quorum", RD_E_JSON_RANGE, "the quorum is the majority of the replicas");
    if (genesis->has_sim_root && genesis->class != RD_CLASS_SIMULATED)
        return refuse_at(err, "/sim_root", RD_E_CLASS_MISMATCH, "hardware rests on no simulation root");
    return 0;
}

int rd_kms_genesis_parse(rd_bytes canonical, rd_kms_genesis *ret, rd_err *err)
{
    rd_kms_genesis genesis = { 0 };
    if (rd_document_load(canonical, TYPE, genesis_fields, &genesis, err) < 0 || check(&genesis, err) < 0)
        return rd_err_wrap(err, "genesis of a key service");
    *ret = genesis;
    return 0;
}

/* --- writing --- */

static json_t *empty_list_with(const char *number)
{
    json_t *object = json_object();
    rd_json_set(object, "keys", json_array());
    rd_json_set_int(object, number, 0);
    return object;
}

static json_t *governance_to_json(void)
{
    json_t *object = empty_list_with("threshold");
    rd_json_set_int(object, "delay_s", 0);
    return object;
}

static json_t *measurements_to_json(const rd_kms_genesis *genesis)
{
    json_t *array = json_array();
    for (size_t i = 0; i < genesis->measurements_count; i++) {
        json_t *item = json_object();
        rd_json_set_hex(item, "mrtd", RD_BYTES_ARRAY(genesis->measurements[i]));
        (void)json_array_append_new(array, item);
    }
    return array;
}

static json_t *platforms_to_json(const rd_kms_genesis *genesis)
{
    json_t *array = json_array();
    for (size_t i = 0; i < genesis->platforms_count; i++) {
        char text[65];
        rd_hex_encode(RD_BYTES_ARRAY(genesis->platforms[i]), text);
        (void)json_array_append_new(array, json_string(text));
    }
    return array;
}

static json_t *recovery_to_json(const rd_kms_genesis *genesis)
{
    if (genesis->recovery_count == 0)
        return json_null();
    json_t *object = json_object();
    json_t *keys = json_array();
    for (size_t i = 0; i < genesis->recovery_count; i++)
        (void)json_array_append_new(keys, rd_json_new_b64(RD_BYTES_ARRAY(genesis->recovery_keys[i])));
    rd_json_set(object, "keys", keys);
    rd_json_set_int(object, "threshold", genesis->recovery_threshold);
    return object;
}

int rd_kms_genesis_encode(const rd_kms_genesis *genesis, rd_buf *out, rd_err *err)
{
    if (check(genesis, err) < 0)
        return -1;
    RD_CLEANUP(rd_json_free_p) json_t *document = json_object();
    rd_json_set_str(document, "type", TYPE);
    rd_json_set_str(document, "class", rd_class_name(genesis->class));
    rd_json_set_b64(document, "root", RD_BYTES_ARRAY(genesis->root.b));
    rd_json_set(document, "measurements", measurements_to_json(genesis));
    rd_json_set(document, "platforms", platforms_to_json(genesis));
    rd_json_set_int(document, "replicas", genesis->replicas);
    rd_json_set_int(document, "quorum", genesis->quorum);
    rd_json_set(document, "recovery", recovery_to_json(genesis));
    rd_json_set(document, "governance", governance_to_json());
    rd_json_set_null(document, "log");
    rd_json_set(document, "witnesses", empty_list_with("quorum"));
    if (genesis->has_sim_root)
        rd_json_set_hex(document, "sim_root", RD_BYTES_ARRAY(genesis->sim_root));
    else
        rd_json_set_null(document, "sim_root");
    return rd_canonical_write(document, out, err);
}

void rd_kms_genesis_id(rd_bytes canonical, rd_kms_id *ret)
{
    RD_H(ret->b, RD_HASH_KMS_GENESIS, canonical);
}

int rd_kms_genesis_open(rd_bytes canonical, const rd_kms_id *id, rd_kms_genesis *ret, rd_err *err)
{
    rd_kms_id found;
    rd_kms_genesis_id(canonical, &found);
    if (!rd_kms_id_equal(&found, id))
        return rd_err_set(err, RD_E_KMS_UNKNOWN, "the genesis hashes to another key service");
    return rd_kms_genesis_parse(canonical, ret, err);
}

bool rd_kms_genesis_lists_platform(const rd_kms_genesis *genesis, const uint8_t platform_id[32])
{
    for (size_t i = 0; i < genesis->platforms_count; i++)
        if (memcmp(genesis->platforms[i], platform_id, 32) == 0)
            return true;
    return false;
}

bool rd_kms_genesis_lists_build(const rd_kms_genesis *genesis, const uint8_t mrtd[RD_KMS_MEASUREMENT_SIZE])
{
    for (size_t i = 0; i < genesis->measurements_count; i++)
        if (memcmp(genesis->measurements[i], mrtd, RD_KMS_MEASUREMENT_SIZE) == 0)
            return true;
    return false;
}
