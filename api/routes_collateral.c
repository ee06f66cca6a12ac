#include <string.h>

#include "api/collateral.h"
#include "api/reply.h"
#include "api/routes.h"
#include "api/store.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/head.h"

#define FORECAST_PAGE 100
#define FORECAST_MAX  2000 /* pieces of evidence of each kind that one request judges */

static int no_set(rd_err *err)
{
    return rd_err_set(err, RD_E_NOT_FOUND, "this plane has no collateral set");
}

void api_collateral_document(api_request *request)
{
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(api_collateral_drop_p)
    api_collateral_state *state = api_collateral_hold(api_request_context(request)->collateral);
    if (!state) {
        (void)no_set(&err);
        api_reply_problem(request, &err);
        return;
    }
    api_reply_header(request, "Cache-Control", "public, max-age=300");
    api_reply_bytes(request, 200, "application/json", rd_buf_bytes(&state->document));
}

static void set_time(json_t *object, const char *name, const rd_pg_result *row, int column)
{
    if (rd_pg_is_null(row, 0, column))
        rd_json_set_null(object, name);
    else
        rd_json_set_time(object, name, rd_pg_get_time(row, 0, column));
}

/* How the plane's own fetching goes, whichever replica did it last. */
static int read_refresh(api_worker *worker, json_t **ret, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    rd_pg_outcome outcome = rd_pg_call(worker->pg, "collateral_refresh_get", &row, err);
    if (outcome != RD_PG_SOME)
        return -1;
    bool is_on = worker->context->refresh != NULL, was_tried = !rd_pg_is_null(row, 0, 0);
    const char *code = was_tried ? rd_pg_get_text(row, 0, 4) : "";
    json_t *refresh = json_object();
    rd_json_set_bool(refresh, "enabled", is_on);
    set_time(refresh, "tried", row, 0);
    set_time(refresh, "succeeded", row, 1);
    if (is_on)
        set_time(refresh, "next", row, 2);
    else
        rd_json_set_null(refresh, "next");
    rd_json_set_int(refresh, "failures", was_tried ? rd_pg_get_i64(row, 0, 3) : 0);
    rd_json_set_str(refresh, "code", code[0] ? code : NULL);
    rd_json_set_str(refresh, "detail", was_tried ? rd_pg_get_text(row, 0, 5) : "");
    rd_json_set_str(refresh, "source", was_tried ? rd_pg_get_text(row, 0, 6) : NULL);
    *ret = refresh;
    return 0;
}

static void set_state(json_t *answer, const api_collateral_state *state)
{
    rd_json_set_int(answer, "number", state->number);
    rd_json_set_digest(answer, "digest", &state->digest);
    rd_json_set_str(answer, "source", state->source);
    rd_json_set_time(answer, "since", state->at_us);
    rd_json_set_int(answer, "size", (int64_t)state->document.size);
    rd_json_set(answer, "facts",
                state->facts.good_count > 0 ? rd_collateral_facts_to_json(&state->facts) : json_null());
}

/* A plane that fetches has an answer also before its first set. */
static void set_no_state(json_t *answer)
{
    static const char *const nulls[] = { "digest", "source", "since", "facts" };
    rd_json_set_int(answer, "number", 0);
    rd_json_set_int(answer, "size", 0);
    for (size_t i = 0; i < RD_ARRAY_LEN(nulls); i++)
        rd_json_set_null(answer, nulls[i]);
}

int api_collateral_status(api_request *request, api_worker *worker, rd_err *err)
{
    RD_CLEANUP(api_collateral_drop_p)
    api_collateral_state *state = api_collateral_hold(worker->context->collateral);
    json_t *refresh;
    if (!state && !worker->context->refresh)
        return no_set(err);
    if (read_refresh(worker, &refresh, err) < 0)
        return -1;
    json_t *answer = json_object();
    if (state)
        set_state(answer, state);
    else
        set_no_state(answer);
    rd_json_set(answer, "refresh", refresh);
    api_reply_json(request, 200, answer);
    return 0;
}

/* --- fetching now --- */

static rd_pg_outcome make_due(rd_pg *pg, api_change *change, rd_err *err)
{
    change->status = 202;
    return rd_pg_call(pg, "collateral_refresh_now", NULL, err);
}

int api_collateral_refresh(api_request *request, api_worker *worker, rd_err *err)
{
    api_change change = { .action = "collateral.refresh", .apply = make_due, .wake_shard = -1 };
    json_t *refresh;
    if (!worker->context->refresh)
        return rd_err_set(err, RD_E_UNSUPPORTED,
                          "this plane does not fetch collateral: neither collateral-pcs nor "
                          "collateral-kds is set");
    if (api_change_run(request, worker, &change, err) < 0)
        return -1;
    api_request_hint(request, -1, true);
    if (read_refresh(worker, &refresh, err) < 0)
        return -1;
    api_reply_json(request, 202, refresh);
    return 0;
}

