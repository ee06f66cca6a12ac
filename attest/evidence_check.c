#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "attest/collateral_set.h"
#include "attest/verifier.h"
#include "common/base/mem.h"

/* One run of the whole; the verdict's steps are the report's. */
typedef struct run {
    const rd_evidence_check *check;
    rd_attest_report *report;
    rd_evidence evidence;
    rd_collateral_set *collateral; /* read here; NULL when the caller did */
    rd_collateral_pick pick;
} run;

static int open_evidence(run *r, rd_err *err)
{
    const rd_evidence_check *check = r->check;
    rd_sha256(check->evidence, r->report->evidence_digest.b);
    if (rd_evidence_parse(check->evidence, &r->evidence, err) < 0)
        return rd_err_wrap(err, "evidence");
    r->report->statement = r->evidence.statement;
    rd_statement_digest(rd_buf_bytes(&r->evidence.statement_bytes), &r->report->statement_digest);
    if (!check->set && rd_collateral_set_parse(check->collateral, &r->collateral, err) < 0)
        return -1;
    rd_collateral_set_pick(check->set ? check->set : r->collateral, rd_buf_bytes(&r->evidence.quote), &r->pick);
    return 0;
}

/* --- after the verdict --- */

/* report_data = SHA-512(F("evidence", "evidence-v1", S)): without it the statement is anybody's. */
static int check_binding(run *r, rd_err *err)
{
    uint8_t wanted[RD_REPORT_DATA_SIZE];
    rd_statement_report_data(rd_buf_bytes(&r->evidence.statement_bytes), wanted);
    if (!rd_equal_ct(wanted, r->report->verdict.claims.report_data, sizeof wanted))
        return rd_err_set(err, RD_E_BINDING, "report data is not the hash of the statement");
    return 0;
}

static int check_purpose(const rd_evidence *evidence, const rd_expect *expect, rd_class class, rd_err *err)
{
    const rd_statement *s = &evidence->statement;
    if (s->purpose != expect->purpose)
        return rd_err_set(err, RD_E_PURPOSE, "statement of purpose %s, asked for %s", rd_purpose_name(s->purpose),
                          rd_purpose_name(expect->purpose));
    if (s->class != class)
        return rd_err_set(err, RD_E_CLASS_MISMATCH, "statement of class %s, the hardware's root is of class %s",
                          rd_class_name(s->class), rd_class_name(class));
    if (expect->nonce && !rd_evidence_answers(evidence, expect->nonce))
        return rd_err_set(err, RD_E_NONCE, "%s",
                          evidence->has_nonce_path ? "the nonce that was sent does not lead to the statement's"
                                                   : "the nonce is not the one that was sent");
    return 0;
}

static int differs(const char *what, rd_err *err)
{
    return rd_err_set(err, RD_E_STATEMENT, "the statement names another %s", what);
}

/* What binds evidence to a connection is the exporter that this end of it computed; a nonce binds nothing. */
static int check_channel(const rd_statement *s, const rd_expect *expect, rd_err *err)
{
    if (expect->purpose != RD_PURPOSE_CHANNEL)
        return 0;
    if (!expect->channel)
        return rd_err_set(err, RD_E_CHANNEL, "this connection has no exporter to compare with");
    if (!s->has_channel)
        return rd_err_set(err, RD_E_CHANNEL, "evidence for purpose %s is bound to no connection",
                          rd_purpose_name(s->purpose));
    if (!rd_equal_ct(s->channel, expect->channel, RD_CHANNEL_SIZE))
        return rd_err_set(err, RD_E_CHANNEL, "the evidence is bound to another connection than this one");
    return 0;
}

static bool names_kms(const rd_statement *s, const rd_expect *expect)
{
    if (s->kms_count != expect->kms_count)
        return false;
    for (size_t i = 0; i < s->kms_count; i++)
        if (!rd_kms_id_equal(&s->kms[i], &expect->kms[i]))
            return false;
    return true;
}

