#include <string.h>

#include "api/reply.h"
#include "api/routes.h"
#include "api/store.h"
#include "common/base/text.h"
#include "common/model/head.h"
#include "common/model/instance_state.h"

#define INSTANCES_MAX 1000

/* How long an app with min 0 runs on without a call. Replicas tell of calls every 2 s. */
#define IDLE_S_MIN 10
#define IDLE_S_MAX 86400

/* Slots above max while a rollout replaces instances; part of what the quota must cover. */
#define SURGE 1

static const char *const kind_names[] = { "", "deploy", "rollback", "scale", "stop", NULL };
static const char *const rollout_states[] = { "accepted", "progressing", "healthy",    "paused",   "reverting",
                                              "reverted", "failed",      "superseded", "stopping", "ended" };

typedef enum wish_kind { WISH_DEPLOY = 1, WISH_ROLLBACK, WISH_SCALE, WISH_STOP } wish_kind;

typedef struct wish {
    rd_app_id app;
    const uint8_t *org;
    int kind;
    rd_digest release;
    bool has_release, has_min, has_max, has_idle;
    int32_t min, max;
    int32_t idle_s;
    rd_id id;
    int64_t now_us;
} wish;

/* What the transaction found before it decides. */
typedef struct ground {
    int shard;
    int64_t last_gen;
    int32_t last_min, last_max;
    bool has_last_idle;
    int32_t last_idle_s;
    rd_digest last_release;
    bool has_last_release;
    uint8_t release_id[16];
    int64_t cpu_m, mem;
    int64_t head_seq;
} ground;

static void set_digest(json_t *object, const char *name, const rd_pg_result *row, size_t r, int column)
{
    rd_digest digest;
    if (rd_pg_get_fixed(row, r, column, digest.b, sizeof(digest.b)))
        rd_json_set_digest(object, name, &digest);
    else
        rd_json_set_null(object, name);
}

static void set_id(json_t *object, const char *name, const char *prefix, const rd_pg_result *row, size_t r, int column)
{
    rd_id id;
    if (rd_pg_get_fixed(row, r, column, id.b, sizeof(id.b)))
        rd_json_set_id(object, name, prefix, &id);
    else
        rd_json_set_null(object, name);
}

static void set_time(json_t *object, const char *name, const rd_pg_result *row, size_t r, int column)
{
    if (rd_pg_is_null(row, r, column))
        rd_json_set_null(object, name);
    else
        rd_json_set_time(object, name, rd_pg_get_time(row, r, column));
}

/* --- instances --- */

static json_t *verdict_json(const rd_pg_result *row, size_t r)
{
    json_t *verdict = json_object();
    rd_json_set_str(verdict, "result", rd_pg_get_i64(row, r, 16) == 1 ? "accepted" : "refused");
    rd_json_set_str(verdict, "reason", rd_pg_get_text(row, r, 24));
    rd_json_set_str(verdict, "tcb_status", rd_pg_get_text(row, r, 17));
    rd_json_set_bool(verdict, "simulated", rd_pg_get_bool(row, r, 18));
    set_time(verdict, "verified_at", row, r, 19);
    set_time(verdict, "valid_until", row, r, 20);
    set_digest(verdict, "evidence", row, r, 21);
    rd_json_set_int(verdict, "collateral_evaluation", rd_pg_get_i64(row, r, 22));
    return verdict;
}

