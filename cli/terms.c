#include "cli/terms.h"

#include "cli/policy_words.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdlib.h>
#include <string.h>

/* What this machine's profile asks of evidence. */
static int fill_policy(const cli_profile *profile, rd_class class, rd_policy *ret, rd_err *err)
{
    if (profile->measurement_count == 0)
        return rd_err_set(err, RD_E_CONFIG,
                          "the profile lists no runtime measurements, so no enclave could be accepted");
    *ret = (rd_policy){
        .is_simulated = class == RD_CLASS_SIMULATED,
        .tees = { RD_TEE_TDX },
        .tees_count = 1,
        .tcb = { RD_TCB_UP_TO_DATE, RD_TCB_SW_HARDENING_NEEDED },
        .tcb_count = 2,
        .max_collateral_age_s = 7 * 86400,
    };
    uint8_t mrtd[RD_MRTD_SIZE];
    for (size_t i = 0; i < profile->measurement_count; i++)
        if (rd_hex_decode(profile->measurements[i], 96, mrtd, sizeof mrtd) < 0 || rd_policy_add_mrtd(ret, mrtd) < 0)
            return rd_err_set(err, RD_E_CONFIG, "measurement %zu of the profile is malformed", i + 1);
    return 0;
}

/* A file, or the profile in its place. */
static int read_policy(const cli_profile *profile, const char *path, rd_class class, rd_policy *ret, rd_err *err)
{
    if (strcmp(path, CLI_POLICY_PROFILE) == 0)
        return fill_policy(profile, class, ret, err);
    RD_CLEANUP(rd_free_p) rd_policy *policy = NULL;
    if (cli_policy_load(path, &policy, err) < 0)
        return rd_err_wrap(err, "%s", path);
    *ret = *policy;
    if (ret->is_simulated != (class == RD_CLASS_SIMULATED))
        return rd_err_set(err, RD_E_CLASS_MISMATCH, "%s says simulated: %s, and the app is of class %s", path,
                          ret->is_simulated ? "true" : "false", rd_class_name(class));
    return 0;
}

static int settle_policy(const cli_profile *profile, const cli_current *current, rd_class class, const char *path,
                         rd_policy *ret, rd_err *err)
{
    if (path)
        return read_policy(profile, path, class, ret, err);
    if (!current->has_head)
        return fill_policy(profile, class, ret, err);
    *ret = current->head.policy;
    return 0;
}

int cli_terms_settle(const cli_profile *profile, const cli_current *current, rd_class class,
                     const cli_manifest *manifest, cli_terms *ret, rd_err *err)
{
    *ret = (cli_terms){ .grant_s = 0 };
    if (current->has_head) {
        ret->grant_s = current->head.grant_s;
        ret->grant_requests = current->head.grant_requests;
    }
    if (manifest && manifest->grant_s > 0)
        ret->grant_s = manifest->grant_s;
    if (manifest && manifest->grant_requests > 0)
        ret->grant_requests = manifest->grant_requests;
    if (settle_policy(profile, current, class, manifest ? manifest->policy : NULL, &ret->policy, err) < 0)
        return -1;
    if (manifest && manifest->webhook.is_set)
        ret->policy.webhook = manifest->webhook;
    if (manifest && manifest->has_no_webhook)
        ret->policy.webhook = (rd_webhook){ .is_set = false };
    return 0;
}

bool cli_terms_are_kept(const cli_terms *terms, const cli_current *current)
{
    rd_err ignored = RD_ERR_INIT;
    rd_digest now, next;
    return current->has_head && terms->grant_s == current->head.grant_s &&
           terms->grant_requests == current->head.grant_requests &&
           rd_policy_digest(&current->head.policy, &now, &ignored) == 0 &&
           rd_policy_digest(&terms->policy, &next, &ignored) == 0 && rd_digest_equal(&now, &next);
}

static bool accepts_runtime(const rd_policy *policy, const uint8_t mrtd[RD_MRTD_SIZE])
{
    for (size_t i = 0; i < policy->measurements_count; i++)
        for (size_t p = 0; p < policy->measurements[i].parts_count; p++)
            if (policy->measurements[i].parts[p].measure == RD_MEASURE_MRTD &&
                rd_policy_part_accepts(policy, &policy->measurements[i], p, mrtd))
                return true;
    return false;
}

size_t cli_terms_missing(const cli_profile *profile, const rd_policy *policy)
{
    size_t missing = 0;
    uint8_t mrtd[RD_MRTD_SIZE];
    for (size_t i = 0; i < profile->measurement_count; i++)
        if (rd_hex_decode(profile->measurements[i], 96, mrtd, sizeof mrtd) == 0)
            missing += !accepts_runtime(policy, mrtd);
    return missing;
}

json_t *cli_terms_notes(const rd_policy *before, const rd_policy *after)
{
    RD_CLEANUP(rd_free_p) rd_policy_notes *notes = rd_alloc(sizeof *notes);
    if (before)
        rd_policy_diff(before, after, notes);
    else
        rd_policy_loosenings(after, notes);
    return cli_policy_notes(notes);
}
