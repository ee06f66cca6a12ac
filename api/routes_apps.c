#include <string.h>

#include "api/reply.h"
#include "api/routes.h"
#include "api/store.h"
#include "common/base/text.h"
#include "common/model/genesis.h"

typedef struct new_app {
    char name[64];
    rd_buf genesis;
    rd_app_id id;
    const uint8_t *org;
} new_app;

static const char *const app_states[] = { "", "live", "deleting", "deleted" };
static const char *const kinds[] = { "", "deploy", "rollback", "scale", "stop" };
static const char *const rollout_states[] = { "accepted", "progressing", "healthy",    "paused",   "reverting",
                                              "reverted", "failed",      "superseded", "stopping", "ended" };

static const char *name_of(const char *const *names, size_t count, int64_t value)
{
    return value >= 0 && (uint64_t)value < count ? names[value] : "";
}

static void set_digest(json_t *object, const char *name, const rd_pg_result *row, size_t r, int column)
{
    rd_digest digest;
    if (rd_pg_get_fixed(row, r, column, digest.b, sizeof(digest.b)))
        rd_json_set_digest(object, name, &digest);
    else
        rd_json_set_null(object, name);
}

/* Where TLS goes that ends in the enclave: https://app-<52>.<domain>[:port]/; null when it would be refused. */
static void set_tls_url(json_t *object, const api_config *config, const rd_app_id *id, bool is_open)
{
    char text[RD_APP_ID_TEXT_SIZE];
    const char *port = config->passthrough_listen ? strrchr(config->passthrough_listen, ':') : NULL;
    if (!port || !is_open) {
        rd_json_set_null(object, "tls_url");
        return;
    }
    rd_app_id_format(id, text);
    RD_CLEANUP(rd_free_p)
    char *url =
        rd_asprintf("https://app-%s.%s%s/", text + 4, config->apps_domain, strcmp(port, ":443") == 0 ? "" : port);
    rd_json_set_str(object, "tls_url", url);
}

/* The apps origin of an app: http(s)://app-<52>.<domain>[:port]. */
static void set_url(json_t *object, const api_config *config, const rd_app_id *id)
{
    char text[RD_APP_ID_TEXT_SIZE];
    rd_app_id_format(id, text);
    const char *port = config->apps_listen ? strrchr(config->apps_listen, ':') : NULL;
    bool is_tls = config->public_url && rd_starts_with(config->public_url, "https://");
    bool shows_port = port && !strchr(config->apps_domain, ':') && !is_tls;
    RD_CLEANUP(rd_free_p)
    char *url = rd_asprintf("%s://app-%s.%s%s/", is_tls ? "https" : "http", text + 4, config->apps_domain,
                            shows_port ? port : "");
    rd_json_set_str(object, "url", url);
}

static json_t *app_json(const api_context *context, const rd_pg_result *row, size_t r, rd_app_id *ret_id)
{
    json_t *app = json_object();
    rd_pg_get_fixed(row, r, 0, ret_id->b, sizeof(ret_id->b));
    rd_json_set_app_id(app, "id", ret_id);
    rd_json_set_str(app, "name", rd_pg_get_text(row, r, 1));
    rd_json_set_str(app, "state", name_of(app_states, RD_ARRAY_LEN(app_states), rd_pg_get_i64(row, r, 2)));
    rd_json_set_bool(app, "paused", rd_pg_get_bool(row, r, 3));
    if (rd_pg_is_null(row, r, 6)) {
        rd_json_set_null(app, "class");
        rd_json_set_null(app, "head");
    } else {
        json_t *head = json_object();
        rd_json_set_int(head, "seq", rd_pg_get_i64(row, r, 6));
        set_digest(head, "digest", row, r, 7);
        rd_json_set_str(head, "class", rd_pg_get_text(row, r, 8));
        rd_json_set_str(app, "class", rd_pg_get_text(row, r, 8));
        rd_json_set(app, "head", head);
    }
    if (rd_pg_is_null(row, r, 10)) {
        rd_json_set_null(app, "deployment");
    } else {
        json_t *deployment = json_object();
        rd_id id;
        rd_pg_get_fixed(row, r, 9, id.b, sizeof(id.b));
        rd_json_set_id(deployment, "id", RD_PREFIX_DEPLOY, &id);
        rd_json_set_int(deployment, "generation", rd_pg_get_i64(row, r, 10));
        rd_json_set_str(deployment, "kind", name_of(kinds, RD_ARRAY_LEN(kinds), rd_pg_get_i64(row, r, 11)));
        rd_json_set_int(deployment, "min", rd_pg_get_i64(row, r, 12));
        rd_json_set_int(deployment, "max", rd_pg_get_i64(row, r, 13));
        rd_json_set_int(deployment, "idle_s", rd_pg_get_i64(row, r, 18));
        set_digest(deployment, "release", row, r, 14);
        rd_json_set_str(deployment, "state",
                        name_of(rollout_states, RD_ARRAY_LEN(rollout_states), rd_pg_get_i64(row, r, 15)));
        rd_json_set(app, "deployment", deployment);
    }
    json_t *instances = json_object();
    rd_json_set_int(instances, "wanted", rd_pg_get_i64(row, r, 16));
    rd_json_set_int(instances, "serving", rd_pg_get_i64(row, r, 17));
    rd_json_set(app, "instances", instances);
    set_url(app, context->config, ret_id);
    set_tls_url(app, context->config, ret_id, rd_pg_get_bool(row, r, 19));
    rd_json_set_time(app, "created_at", rd_pg_get_time(row, r, 5));
    rd_json_set_int(app, "version", rd_pg_get_i64(row, r, 4));
    return app;
}

