#include "common/model/release.h"

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/canonical.h"
#include "common/model/delegation.h"

#include <stdlib.h>
#include <string.h>

#define TYPE "redoubt/release/v1"

const char *const rd_machine_names[] = { "fresh", "kept", "shared", NULL };

void rd_release_init(rd_release *release)
{
    *release = (rd_release){
        .limits = { RD_BODY_BYTES_DEFAULT, RD_BODY_BYTES_DEFAULT, RD_TIME_MS_DEFAULT, RD_HEAP_BYTES_DEFAULT },
        .resources = { RD_CPU_M_DEFAULT, RD_MEMORY_DEFAULT },
    };
}

void rd_release_done(rd_release *release)
{
    for (size_t i = 0; i < release->env_count; i++)
        free(release->env[i].value);
    free(release->env);
    release->env = NULL;
    release->env_count = 0;
    rd_egress_done(&release->egress);
}

static bool is_env_name(const char *name)
{
    size_t size = strnlen(name, RD_ENV_NAME_MAX + 1);
    if (size == 0 || size > RD_ENV_NAME_MAX || (name[0] >= '0' && name[0] <= '9'))
        return false;
    for (size_t i = 0; i < size; i++)
        if (!(name[i] >= 'A' && name[i] <= 'Z') && !(name[i] >= '0' && name[i] <= '9') && name[i] != '_')
            return false;
    return true;
}

static int compare_env(const void *left, const void *right)
{
    return strcmp(((const rd_env_entry *)left)->name, ((const rd_env_entry *)right)->name);
}

int rd_release_set_env(rd_release *release, const char *name, const char *value, rd_err *err)
{
    if (!is_env_name(name))
        return rd_err_set(err, RD_E_JSON_RANGE, "a name of env is [A-Z_][A-Z0-9_]{0,63}");
    size_t size = strnlen(value, RD_ENV_VALUE_MAX + 1);
    if (size > RD_ENV_VALUE_MAX)
        return rd_err_set(err, RD_E_JSON_RANGE, "env %s: more than %d bytes", name, RD_ENV_VALUE_MAX);
    if (!rd_is_utf8(rd_bytes_of(value, size)))
        return rd_err_set(err, RD_E_ENCODING, "env %s: not UTF-8", name);
    if (release->env_count == RD_ENV_MAX)
        return rd_err_set(err, RD_E_JSON_RANGE, "env: more than %d names", RD_ENV_MAX);
    for (size_t i = 0; i < release->env_count; i++)
        if (strcmp(release->env[i].name, name) == 0)
            return rd_err_set(err, RD_E_JSON_RANGE, "env %s stands twice", name);
    release->env = rd_realloc(release->env, (release->env_count + 1) * sizeof *release->env);
    rd_env_entry *added = &release->env[release->env_count++];
    *added = (rd_env_entry){ .value = rd_strdup(value) };
    memcpy(added->name, name, strlen(name) + 1);
    qsort(release->env, release->env_count, sizeof *release->env, compare_env);
    return 0;
}

static int read_env(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    const char *name;
    json_t *item;
    if (!json_is_object(value)) {
        (void)rd_err_set(err, RD_E_JSON_TYPE, "an object is needed");
        return rd_err_at(err, pointer);
    }
    json_object_foreach((json_t *)value, name, item)
    {
        if (!json_is_string(item)) {
            (void)rd_err_set(err, RD_E_JSON_TYPE, "values of env are strings");
            return rd_err_at(err, pointer);
        }
        if (rd_release_set_env(into, name, json_string_value(item), err) < 0)
            return rd_err_at(err, pointer);
    }
    return 0;
}

static int read_public_code(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    if (!json_is_boolean(value)) {
        (void)rd_err_set(err, RD_E_JSON_TYPE, "true or false is needed");
        return rd_err_at(err, pointer);
    }
    *(bool *)into = json_is_false(value);
    return 0;
}

/* Stands where public_code is false, and nowhere else: one release has one form. */
static int read_sealed(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    if (json_is_true(value)) {
        *(bool *)into = true;
        return 0;
    }
    (void)rd_err_set(err, RD_E_JSON_RANGE, "true, or left out");
    return rd_err_at(err, pointer);
}

static int read_logs(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    static const rd_json_field fields[] = {
        { "key", RD_JSON_B64, offsetof(rd_release, log_key), RD_REQUIRED, .max = RD_X25519_SIZE },
        RD_JSON_END,
    };
    rd_release *release = into;
    const char *word = json_string_value(value);
    if (word && strcmp(word, "clear") == 0) {
        release->logs = RD_LOGS_CLEAR;
        return 0;
    }
    if (!json_is_object(value)) {
        (void)rd_err_set(err, RD_E_JSON_RANGE, "\"clear\", or the key that log lines are sealed to");
        return rd_err_at(err, pointer);
    }
    release->logs = RD_LOGS_SEALED;
    return rd_json_read(value, fields, RD_UNKNOWN_REFUSED, pointer, release, err);
}

