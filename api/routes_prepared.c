#include <string.h>

#include "api/reply.h"
#include "api/routes.h"
#include "api/store_orgs.h"
#include "common/base/text.h"
#include "common/crypto/hash.h"
#include "common/crypto/random.h"
#include "common/model/code_bundle.h"

#define PREPARED_TERM_US ((int64_t)3600 * 1000000)
#define CODE_SIZE        10 /* "XXXX-XXXX" and NUL */

typedef struct preparation {
    char name[64];
    bool has_app;
    rd_app_id app;
    rd_buf bundle;
    json_t *settings; /* borrowed from the body */
    char *body;       /* JSON text that is stored */
    char code[CODE_SIZE];
    uint8_t code_hash[32];
    const api_principal *principal;
    int64_t expires_us;
} preparation;

static int read_object(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    if (!json_is_object(value)) {
        (void)rd_err_set(err, RD_E_JSON_TYPE, "must be an object");
        return rd_err_at(err, pointer);
    }
    *(json_t **)into = (json_t *)value;
    return 0;
}

/* Eight letters and digits that are hard to mistake, for typing into a terminal; 40 bits, one organisation, an hour. */
static void new_code(preparation *p)
{
    static const char alphabet[] = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    uint8_t raw[8];
    rd_random_bytes(raw, sizeof(raw));
    for (size_t i = 0, at = 0; i < 8; i++) {
        if (i == 4)
            p->code[at++] = '-';
        p->code[at++] = alphabet[raw[i] & 31];
    }
    p->code[CODE_SIZE - 1] = '\0';
    rd_sha256(rd_bytes_str(p->code), p->code_hash);
}

static rd_pg_outcome insert_prepared(rd_pg *pg, api_change *change, rd_err *err)
{
    const preparation *p = change->state;
    static const uint8_t nobody[16] = { 0 };
    bool has_user = memcmp(p->principal->user_id, nobody, 16) != 0;
    if (rd_pg_push(pg, "prepared_add", err, rd_pg_bytes(RD_BYTES_ARRAY(p->code_hash)), rd_pg_uuid(p->principal->org_id),
                   has_user ? rd_pg_uuid(p->principal->user_id) : rd_pg_null(),
                   p->has_app ? rd_pg_bytes(RD_BYTES_ARRAY(p->app.b)) : rd_pg_null(), rd_pg_text(p->body),
                   rd_pg_bytes(rd_buf_bytes(&p->bundle)), rd_pg_time(p->expires_us)) < 0)
        return RD_PG_FAILED;
    change->status = 201;
    snprintf(change->resource, sizeof(change->resource), "%s", p->code);
    return RD_PG_SOME;
}

static int check_bundle(const preparation *p, rd_err *err)
{
    rd_code_bundle bundle = { 0 };
    rd_err why = RD_ERR_INIT;
    int rc = rd_code_bundle_parse(rd_buf_bytes(&p->bundle), &bundle, &why);
    rd_code_bundle_done(&bundle);
    if (rc == 0)
        return 0;
    (void)rd_err_set(err, RD_E_CODE_BUNDLE, "the code is no bundle of modules: %.300s", why.text);
    return rd_err_at(err, "/code");
}

static int prepare(api_request *request, api_worker *worker, preparation *p, rd_err *err)
{
    static const rd_json_field fields[] = {
        { "kind", RD_JSON_CONST, 0, RD_REQUIRED, .text = "deploy" },
        { "app", RD_JSON_APP_ID, offsetof(preparation, app), RD_OPTIONAL | RD_NULLABLE,
          .has = RD_HAS(preparation, has_app) },
        { "name", RD_JSON_TEXT, offsetof(preparation, name), RD_REQUIRED, .min = 1, .max = 63 },
        { "code", RD_JSON_B64_BUF, offsetof(preparation, bundle), RD_REQUIRED, .min = 1,
          .max = RD_CODE_BUNDLE_SIZE_MAX },
        { "settings", RD_JSON_CUSTOM, offsetof(preparation, settings), RD_REQUIRED, .parse = read_object },
        RD_JSON_END,
    };
    json_t *body;
    if (api_request_json(request, &body, err) < 0 || rd_json_read(body, fields, RD_UNKNOWN_REFUSED, "", p, err) < 0 ||
        check_bundle(p, err) < 0)
        return -1;
    json_t *kept = json_object();
    rd_json_set_str(kept, "kind", "deploy");
    rd_json_set_str(kept, "name", p->name);
    rd_json_set(kept, "settings", json_incref(p->settings));
    p->body = json_dumps(kept, JSON_COMPACT);
    json_decref(kept);
    if (!p->body || strlen(p->body) > 65536)
        return rd_err_set(err, RD_E_TOO_LARGE, "the settings are longer than 64 KiB");
    p->principal = api_request_principal(request);
    p->expires_us = rd_clock_wall_us(worker->context->clock) + PREPARED_TERM_US;
    new_code(p);
    api_change change = { .action = "prepared.create", .apply = insert_prepared, .state = p };
    if (api_change_run(request, worker, &change, err) < 0)
        return -1;
    json_t *answer = json_object();
    RD_CLEANUP(rd_free_p) char *command = rd_asprintf("redoubt approve %s", change.resource);
    rd_json_set_str(answer, "code", change.resource);
    rd_json_set_str(answer, "command", command);
    rd_json_set_time(answer, "expires", p->expires_us);
    api_reply_json(request, change.status, answer);
    return 0;
}

