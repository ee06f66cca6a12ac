#include <string.h>

#include "api/collateral.h"
#include "api/plane.h"
#include "api/reply.h"
#include "api/routes.h"
#include "api/store.h"
#include "attest/attest.h"
#include "common/base/text.h"
#include "common/crypto/x509_issue.h"

/* One machine on its way in. */
typedef struct enrolment {
    char token[128];
    char *csr;
    rd_buf evidence;
    char name[129];
    int64_t cpu_m, memory_bytes, slots;
    bool replace;
    /* computed */
    uint8_t token_hash[32];
    rd_csr parsed_csr;
    rd_attest_report report;
    char *verdict; /* JSON text */
    rd_id host;
    int64_t now_us;
    /* set by the transaction */
    uint8_t org[16];
    char region[65];
    bool is_replaced;
} enrolment;

typedef struct capacity {
    int64_t cpu_m, memory_bytes, slots;
} capacity;

static const rd_json_field capacity_fields[] = {
    { "cpu_m", RD_JSON_I64, offsetof(enrolment, cpu_m), RD_REQUIRED, .min = 1, .max = 1000000000 },
    { "memory_bytes", RD_JSON_I64, offsetof(enrolment, memory_bytes), RD_REQUIRED, .min = 1, .max = INT64_C(1) << 50 },
    { "slots", RD_JSON_I64, offsetof(enrolment, slots), RD_REQUIRED, .min = 1, .max = 1000000 },
    RD_JSON_END,
};
static const rd_json_field fields[] = {
    { "token", RD_JSON_TEXT, offsetof(enrolment, token), RD_REQUIRED, .min = 1, .max = 127 },
    { "csr", RD_JSON_STRING, offsetof(enrolment, csr), RD_REQUIRED, .min = 1, .max = 8192 },
    { "evidence", RD_JSON_B64_BUF, offsetof(enrolment, evidence), RD_REQUIRED, .min = 1, .max = 65536 },
    { "capacity", RD_JSON_OBJECT, 0, RD_REQUIRED, .fields = capacity_fields },
    { "name", RD_JSON_TEXT, offsetof(enrolment, name), RD_REQUIRED, .min = 1, .max = 128 },
    { "replace", RD_JSON_BOOL, offsetof(enrolment, replace), RD_OPTIONAL },
    RD_JSON_END,
};

static void enrolment_free(enrolment *e)
{
    free(e->csr);
    rd_buf_done(&e->evidence);
    rd_csr_done(&e->parsed_csr);
    free(e->verdict);
    rd_wipe(e->token, sizeof(e->token));
    free(e);
}

/* Enrolment asks whether this is a TEE machine and whose key the CSR holds. Which runtime image, patches and class an
 * app accepts is its own policy's question, at each launch; so the policy here takes what genuine evidence says of
 * itself and refuses debug and revoked platforms only. */
void api_enrol_policy(const rd_verdict *seen, rd_policy *ret)
{
    *ret = (rd_policy){ .is_simulated = seen->claims.class == RD_CLASS_SIMULATED,
                        .tees = { RD_TEE_TDX },
                        .tees_count = 1,
                        .max_collateral_age_s = 365 * 86400 };
    for (int s = RD_TCB_UP_TO_DATE; s < RD_TCB_REVOKED; s++)
        ret->tcb[ret->tcb_count++] = (rd_tcb_status)s;
    (void)!rd_policy_add_mrtd(ret, seen->claims.tdx.mr_td); /* an empty policy has room for one */
}

