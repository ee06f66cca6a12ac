#include "api/believe.h"

#include "api/decision.h"
#include "api/lease_job.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/model/head.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const rd_pg_stmt stmts[] = {
    /* The lease as the plane granted it to this host, the current head, and whether the head that the statement names
     * is one of the app's. */
    { "believe_expect",
      "SELECT l.app_id, l.release_digest, l.live, c.head, k.digest"
      " FROM leases l"
      " JOIN LATERAL (SELECT h.head FROM heads h WHERE h.app_id = l.app_id ORDER BY h.seq DESC LIMIT 1) c ON true"
      " LEFT JOIN heads k ON k.app_id = l.app_id AND k.digest = $4"
      " WHERE l.host_id = $1 AND l.instance_id = $2 AND l.epoch = $3",
      4 },
};
const rd_pg_stmts api_believe_stmts = { stmts, RD_ARRAY_LEN(stmts) };

typedef struct check check;
struct check {
    api_believe *believe; /* NULL: it was freed meanwhile */
    api_believe_fn done;
    void *context;
    api_verdict *verdict;
    /* read from the bundle: only what was claimed */
    bool has_statement;
    rd_statement claimed;
    /* looked up */
    rd_app_id app;
    bool has_lease;
    rd_digest release;
    rd_head head;
    bool is_live, is_head_known;
    api_collateral_state *collateral;
    rd_anchors anchors;
    uint8_t plane_key[API_PLANE_KEY_SIZE];
    const char *plane_id;
    const rd_signing_key *record_key;
    rd_attest_cache *verified;
    check *next, *previous;
};

struct api_believe {
    api_believe_options options;
    rd_anchors anchors;
    api_collateral_state *collateral;
    check *first;
    size_t count;
    uint64_t accepted, refused, stale, failed;
};

api_verdict *api_verdict_free(api_verdict *verdict)
{
    if (!verdict)
        return NULL;
    free(verdict->detail);
    rd_buf_done(&verdict->bundle);
    rd_buf_done(&verdict->record);
    free(verdict);
    return NULL;
}

void api_believe_set_collateral(api_believe *believe, api_collateral_state *state)
{
    api_collateral_drop(believe->collateral);
    believe->collateral = api_collateral_share(state);
}

int api_believe_new(const api_believe_options *options, api_believe **ret, rd_err *err)
{
    api_believe *believe = rd_alloc(sizeof *believe);
    believe->options = *options;
    rd_anchors_init(&believe->anchors);
    if (options->simulated_root && rd_anchors_add_simulated(&believe->anchors, options->simulated_root, err) < 0) {
        free(believe);
        return rd_err_wrap(err, "simulation root");
    }
    *ret = believe;
    return 0;
}

api_believe *api_believe_free(api_believe *believe)
{
    if (!believe)
        return NULL;
    for (check *c = believe->first; c; c = c->next)
        c->believe = NULL;
    api_collateral_drop(believe->collateral);
    free(believe);
    return NULL;
}

/* ---- one check ---- */

static void check_free(check *c)
{
    if (c->believe) {
        if (c->next)
            c->next->previous = c->previous;
        *(c->previous ? &c->previous->next : &c->believe->first) = c->next;
        c->believe->count--;
    }
    api_collateral_drop(c->collateral);
    rd_wipe(c->plane_key, sizeof c->plane_key);
    api_verdict_free(c->verdict);
    free(c);
}

static void check_end(check *c, const rd_err *err)
{
    api_believe *believe = c->believe;
    if (believe) {
        api_verdict *verdict = err ? NULL : RD_TAKE(c->verdict);
        uint64_t *counter = err                    ? &believe->failed
                            : verdict->is_accepted ? &believe->accepted
                            : verdict->is_stale    ? &believe->stale
                                                   : &believe->refused;
        (*counter)++;
        c->done(c->context, verdict, err);
    }
    check_free(c);
}

static void refuse(api_verdict *verdict, rd_code code, const char *text)
{
    verdict->is_accepted = false;
    verdict->reason = code;
    snprintf(verdict->reason_text, sizeof verdict->reason_text, "%s", text);
}

static void note_report(api_verdict *verdict, const rd_attest_report *report)
{
    const rd_verdict *v = &report->verdict;
    snprintf(verdict->tcb_status, sizeof verdict->tcb_status, "%s",
             v->tcb.status < RD_TCB_STATUS_COUNT ? rd_tcb_status_names[v->tcb.status] : "");
    verdict->is_simulated = v->claims.class == RD_CLASS_SIMULATED;
    verdict->collateral_evaluation = v->tcb.evaluation_number;
    RD_CLEANUP(rd_json_free_p) json_t *json = rd_attest_report_to_json(report);
    (void)json_object_del(json, "claims"); /* long, and in the bundle */
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_buf_init(&text, 8192);
    if (json && rd_json_dump(json, &text))
        verdict->detail = rd_strdup(rd_buf_text(&text));
}

