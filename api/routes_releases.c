#include <string.h>

#include "api/blobs.h"
#include "api/reply.h"
#include "api/routes.h"
#include "api/secret_list.h"
#include "common/base/text.h"
#include "common/model/code_bundle.h"
#include "common/model/head.h"
#include "common/model/release.h"

/* A signed document on its way in: its envelope as parsed, and as it will be stored. */
typedef struct incoming {
    rd_app_id app;
    const uint8_t *org;
    rd_envelope envelope;
    rd_buf encoded;
    char *signatures; /* JSON text of the array */
    rd_digest digest;
    rd_release release;
    bool has_release;
    rd_head head;
    bool is_head;
    int shard;               /* of the app */
    api_secret_list secrets; /* what a head's body lists beside the envelope */
} incoming;

static void incoming_done(incoming *in)
{
    rd_envelope_done(&in->envelope);
    rd_buf_done(&in->encoded);
    free(in->signatures);
    if (in->has_release)
        rd_release_done(&in->release);
}

/* The envelope in the body, which for a head may also list secrets. */
static int parse_body(api_request *request, incoming *in, rd_err *err)
{
    json_t *body = NULL;
    RD_CLEANUP(rd_buf_done) rd_buf envelope = { 0 };
    if (api_request_json(request, &body, err) < 0)
        return -1;
    if (!in->is_head || !json_object_get(body, "secrets"))
        return rd_envelope_parse(api_request_body(request), &in->envelope, err);
    if (api_secret_list_take(body, &in->secrets, err) < 0)
        return -1;
    if (!rd_json_dump(body, &envelope))
        return rd_err_set(err, RD_E_TOO_LARGE, "the head is too large");
    return rd_envelope_parse(rd_buf_bytes(&envelope), &in->envelope, err);
}

static int read_incoming(api_request *request, incoming *in, rd_err *err)
{
    in->org = api_request_principal(request)->org_id;
    if (api_path_app(request, &in->app, err) < 0 || parse_body(request, in, err) < 0 ||
        rd_envelope_encode(&in->envelope, &in->encoded, err) < 0)
        return -1;
    RD_CLEANUP(rd_json_free_p) json_t *tree = NULL;
    static const rd_json_limits limits = { .size_max = RD_ENVELOPE_SIZE_MAX };
    if (rd_json_parse(rd_buf_bytes(&in->encoded), &limits, &tree, err) < 0)
        return -1;
    in->signatures = json_dumps(json_object_get(tree, "signatures"), JSON_COMPACT);
    return 0;
}

static int read_genesis(api_worker *worker, const incoming *in, rd_genesis *ret, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    if (api_store_get(worker, in->org, "app_genesis", &row, err, rd_pg_bytes(RD_BYTES_ARRAY(in->app.b))) < 0 ||
        api_store_need(row, "app", err) < 0)
        return -1;
    return rd_genesis_open(rd_pg_get_bytes(row, 0, 0), &in->app, ret, err);
}

/* --- releases --- */

static json_t *release_json(const rd_pg_result *row, size_t r)
{
    json_t *release = json_object();
    rd_digest digest;
    rd_pg_get_fixed(row, r, 0, digest.b, sizeof(digest.b));
    rd_json_set_digest(release, "digest", &digest);
    rd_json_set_int(release, "number", rd_pg_get_i64(row, r, 1));
    rd_json_set_b64(release, "document", rd_pg_get_bytes(row, r, 2));
    json_t *signatures = json_loads(rd_pg_get_text(row, r, 3), 0, NULL);
    rd_json_set(release, "signatures", signatures ? signatures : json_array());
    rd_json_set_time(release, "created_at", rd_pg_get_time(row, r, 4));
    return release;
}

static int reply_release(api_request *request, api_worker *worker, const rd_app_id *app, const rd_digest *digest,
                         int status, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    const api_principal *p = api_request_principal(request);
    if (api_store_get(worker, p->org_id, "release_get", &row, err, rd_pg_bytes(RD_BYTES_ARRAY(app->b)),
                      rd_pg_bytes(RD_BYTES_ARRAY(digest->b))) < 0 ||
        api_store_need(row, "release", err) < 0)
        return -1;
    if (status == 201) {
        char location[160], app_text[RD_APP_ID_TEXT_SIZE], digest_text[RD_DIGEST_TEXT_SIZE];
        rd_app_id_format(app, app_text);
        rd_digest_format(digest, digest_text);
        snprintf(location, sizeof(location), "/v1/apps/%s/releases/%s", app_text, digest_text);
        api_reply_header(request, "Location", location);
    }
    api_reply_resource(request, status, release_json(row, 0), 0);
    return 0;
}