/* Left out where each request has a machine of its own: one release has one form. */
static int read_machine(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    const char *word = json_string_value(value);

    for (int i = RD_MACHINE_KEPT; word && rd_machine_names[i]; i++) {
        if (strcmp(word, rd_machine_names[i]) == 0) {
            *(rd_machine *)into = (rd_machine)i;
            return 0;
        }
    }
    (void)rd_err_set(err, RD_E_JSON_RANGE, "\"kept\", \"shared\", or left out");
    return rd_err_at(err, pointer);
}

/* What is read before the two are compared. */
typedef struct release_reading {
    rd_release release; /* first: the fields' offsets are the release's */
    bool says_sealed;   /* of the code */
} release_reading;

static const rd_json_field code_fields[] = {
    { "digest", RD_JSON_DIGEST, offsetof(rd_release, code_digest), RD_REQUIRED },
    { "sealed", RD_JSON_CUSTOM, offsetof(release_reading, says_sealed), RD_OPTIONAL, .parse = read_sealed },
    { "size", RD_JSON_U64, offsetof(rd_release, code_size), RD_REQUIRED, .min = 1, .max = (int64_t)RD_CODE_SIZE_MAX },
    RD_JSON_END,
};

static const rd_json_field limits_fields[] = {
    { "heap_bytes", RD_JSON_U32, offsetof(rd_release_limits, heap_bytes), RD_REQUIRED, .min = RD_HEAP_BYTES_MIN,
      .max = RD_HEAP_BYTES_MAX },
    { "request_bytes", RD_JSON_U32, offsetof(rd_release_limits, request_bytes), RD_REQUIRED, .min = RD_BODY_BYTES_MIN,
      .max = RD_BODY_BYTES_MAX },
    { "response_bytes", RD_JSON_U32, offsetof(rd_release_limits, response_bytes), RD_REQUIRED, .min = RD_BODY_BYTES_MIN,
      .max = RD_BODY_BYTES_MAX },
    { "time_ms", RD_JSON_U32, offsetof(rd_release_limits, time_ms), RD_REQUIRED, .min = 1, .max = RD_TIME_MS_MAX },
    RD_JSON_END,
};

static const rd_json_field resources_fields[] = {
    { "cpu_m", RD_JSON_U32, offsetof(rd_resources, cpu_m), RD_REQUIRED, .min = RD_CPU_M_MIN, .max = RD_CPU_M_MAX },
    { "memory_bytes", RD_JSON_U64, offsetof(rd_resources, memory_bytes), RD_REQUIRED, .min = (int64_t)RD_MEMORY_MIN,
      .max = (int64_t)RD_MEMORY_MAX },
    RD_JSON_END,
};

static const rd_json_field release_fields[] = {
    { "app", RD_JSON_APP_ID, offsetof(rd_release, app), RD_REQUIRED },
    { "code", RD_JSON_OBJECT, 0, RD_REQUIRED, .fields = code_fields },
    { "egress", RD_JSON_CUSTOM, offsetof(rd_release, egress), RD_REQUIRED, .parse = rd_egress_read },
    { "engine", RD_JSON_ENUM, offsetof(rd_release, engine), RD_REQUIRED, .names = rd_engine_names },
    { "env", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_env },
    { "kind", RD_JSON_CONST, 0, RD_REQUIRED, .text = "function" },
    { "limits", RD_JSON_OBJECT, offsetof(rd_release, limits), RD_REQUIRED, .fields = limits_fields },
    { "logs", RD_JSON_CUSTOM, 0, RD_OPTIONAL, .parse = read_logs },
    { "machine", RD_JSON_CUSTOM, offsetof(rd_release, machine), RD_OPTIONAL, .parse = read_machine },
    { "number", RD_JSON_U32, offsetof(rd_release, number), RD_REQUIRED, .min = 1, .max = INT32_MAX },
    { "open", RD_JSON_BOOL, offsetof(rd_release, is_open), RD_REQUIRED },
    { "plain", RD_JSON_BOOL, offsetof(rd_release, is_plain), RD_REQUIRED },
    { "public_code", RD_JSON_CUSTOM, offsetof(rd_release, is_sealed), RD_REQUIRED, .parse = read_public_code },
    { "receipts", RD_JSON_CONST, 0, RD_REQUIRED, .text = "salted" },
    { "resources", RD_JSON_OBJECT, offsetof(rd_release, resources), RD_REQUIRED, .fields = resources_fields },
    { "type", RD_JSON_CONST, 0, RD_REQUIRED, .text = TYPE },
    RD_JSON_END,
};