static int reply_app(api_request *request, api_worker *worker, const rd_app_id *id, int status, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    const api_principal *p = api_request_principal(request);
    rd_app_id read_id;
    if (api_store_get(worker, p->org_id, "app_get", &row, err, rd_pg_bytes(RD_BYTES_ARRAY(id->b))) < 0 ||
        api_store_need(row, "app", err) < 0)
        return -1;
    if (status == 201) {
        char location[80], text[RD_APP_ID_TEXT_SIZE];
        rd_app_id_format(id, text);
        snprintf(location, sizeof(location), "/v1/apps/%s", text);
        api_reply_header(request, "Location", location);
    }
    json_t *app = app_json(worker->context, row, 0, &read_id);
    api_reply_resource(request, status, app, rd_pg_get_i64(row, 0, 4));
    return 0;
}

static rd_pg_outcome insert_app(rd_pg *pg, api_change *change, rd_err *err)
{
    const new_app *app = change->state;
    rd_pg_outcome outcome =
        rd_pg_call(pg, "app_add", NULL, err, rd_pg_bytes(RD_BYTES_ARRAY(app->id.b)), rd_pg_uuid(app->org),
                   rd_pg_text(app->name), rd_pg_bytes(rd_buf_bytes(&app->genesis)));
    if (outcome == RD_PG_FAILED && strcmp(rd_pg_constraint(pg), "apps_name") == 0)
        (void)rd_err_set(err, RD_E_NAME_TAKEN, "an app named %s exists", app->name);
    else if (outcome == RD_PG_FAILED && strcmp(rd_pg_sqlstate(pg), "23505") == 0)
        (void)rd_err_set(err, RD_E_APP_EXISTS, "an app with this genesis exists");
    if (outcome != RD_PG_SOME)
        return outcome;
    change->status = 201;
    rd_app_id_format(&app->id, change->resource);
    api_change_event(change, "app", RD_BYTES_ARRAY(app->id.b), &app->id);
    snprintf(change->event_body, sizeof(change->event_body), "{\"state\":\"live\"}");
    return RD_PG_SOME;
}

static bool is_app_name(const char *name)
{
    if (name[0] < 'a' || name[0] > 'z')
        return false;
    for (const char *c = name; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '-'))
            return false;
    return true;
}

static int check_name(const char *name, rd_err *err)
{
    if (is_app_name(name))
        return 0;
    (void)rd_err_set(err, RD_E_JSON_RANGE, "the name must match [a-z][a-z0-9-]{0,62}");
    return rd_err_at(err, "/name");
}

static int create_app(api_request *request, api_worker *worker, new_app *app, rd_err *err)
{
    static const rd_json_field fields[] = {
        { "name", RD_JSON_TEXT, offsetof(new_app, name), RD_REQUIRED, .min = 1, .max = 63 },
        { "genesis", RD_JSON_B64_BUF, offsetof(new_app, genesis), RD_REQUIRED, .min = 1, .max = 8192 },
        RD_JSON_END,
    };
    json_t *body;
    rd_genesis genesis;
    if (api_request_json(request, &body, err) < 0 || rd_json_read(body, fields, RD_UNKNOWN_REFUSED, "", app, err) < 0 ||
        check_name(app->name, err) < 0)
        return -1;
    if (rd_genesis_parse(rd_buf_bytes(&app->genesis), &genesis, err) < 0)
        return rd_err_wrap(err, "genesis");
    rd_genesis_app_id(rd_buf_bytes(&app->genesis), &app->id);
    app->org = api_request_principal(request)->org_id;
    api_change change = { .action = "app.create", .apply = insert_app, .state = app };
    if (api_change_run(request, worker, &change, err) < 0)
        return -1;
    return reply_app(request, worker, &app->id, change.status, err);
}

