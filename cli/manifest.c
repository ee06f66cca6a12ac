#include "cli/manifest.h"

#include "cli/args.h"
#include "cli/profile.h"
#include "cli/yaml.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/head.h"
#include "common/model/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define IDLE_S_DEFAULT 300
/* The engine alone takes 60 MiB, and makes a machine for each request; who asks for it has work for a processor. */
#define JSC_MEMORY_DEFAULT (UINT64_C(256) << 20)
#define JSC_CPU_M_DEFAULT  500u
#define MANIFEST_SIZE_MAX  65536

static bool name_is_ok(const char *name)
{
    size_t size = strlen(name);
    if (size == 0 || size > 63 || name[0] < 'a' || name[0] > 'z')
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == size;
}

static int read_env(const json_t *value, void *into, const char *pointer RD_UNUSED, rd_err *err)
{
    rd_release *release = into;
    const char *name;
    json_t *text;
    if (!json_is_object(value))
        return rd_err_set(err, RD_E_JSON_TYPE, "env must map names to texts");
    json_object_foreach((json_t *)value, name, text)
    {
        RD_CLEANUP(rd_free_p) char *at = rd_asprintf("/env/%s", name);
        if (!json_is_string(text)) {
            (void)rd_err_set(err, RD_E_JSON_TYPE, "%s must be a text; put it in quotes", name);
            return rd_err_at(err, at);
        }
        if (rd_release_set_env(release, name, json_string_value(text), err) < 0)
            return rd_err_at(err, at);
    }
    return 0;
}

#define AT(member)  offsetof(cli_manifest, member)
#define AT_L(limit) AT(release.limits.limit)

static int read_policy(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    cli_manifest *manifest = into;
    const char *path = json_string_value(value);
    if (path && path[0] && !manifest->is_prepared) {
        manifest->policy = path[0] == '/' ? rd_strdup(path) : rd_asprintf("%s/%s", manifest->dir, path);
        return 0;
    }
    (void)rd_err_set(err, RD_E_JSON_TYPE, "%s",
                     manifest->is_prepared ? "a policy is set by redoubt deploy, from a file of its owner's"
                                           : "policy must name a file");
    return rd_err_at(err, pointer);
}

/* null is a word, too: none any more. */
static int read_webhook(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    cli_manifest *manifest = into;
    manifest->has_no_webhook = json_is_null(value);
    if (manifest->has_no_webhook)
        return 0;
    manifest->webhook.is_set = true;
    return rd_json_read(value, rd_webhook_fields, RD_UNKNOWN_REFUSED, pointer, &manifest->webhook, err);
}

/* Of a request, in the release; of grants, in the head. */
static const rd_json_field limit_fields[] = {
    { "grant_s", RD_JSON_U32, AT(grant_s), RD_OPTIONAL, RD_HEAD_GRANT_S_MIN, RD_HEAD_GRANT_S_MAX },
    { "grant_requests", RD_JSON_U64, AT(grant_requests), RD_OPTIONAL, RD_HEAD_GRANT_REQUESTS_MIN,
      RD_HEAD_GRANT_REQUESTS_MAX },
    { "request_bytes", RD_JSON_U32, AT_L(request_bytes), RD_OPTIONAL, RD_BODY_BYTES_MIN, RD_BODY_BYTES_MAX },
    { "response_bytes", RD_JSON_U32, AT_L(response_bytes), RD_OPTIONAL, RD_BODY_BYTES_MIN, RD_BODY_BYTES_MAX },
    { "time_ms", RD_JSON_U32, AT_L(time_ms), RD_OPTIONAL, 1, RD_TIME_MS_MAX },
    { "heap_bytes", RD_JSON_U32, AT_L(heap_bytes), RD_OPTIONAL, RD_HEAP_BYTES_MIN, RD_HEAP_BYTES_MAX },
    RD_JSON_END,
};

static const rd_json_field resource_fields[] = {
    { "cpu_m", RD_JSON_U32, offsetof(rd_resources, cpu_m), RD_OPTIONAL, RD_CPU_M_MIN, RD_CPU_M_MAX },
    { "memory_bytes", RD_JSON_U64, offsetof(rd_resources, memory_bytes), RD_OPTIONAL, RD_MEMORY_MIN, RD_MEMORY_MAX },
    RD_JSON_END,
};