static json_t *instance_json(const rd_pg_result *row, size_t r)
{
    json_t *instance = json_object();
    rd_app_id app;
    rd_pg_get_fixed(row, r, 1, app.b, sizeof(app.b));
    set_id(instance, "id", RD_PREFIX_INSTANCE, row, r, 0);
    rd_json_set_app_id(instance, "app", &app);
    rd_json_set_int(instance, "epoch", rd_pg_get_i64(row, r, 2));
    set_id(instance, "host", RD_PREFIX_HOST, row, r, 3);
    set_id(instance, "deployment", RD_PREFIX_DEPLOY, row, r, 4);
    set_digest(instance, "release", row, r, 5);
    rd_json_set_str(instance, "want", rd_want_name((rd_want)rd_pg_get_i64(row, r, 6)));
    rd_json_set_bool(instance, "live", rd_pg_get_bool(row, r, 7));
    rd_phase phase = (rd_phase)rd_pg_get_i64(row, r, 10);
    rd_json_set_str(instance, "phase", phase == RD_PHASE_NONE ? "placed" : rd_phase_name(phase));
    const char *end = rd_pg_get_text(row, r, 9);
    rd_json_set_str(instance, "reason", end[0] ? end : rd_pg_get_text(row, r, 11));
    rd_json_set_str(instance, "detail", rd_pg_get_text(row, r, 12));
    if (rd_pg_is_null(row, r, 16))
        rd_json_set_null(instance, "verdict");
    else
        rd_json_set(instance, "verdict", verdict_json(row, r));
    rd_json_set_bool(instance, "serving", rd_pg_get_bool(row, r, 23));
    set_time(instance, "granted_at", row, r, 8);
    rd_json_set_int(instance, "head", rd_pg_get_i64(row, r, 26));
    return instance;
}

int api_instances_list(api_request *request, api_worker *worker, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *known = NULL;
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *rows = NULL;
    const api_principal *p = api_request_principal(request);
    rd_app_id app;
    api_cursor cursor;
    size_t limit;
    const char *all = api_request_query(request, "all");
    if (api_path_app(request, &app, err) < 0 || api_request_limit(request, &limit, err) < 0 ||
        api_cursor_read(request, 16, &cursor, err) < 0 ||
        api_store_get(worker, p->org_id, "app_genesis", &known, err, rd_pg_bytes(RD_BYTES_ARRAY(app.b))) < 0 ||
        api_store_need(known, "app", err) < 0 ||
        api_store_get(worker, p->org_id, "instances_of_app", &rows, err, rd_pg_uuid(p->org_id),
                      rd_pg_bytes(RD_BYTES_ARRAY(app.b)), api_cursor_id(&cursor), rd_pg_i64((int64_t)limit),
                      rd_pg_bool(all && strcmp(all, "true") == 0)) < 0)
        return -1;
    json_t *items = json_array();
    size_t count = rd_pg_rows(rows);
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(items, instance_json(rows, i));
    rd_bytes last = count ? rd_pg_get_bytes(rows, count - 1, 0) : RD_BYTES_NULL;
    api_reply_resource(request, 200, api_list_new(items, limit, 0, last), 0);
    return 0;
}

int api_instances_get(api_request *request, api_worker *worker, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    const api_principal *p = api_request_principal(request);
    rd_id id;
    if (api_path_id(request, "ins", RD_PREFIX_INSTANCE, &id, err) < 0 ||
        api_store_get(worker, p->org_id, "instance_get", &row, err, rd_pg_uuid(id.b)) < 0 ||
        api_store_need(row, "instance", err) < 0)
        return -1;
    api_reply_resource(request, 200, instance_json(row, 0), rd_pg_get_i64(row, 0, 2));
    return 0;
}

/* --- deployments --- */

static const char *deployment_state(const rd_pg_result *row, size_t r)
{
    int64_t state = rd_pg_get_i64(row, r, 8);
    return state >= 0 && (size_t)state < RD_ARRAY_LEN(rollout_states) ? rollout_states[state] : "";
}

static json_t *deployment_json(const rd_pg_result *row, size_t r)
{
    json_t *d = json_object();
    rd_app_id app;
    rd_pg_get_fixed(row, r, 1, app.b, sizeof(app.b));
    set_id(d, "id", RD_PREFIX_DEPLOY, row, r, 0);
    rd_json_set_app_id(d, "app", &app);
    rd_json_set_int(d, "generation", rd_pg_get_i64(row, r, 2));
    set_digest(d, "release", row, r, 3);
    rd_json_set_str(d, "kind", kind_names[rd_pg_get_i64(row, r, 4)]);
    rd_json_set_int(d, "min", rd_pg_get_i64(row, r, 5));
    rd_json_set_int(d, "max", rd_pg_get_i64(row, r, 6));
    rd_json_set_int(d, "idle_s", rd_pg_get_i64(row, r, 15));
    rd_json_set_str(d, "state", deployment_state(row, r));
    json_t *reason = rd_pg_is_null(row, r, 9) ? NULL : json_loads(rd_pg_get_text(row, r, 9), 0, NULL);
    rd_json_set(d, "reason", reason ? reason : json_null());
    rd_json_set_time(d, "created_at", rd_pg_get_time(row, r, 7));
    return d;
}