int api_prepared_create(api_request *request, api_worker *worker, rd_err *err)
{
    preparation p = { .has_app = false };
    int rc = prepare(request, worker, &p, err);
    rd_buf_done(&p.bundle);
    free(p.body);
    return rc;
}

static void hash_code(const api_request *request, uint8_t out[32])
{
    rd_sha256(rd_bytes_str(api_request_param(request, "code")), out);
}

int api_prepared_get(api_request *request, api_worker *worker, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    uint8_t hash[32];
    hash_code(request, hash);
    if (api_store_get(worker, api_request_principal(request)->org_id, "prepared_get", &row, err,
                      rd_pg_bytes(RD_BYTES_ARRAY(hash))) < 0 ||
        api_store_need(row, "preparation (or its hour is over)", err) < 0)
        return -1;
    json_t *prepared = json_loads(rd_pg_get_text(row, 0, 1), 0, NULL);
    if (!prepared)
        prepared = json_object();
    rd_app_id app;
    if (rd_pg_get_fixed(row, 0, 0, app.b, sizeof(app.b)))
        rd_json_set_app_id(prepared, "app", &app);
    else
        rd_json_set_null(prepared, "app");
    rd_json_set_b64(prepared, "code", rd_pg_get_bytes(row, 0, 2));
    bool is_done = !rd_pg_is_null(row, 0, 4);
    rd_json_set_str(prepared, "state", is_done ? "done" : "waiting");
    json_t *result = is_done ? json_loads(rd_pg_get_text(row, 0, 3), JSON_DECODE_ANY, NULL) : NULL;
    rd_json_set(prepared, "result", result ? result : json_null());
    rd_json_set_time(prepared, "expires", rd_pg_get_time(row, 0, 5));
    api_reply_resource(request, 200, prepared, is_done);
    return 0;
}

typedef struct finish {
    uint8_t hash[32];
    char *result;
    const char *code;
} finish;

static rd_pg_outcome finish_prepared(rd_pg *pg, api_change *change, rd_err *err)
{
    const finish *f = change->state;
    rd_pg_outcome outcome =
        rd_pg_call(pg, "prepared_done", NULL, err, rd_pg_bytes(RD_BYTES_ARRAY(f->hash)), rd_pg_text(f->result));
    if (outcome == RD_PG_NONE)
        return (void)rd_err_set(err, RD_E_NOT_FOUND, "no such preparation that waits"), RD_PG_FAILED;
    if (outcome != RD_PG_SOME)
        return outcome;
    change->status = 200;
    snprintf(change->resource, sizeof(change->resource), "%.16s", f->code);
    return RD_PG_SOME;
}

int api_prepared_done(api_request *request, api_worker *worker, rd_err *err)
{
    typedef struct done_body {
        rd_app_id app;
        rd_id deployment;
    } done_body;
    static const rd_json_field fields[] = {
        { "app", RD_JSON_APP_ID, offsetof(done_body, app), RD_OPTIONAL },
        { "deployment", RD_JSON_ID, offsetof(done_body, deployment), RD_OPTIONAL, .text = RD_PREFIX_DEPLOY },
        RD_JSON_END,
    };
    done_body checked = { 0 };
    json_t *body;
    if (api_request_json(request, &body, err) < 0 ||
        rd_json_read(body, fields, RD_UNKNOWN_REFUSED, "", &checked, err) < 0)
        return -1;
    finish f = { .result = json_dumps(body, JSON_COMPACT), .code = api_request_param(request, "code") };
    hash_code(request, f.hash);
    api_change change = { .action = "prepared.done", .apply = finish_prepared, .state = &f };
    int rc = api_change_run(request, worker, &change, err);
    free(f.result);
    if (rc < 0)
        return -1;
    json_t *answer = json_object();
    rd_json_set_str(answer, "state", "done");
    api_reply_json(request, 200, answer);
    return 0;
}
