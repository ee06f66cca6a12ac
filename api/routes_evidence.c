#include "api/collateral.h"
#include "api/plane.h"
#include "api/reply.h"
#include "api/routes.h"
#include "attest/cert_table.h"
#include "attest/ear.h"
#include "common/base/mem.h"
#include "common/model/json.h"

/* What is asked: evidence as bytes, and what is to be judged with it. */
typedef struct question {
    rd_buf evidence, cert_table, ccel, event_log;
    rd_collateral_set *collateral; /* NULL: the plane's own set */
    rd_buf snp_chain, snp_crl;
    int64_t time_us; /* 0: now */
    bool allows_debug, demands_vcek, wants_ear;
    bool has_policy;
    rd_policy policy;
} question;

static void question_free(question *q)
{
    rd_buf *bufs[] = { &q->evidence, &q->cert_table, &q->ccel, &q->event_log, &q->snp_chain, &q->snp_crl };
    for (size_t i = 0; i < RD_ARRAY_LEN(bufs); i++)
        rd_buf_done(bufs[i]);
    rd_collateral_set_free(q->collateral);
    free(q);
}

static void question_free_p(question **q)
{
    question_free(*q);
}

static int read_collateral(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *text = json_dumps(value, JSON_COMPACT);
    if (!text)
        return rd_err_set(err, RD_E_NO_MEMORY, "collateral");
    if (rd_collateral_set_parse(rd_bytes_str(text), into, err) < 0)
        return rd_err_at(err, pointer);
    return 0;
}

static int read_policy(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    question *q = into;
    q->has_policy = true;
    return rd_policy_read(value, pointer, &q->policy, err);
}

static const rd_json_field fields[] = {
    { "evidence", RD_JSON_B64_BUF, offsetof(question, evidence), RD_REQUIRED, .min = 1, .max = 65536 },
    { "cert_table", RD_JSON_B64_BUF, offsetof(question, cert_table), RD_OPTIONAL, .min = 1,
      .max = (int64_t)RD_CERT_TABLE_SIZE_MAX },
    { "ccel", RD_JSON_B64_BUF, offsetof(question, ccel), RD_OPTIONAL, .min = 1, .max = (int64_t)RD_EVENTLOG_SIZE_MAX },
    { "event_log", RD_JSON_B64_BUF, offsetof(question, event_log), RD_OPTIONAL, .min = 1,
      .max = (int64_t)RD_EVENTLOG_SIZE_MAX },
    { "collateral", RD_JSON_CUSTOM, offsetof(question, collateral), RD_OPTIONAL, .parse = read_collateral },
    { "snp_chain", RD_JSON_B64_BUF, offsetof(question, snp_chain), RD_OPTIONAL, .min = 1, .max = 65536 },
    { "snp_crl", RD_JSON_B64_BUF, offsetof(question, snp_crl), RD_OPTIONAL, .min = 1, .max = 1048576 },
    { "at", RD_JSON_TIME, offsetof(question, time_us), RD_OPTIONAL },
    { "allow_debug", RD_JSON_BOOL, offsetof(question, allows_debug), RD_OPTIONAL },
    { "require_vcek", RD_JSON_BOOL, offsetof(question, demands_vcek), RD_OPTIONAL },
    { "policy", RD_JSON_CUSTOM, 0, RD_OPTIONAL, .parse = read_policy },
    { "ear", RD_JSON_BOOL, offsetof(question, wants_ear), RD_OPTIONAL },
    RD_JSON_END,
};

/* What the caller brought decides what is found, so that a token on it is not the plane's word. */
static bool is_by_caller(const question *q)
{
    return q->collateral || q->snp_chain.size > 0 || q->snp_crl.size > 0 || q->time_us != 0 || q->allows_debug;
}

/* Signed by the key of the plane's decision records, and marked by whose inputs it was judged. */
static int add_ear(const api_context *context, const question *q, const rd_judge_input *input,
                   const rd_judgement *judgement, json_t *answer, rd_err *err)
{
    rd_ear_input result = { .judgement = judgement,
                            .evidence = input->evidence,
                            .policy = q->has_policy ? &q->policy : NULL,
                            .judged_us = input->time_us,
                            .issued_us = rd_clock_wall_us(context->clock),
                            .trust = is_by_caller(q) ? "caller" : "plane" };
    rd_ear_key key = { .ed25519 = api_plane_record_key(context->plane) };
    RD_CLEANUP(rd_json_free_p) json_t *claims = rd_ear_claims(&result);
    RD_CLEANUP(rd_buf_done) rd_buf token = { 0 };
    if (rd_ear_sign(claims, &key, &token, err) < 0)
        return -1;
    rd_json_set_str(answer, "ear", rd_buf_text(&token));
    return 0;
}

static int judge(const api_context *context, const question *q, json_t **ret, rd_err *err)
{
    rd_anchors anchors;
    /* The plane's own set, where the caller brought none. A plane without one judges by what was brought alone. */
    RD_CLEANUP(api_collateral_drop_p)
    api_collateral_state *own = q->collateral ? NULL : api_collateral_hold(context->collateral);
    rd_collateral brought = { .snp_chain = rd_buf_bytes(&q->snp_chain), .snp_crl = rd_buf_bytes(&q->snp_crl) };
    RD_CLEANUP(rd_free_p) rd_judgement *judgement = rd_alloc(sizeof *judgement);
    rd_err refusal = RD_ERR_INIT;
    rd_anchors_init(&anchors); /* the vendors' roots alone: a plane's simulation root is nobody else's */
    rd_judge_input input = { .evidence = rd_buf_bytes(&q->evidence),
                             .cert_table = rd_buf_bytes(&q->cert_table),
                             .ccel = rd_buf_bytes(&q->ccel),
                             .event_log = rd_buf_bytes(&q->event_log),
                             .collateral = &brought,
                             .set = own ? own->set : q->collateral,
                             .anchors = &anchors,
                             .cache = context->verified,
                             .policy = q->has_policy ? &q->policy : NULL,
                             .allows_debug = q->allows_debug,
                             .demands_vcek = q->demands_vcek,
                             .time_us = q->time_us ? q->time_us : rd_clock_wall_us(context->clock) };
    /* A refusal is the answer that was asked for, not a failure of the request. */
    (void)!rd_judge(&input, judgement, &refusal);
    *ret = rd_judgement_to_json(judgement);
    rd_json_set_time(*ret, "time", input.time_us);
    return q->wants_ear ? add_ear(context, q, &input, judgement, *ret, err) : 0;
}

int api_evidence_verify(api_request *request, api_worker *worker, rd_err *err)
{
    RD_CLEANUP(question_free_p) question *q = rd_alloc(sizeof *q);
    json_t *body, *answer = NULL;
    if (api_request_json(request, &body, err) < 0 || rd_json_read(body, fields, RD_UNKNOWN_REFUSED, "", q, err) < 0 ||
        judge(worker->context, q, &answer, err) < 0) {
        json_decref(answer);
        return -1;
    }
    api_reply_json(request, 200, answer);
    return 0;
}