static const rd_json_field instance_fields[] = {
    { "min", RD_JSON_U64, AT(instances_min), RD_OPTIONAL, 0, 1000 },
    { "max", RD_JSON_U64, AT(instances_max), RD_OPTIONAL, 1, 1000 },
    { "idle_s", RD_JSON_U64, AT(idle_s), RD_OPTIONAL, 10, 86400 },
    RD_JSON_END,
};

static const char *const log_forms[] = {
    [RD_LOGS_UNSAID] = "", [RD_LOGS_CLEAR] = "clear", [RD_LOGS_SEALED] = "sealed", NULL
};

static const rd_json_field manifest_fields[] = {
    { "name", RD_JSON_TEXT, AT(name), RD_REQUIRED, 1, 63 },
    { "main", RD_JSON_STRING, AT(main), RD_OPTIONAL, 1, 255 },
    { "kind", RD_JSON_CONST, 0, RD_OPTIONAL, 0, 0, "function" },
    { "engine", RD_JSON_ENUM, AT(release.engine), RD_OPTIONAL, .names = rd_engine_names },
    { "class", RD_JSON_ENUM, AT(class), RD_OPTIONAL, .names = rd_class_names, .has = RD_HAS(cli_manifest, has_class) },
    { "machine", RD_JSON_ENUM, AT(release.machine), RD_OPTIONAL, .names = rd_machine_names },
    { "open", RD_JSON_BOOL, AT(release.is_open), RD_OPTIONAL },
    { "plain", RD_JSON_BOOL, AT(release.is_plain), RD_OPTIONAL },
    { "public_code", RD_JSON_BOOL, AT(is_public_code), RD_OPTIONAL },
    { "logs", RD_JSON_ENUM, AT(logs), RD_OPTIONAL, .names = log_forms },
    { "env", RD_JSON_CUSTOM, AT(release), RD_OPTIONAL, .parse = read_env },
    { "egress", RD_JSON_CUSTOM, 0, RD_OPTIONAL, .parse = cli_manifest_read_egress },
    { "limits", RD_JSON_OBJECT, 0, RD_OPTIONAL, .fields = limit_fields },
    { "policy", RD_JSON_CUSTOM, 0, RD_OPTIONAL, .parse = read_policy },
    { "resources", RD_JSON_OBJECT, AT(release.resources), RD_OPTIONAL, .fields = resource_fields },
    { "instances", RD_JSON_OBJECT, 0, RD_OPTIONAL, .fields = instance_fields },
    { "webhook", RD_JSON_CUSTOM, 0, RD_OPTIONAL, .fields = rd_webhook_fields, .parse = read_webhook },
    RD_JSON_END,
};

static const rd_json_field *fields_of(const char *group, size_t size)
{
    for (const rd_json_field *field = manifest_fields; field->name; field++)
        if (strlen(field->name) == size && memcmp(field->name, group, size) == 0)
            return field->fields;
    return NULL;
}