/* --- taking a set into use --- */

static rd_pg_outcome adopt(rd_pg *pg, api_change *change, rd_err *err)
{
    api_adoption *a = change->state;
    rd_pg_outcome outcome = api_collateral_adopt(pg, a, err);
    change->status = 200;
    snprintf(change->resource, sizeof(change->resource), "%lld", (long long)a->number);
    return outcome;
}

int api_collateral_put(api_request *request, api_worker *worker, rd_err *err)
{
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *set = NULL;
    RD_CLEANUP(rd_free_p) api_adoption *a = rd_alloc(sizeof *a);
    api_change change = { .action = "collateral.adopt", .apply = adopt, .state = a, .wake_shard = -1 };
    if (api_collateral_check(worker->context, api_request_body(request), &set, &a->facts, err) < 0)
        return -1;
    a->context = worker->context;
    a->brought = set;
    a->source = "import";
    if (api_change_run(request, worker, &change, err) < 0)
        return -1;
    api_request_hint(request, -1, true);
    json_t *answer = json_object();
    rd_json_set_int(answer, "number", a->number);
    rd_json_set(answer, "facts", rd_collateral_facts_to_json(&a->facts));
    api_reply_json(request, 200, answer);
    return 0;
}

/* --- forecast --- */

/* One request: the evidence that is kept, judged by the set in use and by the candidate. */
typedef struct forecast {
    rd_anchors anchors;
    const rd_collateral_set *current, *candidate;
    int64_t now_us;
    json_t *falls;
    int64_t judged, refused_already, rises;
    bool is_complete;
} forecast;

typedef struct subject {
    rd_bytes bundle;
    const rd_head *head; /* NULL: a host's enrolment */
    rd_app_id app;
} subject;

/* Enrolment takes what genuine evidence says of itself, so its policy is made of a first look. */
static int judge(const forecast *f, const subject *s, const rd_collateral_set *set, rd_attest_report *report,
                 rd_err *err)
{
    RD_CLEANUP(rd_free_p) rd_policy *policy = rd_alloc(sizeof(*policy));
    rd_evidence_check check = { .evidence = s->bundle,
                                .set = set,
                                .anchors = &f->anchors,
                                .policy = policy,
                                .time_us = f->now_us,
                                .expect = { .purpose = s->head ? RD_PURPOSE_STATUS : RD_PURPOSE_ENROL } };
    if (s->head) {
        check.policy = &s->head->policy;
        check.expect.app = &s->app;
        return rd_attest_check_evidence(&check, report, err);
    }
    policy->max_collateral_age_s = 365 * 86400;
    (void)!rd_attest_check_evidence(&check, report, err);
    if (!report->verdict.is_genuine)
        return -1;
    api_enrol_policy(&report->verdict, policy);
    *err = (rd_err)RD_ERR_INIT;
    return rd_attest_check_evidence(&check, report, err);
}

static void note_fall(forecast *f, json_t *names, const rd_attest_report *report, const rd_err *why)
{
    const rd_tcb_verdict *tcb = &report->verdict.tcb;
    const rd_code_info *info = rd_code_describe(why->code);
    rd_json_set_str(names, "code", info->name);
    rd_json_set_str(names, "detail", why->text);
    rd_json_set_str(names, "hint", info->hint);
    rd_json_set_str(names, "tcb_status", tcb->status < RD_TCB_STATUS_COUNT ? rd_tcb_status_names[tcb->status] : "");
    rd_json_set(names, "shortfalls", rd_tcb_shortfalls_json(tcb));
    (void)json_array_append_new(f->falls, names);
}

/* names is stolen. */
static void compare(forecast *f, const subject *s, json_t *names)
{
    RD_CLEANUP(rd_free_p) rd_attest_report *report = rd_alloc(sizeof(*report));
    rd_err before = RD_ERR_INIT;
    rd_err after = RD_ERR_INIT;
    bool stands = f->current && judge(f, s, f->current, report, &before) == 0;
    bool will_stand = judge(f, s, f->candidate, report, &after) == 0;
    f->judged++;
    f->refused_already += !stands && !will_stand;
    f->rises += !stands && will_stand;
    if (stands && !will_stand)
        note_fall(f, names, report, &after);
    else
        json_decref(names);
}

static json_t *host_names(const rd_id *host, const char *name)
{
    json_t *names = json_object();
    rd_json_set_id(names, "host", RD_PREFIX_HOST, host);
    rd_json_set_str(names, "host_name", name);
    rd_json_set_null(names, "instance");
    rd_json_set_null(names, "app");
    return names;
}