/* The code must be there, as large as stated, and (where it is not sealed) well formed: an agent would otherwise learn
 * it first. */
static int check_code(api_worker *worker, const incoming *in, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    if (api_store_get(worker, in->org, "blob_get", &row, err, rd_pg_uuid(in->org),
                      rd_pg_bytes(RD_BYTES_ARRAY(in->release.code_digest.b))) < 0)
        return -1;
    if (rd_pg_rows(row) == 0)
        return rd_err_set(err, RD_E_BLOB_MISSING, "the release's code is not uploaded");
    if ((uint64_t)rd_pg_get_i64(row, 0, 0) != in->release.code_size)
        return rd_err_set(err, RD_E_CODE_BUNDLE, "the code has %lld bytes; the release says %llu",
                          (long long)rd_pg_get_i64(row, 0, 0), (unsigned long long)in->release.code_size);
    if (in->release.is_sealed)
        return 0;
    rd_buf code;
    rd_code_bundle bundle = { 0 };
    rd_err why = RD_ERR_INIT;
    rd_buf_init(&code, RD_CODE_BUNDLE_SIZE_MAX);
    int rc = api_blob_read(worker->context->config->blob_dir, in->release.code_digest.b, RD_CODE_BUNDLE_SIZE_MAX, &code,
                           err);
    if (rc == 0 && rd_code_bundle_parse(rd_buf_bytes(&code), &bundle, &why) < 0)
        rc = rd_err_set(err, RD_E_CODE_BUNDLE, "the code is no bundle of modules: %.300s", why.text);
    rd_code_bundle_done(&bundle);
    rd_buf_done(&code);
    return rc;
}

static rd_pg_outcome insert_release(rd_pg *pg, api_change *change, rd_err *err)
{
    const incoming *in = change->state;
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *known = NULL;
    const rd_release *rel = &in->release;
    rd_pg_value app = rd_pg_bytes(RD_BYTES_ARRAY(in->app.b));
    rd_pg_outcome outcome = rd_pg_call(pg, "app_share", NULL, err, app);
    if (outcome == RD_PG_NONE)
        return (void)rd_err_set(err, RD_E_NOT_FOUND, "no such app"), RD_PG_FAILED;
    if (outcome == RD_PG_SOME)
        outcome = rd_pg_call(pg, "release_by_number", &known, err, app, rd_pg_i64(rel->number));
    rd_digest_format(&in->digest, change->resource);
    if (outcome == RD_PG_SOME) {
        rd_digest there;
        rd_pg_get_fixed(known, 0, 0, there.b, sizeof(there.b));
        change->status = 200;
        if (rd_digest_equal(&there, &in->digest))
            return RD_PG_SOME;
        (void)rd_err_set(err, RD_E_RELEASE_EXISTS, "release %u exists and is another one", rel->number);
        return RD_PG_FAILED;
    }
    if (outcome != RD_PG_NONE)
        return outcome;
    rd_id id = rd_id_new(rd_clock_wall_us(change->worker->context->clock), rd_random_system());
    outcome = rd_pg_call(pg, "release_add", NULL, err, rd_pg_uuid(id.b), rd_pg_uuid(in->org), app,
                         rd_pg_i64(rel->number), rd_pg_bytes(rd_buf_bytes(&in->envelope.document)),
                         rd_pg_bytes(RD_BYTES_ARRAY(in->digest.b)), rd_pg_text(in->signatures),
                         rd_pg_bytes(rd_buf_bytes(&in->encoded)), rd_pg_bytes(RD_BYTES_ARRAY(rel->code_digest.b)),
                         rd_pg_i64(rel->resources.cpu_m), rd_pg_i64((int64_t)rel->resources.memory_bytes),
                         rd_pg_bool(rel->is_open), rd_pg_text(rd_engine_names[rel->engine]));
    /* Two of the same number at once: the other one is there now, so look again. */
    if (outcome == RD_PG_FAILED && strcmp(rd_pg_sqlstate(pg), "23505") == 0)
        return RD_PG_RETRY;
    if (outcome != RD_PG_SOME)
        return outcome;
    change->status = 201;
    api_change_event(change, "app", RD_BYTES_ARRAY(in->app.b), &in->app);
    snprintf(change->event_body, sizeof(change->event_body), "{\"release\":\"%s\",\"number\":%u}", change->resource,
             rel->number);
    return RD_PG_SOME;
}

