#include "cli/demands.h"

#include "cli/policy_words.h"
#include "cli/steps.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/policy_review.h"

#include <stdlib.h>
#include <string.h>

int cli_demands_take(cli_context *context, const cli_args *args, rd_err *err RD_UNUSED)
{
    context->demands.any_runtime = cli_args_has(args, "any-runtime");
    return 0;
}

/* ---- runtimes ---- */

/* Which runtime images are good is this machine's to say, beside the owner's policy. */
static int check_runtime(const cli_context *context, const rd_attest_report *report, json_t *steps, rd_err *err)
{
    char mrtd[97];
    const cli_profile *profile = context->profile;
    rd_hex_encode(RD_BYTES_ARRAY(report->verdict.claims.tdx.mr_td), mrtd);
    if (context->demands.any_runtime) {
        cli_step(steps, "runtime", true, "MRTD %.12s…, ANY RUNTIME, as asked: the owner alone accepts it", mrtd);
        return 0;
    }
    for (size_t i = 0; i < profile->measurement_count; i++) {
        if (strcmp(profile->measurements[i], mrtd) == 0) {
            cli_step(steps, "runtime", true, "MRTD %.12s…, on this machine's list", mrtd);
            return 0;
        }
    }
    if (profile->measurement_count == 0)
        (void)rd_err_set(err, RD_E_MEASUREMENT,
                         "the profile lists no runtime, so none is accepted; add those that you trust to its "
                         "\"measurements\" (redoubt-agent measure PROGRAM prints them), or give --any-runtime to take "
                         "the owner's word");
    else
        (void)rd_err_set(err, RD_E_CLI_VERIFY, "MRTD %.12s… is not on this machine's list of runtimes", mrtd);
    return cli_step_failed(steps, "runtime", err);
}

/* ---- the caller's policy ---- */

/* Any code: measurements are check_runtime's. */
static void accept_any_code(rd_policy *policy)
{
    memset(policy->measurements, 0, sizeof policy->measurements);
    policy->measurements[0].tee = RD_TEE_TDX;
    policy->measurements_count = 1;
}

/* Without a file: nothing loosened. The class is that of the root, which the profile alone makes a simulated one. */
static void fill_safe(rd_class class, rd_policy *ret)
{
    *ret = (rd_policy){ .is_simulated = class == RD_CLASS_SIMULATED,
                        .tees = { RD_TEE_TDX },
                        .tees_count = 1,
                        .tcb = { RD_TCB_UP_TO_DATE, RD_TCB_SW_HARDENING_NEEDED },
                        .tcb_count = 2,
                        .max_collateral_age_s = 7 * 86400 };
    accept_any_code(ret);
}

static int load_own(const char *path, rd_policy **ret, rd_err *err)
{
    if (cli_policy_load(path, ret, err) == 0)
        return 0;
    err->code = RD_E_CONFIG;
    return rd_err_wrap(err, "caller_policy %s", path);
}

/* "; loosens /grace, /tcb": what whoever wrote the file let pass. */
static void print_loosenings(const rd_policy *policy, rd_buf *out)
{
    RD_CLEANUP(rd_free_p) rd_policy_notes *notes = rd_alloc(sizeof *notes);
    rd_policy_loosenings(policy, notes);
    for (size_t i = 0; i < notes->count && i < 8; i++)
        (void)rd_buf_printf(out, "%s%s", i ? ", " : "; loosens ", notes->items[i].member);
}

static int check_policy(const rd_policy *policy, const char *path, const rd_attest_report *report, int64_t time_us,
                        json_t *steps, rd_err *err)
{
    RD_CLEANUP(rd_free_p) rd_verdict *verdict = rd_alloc(sizeof *verdict);
    RD_CLEANUP(rd_buf_done) rd_buf loosenings = { 0 };
    *verdict = report->verdict; /* its steps are the owner's policy's */
    if (rd_appraise(verdict, policy, NULL, time_us, err) < 0) {
        (void)rd_err_wrap(err, "%s", path ? "caller_policy of the profile" : "the owner accepts it, this machine not");
        return cli_step_failed(steps, "caller policy", err);
    }
    if (path)
        print_loosenings(policy, &loosenings);
    cli_step(steps, "caller policy", true, "%s%s", path ? path : "the safe defaults, whatever the owner accepts",
             loosenings.size ? rd_buf_text(&loosenings) : "");
    return 0;
}

int cli_demands_check(cli_context *context, const rd_attest_report *report, int64_t time_us, json_t *steps, rd_err *err)
{
    const char *path = cli_profile_get(context->profile, CLI_SET_CALLER_POLICY);
    RD_CLEANUP(rd_free_p) rd_policy *policy = NULL;
    if (path && load_own(path, &policy, err) < 0)
        return cli_step_failed(steps, "caller policy", err);
    if (!path) {
        policy = rd_alloc(sizeof *policy);
        fill_safe(report->verdict.claims.class, policy);
    }
    if (context->demands.any_runtime)
        accept_any_code(policy);
    /* A file names the runtimes itself; those of the profile count as well when there are any. */
    bool has_list = !path || context->profile->measurement_count > 0 || context->demands.any_runtime;
    if (has_list && check_runtime(context, report, steps, err) < 0)
        return -1;
    return check_policy(policy, path, report, time_us, steps, err);
}