static void judge_host(forecast *f, const rd_pg_result *rows, size_t row, rd_id *ret_last)
{
    rd_pg_get_fixed(rows, row, 0, ret_last->b, sizeof(ret_last->b));
    subject s = { .bundle = rd_pg_get_bytes(rows, row, 2) };
    compare(f, &s, host_names(ret_last, rd_pg_get_text(rows, row, 1)));
}

static void judge_instance(forecast *f, const rd_pg_result *rows, size_t row, rd_id *ret_last)
{
    RD_CLEANUP(rd_free_p) rd_head *head = rd_alloc(sizeof(*head));
    subject s = { .bundle = rd_pg_get_bytes(rows, row, 4), .head = head };
    rd_id host;
    rd_err err = RD_ERR_INIT;
    rd_pg_get_fixed(rows, row, 0, ret_last->b, sizeof(ret_last->b));
    rd_pg_get_fixed(rows, row, 2, s.app.b, sizeof(s.app.b));
    rd_pg_get_fixed(rows, row, 3, host.b, sizeof(host.b));
    if (rd_head_parse(rd_pg_get_bytes(rows, row, 5), head, &err) < 0)
        return;
    json_t *names = host_names(&host, "");
    rd_json_set_id(names, "instance", RD_PREFIX_INSTANCE, ret_last);
    rd_json_set_app_id(names, "app", &s.app);
    compare(f, &s, names);
}

static int judge_all(forecast *f, api_worker *worker, const uint8_t org[16], const char *stmt,
                     void (*judge_row)(forecast *f, const rd_pg_result *rows, size_t row, rd_id *ret_last), rd_err *err)
{
    rd_id last = { { 0 } };
    for (size_t done = 0; done < FORECAST_MAX; done += FORECAST_PAGE) {
        RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *rows = NULL;
        if (api_store_get(worker, org, stmt, &rows, err, rd_pg_uuid(org), done ? rd_pg_uuid(last.b) : rd_pg_null(),
                          rd_pg_i64(FORECAST_PAGE)) < 0)
            return -1;
        for (size_t i = 0; i < rd_pg_rows(rows); i++)
            judge_row(f, rows, i, &last);
        if (rd_pg_rows(rows) < FORECAST_PAGE)
            return 0;
    }
    f->is_complete = false;
    return 0;
}

static json_t *forecast_to_json(const forecast *f, const rd_collateral_facts *candidate,
                                const api_collateral_state *current, const rd_err *why)
{
    json_t *answer = json_object();
    rd_json_set(answer, "candidate", rd_collateral_facts_to_json(candidate));
    rd_json_set(answer, "current",
                current && current->facts.good_count > 0 ? rd_collateral_facts_to_json(&current->facts) : json_null());
    rd_json_set_bool(answer, "follows", why->code == RD_OK);
    rd_json_set_str(answer, "follows_detail", why->text);
    rd_json_set_int(answer, "judged", f->judged);
    rd_json_set_int(answer, "refused_already", f->refused_already);
    rd_json_set_int(answer, "rises", f->rises);
    rd_json_set_bool(answer, "complete", f->is_complete);
    rd_json_set(answer, "falls", f->falls);
    return answer;
}

/* What would be in use is not the candidate alone, but what it makes of the set in use. */
int api_collateral_forecast(api_request *request, api_worker *worker, rd_err *err)
{
    const api_context *context = worker->context;
    const uint8_t *org = api_request_principal(request)->org_id;
    RD_CLEANUP(api_collateral_drop_p) api_collateral_state *current = api_collateral_hold(context->collateral);
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *brought = NULL, *merged = NULL;
    RD_CLEANUP(rd_free_p) rd_collateral_facts *facts = rd_alloc(sizeof *facts);
    rd_err why = RD_ERR_INIT;
    forecast f = { .now_us = rd_clock_wall_us(context->clock), .is_complete = true };
    if (api_collateral_check(context, api_request_body(request), &brought, facts, err) < 0 ||
        api_collateral_merge(context, current ? current->set : NULL, brought, false, &merged, err) < 0 ||
        api_anchors(context->config, &f.anchors, err) < 0)
        return -1;
    f.current = current ? current->set : NULL;
    f.candidate = merged;
    if (current)
        (void)!rd_collateral_follows(current->set, brought, &why);
    f.falls = json_array();
    if (judge_all(&f, worker, org, "forecast_hosts", judge_host, err) < 0 ||
        judge_all(&f, worker, org, "forecast_instances", judge_instance, err) < 0) {
        json_decref(f.falls);
        return -1;
    }
    api_reply_json(request, 200, forecast_to_json(&f, facts, current, &why));
    return 0;
}