static int create_release(api_request *request, api_worker *worker, incoming *in, rd_err *err)
{
    rd_genesis genesis;
    if (read_incoming(request, in, err) < 0 || read_genesis(worker, in, &genesis, err) < 0)
        return -1;
    in->has_release = true;
    if (rd_release_accept(&in->envelope, &genesis, &in->app, &in->release, &in->digest, err) < 0 ||
        check_code(worker, in, err) < 0)
        return -1;
    api_change change = { .action = "release.create", .apply = insert_release, .state = in };
    if (api_change_run(request, worker, &change, err) < 0)
        return -1;
    return reply_release(request, worker, &in->app, &in->digest, change.status, err);
}

int api_releases_create(api_request *request, api_worker *worker, rd_err *err)
{
    incoming in = { .signatures = NULL };
    int rc = create_release(request, worker, &in, err);
    incoming_done(&in);
    return rc;
}

int api_releases_list(api_request *request, api_worker *worker, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *rows = NULL;
    const api_principal *p = api_request_principal(request);
    rd_app_id app;
    api_cursor cursor;
    size_t limit;
    if (api_path_app(request, &app, err) < 0 || api_request_limit(request, &limit, err) < 0 ||
        api_cursor_read(request, 16, &cursor, err) < 0 ||
        api_store_get(worker, p->org_id, "release_list", &rows, err, rd_pg_bytes(RD_BYTES_ARRAY(app.b)),
                      api_cursor_at(&cursor), api_cursor_id(&cursor), rd_pg_i64((int64_t)limit),
                      rd_pg_uuid(p->org_id)) < 0)
        return -1;
    json_t *items = json_array();
    size_t count = rd_pg_rows(rows);
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(items, release_json(rows, i));
    rd_bytes last = count ? rd_pg_get_bytes(rows, count - 1, 5) : RD_BYTES_NULL;
    api_reply_resource(request, 200, api_list_new(items, limit, count ? rd_pg_get_time(rows, count - 1, 4) : 0, last),
                       0);
    return 0;
}

static int parse_digest(const char *text, rd_digest *ret)
{
    rd_err ignored = RD_ERR_INIT;
    return rd_digest_parse(text, strlen(text), ret, &ignored);
}

int api_releases_get(api_request *request, api_worker *worker, rd_err *err)
{
    rd_app_id app;
    rd_digest digest;
    if (api_path_app(request, &app, err) < 0)
        return -1;
    if (parse_digest(api_request_param(request, "digest"), &digest) < 0)
        return rd_err_set(err, RD_E_NOT_FOUND, "no such release");
    return reply_release(request, worker, &app, &digest, 200, err);
}

/* --- heads --- */

static json_t *head_json(const rd_pg_result *row, size_t r)
{
    json_t *head = json_object();
    rd_digest digest;
    rd_pg_get_fixed(row, r, 2, digest.b, sizeof(digest.b));
    rd_json_set_int(head, "seq", rd_pg_get_i64(row, r, 0));
    rd_json_set_digest(head, "digest", &digest);
    rd_json_set_str(head, "class", rd_pg_get_text(row, r, 3));
    rd_json_set_b64(head, "document", rd_pg_get_bytes(row, r, 1));
    json_t *signatures = json_loads(rd_pg_get_text(row, r, 4), 0, NULL);
    rd_json_set(head, "signatures", signatures ? signatures : json_array());
    rd_json_set_time(head, "created_at", rd_pg_get_time(row, r, 5));
    rd_kms_id kms;
    rd_json_set_kms_id(head, "kms", rd_pg_get_fixed(row, r, 6, kms.b, sizeof kms.b) ? &kms : NULL);
    json_t *secrets = json_loads(rd_pg_get_text(row, r, 7), 0, NULL);
    rd_json_set(head, "secrets", secrets ? secrets : json_array());
    return head;
}

/* What the newest head that is kept says, and which head of the owners it rests on. */
static int read_newest(rd_bytes kept, const rd_head_check *check, rd_head_known *ret, rd_err *err)
{
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope = { .signatures_count = 0 };
    rd_head head;
    rd_digest digest;
    if (rd_envelope_parse(kept, &envelope, err) < 0 || rd_head_accept(&envelope, check, &head, &digest, err) < 0)
        return rd_err_wrap(err, "the newest head that is kept");
    *ret = rd_head_known_of(&head, &digest);
    return 0;
}