int rd_release_parse(rd_bytes canonical, rd_release *ret, rd_err *err)
{
    release_reading reading = { 0 };
    int outcome = rd_document_load(canonical, TYPE, release_fields, &reading, err);
    if (outcome == 0 && reading.says_sealed != reading.release.is_sealed) {
        outcome = rd_err_set(err, RD_E_JSON_RANGE, "code is sealed where public_code is false, and only there");
        (void)rd_err_at(err, "/code/sealed");
    }
    if (outcome == 0 && reading.release.machine != RD_MACHINE_FRESH && reading.release.engine != RD_ENGINE_JSC) {
        outcome = rd_err_set(err, RD_E_JSON_RANGE, "only engine jsc can keep or share its machine");
        (void)rd_err_at(err, "/machine");
    }
    if (outcome < 0) {
        rd_release_done(&reading.release);
        return rd_err_wrap(err, "release");
    }
    *ret = reading.release;
    return 0;
}

static json_t *env_to_json(const rd_release *release)
{
    json_t *env = json_object();
    for (size_t i = 0; i < release->env_count; i++)
        rd_json_set_str(env, release->env[i].name, release->env[i].value);
    return env;
}

static json_t *limits_to_json(const rd_release_limits *limits)
{
    json_t *object = json_object();
    rd_json_set_int(object, "heap_bytes", limits->heap_bytes);
    rd_json_set_int(object, "request_bytes", limits->request_bytes);
    rd_json_set_int(object, "response_bytes", limits->response_bytes);
    rd_json_set_int(object, "time_ms", limits->time_ms);
    return object;
}

static json_t *resources_to_json(const rd_resources *resources)
{
    json_t *object = json_object();
    rd_json_set_int(object, "cpu_m", resources->cpu_m);
    rd_json_set_int(object, "memory_bytes", (int64_t)resources->memory_bytes);
    return object;
}

static json_t *code_to_json(const rd_release *release)
{
    json_t *object = json_object();
    rd_json_set_digest(object, "digest", &release->code_digest);
    rd_json_set_int(object, "size", (int64_t)release->code_size);
    if (release->is_sealed)
        rd_json_set_bool(object, "sealed", true);
    return object;
}

static json_t *logs_to_json(const rd_release *release)
{
    if (release->logs == RD_LOGS_CLEAR)
        return json_string("clear");
    json_t *object = json_object();
    rd_json_set_b64(object, "key", RD_BYTES_ARRAY(release->log_key));
    return object;
}

int rd_release_encode(const rd_release *release, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *document = json_object();
    rd_json_set_str(document, "type", TYPE);
    rd_json_set_app_id(document, "app", &release->app);
    rd_json_set_int(document, "number", release->number);
    rd_json_set_str(document, "kind", "function");
    rd_json_set_str(document, "engine", rd_engine_names[release->engine]);
    if (release->machine != RD_MACHINE_FRESH)
        rd_json_set_str(document, "machine", rd_machine_names[release->machine]);
    rd_json_set_bool(document, "public_code", !release->is_sealed);
    rd_json_set_bool(document, "plain", release->is_plain);
    rd_json_set_bool(document, "open", release->is_open);
    rd_json_set(document, "code", code_to_json(release));
    rd_json_set(document, "env", env_to_json(release));
    rd_json_set(document, "egress", rd_egress_to_json(&release->egress));
    if (release->logs != RD_LOGS_UNSAID)
        rd_json_set(document, "logs", logs_to_json(release));
    rd_json_set_str(document, "receipts", "salted");
    rd_json_set(document, "limits", limits_to_json(&release->limits));
    rd_json_set(document, "resources", resources_to_json(&release->resources));
    return rd_canonical_write(document, out, err);
}

void rd_release_digest(rd_bytes canonical, rd_digest *ret)
{
    RD_H(ret->b, RD_HASH_RELEASE, canonical);
}

/* By the owners, or by a key that may. When that right ends does not matter here: a release says what may run, and the
 * head that lists it for how long. */
static int check_signatures(const rd_envelope *envelope, const rd_genesis *genesis, const rd_app_id *app, rd_err *err)
{
    rd_delegation delegation;
    if (!rd_envelope_is_delegated(envelope))
        return rd_envelope_verify(envelope, genesis, RD_SIGN_RELEASE, err);
    if (envelope->signatures[0].base.size > 0)
        return rd_err_set(err, RD_E_SIGNATURE, "a release is built upon no head");
    return rd_delegation_verify(envelope, genesis, app, RD_MAY_RELEASE, RD_SIGN_RELEASE, &delegation, err);
}

int rd_release_accept(const rd_envelope *envelope, const rd_genesis *genesis, const rd_app_id *app, rd_release *ret,
                      rd_digest *ret_digest, rd_err *err)
{
    rd_bytes document = rd_buf_bytes(&envelope->document);
    if (check_signatures(envelope, genesis, app, err) < 0)
        return rd_err_wrap(err, "release");
    rd_release release = { 0 };
    if (rd_release_parse(document, &release, err) < 0)
        return -1;
    if (!rd_app_id_equal(&release.app, app)) {
        rd_release_done(&release);
        (void)rd_err_set(err, RD_E_GENESIS_MISMATCH, "release: of another app");
        return rd_err_at(err, "/app");
    }
    if (ret_digest)
        rd_release_digest(document, ret_digest);
    *ret = release;
    return 0;
}
