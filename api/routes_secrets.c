#include <string.h>

#include "api/reply.h"
#include "api/routes.h"
#include "api/store.h"
#include "common/base/text.h"
#include "common/model/secret_seal.h"

#define SECRETS_KEPT_MAX 256 /* versions of an app */

/* One version of one secret as the path names it. */
typedef struct named_secret {
    const uint8_t *org;
    rd_app_id app;
    const char *name;
    uint64_t version; /* 0: all */
    rd_bytes sealed;
    rd_digest digest;
    bool is_in_use;
} named_secret;

static int read_path(api_request *request, named_secret *ret, rd_err *err)
{
    ret->org = api_request_principal(request)->org_id;
    ret->name = api_request_param(request, "name");
    if (api_path_app(request, &ret->app, err) < 0)
        return -1;
    if (!rd_secret_name_is_known(ret->name))
        return rd_err_set(err, RD_E_SECRET_NAME, "not the name of a secret");
    return 0;
}

static int read_version(const char *text, uint64_t *ret, rd_err *err)
{
    if (rd_parse_u64(text, strlen(text), RD_SECRET_VERSION_MAX, ret) < 0 || *ret == 0)
        return rd_err_set(err, RD_E_JSON_RANGE, "a version is a number from 1");
    return 0;
}

static rd_pg_outcome need_app(rd_pg *pg, const named_secret *secret, rd_err *err)
{
    rd_pg_outcome outcome = rd_pg_call(pg, "app_share", NULL, err, rd_pg_bytes(RD_BYTES_ARRAY(secret->app.b)));
    if (outcome == RD_PG_NONE)
        return (void)rd_err_set(err, RD_E_NOT_FOUND, "no such app"), RD_PG_FAILED;
    return outcome;
}

static rd_pg_outcome compare_stored(rd_pg *pg, const named_secret *secret, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    rd_digest there;
    rd_pg_outcome outcome =
        rd_pg_call(pg, "secret_get", &row, err, rd_pg_uuid(secret->org), rd_pg_bytes(RD_BYTES_ARRAY(secret->app.b)),
                   rd_pg_text(secret->name), rd_pg_i64((int64_t)secret->version));
    if (outcome == RD_PG_NONE) {
        (void)rd_err_set(err, RD_E_QUOTA, "%d versions of secrets are kept for an app: delete old ones",
                         SECRETS_KEPT_MAX);
        return RD_PG_FAILED;
    }
    if (outcome != RD_PG_SOME)
        return outcome;
    (void)rd_pg_get_fixed(row, 0, 0, there.b, sizeof there.b);
    if (rd_digest_equal(&there, &secret->digest))
        return RD_PG_SOME;
    (void)rd_err_set(err, RD_E_SECRET_EXISTS, "version %llu of %s is another one", (unsigned long long)secret->version,
                     secret->name);
    return RD_PG_FAILED;
}

static rd_pg_outcome insert_secret(rd_pg *pg, api_change *change, rd_err *err)
{
    const named_secret *secret = change->state;
    rd_pg_outcome outcome = need_app(pg, secret, err);
    if (outcome != RD_PG_SOME)
        return outcome;
    outcome =
        rd_pg_call(pg, "secret_add", NULL, err, rd_pg_uuid(secret->org), rd_pg_bytes(RD_BYTES_ARRAY(secret->app.b)),
                   rd_pg_text(secret->name), rd_pg_i64((int64_t)secret->version), rd_pg_bytes(secret->sealed),
                   rd_pg_bytes(RD_BYTES_ARRAY(secret->digest.b)), rd_pg_i64(SECRETS_KEPT_MAX));
    change->status = outcome == RD_PG_SOME ? 201 : 200;
    if (outcome == RD_PG_NONE)
        outcome = compare_stored(pg, secret, err);
    snprintf(change->resource, sizeof change->resource, "%s/%llu", secret->name, (unsigned long long)secret->version);
    return outcome;
}

static json_t *secret_json(const char *name, uint64_t version, const rd_digest *digest, size_t size)
{
    json_t *object = json_object();
    rd_json_set_str(object, "name", name);
    rd_json_set_int(object, "version", (int64_t)version);
    rd_json_set_digest(object, "digest", digest);
    rd_json_set_int(object, "size_bytes", (int64_t)size);
    return object;
}

int api_secrets_put(api_request *request, api_worker *worker, rd_err *err)
{
    named_secret secret = { .sealed = api_request_body(request) };
    if (read_path(request, &secret, err) < 0 ||
        read_version(api_request_param(request, "version"), &secret.version, err) < 0)
        return -1;
    if (secret.sealed.size == 0 || secret.sealed.size > RD_SECRET_SEALED_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "a sealed secret has 1 to %zu bytes", (size_t)RD_SECRET_SEALED_MAX);
    rd_sha256(secret.sealed, secret.digest.b);
    api_change change = { .action = "secret.put", .apply = insert_secret, .state = &secret };
    if (api_change_run(request, worker, &change, err) < 0)
        return -1;
    api_reply_json(request, change.status,
                   secret_json(secret.name, secret.version, &secret.digest, secret.sealed.size));
    return 0;
}