/* Locks the app, so that heads are judged one after another. */
static rd_pg_outcome judge_head(rd_pg *pg, incoming *in, bool *ret_is_known, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *app = NULL;
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *last = NULL;
    rd_pg_value id = rd_pg_bytes(RD_BYTES_ARRAY(in->app.b));
    rd_genesis genesis;
    rd_head_known known;
    rd_pg_outcome outcome = rd_pg_call(pg, "app_lock", &app, err, id);
    if (outcome == RD_PG_NONE || (outcome == RD_PG_SOME && rd_pg_get_i64(app, 0, 1) != 1))
        return (void)rd_err_set(err, RD_E_NOT_FOUND, "no such app"), RD_PG_FAILED;
    if (outcome != RD_PG_SOME)
        return outcome;
    in->shard = (int)rd_pg_get_i64(app, 0, 3);
    outcome = rd_pg_call(pg, "head_newest", &last, err, id);
    if (outcome != RD_PG_SOME && outcome != RD_PG_NONE)
        return outcome;
    rd_head_check check = { .app = &in->app, .genesis = &genesis };
    if (rd_genesis_open(rd_pg_get_bytes(app, 0, 0), &in->app, &genesis, err) < 0 ||
        (outcome == RD_PG_SOME && read_newest(rd_pg_get_bytes(last, 0, 0), &check, &known, err) < 0))
        return RD_PG_FAILED;
    int64_t now_us = rd_clock_wall_us(rd_clock_system());
    check.known = outcome == RD_PG_SOME ? &known : NULL;
    check.is_next_demanded = true;
    check.now_us = &now_us;
    if (rd_head_accept(&in->envelope, &check, &in->head, &in->digest, err) < 0)
        return RD_PG_FAILED;
    *ret_is_known = check.known && rd_digest_equal(&known.digest, &in->digest);
    return RD_PG_SOME;
}

/* *ret_leaves: it gives instances something else than the head before. */
static rd_pg_outcome add_head(rd_pg *pg, const incoming *in, bool *ret_leaves, rd_err *err)
{
    const rd_head *head = &in->head;
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    RD_CLEANUP(rd_pg_array_done) rd_pg_array names, versions;
    api_secret_list_arrays(&in->secrets, &names, &versions);
    rd_pg_outcome outcome = rd_pg_call(
        pg, "head_add", &row, err, rd_pg_uuid(in->org), rd_pg_bytes(RD_BYTES_ARRAY(in->app.b)),
        rd_pg_i64((int64_t)head->seq), rd_pg_bytes(rd_buf_bytes(&in->envelope.document)),
        rd_pg_bytes(RD_BYTES_ARRAY(in->digest.b)),
        head->has_prev ? rd_pg_bytes(RD_BYTES_ARRAY(head->prev.b)) : rd_pg_null(), rd_pg_text(in->signatures),
        rd_pg_bytes(rd_buf_bytes(&in->encoded)), rd_pg_text(rd_class_name(head->class)), rd_pg_text("{tdx}"),
        head->kms_count > 0 ? rd_pg_bytes(RD_BYTES_ARRAY(head->kms[0].b)) : rd_pg_null(), rd_pg_array_value(&names),
        rd_pg_array_value(&versions));
    *ret_leaves = outcome == RD_PG_SOME && head->seq > 1 && rd_pg_get_bool(row, 0, 0);
    return outcome == RD_PG_SOME ? api_secret_list_keep(pg, in->org, head, &in->secrets, err) : outcome;
}

static rd_pg_outcome insert_head(rd_pg *pg, api_change *change, rd_err *err)
{
    incoming *in = change->state;
    bool is_known = false;
    rd_pg_outcome outcome = judge_head(pg, in, &is_known, err);
    if (outcome != RD_PG_SOME)
        return outcome;
    rd_digest_format(&in->digest, change->resource);
    change->status = is_known ? 200 : 201;
    if (is_known)
        return RD_PG_SOME;
    const rd_head *head = &in->head;
    outcome = api_secret_list_check(pg, in->org, head, &in->secrets, err);
    if (outcome != RD_PG_SOME)
        return outcome;
    bool leaves = false;
    outcome = add_head(pg, in, &leaves, err);
    if (outcome != RD_PG_SOME)
        return outcome;
    /* The scheduler starts others in their place. */
    if (leaves && api_change_evaluate(pg, change, in->shard, 1, RD_BYTES_ARRAY(in->app.b), "head", err) < 0)
        return RD_PG_FAILED;
    api_change_event(change, "app", RD_BYTES_ARRAY(in->app.b), &in->app);
    snprintf(change->event_body, sizeof(change->event_body), "{\"head\":\"%s\",\"seq\":%llu}", change->resource,
             (unsigned long long)head->seq);
    return RD_PG_SOME;
}

