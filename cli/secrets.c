#include "cli/secrets.h"

#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdlib.h>
#include <string.h>

/* ---- the list ---- */

typedef struct shown_ref {
    char name[RD_SECRET_NAME_MAX + 1];
    uint64_t version;
    rd_digest digest;
} shown_ref;

static const rd_json_field ref_fields[] = {
    { .name = "name", .kind = RD_JSON_TEXT, .offset = offsetof(shown_ref, name), .min = 1, .max = RD_SECRET_NAME_MAX },
    { .name = "version",
      .kind = RD_JSON_U64,
      .offset = offsetof(shown_ref, version),
      .min = 1,
      .max = (int64_t)RD_SECRET_VERSION_MAX },
    { .name = "digest", .kind = RD_JSON_DIGEST, .offset = offsetof(shown_ref, digest) },
    RD_JSON_END,
};

static int read_ref(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    cli_secret_list *list = context;
    shown_ref shown = { .version = 0 };
    (void)index;
    if (rd_json_read(item, ref_fields, RD_UNKNOWN_IGNORED, pointer, &shown, err) < 0)
        return -1;
    rd_secret_ref ref = { .version = shown.version, .sealed = shown.digest };
    memcpy(ref.name, shown.name, sizeof ref.name);
    return cli_secrets_put(list, &ref, err);
}

int cli_secrets_fetch(cli_client *client, const cli_current *current, cli_secret_list *ret, rd_err *err)
{
    *ret = (cli_secret_list){ .count = 0 };
    if (!current->has_head || current->head.secrets_count == 0)
        return 0;
    char app[RD_APP_ID_TEXT_SIZE];
    rd_app_id_format(&current->app, app);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s/heads/current", app);
    RD_CLEANUP(rd_json_free_p) json_t *shown = NULL;
    if (cli_client_json(client, "GET", path, NULL, &shown, err) < 0 ||
        rd_json_each(json_object_get(shown, "secrets"), 0, RD_SECRETS_MAX, "/secrets", read_ref, ret, err) < 0)
        return rd_err_wrap(err, "the list of secrets");
    return rd_secrets_check(ret->refs, ret->count, current->head.secrets_count, &current->head.secrets_root, err);
}

const rd_secret_ref *cli_secrets_find(const cli_secret_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->refs[i].name, name) == 0)
            return &list->refs[i];
    return NULL;
}

void cli_secrets_remove(cli_secret_list *list, const char *name)
{
    const rd_secret_ref *found = cli_secrets_find(list, name);
    if (!found)
        return;
    size_t at = (size_t)(found - list->refs);
    memmove(&list->refs[at], &list->refs[at + 1], (list->count - at - 1) * sizeof list->refs[0]);
    list->count--;
}

int cli_secrets_put(cli_secret_list *list, const rd_secret_ref *ref, rd_err *err)
{
    cli_secrets_remove(list, ref->name);
    if (list->count == RD_SECRETS_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "an app has at most %d secrets", RD_SECRETS_MAX);
    list->refs[list->count++] = *ref;
    qsort(list->refs, list->count, sizeof list->refs[0], rd_secret_ref_compare);
    return 0;
}

/* ---- at the plane ---- */

int cli_secrets_next_version(cli_client *client, const rd_app_id *app, const char *name, uint64_t *ret, rd_err *err)
{
    char app_text[RD_APP_ID_TEXT_SIZE];
    rd_app_id_format(app, app_text);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s/secrets", app_text);
    RD_CLEANUP(rd_json_free_p) json_t *shown = NULL;
    if (cli_client_json(client, "GET", path, NULL, &shown, err) < 0)
        return -1;
    *ret = 1;
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(shown, "items"), i, item)
    {
        const char *one = json_string_value(json_object_get(item, "name"));
        json_int_t version = json_integer_value(json_object_get(item, "version"));
        if (one && strcmp(one, name) == 0 && version > 0 && (uint64_t)version < RD_SECRET_VERSION_MAX)
            *ret = RD_MAX(*ret, (uint64_t)version + 1);
    }
    return 0;
}

int cli_secrets_seal(cli_client *client, const cli_kms *kms, const rd_app_id *app, const char *name, uint64_t version,
                     rd_bytes value, cli_secret_list *list, rd_err *err)
{
    uint8_t key[RD_X25519_SIZE];
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { .size_max = RD_SECRET_SEALED_MAX };
    char app_text[RD_APP_ID_TEXT_SIZE];
    if (cli_kms_seal_key(client, kms, app, key, err) < 0 ||
        rd_secret_seal(key, app, name, version, value, rd_random_system(), &sealed, err) < 0)
        return -1;
    rd_app_id_format(app, app_text);
    RD_CLEANUP(rd_free_p)
    char *path = rd_asprintf("/v1/apps/%s/secrets/%s/%llu", app_text, name, (unsigned long long)version);
    const cli_request request = {
        .method = "PUT", .path = path, .body = rd_buf_bytes(&sealed), .content_type = "application/octet-stream"
    };
    cli_answer answer;
    int status = cli_client_send(client, &request, &answer, err);
    cli_answer_done(&answer);
    if (status < 0)
        return rd_err_wrap(err, "storing %s", name);
    rd_secret_ref ref = { .version = version };
    (void)snprintf(ref.name, sizeof ref.name, "%s", name);
    rd_sha256(rd_buf_bytes(&sealed), ref.sealed.b);
    return cli_secrets_put(list, &ref, err);
}

int cli_secrets_head_body(const rd_buf *envelope, const cli_secret_list *list, rd_buf *ret, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *body = NULL;
    if (rd_json_parse(rd_buf_bytes(envelope), NULL, &body, err) < 0)
        return -1;
    json_t *names = json_array();
    for (size_t i = 0; i < list->count; i++)
        (void)json_array_append_new(
            names, json_pack("{s:s, s:I}", "name", list->refs[i].name, "version", (json_int_t)list->refs[i].version));
    if (list->count > 0)
        rd_json_set(body, "secrets", json_incref(names));
    json_decref(names);
    return rd_json_dump(body, ret) ? 0 : rd_err_set(err, RD_E_TOO_LARGE, "the head is too large");
}
