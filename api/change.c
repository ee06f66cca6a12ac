#include <string.h>

#include "api/store.h"
#include "common/base/failpoint.h"
#include "common/crypto/hash.h"

#define KEY_MAX 255

static const rd_pg_stmt stmts[] = {
    { "idem_wait", "SELECT set_config('lock_timeout', '200ms', true)", 0 },
    { "idem_begin",
      "INSERT INTO idempotency (org_id, principal, key, op, req_hash) VALUES ($1, $2, $3, $4, $5)"
      " ON CONFLICT DO NOTHING RETURNING 1",
      5 },
    { "idem_go", "SELECT set_config('lock_timeout', '2s', true)", 0 },
    { "idem_read",
      "SELECT req_hash, status, resource FROM idempotency WHERE org_id = $1 AND principal = $2 AND key = $3", 3 },
    { "idem_done",
      "UPDATE idempotency SET status = $4, resource = $5 WHERE org_id = $1 AND principal = $2 AND key = $3", 5 },
    { "audit_add", "INSERT INTO audit (org_id, actor, action, subject, request_id) VALUES ($1, $2, $3, $4, $5)", 5 },
    { "event_add", "INSERT INTO events (org_id, kind, subject, app_id, body) VALUES ($1, $2, $3, $4, $5)", 5 },
    { "evaluate", "SELECT evaluate($1, $2, $3, $4)", 4 },
};
const rd_pg_stmts api_store_changes = { stmts, RD_ARRAY_LEN(stmts) };

typedef struct run {
    api_change *change;
    const char *key; /* NULL: none */
    char actor[RD_ID_TEXT_SIZE];
    uint8_t request_hash[RD_SHA256_SIZE];
    const uint8_t *org;
} run;

void api_actor_format(const api_principal *principal, char out[RD_ID_TEXT_SIZE])
{
    rd_id id;
    memcpy(id.b, principal->is_session ? principal->user_id : principal->token_id, sizeof(id.b));
    rd_id_format(principal->is_session ? RD_PREFIX_USER : RD_PREFIX_TOKEN, &id, out);
}

void api_change_event(api_change *change, const char *kind, rd_bytes subject, const rd_app_id *app)
{
    change->event_kind = kind;
    change->event_subject_size = RD_MIN(subject.size, sizeof(change->event_subject));
    memcpy(change->event_subject, subject.data, change->event_subject_size);
    change->has_event_app = app != NULL;
    if (app)
        memcpy(change->event_app, app->b, sizeof(change->event_app));
}

int api_change_evaluate(rd_pg *pg, api_change *change, int shard, int kind, rd_bytes subject, const char *cause,
                        rd_err *err)
{
    change->wake_shard = shard;
    return rd_pg_push(pg, "evaluate", err, rd_pg_i64(shard), rd_pg_i64(kind), rd_pg_bytes(subject), rd_pg_text(cause));
}

int api_change_note(rd_pg *pg, const uint8_t org[16], const char *actor, const api_change *change, rd_err *err)
{
    if (rd_pg_push(pg, "audit_add", err, rd_pg_uuid(org), rd_pg_text(actor), rd_pg_text(change->action),
                   rd_pg_text(change->resource), rd_pg_text(api_request_id(change->request))) < 0)
        return -1;
    if (!change->event_kind)
        return 0;
    return rd_pg_push(pg, "event_add", err, rd_pg_uuid(org), rd_pg_text(change->event_kind),
                      rd_pg_bytes(rd_bytes_of(change->event_subject, change->event_subject_size)),
                      change->has_event_app ? rd_pg_bytes(RD_BYTES_ARRAY(change->event_app)) : rd_pg_null(),
                      rd_pg_text(change->event_body[0] ? change->event_body : "{}"));
}

/* The first request with the key is done: its answer again, or a refusal. */
static rd_pg_outcome read_first(rd_pg *pg, run *r, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    rd_pg_outcome outcome =
        rd_pg_call(pg, "idem_read", &row, err, rd_pg_uuid(r->org), rd_pg_text(r->actor), rd_pg_text(r->key));
    if (outcome != RD_PG_SOME)
        return outcome == RD_PG_NONE ? RD_PG_RETRY : outcome;
    uint8_t hash[RD_SHA256_SIZE];
    if (!rd_pg_get_fixed(row, 0, 0, hash, sizeof(hash)) || memcmp(hash, r->request_hash, sizeof(hash)) != 0) {
        (void)rd_err_set(err, RD_E_IDEMPOTENCY_MISMATCH, "Idempotency-Key %s was used for another request", r->key);
        return RD_PG_FAILED;
    }
    r->change->is_replay = true;
    r->change->status = (int)rd_pg_get_i64(row, 0, 1);
    snprintf(r->change->resource, sizeof(r->change->resource), "%s", rd_pg_get_text(row, 0, 2));
    return RD_PG_NONE;
}