static void add_stage(json_t *stages, const char *name, int64_t at_us)
{
    json_t *stage = json_object();
    rd_json_set_str(stage, "name", name);
    if (at_us > 0)
        rd_json_set_time(stage, "at", at_us);
    else
        rd_json_set_null(stage, "at");
    (void)json_array_append_new(stages, stage);
}

/* The earliest time of a column over all instances; 0: none. */
static int64_t earliest(const rd_pg_result *instances, int column)
{
    int64_t first = 0;
    for (size_t i = 0; i < rd_pg_rows(instances); i++) {
        int64_t at = rd_pg_get_time(instances, i, column);
        if (at > 0 && (first == 0 || at < first))
            first = at;
    }
    return first;
}

static json_t *stages_json(const rd_pg_result *row, const rd_pg_result *instances)
{
    json_t *stages = json_array();
    int64_t granted = earliest(instances, 8), serving = earliest(instances, 15), verified = earliest(instances, 19);
    int64_t placed = rd_pg_get_time(row, 0, 11), launching = earliest(instances, 13);
    /* Verdicts are refreshed in place: the first one cannot be younger than the first serving. Reports are folded, so
     * that a launch may be written down only after its evidence was verified. */
    int64_t attested = serving && (!verified || serving < verified) ? serving : verified;
    if (launching && attested && attested < launching)
        launching = attested;
    add_stage(stages, "accepted", rd_pg_get_time(row, 0, 7));
    add_stage(stages, "planned", rd_pg_get_time(row, 0, 10));
    add_stage(stages, "placed", placed ? placed : granted);
    add_stage(stages, "launching", launching);
    add_stage(stages, "attested", attested);
    add_stage(stages, "serving", serving);
    return stages;
}

int api_deployment_read(api_worker *worker, const uint8_t org[16], const rd_id *id, json_t **ret, int64_t *ret_version,
                        rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *instances = NULL;
    if (api_store_get(worker, org, "deployment_get", &row, err, rd_pg_uuid(id->b)) < 0 ||
        api_store_need(row, "deployment", err) < 0 ||
        api_store_get(worker, org, "instances_of_deployment", &instances, err, rd_pg_uuid(id->b)) < 0)
        return -1;
    json_t *deployment = deployment_json(row, 0);
    rd_json_set(deployment, "stages", stages_json(row, instances));
    json_t *list = json_array();
    for (size_t i = 0; i < rd_pg_rows(instances); i++)
        (void)json_array_append_new(list, instance_json(instances, i));
    rd_json_set(deployment, "instances", list);
    *ret = deployment;
    *ret_version = rd_pg_get_i64(row, 0, 2);
    return 0;
}

static int reply_deployment(api_request *request, api_worker *worker, const rd_id *id, int status, rd_err *err)
{
    json_t *deployment = NULL;
    int64_t version = 0;
    if (api_deployment_read(worker, api_request_principal(request)->org_id, id, &deployment, &version, err) < 0)
        return -1;
    if (status == 202) {
        char location[64], text[RD_ID_TEXT_SIZE];
        rd_id_format(RD_PREFIX_DEPLOY, id, text);
        snprintf(location, sizeof(location), "/v1/deployments/%s", text);
        api_reply_header(request, "Location", location);
    }
    api_reply_resource(request, status, deployment, version);
    return 0;
}

