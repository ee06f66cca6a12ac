#include "attest/judge.h"

#include <stdio.h>
#include <string.h>

#include "attest/cert_table.h"
#include "attest/collateral_set.h"
#include "attest/error_class.h"
#include "attest/ratls.h"
#include "attest/snp_report.h"
#include "attest/verifier.h"

void rd_judge_default_policy(rd_policy *ret)
{
    *ret = (rd_policy){ .tees = { RD_TEE_TDX, RD_TEE_SGX, RD_TEE_SNP },
                        .tees_count = 3,
                        .tcb = { RD_TCB_UP_TO_DATE, RD_TCB_SW_HARDENING_NEEDED },
                        .tcb_count = 2,
                        /* Items without parts: any code. */
                        .measurements = { { .tee = RD_TEE_TDX }, { .tee = RD_TEE_SGX }, { .tee = RD_TEE_SNP } },
                        .measurements_count = 3,
                        .max_collateral_age_s = 31536000 };
}

static int refuse(rd_judgement *ret, const rd_err *why, const char *word, const char *error_class)
{
    const rd_verdict *verdict = &ret->verdict;
    ret->reason = why->code;
    ret->refusal = *why;
    ret->rule = verdict->step_count ? verdict->steps[verdict->step_count - 1].name : "format";
    ret->word = word;
    ret->error_class = error_class;
    return -1;
}

/* --- wrappings --- */

/* What the input came in is taken off: the evidence proper, and what was beside it. Owns what it holds. */
typedef struct opened {
    rd_judge_input input;
    rd_collateral collateral;
    rd_collateral_pick pick;
    rd_buf snp_chain;
    rd_ratls ratls;
} opened;

static void opened_done(opened *o)
{
    rd_buf_done(&o->snp_chain);
    rd_collateral_pick_done(&o->pick);
    rd_ratls_done(&o->ratls);
}

/* From a set: what the caller did not bring himself. */
static void open_set(opened *o)
{
    if (!o->input.set)
        return;
    rd_collateral_set_pick(o->input.set, o->input.evidence, &o->pick);
    rd_bytes *mine = (rd_bytes *)&o->collateral;
    const rd_bytes *found = (const rd_bytes *)&o->pick.pieces;
    for (size_t i = 0; i < sizeof o->collateral / sizeof *mine; i++)
        if (!mine[i].data)
            mine[i] = found[i];
}

/* The host's table counts only where the caller brought no chain. */
static int open_table(opened *o, rd_bytes table, rd_err *err)
{
    rd_cert_table certs;
    if (rd_cert_table_read(table, &certs, err) < 0)
        return -1;
    if (o->collateral.snp_chain.size > 0)
        return 0;
    const rd_bytes *parts[] = { &certs.vcek, &certs.vlek, &certs.ask, &certs.ark };
    for (size_t i = 0; i < RD_ARRAY_LEN(parts); i++)
        rd_buf_append_bytes(&o->snp_chain, *parts[i]);
    o->collateral.snp_chain = rd_buf_bytes(&o->snp_chain);
    if (o->collateral.snp_crl.size == 0)
        o->collateral.snp_crl = certs.crl;
    return 0;
}

static int open_certificate(opened *o, rd_verdict *verdict, rd_err *err)
{
    if (rd_ratls_read(o->input.evidence, &o->ratls, err) < 0 ||
        rd_ratls_check_time(&o->ratls, o->input.time_us, err) < 0)
        return rd_step_failed(verdict, "certificate", err);
    o->input.evidence = o->ratls.evidence;
    if (!o->input.event_log.data)
        o->input.event_log = o->ratls.event_log;
    rd_step_ok(verdict, "certificate", "%s convention, its key is the evidence's to bind", o->ratls.convention);
    return 0;
}

static int open_wrapping(const rd_judge_input *input, opened *o, rd_verdict *verdict, rd_err *err)
{
    rd_bytes table = input->cert_table;
    o->input = *input;
    o->collateral = *input->collateral;
    o->input.collateral = &o->collateral;
    if (rd_ratls_recognises(input->evidence) && open_certificate(o, verdict, err) < 0)
        return -1;
    open_set(o);
    if (o->ratls.cert || !rd_snp_recognises(input->evidence))
        return 0;
    if (!table.data && input->evidence.size > RD_SNP_REPORT_SIZE) {
        table = rd_bytes_of(input->evidence.data + RD_SNP_REPORT_SIZE, input->evidence.size - RD_SNP_REPORT_SIZE);
        o->input.evidence.size = RD_SNP_REPORT_SIZE;
    }
    return table.data && open_table(o, table, err) < 0 ? rd_step_failed(verdict, "cert_table", err) : 0;
}