static rd_pg_outcome keep_fork(rd_pg *pg, void *context, rd_err *err)
{
    const incoming *in = context;
    return rd_pg_call(pg, "head_fork_add", NULL, err, rd_pg_uuid(in->org), rd_pg_bytes(RD_BYTES_ARRAY(in->app.b)),
                      rd_pg_i64((int64_t)in->head.seq), rd_pg_bytes(RD_BYTES_ARRAY(in->digest.b)),
                      rd_pg_bytes(rd_buf_bytes(&in->encoded)));
}

/* The refused head is signed by the owner twice for one number: evidence, which is kept. */
static void note_fork(api_worker *worker, incoming *in)
{
    rd_err ignored = RD_ERR_INIT;
    rd_head_digest(rd_buf_bytes(&in->envelope.document), &in->digest);
    if (rd_head_parse(rd_buf_bytes(&in->envelope.document), &in->head, &ignored) == 0)
        (void)!rd_pg_tx(worker->pg, in->org, keep_fork, in, &ignored);
}

static int reply_head(api_request *request, api_worker *worker, const rd_app_id *app, const char *stmt, int64_t seq,
                      int status, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    const api_principal *p = api_request_principal(request);
    rd_pg_value args[2] = { rd_pg_bytes(RD_BYTES_ARRAY(app->b)), rd_pg_i64(seq) };
    if (api_store_read(worker, p->org_id, stmt, args, seq > 0 ? 2 : 1, &row, err) < 0 ||
        api_store_need(row, "head", err) < 0)
        return -1;
    api_reply_resource(request, status, head_json(row, 0), rd_pg_get_i64(row, 0, 0));
    return 0;
}

static int create_head(api_request *request, api_worker *worker, incoming *in, rd_err *err)
{
    if (read_incoming(request, in, err) < 0)
        return -1;
    api_change change = { .action = "head.publish", .apply = insert_head, .state = in };
    if (api_change_run(request, worker, &change, err) < 0) {
        if (err->code == RD_E_HEAD_FORK)
            note_fork(worker, in);
        return -1;
    }
    if (change.is_replay && rd_head_parse(rd_buf_bytes(&in->envelope.document), &in->head, err) < 0)
        return -1;
    return reply_head(request, worker, &in->app, "head_get", (int64_t)in->head.seq, change.status, err);
}

int api_heads_create(api_request *request, api_worker *worker, rd_err *err)
{
    incoming *in = rd_alloc(sizeof(*in));
    in->is_head = true;
    int rc = create_head(request, worker, in, err);
    incoming_done(in);
    free(in);
    return rc;
}

int api_heads_current(api_request *request, api_worker *worker, rd_err *err)
{
    rd_app_id app;
    if (api_path_app(request, &app, err) < 0)
        return -1;
    return reply_head(request, worker, &app, "head_last", 0, 200, err);
}

int api_heads_list(api_request *request, api_worker *worker, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *rows = NULL;
    const api_principal *p = api_request_principal(request);
    rd_app_id app;
    api_cursor cursor;
    size_t limit;
    uint64_t before = 0;
    if (api_path_app(request, &app, err) < 0 || api_request_limit(request, &limit, err) < 0 ||
        api_cursor_read(request, 0, &cursor, err) < 0)
        return -1;
    before = (uint64_t)cursor.at_us;
    if (api_store_get(worker, p->org_id, "head_list", &rows, err, rd_pg_bytes(RD_BYTES_ARRAY(app.b)),
                      cursor.is_set ? rd_pg_i64((int64_t)before) : rd_pg_null(), rd_pg_i64((int64_t)limit)) < 0)
        return -1;
    json_t *items = json_array();
    size_t count = rd_pg_rows(rows);
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(items, head_json(rows, i));
    api_reply_resource(request, 200,
                       api_list_new(items, limit, count ? rd_pg_get_i64(rows, count - 1, 0) : 0, RD_BYTES_NULL), 0);
    return 0;
}