int api_deployments_get(api_request *request, api_worker *worker, rd_err *err)
{
    rd_id id;
    if (api_path_id(request, "dep", RD_PREFIX_DEPLOY, &id, err) < 0)
        return -1;
    return reply_deployment(request, worker, &id, 200, err);
}

int api_deployments_list(api_request *request, api_worker *worker, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *known = NULL;
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *rows = NULL;
    const api_principal *p = api_request_principal(request);
    rd_app_id app;
    api_cursor cursor;
    size_t limit;
    if (api_path_app(request, &app, err) < 0 || api_request_limit(request, &limit, err) < 0 ||
        api_cursor_read(request, 0, &cursor, err) < 0 ||
        api_store_get(worker, p->org_id, "app_genesis", &known, err, rd_pg_bytes(RD_BYTES_ARRAY(app.b))) < 0 ||
        api_store_need(known, "app", err) < 0 ||
        api_store_get(worker, p->org_id, "deployment_list", &rows, err, rd_pg_uuid(p->org_id),
                      rd_pg_bytes(RD_BYTES_ARRAY(app.b)), cursor.is_set ? rd_pg_i64(cursor.at_us) : rd_pg_null(),
                      rd_pg_i64((int64_t)limit)) < 0)
        return -1;
    json_t *items = json_array();
    size_t count = rd_pg_rows(rows);
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(items, deployment_json(rows, i));
    api_reply_resource(request, 200,
                       api_list_new(items, limit, count ? rd_pg_get_i64(rows, count - 1, 2) : 0, RD_BYTES_NULL), 0);
    return 0;
}

/* --- accept (data-model.md, T1) --- */

static rd_pg_outcome lock_ground(rd_pg *pg, const api_change *change, const wish *w, ground *g, rd_err *err)
{
    rd_pg_result *results[3] = { NULL };
    rd_pg_value app = rd_pg_bytes(RD_BYTES_ARRAY(w->app.b)), org = rd_pg_uuid(w->org);
    /* The quota row orders the accepts of an organisation, so that generations follow one another. */
    if (rd_pg_push(pg, "app_share", err, app) < 0 || rd_pg_push(pg, "quota_lock", err, org) < 0 ||
        rd_pg_push(pg, "deployment_last", err, org, app) < 0)
        return RD_PG_FAILED;
    rd_pg_outcome outcome = rd_pg_flush(pg, results, 3, err);
    if (outcome == RD_PG_SOME || outcome == RD_PG_NONE) {
        outcome = RD_PG_SOME;
        if (rd_pg_rows(results[0]) == 0) {
            (void)rd_err_set(err, RD_E_NOT_FOUND, "no such app");
            outcome = RD_PG_FAILED;
        } else {
            g->shard = (int)rd_pg_get_i64(results[0], 0, 0);
        }
        if (outcome == RD_PG_SOME && rd_pg_rows(results[2]) > 0) {
            g->last_gen = rd_pg_get_i64(results[2], 0, 0);
            g->last_min = (int32_t)rd_pg_get_i64(results[2], 0, 1);
            g->last_max = (int32_t)rd_pg_get_i64(results[2], 0, 2);
            g->has_last_idle = !rd_pg_is_null(results[2], 0, 5);
            g->last_idle_s = (int32_t)rd_pg_get_i64(results[2], 0, 5);
            g->has_last_release = rd_pg_get_fixed(results[2], 0, 4, g->last_release.b, sizeof(g->last_release.b));
        }
        if (outcome == RD_PG_SOME && api_if_match(change->request, g->last_gen, err) < 0)
            outcome = RD_PG_FAILED;
    }
    for (size_t i = 0; i < 3; i++)
        rd_pg_result_free(results[i]);
    return outcome;
}