/* A member that nobody knows is most often a misspelt one. */
static void explain_unknown(rd_err *err)
{
    const char *name = strrchr(err->pointer, '/');
    const rd_json_field *fields = manifest_fields;
    if (!name)
        return;
    if (name != err->pointer)
        fields = fields_of(err->pointer + 1, strcspn(err->pointer + 1, "/"));
    const char *nearest = NULL;
    size_t best = 3;
    for (const rd_json_field *field = fields; field && field->name; field++) {
        size_t distance = cli_edit_distance(name + 1, field->name);
        nearest = distance < best ? field->name : nearest;
        best = RD_MIN(distance, best);
    }
    char pointer[sizeof err->pointer];
    (void)snprintf(pointer, sizeof pointer, "%s", err->pointer);
    (void)rd_err_set(err, RD_E_CLI_MANIFEST, "unknown member %s%s%s%s", strrchr(pointer, '/') + 1,
                     nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
    (void)rd_err_at(err, pointer);
}

/* YAML reads a member without a value as null, and one whose lines were commented out as well: nobody said so. */
static int check_spoken(const cli_manifest *manifest, rd_bytes text, rd_err *err)
{
    unsigned line = cli_yaml_line(text, "/webhook");
    const char *at = (const char *)text.data, *end = at + text.size;
    for (unsigned i = 1; i < line && at < end; i++) {
        const char *next = memchr(at, '\n', (size_t)(end - at));
        at = next ? next + 1 : end;
    }
    RD_CLEANUP(rd_free_p) char *said = rd_strndup(at, (size_t)(end - at));
    said[strcspn(said, "\n#")] = '\0';
    if (strstr(said, "null") || strchr(said, '~'))
        return 0;
    return rd_err_set(err, RD_E_CLI_MANIFEST,
                      "%s:%u: webhook is empty; leave it out to keep the one that is set, or write webhook: null when "
                      "there is to be none any more",
                      manifest->path, line);
}

static int read_manifest(cli_manifest *manifest, rd_err *err)
{
    RD_CLEANUP(rd_free_p) uint8_t *data = NULL;
    size_t size;
    if (cli_read_file(manifest->path, MANIFEST_SIZE_MAX, &data, &size, err) < 0)
        return -1;
    RD_CLEANUP(rd_json_free_p) json_t *document = NULL;
    const char *ending = strrchr(manifest->path, '.');
    bool is_json = ending && strcmp(ending, ".json") == 0;
    int status = is_json ? rd_json_parse(rd_bytes_of(data, size), NULL, &document, err)
                         : cli_yaml_parse(rd_bytes_of(data, size), &document, err);
    if (status < 0)
        return rd_err_wrap(err, "%s", manifest->path);
    if (rd_json_read(document, manifest_fields, RD_UNKNOWN_REFUSED, "", manifest, err) < 0) {
        if (err->code == RD_E_JSON_UNKNOWN)
            explain_unknown(err);
        err->code = RD_E_CLI_MANIFEST;
        return rd_err_wrap(err, "%s:%u", manifest->path, cli_yaml_line(rd_bytes_of(data, size), err->pointer));
    }
    return manifest->has_no_webhook && !is_json ? check_spoken(manifest, rd_bytes_of(data, size), err) : 0;
}

/* What the manifest leaves out depends on the engine. */
static void fill_resources(cli_manifest *manifest)
{
    rd_resources *resources = &manifest->release.resources;
    bool is_jsc = manifest->release.engine == RD_ENGINE_JSC;
    if (!manifest->has_own_memory)
        resources->memory_bytes = is_jsc ? JSC_MEMORY_DEFAULT : RD_MEMORY_DEFAULT;
    if (!manifest->has_own_cpu)
        resources->cpu_m = is_jsc ? JSC_CPU_M_DEFAULT : RD_CPU_M_DEFAULT;
}

/* A release that nobody would take is not made. */
static int check_machine(const cli_manifest *manifest, rd_err *err)
{
    rd_machine machine = manifest->release.machine;
    if (machine != RD_MACHINE_FRESH && manifest->release.engine != RD_ENGINE_JSC)
        return rd_err_set(err, RD_E_CLI_MANIFEST, "machine: %s is for engine jsc alone", rd_machine_names[machine]);
    return 0;
}

/* Whether plain HTTP will do says the class, which may be the profile's. */
static int check_webhook(const cli_manifest *manifest, rd_err *err)
{
    rd_egress_entry place;
    rd_bytes target;
    if ((manifest->webhook.is_set || manifest->has_no_webhook) && manifest->is_prepared)
        return rd_err_set(err, RD_E_CLI_MANIFEST, "a webhook is set by redoubt deploy, from a manifest of its owner's");
    if (!manifest->webhook.is_set || rd_webhook_place(&manifest->webhook, true, &place, &target, err) == 0)
        return 0;
    err->code = RD_E_CLI_MANIFEST;
    return rd_err_wrap(err, "webhook.url");
}

static int check(cli_manifest *manifest, rd_err *err)
{
    if (check_webhook(manifest, err) < 0)
        return -1;
    if (!name_is_ok(manifest->name))
        return rd_err_set(err, RD_E_CLI_MANIFEST,
                          "name \"%s\" must be a lower-case letter, then letters, digits and dashes, at most 63",
                          manifest->name);
    if (manifest->instances_min > manifest->instances_max)
        return rd_err_set(err, RD_E_CLI_MANIFEST, "instances.min %llu is above instances.max %llu",
                          (unsigned long long)manifest->instances_min, (unsigned long long)manifest->instances_max);
    if (!manifest->main)
        manifest->main = rd_strdup("index.js");
    manifest->has_own_memory = manifest->release.resources.memory_bytes > 0;
    manifest->has_own_cpu = manifest->release.resources.cpu_m > 0;
    fill_resources(manifest);
    return check_machine(manifest, err);
}

/* A script alone: its name without the ending, made to fit. */
static void name_after_file(cli_manifest *manifest, const char *file)
{
    size_t used = 0;
    for (const char *at = file; *at && *at != '.' && used < sizeof manifest->name - 1; at++) {
        char c = (char)(*at >= 'A' && *at <= 'Z' ? *at + 32 : *at);
        bool is_letter = c >= 'a' && c <= 'z';
        if (used == 0 && !is_letter)
            continue;
        manifest->name[used++] = is_letter || (c >= '0' && c <= '9') ? c : '-';
    }
    manifest->name[used] = '\0';
    if (!used)
        (void)strcpy(manifest->name, "function");
}

static void split_path(cli_manifest *manifest, const char *path, char **ret_file)
{
    const char *slash = strrchr(path, '/');
    manifest->dir = slash == path ? rd_strdup("/") : slash ? rd_strndup(path, (size_t)(slash - path)) : rd_strdup(".");
    *ret_file = rd_strdup(slash ? slash + 1 : path);
}

static int find_in_folder(cli_manifest *manifest, const char *folder, rd_err *err)
{
    static const char *const names[] = { "redoubt.yaml", "redoubt.yml", "redoubt.json" };
    for (size_t i = 0; i < RD_ARRAY_LEN(names); i++) {
        char *path = rd_asprintf("%s/%s", folder, names[i]);
        if (access(path, R_OK) == 0) {
            manifest->path = path;
            manifest->dir = rd_strdup(folder);
            return 0;
        }
        free(path);
    }
    return rd_err_set(err, RD_E_CLI_FILE, "no redoubt.yaml in %s; name a script or a folder that has one", folder);
}

int cli_manifest_load(const char *path, cli_manifest *ret, rd_err *err)
{
    *ret = (cli_manifest){ .instances_min = 1, .instances_max = 1, .idle_s = IDLE_S_DEFAULT };
    rd_release_init(&ret->release);
    ret->release.resources = (rd_resources){ 0 }; /* filled by check */
    path = path ? path : ".";
    struct stat status;
    if (stat(path, &status) < 0)
        return rd_err_set(err, RD_E_CLI_FILE, "%s: no such file or folder", path);
    if (S_ISDIR(status.st_mode)) {
        if (find_in_folder(ret, path, err) < 0)
            return -1;
        return read_manifest(ret, err) < 0 ? -1 : check(ret, err);
    }
    RD_CLEANUP(rd_free_p) char *file = NULL;
    split_path(ret, path, &file);
    ret->path = rd_strdup(path);
    const char *ending = strrchr(file, '.');
    if (ending && (strcmp(ending, ".js") == 0 || strcmp(ending, ".mjs") == 0)) {
        name_after_file(ret, file);
        ret->main = RD_TAKE(file);
        return check(ret, err);
    }
    return read_manifest(ret, err) < 0 ? -1 : check(ret, err);
}

int cli_manifest_from_settings(const char *name, const json_t *settings, cli_manifest *ret, rd_err *err)
{
    *ret = (cli_manifest){
        .instances_min = 1,
        .instances_max = 1,
        .idle_s = IDLE_S_DEFAULT,
        .path = rd_strdup("prepared in the dashboard"),
        .is_prepared = true,
    };
    rd_release_init(&ret->release);
    ret->release.resources = (rd_resources){ 0 }; /* filled by check */
    json_t *document = json_is_object(settings) ? json_deep_copy(settings) : json_object();
    (void)json_object_set_new(document, "name", json_string(name));
    int status = rd_json_read(document, manifest_fields, RD_UNKNOWN_REFUSED, "", ret, err);
    json_decref(document);
    return status < 0 ? -1 : check(ret, err);
}

void cli_manifest_set_policy(cli_manifest *manifest, const char *path)
{
    free(manifest->policy);
    manifest->policy = rd_strdup(path);
}

int cli_manifest_set_engine(cli_manifest *manifest, const char *name, rd_err *err)
{
    for (size_t i = 0; i < RD_ENGINES; i++) {
        if (strcmp(name, rd_engine_names[i]) != 0)
            continue;
        manifest->release.engine = (rd_engine)i;
        fill_resources(manifest);
        return check_machine(manifest, err);
    }
    return rd_err_set(err, RD_E_USAGE, "there is no engine %s: quickjs or jsc", name);
}

void cli_manifest_done(cli_manifest *manifest)
{
    free(manifest->main);
    free(manifest->dir);
    free(manifest->path);
    free(manifest->policy);
    rd_release_done(&manifest->release);
    *manifest = (cli_manifest){ .dir = NULL };
}