static int check_key(const opened *o, rd_judgement *ret, rd_err *err)
{
    if (!o->ratls.cert)
        return 0;
    if (!rd_equal_ct(o->ratls.report_data, ret->verdict.claims.report_data, 64)) {
        (void)rd_err_set(err, RD_E_RATLS_KEY, "the report data does not bind the certificate's key");
        ret->verdict.is_genuine = false;
        ret->verdict.reason = RD_E_RATLS_KEY;
        return rd_step_failed(&ret->verdict, "certificate_key", err);
    }
    rd_step_ok(&ret->verdict, "certificate_key", "the report data binds the certificate's key");
    return 0;
}

/* --- event logs --- */

static bool has_log(const rd_judge_input *input)
{
    return input->ccel.data || input->event_log.data;
}

static int replay(const rd_judge_input *input, rd_register_log *ret, rd_err *err)
{
    if (input->event_log.data)
        return rd_dstack_replay(input->event_log, ret, err);
    if (rd_ccel_replay(input->ccel, ret, err) < 0)
        return -1;
    return input->ccel_table.data ? rd_ccel_table_check(input->ccel_table, ret->end, err) : 0;
}

/* Before the quote is judged: the registers of a log are compared with what the quote says, whoever vouches for it. */
static int judge_log(const rd_judge_input *input, rd_judgement *ret, rd_err *err)
{
    const rd_claims *claims = &ret->verdict.claims;
    ret->has_log = true;
    if (replay(input, &ret->log, err) < 0)
        return rd_step_failed(&ret->verdict, "event_log", err);
    if (!input->evidence.data) {
        rd_step_ok(&ret->verdict, "event_log", "%zu events; no quote to compare them with", ret->log.event_count);
        return 0;
    }
    if (claims->tee != RD_TEE_TDX || !claims->has_fields) {
        (void)rd_err_set(err, RD_E_RTMR, "an event log beside evidence without run-time registers");
        return rd_step_failed(&ret->verdict, "event_log", err);
    }
    if (rd_register_log_check(&ret->log, &claims->tdx, err) < 0)
        return rd_step_failed(&ret->verdict, "event_log", err);
    ret->log_matches = true;
    rd_step_ok(&ret->verdict, "event_log", "%zu events are the replay of RTMR0 to RTMR3", ret->log.event_count);
    return 0;
}

/* --- genuine --- */

static bool is_bare(const rd_collateral *c)
{
    return c->pck_crl.size + c->root_ca_crl.size + c->tcb_info.size + c->tcb_info_chain.size + c->qe_identity.size +
               c->qe_identity_chain.size + c->snp_chain.size + c->snp_crl.size ==
           0;
}

/* Not genuine: nothing but a log's word may stand beside it. */
static int not_genuine(const rd_judge_input *input, rd_judgement *ret, const rd_err *why)
{
    bool is_alone = ret->verdict.holds_alone && input->is_reading;
    if (ret->log_matches && is_bare(input->collateral))
        return refuse(ret, why, "Match", NULL);
    if (is_alone && !ret->has_log)
        return refuse(ret, why, "ParseOnly", NULL);
    return refuse(ret, why, "Error", rd_error_class(&ret->verdict));
}

static int check_product(const rd_judge_input *input, rd_judgement *ret, rd_err *err)
{
    const rd_claims *claims = &ret->verdict.claims;
    if (!input->product || claims->tee != RD_TEE_SNP)
        return 0;
    const char *found = rd_snp_product_names[claims->snp.product];
    if (strcmp(found, input->product) == 0)
        return 0;
    (void)rd_err_set(err, RD_E_SNP_PRODUCT, "it ran on %s, expected %s", found, input->product);
    ret->verdict.is_genuine = false;
    ret->verdict.reason = RD_E_SNP_PRODUCT;
    return rd_step_failed(&ret->verdict, "product", err);
}

