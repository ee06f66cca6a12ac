#include "cli/proof.h"

#include "attest/attest.h"
#include "cli/anchors.h"
#include "cli/demands.h"
#include "cli/kms.h"
#include "cli/steps.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdlib.h>
#include <string.h>

/* Whose keys and secrets the instance has: the head's word, which the evidence carries; trusted here or not is this
 * machine's to say. */
static int check_kms(const cli_context *context, const rd_head *head, json_t *steps, rd_err *err)
{
    if (head->kms_count == 0)
        return 0;
    char text[RD_KMS_ID_TEXT_SIZE];
    RD_CLEANUP(rd_json_free_p) json_t *trusted = NULL;
    if (cli_kms_trusted(context, &trusted, err) < 0)
        return cli_step_failed(steps, "key service", err);
    for (size_t i = 0; i < head->kms_count; i++) {
        rd_kms_id_format(&head->kms[i], text);
        if (json_array_size(trusted) == 0) {
            cli_step(steps, "key service", true, "%s, named by the owner; this machine trusts none of its own", text);
        } else if (cli_kms_is_in(trusted, &head->kms[i])) {
            cli_step(steps, "key service", true, "%s, trusted here", text);
        } else {
            (void)rd_err_set(err, RD_E_KMS_UNKNOWN, "%s is not among the key services trusted here", text);
            return cli_step_failed(steps, "key service", err);
        }
    }
    return 0;
}

static void copy_steps(const rd_attest_report *report, json_t *steps)
{
    for (size_t i = 0; i < report->verdict.step_count; i++) {
        const rd_attest_step *step = &report->verdict.steps[i];
        cli_step(steps, step->name, step->is_ok, "%s", step->detail);
    }
}

int cli_proof_check(cli_context *context, const cli_proof_request *request, cli_proof *ret, json_t *steps, rd_err *err)
{
    *ret = (cli_proof){ .is_simulated = false };
    rd_anchors anchors;
    if (cli_anchors_of_profile(context->profile, &anchors, err) < 0)
        return cli_step_failed(steps, "anchors", err);
    const rd_evidence_check check = {
        .evidence = request->evidence,
        .collateral = rd_buf_bytes(&request->collateral->json),
        .anchors = &anchors,
        .policy = &request->docs->head.policy,
        .expect = { .purpose = request->purpose,
                    .nonce = request->nonce,
                    .instance = request->instance,
                    .epoch = request->epoch,
                    .channel = request->channel,
                    .tls = request->tls,
                    .app = &request->docs->app,
                    .release = &request->docs->release_digest,
                    .head = &request->docs->head_digest,
                    .kms = request->docs->head.kms,
                    .kms_count = request->docs->head.kms_count },
        .time_us = request->now_us,
    };
    RD_CLEANUP(rd_free_p) rd_attest_report *report = rd_alloc(sizeof *report);
    int status = rd_attest_check_evidence(&check, report, err);
    copy_steps(report, steps);
    if (status < 0)
        return cli_steps_are_ok(steps) ? cli_step_failed(steps, "evidence", err) : cli_steps_explain(steps, err);
    const cli_finding found = { .verdict = &report->verdict,
                                .source = request->collateral->source,
                                .is_saved = request->is_saved };
    if (cli_demands_check(context, &found, request->now_us, steps, err) < 0 ||
        check_kms(context, &request->docs->head, steps, err) < 0)
        return -1;
    ret->is_simulated = report->verdict.claims.class == RD_CLASS_SIMULATED;
    ret->receipt_key = report->statement.receipt_key;
    ret->instance = report->statement.instance;
    ret->has_ohttp = report->statement.has_ohttp;
    memcpy(ret->ohttp, report->statement.ohttp, sizeof ret->ohttp);
    rd_buf_init(&ret->statement, 0);
    return rd_statement_encode(&report->statement, &ret->statement, err);
}

void cli_proof_done(cli_proof *proof)
{
    rd_buf_done(&proof->statement);
}
