#include <string.h>

#include "api/reply.h"
#include "api/routes.h"
#include "api/store.h"
#include "api/store_orgs.h"
#include "common/base/text.h"
#include "common/model/engine_name.h"
#include "common/model/instance_state.h"

#define DRAIN_STANDARD_S 600
#define TOKEN_TERM_S     3600

typedef struct host_wish {
    rd_id host;
    const uint8_t *org;
    bool cordon, has_drain_by, retire, release;
    int64_t drain_by_us;
    const char *cause;
} host_wish;

static json_t *amounts(const rd_pg_result *row, size_t r, int column)
{
    json_t *amount = json_object();
    rd_json_set_int(amount, "cpu_m", rd_pg_get_i64(row, r, column));
    rd_json_set_int(amount, "memory_bytes", rd_pg_get_i64(row, r, column + 1));
    rd_json_set_int(amount, "slots", rd_pg_get_i64(row, r, column + 2));
    return amount;
}

static void set_json_text(json_t *object, const char *name, const char *text)
{
    json_t *value = text[0] ? json_loads(text, 0, NULL) : NULL;
    rd_json_set(object, name, value ? value : json_object());
}

/* Why nothing is placed here, while the newest mark counts. */
static json_t *quarantine(const rd_pg_result *row, size_t r)
{
    if (!rd_pg_get_bool(row, r, 23))
        return json_null();
    json_t *object = json_object();
    rd_json_set_str(object, "code", rd_pg_get_text(row, r, 24));
    rd_json_set_str(object, "detail", rd_pg_get_text(row, r, 25));
    rd_json_set_time(object, "since", rd_pg_get_time(row, r, 26));
    return object;
}

/* What its agent said; nothing before it was ever linked. */
static json_t *engines(const rd_pg_result *row, size_t r)
{
    json_t *names = json_array();
    if (rd_pg_is_null(row, r, 20))
        return names;
    (void)json_array_append_new(names, json_string(rd_engine_names[RD_ENGINE_QUICKJS]));
    if (rd_pg_get_bool(row, r, 28))
        (void)json_array_append_new(names, json_string(rd_engine_names[RD_ENGINE_JSC]));
    return names;
}

static json_t *host_json(const rd_pg_result *row, size_t r)
{
    json_t *host = json_object();
    rd_id id;
    rd_pg_get_fixed(row, r, 0, id.b, sizeof(id.b));
    rd_json_set_id(host, "id", RD_PREFIX_HOST, &id);
    rd_json_set_str(host, "name", rd_pg_get_text(row, r, 1));
    rd_json_set_str(host, "region", rd_pg_get_text(row, r, 2));
    rd_json_set_str(host, "tee", rd_pg_get_text(row, r, 3));
    rd_json_set_bool(host, "simulated", rd_pg_get_bool(row, r, 4));
    const char *state =
        rd_pg_is_null(row, r, 5) ? "enrolled" : rd_host_state_name((rd_host_state)rd_pg_get_i64(row, r, 5));
    rd_json_set_str(host, "state", rd_pg_is_null(row, r, 17) ? state : "revoked");
    rd_json_set_str(host, "link", rd_pg_get_i64(row, r, 6) == 1 ? "up" : "down");
    rd_json_set_bool(host, "cordoned", rd_pg_get_bool(row, r, 19));
    rd_json_set(host, "quarantine", quarantine(row, r));
    rd_json_set_int(host, "faults", rd_pg_get_i64(row, r, 27));
    rd_json_set(host, "capacity", amounts(row, r, 7));
    rd_json_set(host, "used", amounts(row, r, 10));
    rd_json_set_hex(host, "platform", rd_pg_get_bytes(row, r, 13));
    set_json_text(host, "verdict", rd_pg_get_text(row, r, 14));
    set_json_text(host, "labels", rd_pg_get_text(row, r, 15));
    rd_json_set_str(host, "agent_version", rd_pg_get_text(row, r, 20));
    rd_json_set(host, "engines", engines(row, r));
    rd_json_set_time(host, "enrolled_at", rd_pg_get_time(row, r, 16));
    return host;
}

static int reply_host(api_request *request, api_worker *worker, const rd_id *id, int status, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    const api_principal *p = api_request_principal(request);
    if (api_store_get(worker, p->org_id, "host_get", &row, err, rd_pg_uuid(id->b)) < 0 ||
        api_store_need(row, "host", err) < 0)
        return -1;
    api_reply_resource(request, status, host_json(row, 0), rd_pg_get_i64(row, 0, 18));
    return 0;
}

int api_hosts_get(api_request *request, api_worker *worker, rd_err *err)
{
    rd_id id;
    if (api_path_id(request, "host", RD_PREFIX_HOST, &id, err) < 0)
        return -1;
    return reply_host(request, worker, &id, 200, err);
}