/* --- accepted --- */

static const char *status_word(const rd_verdict *verdict)
{
    return verdict->claims.tee == RD_TEE_SNP ? "Verified" : rd_tcb_status_names[verdict->tcb.status];
}

/* What the default policy alone does not take is told by word and reason: it has no class, except where the evidence
 * could never do. */
static const char *class_of_refusal(const rd_judge_input *input, const rd_judgement *ret, rd_code code)
{
    const char *name = rd_policy_error_class(&ret->verdict, code);
    return !input->policy && strcmp(name, "PolicyViolation") == 0 ? NULL : name;
}

static int appraise(const rd_judge_input *input, rd_judgement *ret, rd_err *err)
{
    rd_policy policy;
    rd_claims *claims = &ret->verdict.claims;
    rd_attest_floor floor = { .demands_vcek = input->demands_vcek };
    rd_judge_default_policy(&policy);
    policy.is_simulated = input->accepts_simulated && claims->class == RD_CLASS_SIMULATED;
    /* The flag takes debug out of the policy's sight; the judgement says it all the same. */
    bool is_debug = claims->is_debug;
    claims->is_debug = is_debug && !input->allows_debug;
    int rc = rd_appraise(&ret->verdict, input->policy ? input->policy : &policy, &floor, input->time_us, err);
    claims->is_debug = is_debug;
    return rc;
}

/* verify starts with an empty verdict: the steps of the wrapping stand before its own. */
static int verify(const rd_judge_input *input, rd_verdict *verdict, rd_err *err)
{
    rd_attest_input evidence = {
        .quote = input->evidence,
        .collateral = input->collateral,
        .anchors = input->anchors,
        .cache = input->cache,
        .time_us = input->time_us,
    };
    rd_verdict found;
    int rc = rd_attest_verify(&evidence, &found, err);
    for (size_t i = found.step_count; i > 0; i--)
        if (i - 1 + verdict->step_count < RD_ATTEST_STEPS_MAX)
            found.steps[i - 1 + verdict->step_count] = found.steps[i - 1];
    memcpy(found.steps, verdict->steps, verdict->step_count * sizeof verdict->steps[0]);
    found.step_count = RD_MIN(found.step_count + verdict->step_count, (size_t)RD_ATTEST_STEPS_MAX);
    *verdict = found;
    return rc;
}

static int run(const opened *o, rd_judgement *ret, rd_err *err)
{
    const rd_judge_input *input = &o->input;
    rd_err log_err = RD_ERR_INIT;
    bool is_log_alone = !input->evidence.data && has_log(input);
    int rc = is_log_alone ? -1 : verify(input, &ret->verdict, err);
    if (has_log(input) && judge_log(input, ret, &log_err) < 0) {
        *err = log_err;
        ret->verdict.is_genuine = false;
        ret->verdict.reason = log_err.code;
        return refuse(ret, err, "Error", rd_error_class(&ret->verdict));
    }
    if (is_log_alone) {
        (void)rd_err_set(err, RD_E_EVIDENCE_TYPE, "an event log alone proves nothing: no quote vouches for it");
        return refuse(ret, err, "ReplayOnly", NULL);
    }
    if (rc < 0 || check_product(input, ret, err) < 0 || check_key(o, ret, err) < 0)
        return not_genuine(input, ret, err);
    ret->word = status_word(&ret->verdict);
    if (appraise(input, ret, err) < 0)
        return refuse(ret, err, ret->word, class_of_refusal(input, ret, err->code));
    ret->is_accepted = true;
    return 0;
}

int rd_judge(const rd_judge_input *input, rd_judgement *ret, rd_err *err)
{
    RD_CLEANUP(opened_done) opened o = { .ratls = { 0 } };
    rd_err why = RD_ERR_INIT;
    *ret = (rd_judgement){ 0 };
    if (open_wrapping(input, &o, &ret->verdict, &why) < 0) {
        ret->verdict.reason = why.code;
        (void)refuse(ret, &why, "Error", rd_error_class(&ret->verdict));
    } else {
        ret->convention = o.ratls.convention;
        if (run(&o, ret, &why) == 0)
            return 0;
    }
    if (err)
        *err = why;
    return -1;
}
