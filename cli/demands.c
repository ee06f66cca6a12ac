#include "cli/demands.h"

#include "cli/policy_words.h"
#include "cli/seen.h"
#include "cli/steps.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/json.h"
#include "common/model/policy_review.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_S 86400

int cli_demands_take(cli_context *context, const cli_args *args, rd_err *err)
{
    const char *days = cli_args_value(args, "collateral-age");
    uint64_t count = 0;
    if (days && (rd_parse_u64(days, strlen(days), CLI_COLLATERAL_DAYS_MAX, &count) < 0 || count == 0))
        return rd_err_set(err, RD_E_USAGE, "--collateral-age takes days, 1 to %d, not %s", CLI_COLLATERAL_DAYS_MAX,
                          days);
    context->demands.any_runtime = cli_args_has(args, "any-runtime");
    context->demands.collateral = cli_args_value(args, "collateral");
    context->demands.collateral_age_s = (uint32_t)count * DAY_S;
    return 0;
}

/* ---- collateral ---- */

static void format_age(int64_t age_s, char *out, size_t size)
{
    if (age_s < DAY_S)
        (void)snprintf(out, size, "%lld h old", (long long)(age_s / 3600));
    else
        (void)snprintf(out, size, "%lld days old", (long long)(age_s / DAY_S));
}

static void tell_collateral(const cli_finding *found, int64_t time_us, json_t *steps)
{
    const rd_verdict *verdict = found->verdict;
    char age[64] = "without a date of issue";
    int64_t age_s = (time_us - verdict->collateral_issued_us) / 1000000;
    bool has_age = verdict->collateral_issued_us != 0;
    uint32_t evaluation = RD_MIN(verdict->tcb.evaluation_number, verdict->tcb.qe_evaluation_number);
    if (has_age)
        format_age(age_s, age, sizeof age);
    cli_step(steps, "collateral source", true, "%s; %s, evaluation number %u, revocation lists %lld and %lld",
             found->source, age, evaluation, (long long)verdict->pck_crl_number, (long long)verdict->root_crl_number);
    json_t *step = json_array_get(steps, json_array_size(steps) - 1);
    rd_json_set_str(step, "source", found->source);
    rd_json_set(step, "age_s", has_age ? json_integer((json_int_t)age_s) : json_null());
    rd_json_set_int(step, "evaluation_number", evaluation);
}

static int appraise(cli_context *context, const cli_finding *found, const rd_policy *policy, int64_t time_us,
                    rd_err *err)
{
    const char *state_dir = cli_profile_get(context->profile, CLI_SET_STATE_DIR);
    bool is_of_then = context->demands.is_of_then;
    RD_CLEANUP(rd_free_p) rd_verdict *verdict = rd_alloc(sizeof *verdict);
    rd_attest_floor floor = { 0 };
    *verdict = *found->verdict; /* whose steps are the owner's policy's */
    if (!is_of_then && cli_seen_floor(state_dir, verdict, &floor, err) < 0)
        return -1;
    if (rd_appraise(verdict, policy, &floor, time_us, err) < 0)
        return -1;
    bool is_kept = state_dir && !is_of_then && !found->is_saved;
    return is_kept ? cli_seen_remember(state_dir, verdict, err) : 0;
}

int cli_demands_appraise(cli_context *context, const cli_finding *found, rd_policy *policy, const char *step,
                         int64_t time_us, json_t *steps, rd_err *err)
{
    if (context->demands.collateral_age_s)
        policy->max_collateral_age_s = context->demands.collateral_age_s;
    if (appraise(context, found, policy, time_us, err) < 0) {
        if (err->code == RD_E_COLLATERAL_AGE || err->code == RD_E_COLLATERAL_EVALNUM || err->code == RD_E_CRL_ROLLBACK)
            (void)rd_err_wrap(err, "collateral from %s", found->source);
        return cli_step_failed(steps, step, err);
    }
    tell_collateral(found, time_us, steps);
    return 0;
}

/* ---- runtimes ---- */

/* Which runtime images are good is this machine's to say, beside the owner's policy. */
static int check_runtime(const cli_context *context, const rd_verdict *verdict, json_t *steps, rd_err *err)
{
    char mrtd[97];
    const cli_profile *profile = context->profile;
    rd_hex_encode(RD_BYTES_ARRAY(verdict->claims.tdx.mr_td), mrtd);
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
                        .max_collateral_age_s = 7 * DAY_S };
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

static int check_policy(cli_context *context, const cli_finding *found, rd_policy *policy, const char *path,
                        int64_t time_us, json_t *steps, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf loosenings = { 0 };
    if (path)
        print_loosenings(policy, &loosenings);
    if (cli_demands_appraise(context, found, policy, "caller policy", time_us, steps, err) < 0)
        return -1;
    cli_step(steps, "caller policy", true, "%s%s", path ? path : "the safe defaults, whatever the owner accepts",
             loosenings.size ? rd_buf_text(&loosenings) : "");
    return 0;
}

int cli_demands_check(cli_context *context, const cli_finding *found, int64_t time_us, json_t *steps, rd_err *err)
{
    const char *path = cli_profile_get(context->profile, CLI_SET_CALLER_POLICY);
    RD_CLEANUP(rd_free_p) rd_policy *policy = NULL;
    if (path && load_own(path, &policy, err) < 0)
        return cli_step_failed(steps, "caller policy", err);
    if (!path) {
        policy = rd_alloc(sizeof *policy);
        fill_safe(found->verdict->claims.class, policy);
    }
    if (context->demands.any_runtime)
        accept_any_code(policy);
    /* A file names the runtimes itself; those of the profile count as well when there are any. */
    bool has_list = !path || context->profile->measurement_count > 0 || context->demands.any_runtime;
    if (has_list && check_runtime(context, found->verdict, steps, err) < 0)
        return -1;
    return check_policy(context, found, policy, path, time_us, steps, err);
}