static int check_head(const rd_pg_result *head_row, const wish *w, const rd_digest *release, int64_t *ret_seq,
                      rd_err *err)
{
    if (rd_pg_rows(head_row) == 0)
        return rd_err_set(err, RD_E_HEAD_MISSING, "the app has no head");
    rd_head *head = rd_alloc(sizeof(*head));
    int rc = rd_head_parse(rd_pg_get_bytes(head_row, 0, 1), head, err);
    if (rc == 0 && !rd_head_lists(head, release))
        rc = rd_err_set(err, RD_E_RELEASE_NOT_ALLOWED, "head %llu does not list the release",
                        (unsigned long long)head->seq);
    if (rc == 0 && head->has_expires && head->expires_us <= w->now_us)
        rc = rd_err_set(err, RD_E_HEAD_TIME, "head %llu has expired", (unsigned long long)head->seq);
    *ret_seq = (int64_t)head->seq;
    free(head);
    return rc;
}

static rd_pg_outcome find_release(rd_pg *pg, const wish *w, const rd_digest *release, ground *g, rd_err *err)
{
    rd_pg_result *results[2] = { NULL };
    rd_pg_value app = rd_pg_bytes(RD_BYTES_ARRAY(w->app.b));
    if (rd_pg_push(pg, "deployment_release", err, rd_pg_uuid(w->org), app, rd_pg_bytes(RD_BYTES_ARRAY(release->b))) <
            0 ||
        rd_pg_push(pg, "head_last", err, app) < 0)
        return RD_PG_FAILED;
    rd_pg_outcome outcome = rd_pg_flush(pg, results, 2, err);
    if (outcome == RD_PG_SOME || outcome == RD_PG_NONE) {
        outcome = RD_PG_SOME;
        if (rd_pg_rows(results[0]) == 0) {
            (void)rd_err_set(err, RD_E_NOT_FOUND, "no such release");
            (void)rd_err_at(err, "/release");
            outcome = RD_PG_FAILED;
        } else if (check_head(results[1], w, release, &g->head_seq, err) < 0) {
            outcome = RD_PG_FAILED;
        } else {
            rd_pg_get_fixed(results[0], 0, 0, g->release_id, sizeof(g->release_id));
            g->cpu_m = rd_pg_get_i64(results[0], 0, 1);
            g->mem = rd_pg_get_i64(results[0], 0, 2);
        }
    }
    rd_pg_result_free(results[0]);
    rd_pg_result_free(results[1]);
    return outcome;
}

static rd_pg_outcome take_quota(rd_pg *pg, const wish *w, const ground *g, int32_t max, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    int64_t need = (int64_t)max + SURGE;
    rd_pg_outcome outcome =
        rd_pg_call(pg, "quota_take", &row, err, rd_pg_uuid(w->org), rd_pg_bytes(RD_BYTES_ARRAY(w->app.b)),
                   rd_pg_i64(need), rd_pg_i64(need * g->cpu_m), rd_pg_i64(need * g->mem), rd_pg_i64(g->last_gen + 1));
    if (outcome != RD_PG_SOME || rd_pg_is_null(row, 0, 0))
        return outcome;
    (void)rd_err_set(err, RD_E_QUOTA, "the organisation's quota of %s does not cover %d instances and %d to roll",
                     rd_pg_get_text(row, 0, 0), max, SURGE);
    return RD_PG_FAILED;
}

static int fill_from_last(const wish *w, const ground *g, rd_digest *release, int32_t *min, int32_t *max, rd_err *err)
{
    bool keeps_counts = w->kind == WISH_ROLLBACK && g->last_max > 0;
    *min = w->has_min ? w->min : keeps_counts ? g->last_min : 1;
    *max = w->has_max ? w->max : keeps_counts ? g->last_max : RD_MAX(*min, 1);
    if (*min > *max) {
        (void)rd_err_set(err, RD_E_JSON_RANGE, "min %d is above max %d", *min, *max);
        return rd_err_at(err, "/min");
    }
    *release = w->has_release ? w->release : g->last_release;
    if (w->has_release || (w->kind == WISH_SCALE && g->has_last_release))
        return 0;
    (void)rd_err_set(err, RD_E_JSON_MISSING, "a release is needed");
    return rd_err_at(err, "/release");
}

