#include "cli/proof.h"

#include "attest/attest.h"
#include "cli/steps.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdlib.h>
#include <string.h>

static int fill_anchors(const cli_profile *profile, rd_anchors *ret, rd_err *err)
{
    rd_anchors_init(ret);
    for (size_t i = 0; i < profile->simulation_root_count; i++)
        if (rd_anchors_add_simulated(ret, profile->simulation_roots[i], err) < 0)
            return rd_err_wrap(err, "simulation root of the profile");
    return 0;
}

/* Which runtime images are good is this machine's to say, beside the owner's policy. */
static int check_runtime(const cli_profile *profile, const rd_attest_report *report, json_t *steps, rd_err *err)
{
    char mrtd[97];
    rd_hex_encode(RD_BYTES_ARRAY(report->verdict.claims.tdx.mr_td), mrtd);
    if (profile->measurement_count == 0) {
        cli_step(steps, "runtime", true, "MRTD %.12s…, accepted by the owner; this profile pins none", mrtd);
        return 0;
    }
    for (size_t i = 0; i < profile->measurement_count; i++) {
        if (strcmp(profile->measurements[i], mrtd) == 0) {
            cli_step(steps, "runtime", true, "MRTD %.12s…, on this machine's list", mrtd);
            return 0;
        }
    }
    (void)rd_err_set(err, RD_E_CLI_VERIFY, "MRTD %.12s… is not on this machine's list of runtimes", mrtd);
    return cli_step_failed(steps, "runtime", err);
}

static void copy_steps(const rd_attest_report *report, json_t *steps)
{
    for (size_t i = 0; i < report->verdict.step_count; i++) {
        const rd_attest_step *step = &report->verdict.steps[i];
        cli_step(steps, step->name, step->is_ok, "%s", step->detail);
    }
}

int cli_proof_check(const cli_profile *profile, const cli_proof_request *request, cli_proof *ret, json_t *steps,
                    rd_err *err)
{
    *ret = (cli_proof){ .is_simulated = false };
    rd_anchors anchors;
    if (fill_anchors(profile, &anchors, err) < 0)
        return cli_step_failed(steps, "anchors", err);
    const rd_evidence_check check = {
        .evidence = request->evidence,
        .collateral = request->collateral,
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
    if (check_runtime(profile, report, steps, err) < 0)
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