int api_apps_create(api_request *request, api_worker *worker, rd_err *err)
{
    new_app app = { .name = "" };
    int rc = create_app(request, worker, &app, err);
    rd_buf_done(&app.genesis);
    return rc;
}

int api_apps_list(api_request *request, api_worker *worker, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *rows = NULL;
    const api_principal *p = api_request_principal(request);
    api_cursor cursor;
    size_t limit;
    if (api_request_limit(request, &limit, err) < 0 || api_cursor_read(request, 32, &cursor, err) < 0 ||
        api_store_get(worker, p->org_id, "app_list", &rows, err, rd_pg_uuid(p->org_id),
                      rd_pg_text(api_request_query(request, "name")), api_cursor_at(&cursor), api_cursor_id(&cursor),
                      rd_pg_i64((int64_t)limit)) < 0)
        return -1;
    json_t *items = json_array();
    rd_app_id last = { { 0 } };
    size_t count = rd_pg_rows(rows);
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(items, app_json(worker->context, rows, i, &last));
    api_reply_resource(
        request, 200,
        api_list_new(items, limit, count ? rd_pg_get_time(rows, count - 1, 5) : 0, RD_BYTES_ARRAY(last.b)), 0);
    return 0;
}

int api_apps_get(api_request *request, api_worker *worker, rd_err *err)
{
    rd_app_id id;
    if (api_path_app(request, &id, err) < 0)
        return -1;
    return reply_app(request, worker, &id, 200, err);
}

int api_apps_genesis(api_request *request, api_worker *worker, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    const api_principal *p = api_request_principal(request);
    rd_app_id id;
    if (api_path_app(request, &id, err) < 0 ||
        api_store_get(worker, p->org_id, "app_genesis", &row, err, rd_pg_bytes(RD_BYTES_ARRAY(id.b))) < 0 ||
        api_store_need(row, "app", err) < 0)
        return -1;
    api_reply_header(request, "Cache-Control", "private, max-age=86400, immutable");
    api_reply_bytes(request, 200, "application/json", rd_pg_get_bytes(row, 0, 0));
    return 0;
}

/* --- PATCH and DELETE --- */

typedef struct app_patch {
    rd_app_id id;
    char name[64];
    bool has_name, paused, has_paused;
    const uint8_t *org;
} app_patch;

/* Locks the app, compares If-Match. */
static rd_pg_outcome lock_app(rd_pg *pg, const api_change *change, const rd_app_id *id, int *ret_shard, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    rd_pg_outcome outcome = rd_pg_call(pg, "app_lock", &row, err, rd_pg_bytes(RD_BYTES_ARRAY(id->b)));
    if (outcome == RD_PG_NONE)
        (void)rd_err_set(err, RD_E_NOT_FOUND, "no such app");
    if (outcome == RD_PG_NONE ||
        (outcome == RD_PG_SOME && api_if_match(change->request, rd_pg_get_i64(row, 0, 2), err) < 0))
        return RD_PG_FAILED;
    if (outcome == RD_PG_SOME)
        *ret_shard = (int)rd_pg_get_i64(row, 0, 3);
    return outcome;
}

static rd_pg_outcome patch_app(rd_pg *pg, api_change *change, rd_err *err)
{
    const app_patch *patch = change->state;
    int shard = 0;
    rd_pg_outcome outcome = lock_app(pg, change, &patch->id, &shard, err);
    if (outcome != RD_PG_SOME)
        return outcome;
    outcome = rd_pg_call(pg, "app_patch", NULL, err, rd_pg_bytes(RD_BYTES_ARRAY(patch->id.b)),
                         patch->has_name ? rd_pg_text(patch->name) : rd_pg_null(),
                         patch->has_paused ? rd_pg_bool(patch->paused) : rd_pg_null());
    if (outcome == RD_PG_FAILED && strcmp(rd_pg_constraint(pg), "apps_name") == 0)
        (void)rd_err_set(err, RD_E_NAME_TAKEN, "an app named %s exists", patch->name);
    if (outcome != RD_PG_SOME)
        return outcome;
    if (patch->has_paused && api_change_evaluate(pg, change, shard, 1, RD_BYTES_ARRAY(patch->id.b),
                                                 patch->paused ? "pause" : "resume", err) < 0)
        return RD_PG_FAILED;
    change->status = 200;
    rd_app_id_format(&patch->id, change->resource);
    api_change_event(change, "app", RD_BYTES_ARRAY(patch->id.b), &patch->id);
    if (patch->has_paused)
        snprintf(change->event_body, sizeof(change->event_body), "{\"paused\":%s}", patch->paused ? "true" : "false");
    return RD_PG_SOME;
}