int api_secrets_list(api_request *request, api_worker *worker, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *app_row = NULL;
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *rows = NULL;
    const api_principal *p = api_request_principal(request);
    rd_app_id app;
    if (api_path_app(request, &app, err) < 0 ||
        api_store_get(worker, p->org_id, "app_genesis", &app_row, err, rd_pg_bytes(RD_BYTES_ARRAY(app.b))) < 0 ||
        api_store_need(app_row, "app", err) < 0 ||
        api_store_get(worker, p->org_id, "secret_list", &rows, err, rd_pg_uuid(p->org_id),
                      rd_pg_bytes(RD_BYTES_ARRAY(app.b))) < 0)
        return -1;
    json_t *items = json_array();
    for (size_t i = 0; i < rd_pg_rows(rows); i++) {
        rd_digest digest;
        (void)rd_pg_get_fixed(rows, i, 2, digest.b, sizeof digest.b);
        json_t *one = secret_json(rd_pg_get_text(rows, i, 0), (uint64_t)rd_pg_get_i64(rows, i, 1), &digest,
                                  (size_t)rd_pg_get_i64(rows, i, 3));
        rd_json_set_time(one, "created_at", rd_pg_get_time(rows, i, 4));
        rd_json_set_bool(one, "current", rd_pg_get_bool(rows, i, 5));
        (void)json_array_append_new(items, one);
    }
    json_t *answer = json_object();
    rd_json_set(answer, "items", items);
    rd_json_set_null(answer, "next");
    api_reply_resource(request, 200, answer, 0);
    return 0;
}

int api_secrets_get(api_request *request, api_worker *worker, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    named_secret secret = { 0 };
    if (read_path(request, &secret, err) < 0 ||
        read_version(api_request_param(request, "version"), &secret.version, err) < 0 ||
        api_store_get(worker, secret.org, "secret_get", &row, err, rd_pg_uuid(secret.org),
                      rd_pg_bytes(RD_BYTES_ARRAY(secret.app.b)), rd_pg_text(secret.name),
                      rd_pg_i64((int64_t)secret.version)) < 0 ||
        api_store_need(row, "secret", err) < 0)
        return -1;
    api_reply_bytes(request, 200, "application/octet-stream", rd_pg_get_bytes(row, 0, 1));
    return 0;
}

static rd_pg_outcome delete_secret(rd_pg *pg, api_change *change, rd_err *err)
{
    const named_secret *secret = change->state;
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    rd_pg_outcome outcome = need_app(pg, secret, err);
    if (outcome != RD_PG_SOME)
        return outcome;
    outcome =
        rd_pg_call(pg, "secret_delete", &row, err, rd_pg_uuid(secret->org), rd_pg_bytes(RD_BYTES_ARRAY(secret->app.b)),
                   rd_pg_text(secret->name), secret->version > 0 ? rd_pg_i64((int64_t)secret->version) : rd_pg_null());
    if (outcome != RD_PG_SOME)
        return outcome;
    if (rd_pg_get_i64(row, 0, 0) == 0) {
        bool is_in_use = rd_pg_get_bool(row, 0, 1);
        (void)rd_err_set(err, is_in_use ? RD_E_SECRET_IN_USE : RD_E_NOT_FOUND,
                         is_in_use ? "the current head lists %s" : "no secret %s", secret->name);
        return RD_PG_FAILED;
    }
    change->status = 204;
    snprintf(change->resource, sizeof change->resource, "%s", secret->name);
    return RD_PG_SOME;
}

int api_secrets_delete(api_request *request, api_worker *worker, rd_err *err)
{
    named_secret secret = { 0 };
    const char *version = api_request_query(request, "version");
    if (read_path(request, &secret, err) < 0 || (version && read_version(version, &secret.version, err) < 0))
        return -1;
    api_change change = { .action = "secret.delete", .apply = delete_secret, .state = &secret };
    if (api_change_run(request, worker, &change, err) < 0)
        return -1;
    api_reply_empty(request, 204);
    return 0;
}

/* --- key services --- */

static json_t *kms_json(const rd_pg_result *rows, size_t r)
{
    json_t *kms = json_object();
    rd_kms_id id;
    (void)rd_pg_get_fixed(rows, r, 0, id.b, sizeof id.b);
    rd_json_set_kms_id(kms, "id", &id);
    rd_json_set_str(kms, "class", rd_pg_get_text(rows, r, 2));
    rd_json_set_b64(kms, "genesis", rd_pg_get_bytes(rows, r, 1));
    rd_json_set_int(kms, "hosts", rd_pg_get_i64(rows, r, 4));
    rd_json_set_int(kms, "linked", rd_pg_get_i64(rows, r, 5));
    rd_json_set_time(kms, "first_seen_at", rd_pg_get_time(rows, r, 3));
    return kms;
}

int api_kms_list(api_request *request, api_worker *worker, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *rows = NULL;
    if (api_store_get(worker, api_request_principal(request)->org_id, "kms_all", &rows, err) < 0)
        return -1;
    json_t *items = json_array();
    for (size_t i = 0; i < rd_pg_rows(rows); i++)
        (void)json_array_append_new(items, kms_json(rows, i));
    json_t *answer = json_object();
    rd_json_set(answer, "items", items);
    rd_json_set_null(answer, "next");
    api_reply_resource(request, 200, answer, 0);
    return 0;
}

int api_kms_get(api_request *request, api_worker *worker, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    const char *text = api_request_param(request, "kms");
    rd_kms_id id;
    if (rd_kms_id_parse(text, strlen(text), &id, err) < 0)
        return rd_err_set(err, RD_E_NOT_FOUND, "no such key service");
    if (api_store_get(worker, api_request_principal(request)->org_id, "kms_get", &row, err,
                      rd_pg_bytes(RD_BYTES_ARRAY(id.b))) < 0 ||
        api_store_need(row, "key service", err) < 0)
        return -1;
    api_reply_resource(request, 200, kms_json(row, 0), 0);
    return 0;
}