static int check_names(const rd_statement *s, const rd_expect *expect, rd_err *err)
{
    if (expect->app && (!s->has_app || !rd_app_id_equal(&s->app, expect->app)))
        return differs("app", err);
    if (expect->release && (!s->has_release || !rd_digest_equal(&s->release, expect->release)))
        return differs("release", err);
    if (expect->head && (!s->has_head || !rd_digest_equal(&s->head, expect->head)))
        return differs("head", err);
    if (expect->instance && (!s->has_instance || !rd_id_equal(&s->instance, expect->instance)))
        return differs("instance", err);
    if (expect->epoch && s->epoch != *expect->epoch)
        return rd_err_set(err, RD_E_STATEMENT, "the statement is of epoch %" PRIu64 ", expected %" PRIu64, s->epoch,
                          *expect->epoch);
    if (expect->tls && (!s->has_tls || !rd_equal_ct(s->tls, expect->tls, 32)))
        return differs("TLS key", err);
    if (expect->receipt_key && (!s->has_receipt_key || !rd_public_key_equal(&s->receipt_key, expect->receipt_key)))
        return differs("receipt key", err);
    if (expect->kms && !names_kms(s, expect))
        return differs("set of key services", err);
    if (expect->user && (!s->has_user || !rd_equal_ct(s->user, expect->user, 32)))
        return differs("value of its own", err);
    return 0;
}

static int check_statement(run *r, rd_err *err)
{
    const rd_statement *s = &r->evidence.statement;
    if (check_channel(s, &r->check->expect, err) < 0 ||
        check_purpose(&r->evidence, &r->check->expect, r->report->verdict.claims.class, err) < 0)
        return -1;
    return check_names(s, &r->check->expect, err);
}

/* RTMR3 is what the log says, and the log says exactly what a launch of the statement's app says. */
static int check_register(run *r, rd_err *err)
{
    uint8_t wanted[RD_RTMR_SIZE];
    const rd_claims *claims = &r->report->verdict.claims;
    if (rd_evidence_check_log(&r->evidence, wanted, err) < 0)
        return -1;
    if (claims->tee != RD_TEE_TDX)
        return rd_err_set(err, RD_E_RTMR, "evidence without run-time registers");
    if (!rd_equal_ct(wanted, claims->tdx.rtmr[3], sizeof wanted))
        return rd_err_set(err, RD_E_RTMR, "RTMR3 is not the replay of the event log");
    return 0;
}

static int run_step(run *r, const char *name, int (*fn)(run *, rd_err *), const char *detail, rd_err *err)
{
    if (fn(r, err) < 0)
        return rd_step_failed(&r->report->verdict, name, err);
    rd_step_ok(&r->report->verdict, name, "%s", detail);
    return 0;
}

static int run_all(run *r, rd_err *err)
{
    const rd_evidence_check *check = r->check;
    rd_verdict *verdict = &r->report->verdict;
    if (open_evidence(r, err) < 0)
        return rd_step_failed(verdict, "evidence", err);
    rd_attest_input input = { .quote = rd_buf_bytes(&r->evidence.quote),
                              .collateral = &r->pick.pieces,
                              .anchors = check->anchors,
                              .cache = check->cache,
                              .time_us = check->time_us };
    if (rd_attest_verify(&input, verdict, err) < 0)
        return -1;
    if (rd_appraise(verdict, check->policy, check->floor, check->time_us, err) < 0) {
        r->report->is_appraisal = true;
        return -1;
    }
    if (run_step(r, "binding", check_binding, "report data is the hash of the statement", err) < 0 ||
        run_step(r, "statement", check_statement,
                 check->expect.nonce ? "as asked for, with the nonce that was sent" : "as asked for, without a nonce",
                 err) < 0)
        return -1;
    return run_step(r, "event_log", check_register, "RTMR3 is the replay of the log", err);
}

static void run_done(run *r)
{
    rd_evidence_done(&r->evidence);
    rd_collateral_pick_done(&r->pick);
    rd_collateral_set_free(r->collateral);
}

int rd_attest_check_evidence(const rd_evidence_check *check, rd_attest_report *ret, rd_err *err)
{
    *ret = (rd_attest_report){ 0 };
    RD_CLEANUP(run_done) run r = { .check = check, .report = ret };
    if (run_all(&r, &ret->refusal) < 0) {
        ret->reason = ret->refusal.code;
        if (err)
            *err = ret->refusal;
        return -1;
    }
    ret->is_accepted = true;
    return 0;
}