static int check_evidence(api_worker *worker, enrolment *e, rd_err *err)
{
    const api_context *context = worker->context;
    rd_anchors anchors;
    rd_policy *policy = rd_alloc(sizeof(*policy));
    RD_CLEANUP(api_collateral_drop_p)
    api_collateral_state *collateral = api_collateral_hold(context->collateral);
    if (!collateral) {
        free(policy);
        return rd_err_set(err, RD_E_UNAVAILABLE, "this replica has no collateral set, so no machine can enrol");
    }
    rd_evidence_check check = { .evidence = rd_buf_bytes(&e->evidence),
                                .set = collateral->set,
                                .anchors = &anchors,
                                .policy = policy,
                                .cache = context->verified,
                                .time_us = e->now_us,
                                .expect = { .purpose = RD_PURPOSE_ENROL,
                                            .nonce = e->token_hash, /* made for this token and no other */
                                            .tls = e->parsed_csr.spki_digest } };
    /* The first look fills the claims and fails on the empty policy; the second judges. */
    policy->max_collateral_age_s = 365 * 86400;
    rd_err first = RD_ERR_INIT;
    int rc = api_anchors(context->config, &anchors, err);
    if (rc == 0) {
        (void)!rd_attest_check_evidence(&check, &e->report, &first);
        if (!e->report.verdict.is_genuine) {
            *err = first;
            rc = -1;
        }
    }
    if (rc == 0) {
        api_enrol_policy(&e->report.verdict, policy);
        rc = rd_attest_check_evidence(&check, &e->report, err);
    }
    free(policy);
    if (rc < 0)
        return rd_err_wrap(err, "evidence");
    json_t *verdict = rd_attest_report_to_json(&e->report);
    e->verdict = json_dumps(verdict, JSON_COMPACT);
    json_decref(verdict);
    return 0;
}

static rd_pg_outcome take_token(rd_pg *pg, enrolment *e, char **ret_labels, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *token = NULL;
    rd_pg_outcome outcome = rd_pg_call(pg, "enrol_take", &token, err, rd_pg_bytes(RD_BYTES_ARRAY(e->token_hash)));
    if (outcome == RD_PG_NONE)
        return (void)rd_err_set(err, RD_E_ENROL_TOKEN, "the enrolment token is not valid"), RD_PG_FAILED;
    if (outcome != RD_PG_SOME)
        return outcome;
    rd_pg_get_fixed(token, 0, 0, e->org, sizeof(e->org));
    snprintf(e->region, sizeof(e->region), "%s", rd_pg_get_text(token, 0, 1));
    *ret_labels = rd_strdup(rd_pg_get_text(token, 0, 2));
    return api_store_enter(pg, e->org, err);
}

/* The same machine again, asked for by its own operator: keeps its id, gets the new key (T12). */
static rd_pg_outcome replace_host(rd_pg *pg, enrolment *e, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    e->is_replaced = false;
    if (!e->replace)
        return RD_PG_NONE;
    rd_pg_outcome outcome = rd_pg_call(pg, "host_of_platform", &row, err,
                                       rd_pg_bytes(RD_BYTES_ARRAY(e->report.verdict.claims.platform_id)));
    if (outcome != RD_PG_SOME)
        return outcome;
    rd_pg_get_fixed(row, 0, 0, e->host.b, sizeof(e->host.b));
    e->is_replaced = true;
    return rd_pg_call(pg, "host_replace", NULL, err, rd_pg_uuid(e->host.b),
                      rd_pg_bytes(RD_BYTES_ARRAY(e->parsed_csr.spki_digest)), rd_pg_i64(e->now_us / 1000000),
                      rd_pg_text(e->name), rd_pg_text(e->verdict), rd_pg_bytes(rd_buf_bytes(&e->evidence)));
}

static rd_pg_outcome add_host(rd_pg *pg, enrolment *e, const char *labels, rd_err *err)
{
    const rd_claims *claims = &e->report.verdict.claims;
    rd_pg_outcome outcome =
        rd_pg_call(pg, "host_add", NULL, err, rd_pg_uuid(e->host.b), rd_pg_uuid(e->org), rd_pg_text(e->name),
                   rd_pg_bytes(RD_BYTES_ARRAY(claims->platform_id)),
                   rd_pg_bytes(RD_BYTES_ARRAY(e->parsed_csr.spki_digest)), rd_pg_i64(0), rd_pg_text(e->region),
                   rd_pg_text(labels), rd_pg_text("tdx"), rd_pg_bool(claims->class == RD_CLASS_SIMULATED),
                   rd_pg_text(e->verdict), rd_pg_bytes(rd_buf_bytes(&e->evidence)));
    if (outcome == RD_PG_FAILED && strcmp(rd_pg_constraint(pg), "host_identity_platform") == 0)
        (void)rd_err_set(err, RD_E_PLATFORM_TAKEN, "a host of this platform is enrolled");
    return outcome;
}