int api_hosts_list(api_request *request, api_worker *worker, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *rows = NULL;
    const api_principal *p = api_request_principal(request);
    api_cursor cursor;
    size_t limit;
    const char *all = api_request_query(request, "all");
    if (api_request_limit(request, &limit, err) < 0 || api_cursor_read(request, 16, &cursor, err) < 0 ||
        api_store_get(worker, p->org_id, "host_list", &rows, err, rd_pg_uuid(p->org_id), api_cursor_at(&cursor),
                      api_cursor_id(&cursor), rd_pg_i64((int64_t)limit),
                      rd_pg_bool(all && strcmp(all, "true") == 0)) < 0)
        return -1;
    json_t *items = json_array();
    size_t count = rd_pg_rows(rows);
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(items, host_json(rows, i));
    rd_bytes last = count ? rd_pg_get_bytes(rows, count - 1, 0) : RD_BYTES_NULL;
    api_reply_resource(request, 200, api_list_new(items, limit, count ? rd_pg_get_time(rows, count - 1, 16) : 0, last),
                       0);
    return 0;
}

/* --- drain, cordon, undrain, release, revoke --- */

static int push_wish(rd_pg *pg, const host_wish *w, rd_err *err)
{
    rd_pg_value id = rd_pg_uuid(w->host.b);
    if (w->release)
        return rd_pg_push(pg, "host_release", err, id, rd_pg_uuid(w->org));
    if (rd_pg_push(pg, "host_wish", err, id, rd_pg_uuid(w->org), rd_pg_bool(w->cordon),
                   w->has_drain_by ? rd_pg_time(w->drain_by_us) : rd_pg_null(), rd_pg_bool(w->retire)) < 0)
        return -1;
    return w->retire ? rd_pg_push(pg, "host_revoke", err, id) : 0;
}

static rd_pg_outcome wish_host(rd_pg *pg, api_change *change, rd_err *err)
{
    const host_wish *w = change->state;
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *version = NULL;
    rd_pg_value id = rd_pg_uuid(w->host.b);
    rd_pg_outcome outcome = rd_pg_call(pg, "host_lock", &row, err, id);
    if (outcome == RD_PG_NONE)
        return (void)rd_err_set(err, RD_E_NOT_FOUND, "no such host"), RD_PG_FAILED;
    if (outcome != RD_PG_SOME)
        return outcome;
    if (!rd_pg_is_null(row, 0, 1))
        return (void)rd_err_set(err, RD_E_HOST_REVOKED, "the host was revoked"), RD_PG_FAILED;
    outcome = rd_pg_call(pg, "host_version", &version, err, id);
    if (outcome != RD_PG_SOME && outcome != RD_PG_NONE)
        return outcome;
    if (api_if_match(change->request, outcome == RD_PG_SOME ? rd_pg_get_i64(version, 0, 0) : 0, err) < 0)
        return RD_PG_FAILED;
    if (push_wish(pg, w, err) < 0 ||
        api_change_evaluate(pg, change, (int)rd_pg_get_i64(row, 0, 0), 2, RD_BYTES_ARRAY(w->host.b), w->cause, err) < 0)
        return RD_PG_FAILED;
    change->status = 200;
    rd_id_format(RD_PREFIX_HOST, &w->host, change->resource);
    api_change_event(change, "host", RD_BYTES_ARRAY(w->host.b), NULL);
    snprintf(change->event_body, sizeof(change->event_body), "{\"%s\":true}", w->retire ? "revoked" : w->cause);
    return RD_PG_SOME;
}

static int run_wish(api_request *request, api_worker *worker, host_wish *w, const char *action, rd_err *err)
{
    w->org = api_request_principal(request)->org_id;
    if (api_path_id(request, "host", RD_PREFIX_HOST, &w->host, err) < 0)
        return -1;
    api_change change = { .action = action, .apply = wish_host, .state = w };
    return api_change_run(request, worker, &change, err);
}

int api_hosts_drain(api_request *request, api_worker *worker, rd_err *err)
{
    typedef struct drain_body {
        int64_t within_s;
    } drain_body;
    static const rd_json_field fields[] = {
        { "within_s", RD_JSON_I64, offsetof(drain_body, within_s), RD_OPTIONAL, .min = 1, .max = 7 * 86400 },
        RD_JSON_END,
    };
    drain_body body = { 0 };
    json_t *json;
    if (api_request_json(request, &json, err) < 0 || rd_json_read(json, fields, RD_UNKNOWN_REFUSED, "", &body, err) < 0)
        return -1;
    if (body.within_s == 0)
        body.within_s = DRAIN_STANDARD_S;
    host_wish w = { .cordon = true,
                    .has_drain_by = true,
                    .drain_by_us = rd_clock_wall_us(worker->context->clock) + body.within_s * 1000000,
                    .cause = "drain" };
    return run_wish(request, worker, &w, "host.drain", err) < 0 ? -1 : reply_host(request, worker, &w.host, 200, err);
}

int api_hosts_cordon(api_request *request, api_worker *worker, rd_err *err)
{
    host_wish w = { .cordon = true, .cause = "cordon" };
    return run_wish(request, worker, &w, "host.cordon", err) < 0 ? -1 : reply_host(request, worker, &w.host, 200, err);
}