/* SOME: this request is the first with its key. */
static rd_pg_outcome begin_key(rd_pg *pg, run *r, rd_err *err)
{
    rd_pg_result *results[3] = { NULL };
    if (rd_pg_push(pg, "idem_wait", err) < 0 ||
        rd_pg_push(pg, "idem_begin", err, rd_pg_uuid(r->org), rd_pg_text(r->actor), rd_pg_text(r->key),
                   rd_pg_text(r->change->action), rd_pg_bytes(RD_BYTES_ARRAY(r->request_hash))) < 0 ||
        rd_pg_push(pg, "idem_go", err) < 0)
        return RD_PG_FAILED;
    rd_pg_outcome outcome = rd_pg_flush(pg, results, 3, err);
    bool is_first = rd_pg_rows(results[1]) > 0;
    for (size_t i = 0; i < 3; i++)
        rd_pg_result_free(results[i]);
    if (outcome == RD_PG_RETRY && strcmp(rd_pg_sqlstate(pg), "55P03") == 0) {
        (void)rd_err_set(err, RD_E_IDEMPOTENCY_IN_FLIGHT, "the first request with Idempotency-Key %s still runs",
                         r->key);
        return RD_PG_FAILED;
    }
    if (outcome != RD_PG_SOME && outcome != RD_PG_NONE)
        return outcome;
    return is_first ? RD_PG_SOME : read_first(pg, r, err);
}

static rd_pg_outcome run_change(rd_pg *pg, void *context, rd_err *err)
{
    run *r = context;
    api_change *change = r->change;
    change->is_replay = false;
    change->event_kind = NULL;
    change->event_body[0] = '\0';
    change->wake_shard = -1;
    if (r->key) {
        rd_pg_outcome outcome = begin_key(pg, r, err);
        if (outcome != RD_PG_SOME)
            return outcome;
    }
    rd_pg_outcome outcome = change->apply(pg, change, err);
    if (outcome == RD_PG_FAILED || outcome == RD_PG_RETRY || outcome == RD_PG_UNKNOWN)
        return outcome;
    if (api_change_note(pg, r->org, r->actor, change, err) < 0)
        return RD_PG_FAILED;
    if (r->key && rd_pg_push(pg, "idem_done", err, rd_pg_uuid(r->org), rd_pg_text(r->actor), rd_pg_text(r->key),
                             rd_pg_i64(change->status), rd_pg_text(change->resource)) < 0)
        return RD_PG_FAILED;
    (void)RD_FP(ACCEPT_BEFORE_COMMIT);
    return RD_PG_SOME;
}

static int take_key(run *r, rd_err *err)
{
    const api_request *request = r->change->request;
    r->key = api_request_header(request, "Idempotency-Key");
    if (!r->key)
        return 0;
    size_t size = strlen(r->key);
    bool is_clean = size > 0 && size <= KEY_MAX;
    for (size_t i = 0; is_clean && i < size; i++)
        is_clean = r->key[i] > 0x20 && r->key[i] < 0x7f;
    if (!is_clean)
        return rd_err_set(err, RD_E_IDEMPOTENCY_KEY, "Idempotency-Key must be 1 to 255 printable characters");
    const char *target = api_request_target(request);
    rd_hasher hasher;
    rd_hasher_init(&hasher, RD_SHA256);
    rd_hasher_update(&hasher, rd_bytes_str(api_request_method(request)));
    rd_hasher_update(&hasher, RD_BYTES_LIT("\0"));
    rd_hasher_update(&hasher, rd_bytes_str(target));
    rd_hasher_update(&hasher, RD_BYTES_LIT("\0"));
    rd_hasher_update(&hasher, api_request_body(request));
    rd_hasher_final(&hasher, r->request_hash);
    return 0;
}

int api_change_run(api_request *request, api_worker *worker, api_change *change, rd_err *err)
{
    const api_principal *principal = api_request_principal(request);
    run r = { .change = change, .org = principal->org_id };
    change->request = request;
    change->worker = worker;
    api_actor_format(principal, r.actor);
    if (strcmp(api_request_method(request), "POST") == 0 && take_key(&r, err) < 0)
        return -1;
    rd_pg_outcome outcome = rd_pg_tx(worker->pg, principal->org_id, run_change, &r, err);
    /* After a COMMIT whose fate is unknown a repeat with the same key tells; without one the caller must look. */
    if (outcome == RD_PG_UNKNOWN)
        return rd_err_set(err, RD_E_UNAVAILABLE, "the connection broke at commit; look before you repeat");
    if (outcome != RD_PG_SOME && outcome != RD_PG_NONE)
        return -1;
    (void)RD_FP(ACCEPT_AFTER_COMMIT);
    if (!change->is_replay)
        api_request_hint(request, change->wake_shard, change->event_kind != NULL);
    return 0;
}