typedef struct enrol_run {
    enrolment *e;
    api_change change;
} enrol_run;

static rd_pg_outcome enrol(rd_pg *pg, void *context, rd_err *err)
{
    enrol_run *run = context;
    enrolment *e = run->e;
    RD_CLEANUP(rd_free_p) char *labels = NULL;
    rd_pg_outcome outcome = take_token(pg, e, &labels, err);
    if (outcome == RD_PG_SOME)
        outcome = replace_host(pg, e, err);
    if (outcome == RD_PG_NONE)
        outcome = add_host(pg, e, labels, err);
    if (outcome != RD_PG_SOME)
        return outcome;
    rd_id_format(RD_PREFIX_HOST, &e->host, run->change.resource);
    api_change_event(&run->change, "host", RD_BYTES_ARRAY(e->host.b), NULL);
    snprintf(run->change.event_body, sizeof(run->change.event_body), "{\"state\":\"enrolled\"%s}",
             e->is_replaced ? ",\"replaced\":true" : "");
    if (api_change_evaluate(pg, &run->change, 0, 2, RD_BYTES_ARRAY(e->host.b), "enrol", err) < 0 ||
        api_change_note(pg, e->org, "enrolment", &run->change, err) < 0)
        return RD_PG_FAILED;
    return RD_PG_SOME;
}

static int run_enrolment(api_request *request, api_worker *worker, enrolment *e, rd_err *err)
{
    enrol_run run = { .e = e, .change = { .action = "host.enrol", .request = request, .worker = worker } };
    rd_pg_outcome outcome = rd_pg_tx(worker->pg, NULL, enrol, &run, err);
    if (outcome == RD_PG_UNKNOWN)
        return rd_err_set(err, RD_E_UNAVAILABLE, "the connection broke at commit");
    if (outcome != RD_PG_SOME && outcome != RD_PG_NONE)
        return -1;
    api_request_hint(request, run.change.wake_shard, true);
    return 0;
}

static int enrol_machine(api_request *request, api_worker *worker, enrolment *e, rd_err *err)
{
    json_t *body;
    if (api_request_json(request, &body, err) < 0 || rd_json_read(body, fields, RD_UNKNOWN_REFUSED, "", e, err) < 0)
        return -1;
    rd_sha256(rd_bytes_str(e->token), e->token_hash);
    e->now_us = rd_clock_wall_us(worker->context->clock);
    e->host = rd_id_new(e->now_us, rd_random_system());
    if (rd_csr_parse(rd_bytes_str(e->csr), &e->parsed_csr, err) < 0)
        return rd_err_wrap(err, "csr");
    if (check_evidence(worker, e, err) < 0 || run_enrolment(request, worker, e, err) < 0)
        return -1;
    /* The id is settled now (a replaced host keeps its own); the certificate names it. */
    char host[RD_ID_TEXT_SIZE];
    uint8_t spki[32];
    int64_t expires_us = 0;
    rd_buf certificate = { 0 };
    const api_plane *plane = worker->context->plane;
    rd_id_format(RD_PREFIX_HOST, &e->host, host);
    int rc = api_plane_issue_host(plane, host, rd_bytes_str(e->csr), e->now_us, &certificate, spki, &expires_us, err);
    if (rc == 0) {
        json_t *answer = json_object();
        rd_bytes ca = api_plane_ca_pem(plane);
        rd_json_set_str(answer, "host", host);
        rd_json_set_str(answer, "certificate", rd_buf_text(&certificate));
        rd_json_set(answer, "ca", json_stringn((const char *)ca.data, ca.size));
        rd_json_set_str(answer, "link", worker->context->config->link_address);
        rd_json_set_str(answer, "plane_id", api_plane_id(plane));
        rd_json_set_time(answer, "expires", expires_us);
        api_reply_json(request, 201, answer);
    }
    rd_buf_done(&certificate);
    return rc;
}

int api_enroll(api_request *request, api_worker *worker, rd_err *err)
{
    enrolment *e = rd_alloc(sizeof(*e));
    int rc = enrol_machine(request, worker, e, err);
    enrolment_free(e);
    return rc;
}