int api_apps_patch(api_request *request, api_worker *worker, rd_err *err)
{
    static const rd_json_field fields[] = {
        { "name", RD_JSON_TEXT, offsetof(app_patch, name), RD_OPTIONAL, .min = 1, .max = 63,
          .has = RD_HAS(app_patch, has_name) },
        { "paused", RD_JSON_BOOL, offsetof(app_patch, paused), RD_OPTIONAL, .has = RD_HAS(app_patch, has_paused) },
        RD_JSON_END,
    };
    app_patch patch = { .org = api_request_principal(request)->org_id };
    json_t *body;
    if (api_request_json(request, &body, err) < 0 ||
        rd_json_read(body, fields, RD_UNKNOWN_REFUSED, "", &patch, err) < 0 ||
        (patch.has_name && check_name(patch.name, err) < 0) || api_path_app(request, &patch.id, err) < 0)
        return -1;
    api_change change = { .action = "app.change", .apply = patch_app, .state = &patch };
    if (api_change_run(request, worker, &change, err) < 0)
        return -1;
    return reply_app(request, worker, &patch.id, 200, err);
}

/* Deleting wants a stop first: a last generation of kind stop, unless there never was another (T8). */
static rd_pg_outcome stop_app(rd_pg *pg, const app_patch *patch, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *last = NULL;
    rd_pg_outcome outcome =
        rd_pg_call(pg, "deployment_last", &last, err, rd_pg_uuid(patch->org), rd_pg_bytes(RD_BYTES_ARRAY(patch->id.b)));
    if (outcome == RD_PG_NONE || (outcome == RD_PG_SOME && rd_pg_get_i64(last, 0, 3) == 4))
        return RD_PG_SOME;
    if (outcome != RD_PG_SOME)
        return outcome;
    rd_id id = rd_id_new(rd_clock_wall_us(rd_clock_system()), rd_random_system());
    return rd_pg_call(pg, "deployment_add", NULL, err, rd_pg_uuid(id.b), rd_pg_uuid(patch->org),
                      rd_pg_bytes(RD_BYTES_ARRAY(patch->id.b)), rd_pg_i64(rd_pg_get_i64(last, 0, 0) + 1), rd_pg_null(),
                      rd_pg_null(), rd_pg_i64(0), rd_pg_i64(0), rd_pg_i64(4), rd_pg_text("delete"), rd_pg_null());
}

static rd_pg_outcome delete_app(rd_pg *pg, api_change *change, rd_err *err)
{
    const app_patch *patch = change->state;
    int shard = 0;
    rd_pg_outcome outcome = lock_app(pg, change, &patch->id, &shard, err);
    if (outcome == RD_PG_SOME)
        outcome = stop_app(pg, patch, err);
    if (outcome == RD_PG_SOME)
        outcome = rd_pg_call(pg, "app_delete", NULL, err, rd_pg_bytes(RD_BYTES_ARRAY(patch->id.b)));
    if (outcome == RD_PG_SOME)
        outcome = rd_pg_call(pg, "secrets_drop", NULL, err, rd_pg_bytes(RD_BYTES_ARRAY(patch->id.b)));
    if (outcome != RD_PG_SOME && outcome != RD_PG_NONE)
        return outcome;
    if (api_change_evaluate(pg, change, shard, 1, RD_BYTES_ARRAY(patch->id.b), "delete", err) < 0)
        return RD_PG_FAILED;
    change->status = 204;
    rd_app_id_format(&patch->id, change->resource);
    api_change_event(change, "app", RD_BYTES_ARRAY(patch->id.b), &patch->id);
    snprintf(change->event_body, sizeof(change->event_body), "{\"state\":\"deleting\"}");
    return RD_PG_SOME;
}

int api_apps_delete(api_request *request, api_worker *worker, rd_err *err)
{
    app_patch patch = { .org = api_request_principal(request)->org_id };
    if (api_path_app(request, &patch.id, err) < 0)
        return -1;
    api_change change = { .action = "app.delete", .apply = delete_app, .state = &patch };
    if (api_change_run(request, worker, &change, err) < 0)
        return -1;
    api_reply_empty(request, 204);
    return 0;
}