static void record(const check *c)
{
    rd_err err = RD_ERR_INIT;
    if (api_decision_record(c->verdict, c->has_lease ? &c->app : NULL, c->plane_id, c->record_key, &c->verdict->record,
                            &err) < 0)
        rd_log(RD_ERROR, "decision_record_failed", RD_ERR(&err));
}

/* What the statement must say; freshness by whichever of the plane's own nonces it carries. */
static void fill_expect(const check *c, int64_t now_us, uint8_t nonce[API_NONCE_SIZE], rd_expect *ret)
{
    const api_verdict *v = c->verdict;
    if (c->has_statement && api_nonce_is_fresh(c->plane_key, &v->instance, v->epoch, now_us, c->claimed.nonce))
        memcpy(nonce, c->claimed.nonce, API_NONCE_SIZE);
    else
        api_nonce_make(c->plane_key, &v->instance, v->epoch, now_us, nonce);
    *ret = (rd_expect){ .purpose = RD_PURPOSE_STATUS,
                        .nonce = nonce,
                        .app = &c->app,
                        .release = &c->release,
                        .head = &c->claimed.head,
                        .instance = &v->instance,
                        .epoch = &v->epoch };
}

static bool is_own_statement(const check *c)
{
    const api_verdict *v = c->verdict;
    return c->has_statement && c->claimed.has_instance && rd_id_equal(&c->claimed.instance, &v->instance) &&
           c->claimed.epoch == v->epoch;
}

/* On the thread pool: touches the check alone. */
static void verify(void *context)
{
    check *c = context;
    api_verdict *v = c->verdict;
    int64_t now_us = rd_clock_wall_us(rd_clock_system());
    v->verified_at_us = now_us;
    v->valid_until_us = now_us;
    uint8_t nonce[API_NONCE_SIZE];
    rd_evidence_check input = { .evidence = rd_buf_bytes(&v->bundle),
                                .set = c->collateral->set,
                                .anchors = &c->anchors,
                                .policy = &c->head.policy,
                                .cache = c->verified,
                                .time_us = now_us };
    fill_expect(c, now_us, nonce, &input.expect);
    if (!is_own_statement(c))
        input.expect.nonce = NULL; /* then the wrong instance is the reason, not the nonce that follows from it */
    rd_attest_report *report = rd_alloc(sizeof *report);
    rd_err err = RD_ERR_INIT;
    if (rd_attest_check_evidence(&input, report, &err) < 0) {
        refuse(v, err.code, err.text);
        v->is_stale = err.code == RD_E_NONCE;
        v->is_appraisal = report->is_appraisal;
    } else if (!c->is_head_known) {
        refuse(v, RD_E_STATEMENT, "the head in the statement is none of the app's");
    } else if (!rd_head_lists(&c->head, &c->release)) {
        refuse(v, RD_E_RELEASE_NOT_ALLOWED, "the current head does not list this release any more");
    } else {
        v->is_accepted = true;
        v->valid_until_us = RD_MIN(now_us + API_VERDICT_TERM_US, report->verdict.collateral_expires_us);
        if (!rd_policy_accepts_tcb(&c->head.policy, report->verdict.tcb.status) && c->head.policy.has_grace)
            v->valid_until_us = RD_MIN(v->valid_until_us, c->head.policy.grace.until_us);
    }
    note_report(v, report);
    free(report);
    record(c);
}

static void on_verified(void *context, bool is_cancelled)
{
    rd_err err = RD_ERR_INIT;
    if (is_cancelled)
        (void)rd_err_set(&err, RD_E_CANCELLED, "this replica is stopping");
    check_end(context, is_cancelled ? &err : NULL);
}

static int read_expectation(check *c, const rd_pg_result *row, rd_err *err)
{
    if (rd_pg_rows(row) == 0)
        return rd_err_set(err, RD_E_STATEMENT, "no lease of this instance and epoch at this host");
    if (!rd_pg_get_fixed(row, 0, 0, c->app.b, sizeof c->app.b) ||
        !rd_pg_get_fixed(row, 0, 1, c->release.b, sizeof c->release.b))
        return rd_err_set(err, RD_E_INTERNAL, "lease row");
    c->has_lease = true;
    c->is_live = rd_pg_get_bool(row, 0, 2);
    if (rd_head_parse(rd_pg_get_bytes(row, 0, 3), &c->head, err) < 0)
        return rd_err_wrap(err, "current head");
    c->is_head_known = !rd_pg_is_null(row, 0, 4);
    if (rd_policy_digest(&c->head.policy, &c->verdict->policy_digest, err) < 0)
        return -1;
    c->verdict->has_policy = true;
    return 0;
}