static rd_pg_outcome insert_deployment(rd_pg *pg, api_change *change, rd_err *err)
{
    const wish *w = change->state;
    ground g = { 0 };
    rd_digest release = { { 0 } };
    int32_t min = 0, max = 0;
    rd_pg_outcome outcome = lock_ground(pg, change, w, &g, err);
    if (outcome != RD_PG_SOME)
        return outcome;
    bool is_stop = w->kind == WISH_STOP;
    if (!is_stop) {
        if (fill_from_last(w, &g, &release, &min, &max, err) < 0)
            return RD_PG_FAILED;
        outcome = find_release(pg, w, &release, &g, err);
        if (outcome == RD_PG_SOME)
            outcome = take_quota(pg, w, &g, max, err);
        if (outcome != RD_PG_SOME)
            return outcome;
    }
    rd_pg_value none = rd_pg_null();
    rd_pg_value idle = w->has_idle ? rd_pg_i64(w->idle_s) : g.has_last_idle ? rd_pg_i64(g.last_idle_s) : none;
    if (rd_pg_push(pg, "deployment_add", err, rd_pg_uuid(w->id.b), rd_pg_uuid(w->org),
                   rd_pg_bytes(RD_BYTES_ARRAY(w->app.b)), rd_pg_i64(g.last_gen + 1),
                   is_stop ? none : rd_pg_uuid(g.release_id), is_stop ? none : rd_pg_i64(g.head_seq), rd_pg_i64(min),
                   rd_pg_i64(max), rd_pg_i64(w->kind), rd_pg_text("api"), idle) < 0 ||
        api_change_evaluate(pg, change, g.shard, 1, RD_BYTES_ARRAY(w->app.b), kind_names[w->kind], err) < 0)
        return RD_PG_FAILED;
    change->status = 202;
    rd_id_format(RD_PREFIX_DEPLOY, &w->id, change->resource);
    api_change_event(change, "deployment", RD_BYTES_ARRAY(w->id.b), &w->app);
    snprintf(change->event_body, sizeof(change->event_body),
             "{\"state\":\"accepted\",\"kind\":\"%s\",\"generation\":%lld}", kind_names[w->kind],
             (long long)g.last_gen + 1);
    return RD_PG_SOME;
}

int api_deployments_create(api_request *request, api_worker *worker, rd_err *err)
{
    static const rd_json_field fields[] = {
        { "release", RD_JSON_DIGEST, offsetof(wish, release), RD_OPTIONAL, .has = RD_HAS(wish, has_release) },
        { "min", RD_JSON_I32, offsetof(wish, min), RD_OPTIONAL, .min = 0, .max = INSTANCES_MAX,
          .has = RD_HAS(wish, has_min) },
        { "max", RD_JSON_I32, offsetof(wish, max), RD_OPTIONAL, .min = 1, .max = INSTANCES_MAX,
          .has = RD_HAS(wish, has_max) },
        { "idle_s", RD_JSON_I32, offsetof(wish, idle_s), RD_OPTIONAL, .min = IDLE_S_MIN, .max = IDLE_S_MAX,
          .has = RD_HAS(wish, has_idle) },
        { "kind", RD_JSON_ENUM, offsetof(wish, kind), RD_OPTIONAL, .names = kind_names },
        RD_JSON_END,
    };
    wish w = { .org = api_request_principal(request)->org_id, .now_us = rd_clock_wall_us(worker->context->clock) };
    json_t *body;
    if (api_request_json(request, &body, err) < 0 || rd_json_read(body, fields, RD_UNKNOWN_REFUSED, "", &w, err) < 0 ||
        api_path_app(request, &w.app, err) < 0)
        return -1;
    if (w.kind == 0)
        w.kind = WISH_DEPLOY;
    w.id = rd_id_new(w.now_us, rd_random_system());
    api_change change = { .action = "deployment.create", .apply = insert_deployment, .state = &w };
    if (api_change_run(request, worker, &change, err) < 0)
        return -1;
    if (change.is_replay && rd_id_parse(RD_PREFIX_DEPLOY, change.resource, strlen(change.resource), &w.id, err) < 0)
        return -1;
    return reply_deployment(request, worker, &w.id, change.status, err);
}