int api_hosts_undrain(api_request *request, api_worker *worker, rd_err *err)
{
    host_wish w = { .cause = "undrain" };
    return run_wish(request, worker, &w, "host.undrain", err) < 0 ? -1 : reply_host(request, worker, &w.host, 200, err);
}

int api_hosts_release(api_request *request, api_worker *worker, rd_err *err)
{
    host_wish w = { .release = true, .cause = "release" };
    return run_wish(request, worker, &w, "host.release", err) < 0 ? -1 : reply_host(request, worker, &w.host, 200, err);
}

int api_hosts_revoke(api_request *request, api_worker *worker, rd_err *err)
{
    host_wish w = { .cordon = true, .retire = true, .cause = "revoke" };
    if (run_wish(request, worker, &w, "host.revoke", err) < 0)
        return -1;
    api_reply_empty(request, 204);
    return 0;
}

/* --- enrolment tokens --- */

typedef struct enrol_token {
    char region[65];
    json_t *labels; /* borrowed from the body; NULL: none */
    char *labels_text;
    int64_t uses, expires_in_s, expires_us;
    uint8_t hash[32];
    const uint8_t *org;
} enrol_token;

static int read_labels(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    const char *key;
    json_t *item;
    if (!json_is_object(value) || json_object_size(value) > 32) {
        (void)rd_err_set(err, RD_E_JSON_TYPE, "labels must be an object of at most 32 texts");
        return rd_err_at(err, pointer);
    }
    json_object_foreach((json_t *)value, key, item)
    {
        if (json_is_string(item) && json_string_length(item) <= 64 && strlen(key) <= 64)
            continue;
        (void)rd_err_set(err, RD_E_JSON_TYPE, "labels must be texts of at most 64 bytes");
        return rd_err_at(err, pointer);
    }
    *(json_t **)into = (json_t *)value;
    return 0;
}

static rd_pg_outcome insert_enrol_token(rd_pg *pg, api_change *change, rd_err *err)
{
    const enrol_token *t = change->state;
    rd_pg_outcome outcome =
        rd_pg_call(pg, "enrol_token_add", NULL, err, rd_pg_bytes(RD_BYTES_ARRAY(t->hash)), rd_pg_uuid(t->org),
                   rd_pg_text(t->region), rd_pg_text(t->labels_text), rd_pg_i64(t->uses), rd_pg_time(t->expires_us));
    if (outcome != RD_PG_SOME)
        return outcome;
    change->status = 201;
    rd_hex_encode(rd_bytes_of(t->hash, 8), change->resource);
    return RD_PG_SOME;
}

int api_enrol_tokens_create(api_request *request, api_worker *worker, rd_err *err)
{
    static const rd_json_field fields[] = {
        { "region", RD_JSON_TEXT, offsetof(enrol_token, region), RD_OPTIONAL, .min = 1, .max = 64 },
        { "labels", RD_JSON_CUSTOM, offsetof(enrol_token, labels), RD_OPTIONAL, .parse = read_labels },
        { "uses", RD_JSON_I64, offsetof(enrol_token, uses), RD_OPTIONAL, .min = 1, .max = 10000 },
        { "expires_in_s", RD_JSON_I64, offsetof(enrol_token, expires_in_s), RD_OPTIONAL, .min = 60, .max = 30 * 86400 },
        RD_JSON_END,
    };
    enrol_token t = { .org = api_request_principal(request)->org_id };
    char secret[API_SECRET_TEXT_SIZE];
    json_t *body;
    if (api_request_json(request, &body, err) < 0 || rd_json_read(body, fields, RD_UNKNOWN_REFUSED, "", &t, err) < 0)
        return -1;
    if (!t.region[0])
        strcpy(t.region, "local");
    t.uses = t.uses ? t.uses : 1;
    t.expires_us =
        rd_clock_wall_us(worker->context->clock) + (t.expires_in_s ? t.expires_in_s : TOKEN_TERM_S) * 1000000;
    t.labels_text = t.labels ? json_dumps(t.labels, JSON_COMPACT) : rd_strdup("{}");
    api_secret_new("rdt_enroll_", secret, t.hash);
    api_change change = { .action = "enrol_token.create", .apply = insert_enrol_token, .state = &t };
    int rc = api_change_run(request, worker, &change, err);
    free(t.labels_text);
    if (rc < 0)
        return -1;
    json_t *answer = json_object();
    RD_CLEANUP(rd_free_p)
    char *command = rd_asprintf("redoubt-agent enroll --api %s --token %s", worker->context->config->public_url,
                                change.is_replay ? "…" : secret);
    rd_json_set_str(answer, "token", change.is_replay ? NULL : secret);
    rd_json_set_time(answer, "expires", t.expires_us);
    rd_json_set_int(answer, "uses", t.uses);
    rd_json_set_str(answer, "command", command);
    api_reply_json(request, change.status, answer);
    return 0;
}