static void on_expectation(void *context, rd_pg_outcome outcome, rd_pg_result **results, size_t count, size_t failed,
                           const rd_err *pg_err)
{
    (void)failed;
    check *c = context;
    if (!c->believe) {
        check_free(c);
        return;
    }
    if ((outcome != RD_PG_SOME && outcome != RD_PG_NONE) || count != 1) {
        check_end(c, pg_err);
        return;
    }
    rd_err err = RD_ERR_INIT;
    if (read_expectation(c, results[0], &err) < 0) {
        c->verdict->verified_at_us = c->verdict->valid_until_us = rd_clock_wall_us(c->believe->options.clock);
        refuse(c->verdict, err.code, err.text);
        record(c);
        check_end(c, NULL);
        return;
    }
    rd_loop_work(c->believe->options.loop, verify, on_verified, c);
}

/* What the bundle claims, only to know what to look up; it is verified from the bytes later. */
static void read_claims(check *c)
{
    rd_evidence evidence = { 0 };
    rd_err err = RD_ERR_INIT;
    if (rd_evidence_parse(rd_buf_bytes(&c->verdict->bundle), &evidence, &err) == 0) {
        c->claimed = evidence.statement;
        c->has_statement = c->verdict->has_statement = true;
        rd_statement_digest(rd_buf_bytes(&evidence.statement_bytes), &c->verdict->statement_digest);
    }
    rd_evidence_done(&evidence);
}

static check *check_new(api_believe *believe, const rd_id *host, const rd_id *instance, uint64_t epoch, rd_buf *bundle)
{
    check *c = rd_alloc(sizeof *c);
    c->believe = believe;
    c->verdict = rd_alloc(sizeof *c->verdict);
    c->verdict->host = *host;
    c->verdict->instance = *instance;
    c->verdict->epoch = epoch;
    c->verdict->bundle = *bundle;
    *bundle = (rd_buf){ 0 };
    rd_sha256(rd_buf_bytes(&c->verdict->bundle), c->verdict->evidence_digest.b);
    c->collateral = api_collateral_share(believe->collateral);
    c->verdict->collateral_digest = c->collateral->digest;
    c->anchors = believe->anchors;
    c->plane_id = believe->options.plane_id;
    c->record_key = believe->options.record_key;
    c->verified = believe->options.verified;
    memcpy(c->plane_key, believe->options.plane_key, sizeof c->plane_key);
    c->next = believe->first;
    if (c->next)
        c->next->previous = c;
    believe->first = c;
    believe->count++;
    return c;
}

int api_believe_check(api_believe *believe, const rd_id *host, const rd_id *instance, uint64_t epoch, rd_buf *bundle,
                      api_believe_fn done, void *context, rd_err *err)
{
    if (believe->count >= API_BELIEVE_MAX)
        return rd_err_set(err, RD_E_UNAVAILABLE, "%d verifications are under way", API_BELIEVE_MAX);
    if (!believe->collateral)
        return rd_err_set(err, RD_E_COLLATERAL_MISSING, "no collateral is loaded");
    check *c = check_new(believe, host, instance, epoch, bundle);
    c->done = done;
    c->context = context;
    read_claims(c);
    rd_pg_batch *batch = rd_pg_batch_new(NULL);
    rd_pg_batch_call(batch, "believe_expect", rd_pg_uuid(host->b), rd_pg_uuid(instance->b), rd_pg_i64((int64_t)epoch),
                     rd_pg_bytes(RD_BYTES_ARRAY(c->claimed.head.b)));
    if (rd_pg_async_submit(believe->options.pg, batch, on_expectation, c, err) < 0) {
        check_free(c);
        return -1;
    }
    return 0;
}

void api_believe_metrics(void *context, rd_buf *out)
{
    api_believe *believe = context;
    (void)rd_buf_printf(out,
                        "# HELP redoubt_evidence_total Evidence of instances judged, by outcome.\n"
                        "# TYPE redoubt_evidence_total counter\n"
                        "redoubt_evidence_total{outcome=\"accepted\"} %" PRIu64 "\n"
                        "redoubt_evidence_total{outcome=\"refused\"} %" PRIu64 "\n"
                        "redoubt_evidence_total{outcome=\"stale\"} %" PRIu64 "\n"
                        "redoubt_evidence_total{outcome=\"failed\"} %" PRIu64 "\n"
                        "# TYPE redoubt_evidence_under_way gauge\nredoubt_evidence_under_way %zu\n",
                        believe->accepted, believe->refused, believe->stale, believe->failed, believe->count);
}
