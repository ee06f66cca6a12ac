#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "attest/appraise_policy.h"
#include "attest/attest.h"
#include "attest/verifier.h"
#include "common/base/text.h"

/* TDATTRIBUTES (Intel TDX Module ABI): bit 28 SEPT_VE_DISABLE, bit 29 MIGRATABLE; bits 30, 31, 63 PKS, KL, PERFMON. */
#define TD_SEPT_VE_DISABLE (UINT64_C(1) << 28)
#define TD_MIGRATABLE      (UINT64_C(1) << 29)
#define TD_KNOWN                                                                                                       \
    (UINT64_C(0xff) | UINT64_C(1) << 27 | TD_SEPT_VE_DISABLE | TD_MIGRATABLE | UINT64_C(1) << 30 | UINT64_C(1) << 31 | \
     UINT64_C(1) << 63)

typedef struct appraisal {
    rd_verdict *verdict;
    const rd_policy *policy;
    const rd_attest_floor *floor;
    int64_t time_us;
    char detail[160];
} appraisal;

#define say(a, ...) (void)snprintf((a)->detail, sizeof(a)->detail, __VA_ARGS__)

/* D13: a policy that accepts what nobody should is refused itself, whatever the evidence. */
static int check_policy(appraisal *a, rd_err *err)
{
    const rd_policy *policy = a->policy;
    for (size_t i = 0; i < policy->tcb_count; i++)
        if (policy->tcb[i] == RD_TCB_REVOKED)
            return rd_err_set(err, RD_E_POLICY_UNSAFE, "the policy accepts revoked platforms");
    if (policy->allows_debug && !policy->is_simulated)
        return rd_err_set(err, RD_E_POLICY_UNSAFE, "the policy accepts debug on hardware");
    say(a, "%zu measurements, %zu TCB states", policy->measurements_count, policy->tcb_count);
    return 0;
}

/* The class comes from the anchor that the chain ended in, which is the verifier's own word; the policy must say it
 * too. */
static int check_class(appraisal *a, rd_err *err)
{
    rd_class class = a->verdict->claims.class;
    rd_class wanted = a->policy->is_simulated ? RD_CLASS_SIMULATED : RD_CLASS_HARDWARE;
    if (class != wanted)
        return rd_err_set(err, RD_E_CLASS_MISMATCH, "evidence of class %s, the policy asks for %s",
                          rd_class_name(class), rd_class_name(wanted));
    say(a, "%s", rd_class_name(class));
    return 0;
}

static int check_tee(appraisal *a, rd_err *err)
{
    rd_tee tee = a->verdict->claims.tee;
    if (!rd_policy_accepts_tee(a->policy, tee))
        return rd_err_set(err, RD_E_POLICY_TEE, "%s is not on the policy's list", rd_tee_names[tee]);
    say(a, "%s", rd_tee_names[tee]);
    return 0;
}

static int check_debug(appraisal *a, rd_err *err)
{
    bool is_debug = a->verdict->claims.is_debug;
    if (is_debug && !a->policy->allows_debug)
        return rd_err_set(err, RD_E_TD_DEBUG, "the %s can be debugged by its host",
                          a->verdict->claims.tee == RD_TEE_SGX ? "enclave" : "guest");
    say(a, "%s", is_debug ? "debug, which the policy allows" : "not debuggable");
    return 0;
}

static uint64_t u64le(const uint8_t bytes[8])
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

/* attestation.md 1.3, policy defaults; E2, E11. */
static int check_attributes(appraisal *a, rd_err *err)
{
    const rd_tdx_claims *tdx = &a->verdict->claims.tdx;
    const rd_claims *claims = &a->verdict->claims;
    if (claims->tee == RD_TEE_SNP && claims->snp.is_vlek && a->floor && a->floor->demands_vcek)
        return rd_err_set(err, RD_E_KEY_KIND, "signed by a VLEK, a VCEK is asked for");
    if (claims->tee != RD_TEE_TDX) {
        say(a, "no TD");
        return 0;
    }
    uint64_t attributes = u64le(tdx->td_attributes);
    if (!(attributes & TD_SEPT_VE_DISABLE) && !a->policy->td.allows_sept_ve)
        return rd_err_set(err, RD_E_TD_ATTR, "SEPT_VE_DISABLE is not set: the host can inject faults into the guest");
    if ((attributes & TD_MIGRATABLE) && !a->policy->td.allows_migratable)
        return rd_err_set(err, RD_E_TD_ATTR, "MIGRATABLE is set: the TD can leave the platform");
    if (attributes & ~TD_KNOWN)
        return rd_err_set(err, RD_E_TD_ATTR, "unknown attribute bits in %016" PRIx64, attributes);
    if (tdx->has_15 && !rd_policy_accepts_service_td(a->policy, tdx->mr_service_td))
        return rd_err_set(err, RD_E_SERVICE_TD, "a service TD that the policy does not list is bound to it");
    say(a, "TD attributes %016" PRIx64, attributes);
    return 0;
}

static int check_tcb(appraisal *a, rd_err *err)
{
    const rd_tcb_verdict *tcb = &a->verdict->tcb;
    const char *name = rd_tcb_status_names[tcb->status];
    if (a->verdict->claims.tee == RD_TEE_SNP) {
        say(a, "AMD has levels and no words; the policy's lowest are judged with the platform");
        return 0;
    }
    if (rd_policy_grace_covers(a->policy, tcb->status, tcb->date_us, a->time_us)) {
        char until[RD_TIME_TEXT_SIZE];
        rd_time_format(a->policy->grace.until_us, until);
        say(a, "%s under evaluation number %u, in grace until %s", name, tcb->evaluation_number, until);
        return 0;
    }
    if (tcb->status == RD_TCB_REVOKED || !rd_policy_accepts_tcb(a->policy, tcb->status)) {
        char first[96] = "";
        if (tcb->shortfall_count)
            rd_tcb_shortfall_format(&tcb->shortfalls[0], first, sizeof first);
        return rd_err_set(err, RD_E_TCB_STATUS, "TCB status %s%s%s", name, first[0] ? "; " : "", first);
    }
    say(a, "%s under evaluation number %u", name, tcb->evaluation_number);
    return 0;
}

static int check_advisories(appraisal *a, rd_err *err)
{
    const rd_tcb_verdict *tcb = &a->verdict->tcb;
    const char *const *denied = a->floor ? a->floor->denied_advisories : NULL;
    for (; denied && *denied; denied++)
        for (size_t i = 0; i < tcb->advisory_count; i++)
            if (strcmp(*denied, tcb->advisories[i]) == 0)
                return rd_err_set(err, RD_E_ADVISORY_DENIED, "%s applies to the platform", *denied);
    for (size_t i = 0; i < tcb->advisory_count; i++)
        if (!rd_policy_accepts_advisory(a->policy, tcb->advisories[i]))
            return rd_err_set(err, RD_E_ADVISORY_DENIED, "%s applies to the platform and the policy does not accept it",
                              tcb->advisories[i]);
    say(a, "%zu apply", tcb->advisory_count);
    return 0;
}

/* TCB info and identity are published together, but are fetched apart: whoever wants them of one number says so. */
static int check_floor(const appraisal *a, rd_err *err)
{
    const rd_verdict *verdict = a->verdict;
    const rd_tcb_verdict *tcb = &verdict->tcb;
    uint32_t lower = RD_MIN(tcb->evaluation_number, tcb->qe_evaluation_number);
    if (verdict->claims.tee != RD_TEE_SNP && lower < a->policy->min_evaluation)
        return rd_err_set(err, RD_E_COLLATERAL_EVALNUM, "evaluation number %u, the policy asks for %u", lower,
                          a->policy->min_evaluation);
    if (!a->floor)
        return 0;
    if (a->floor->demands_one_evaluation && tcb->evaluation_number != tcb->qe_evaluation_number)
        return rd_err_set(err, RD_E_COLLATERAL_EVALNUM, "TCB info of evaluation number %u, QE identity of %u",
                          tcb->evaluation_number, tcb->qe_evaluation_number);
    if (lower < a->floor->evaluation_number)
        return rd_err_set(err, RD_E_COLLATERAL_EVALNUM, "evaluation number %u, %u was seen", lower,
                          a->floor->evaluation_number);
    if (verdict->pck_crl_number < a->floor->pck_crl_number || verdict->root_crl_number < a->floor->root_crl_number)
        return rd_err_set(err, RD_E_CRL_ROLLBACK, "a revocation list older than one that was seen");
    return 0;
}

static int check_collateral(appraisal *a, rd_err *err)
{
    /* AMD without a revocation list: certificates alone, which have an end and no age. */
    bool has_age = a->verdict->collateral_issued_us != 0;
    int64_t age_s = has_age ? (a->time_us - a->verdict->collateral_issued_us) / 1000000 : 0;
    uint32_t max_s = a->policy->max_collateral_age_s;
    if (a->floor && a->floor->max_collateral_age_s != 0)
        max_s = RD_MIN(max_s, a->floor->max_collateral_age_s);
    if (age_s > max_s)
        return rd_err_set(err, RD_E_COLLATERAL_AGE, "the oldest piece is %" PRId64 " s old, at most %u s", age_s,
                          max_s);
    if (check_floor(a, err) < 0)
        return -1;
    if (has_age)
        say(a, "the oldest piece is %" PRId64 " s old, at most %u s", age_s, max_s);
    else
        say(a, "certificates without a date of issue");
    return 0;
}

/* E4: the list is the policy's; an empty one accepts nothing. */
static int check_measurement(appraisal *a, rd_err *err)
{
    return rd_appraise_measurement(&a->verdict->claims, a->policy, a->detail, sizeof a->detail, err);
}

static int check_platform(appraisal *a, rd_err *err)
{
    return rd_appraise_platform(&a->verdict->claims, a->policy, a->detail, sizeof a->detail, err);
}

static const struct {
    const char *name;
    int (*run)(appraisal *a, rd_err *err);
} rules[] = {
    { "policy", check_policy },
    { "class", check_class },
    { "tee", check_tee },
    { "debug", check_debug },
    { "attributes", check_attributes },
    { "tcb_status", check_tcb },
    { "advisories", check_advisories },
    { "collateral", check_collateral },
    { "measurement", check_measurement },
    { "platform_policy", check_platform },
};

int rd_appraise(rd_verdict *verdict, const rd_policy *policy, const rd_attest_floor *floor, int64_t time_us,
                rd_err *err)
{
    appraisal a = { .verdict = verdict, .policy = policy, .floor = floor, .time_us = time_us };
    rd_err why = RD_ERR_INIT;
    if (!verdict->is_genuine)
        return rd_err_set(err, verdict->reason ? verdict->reason : RD_E_EVIDENCE_TYPE, "the evidence is not genuine");
    for (size_t i = 0; i < RD_ARRAY_LEN(rules); i++) {
        a.detail[0] = 0;
        if (rules[i].run(&a, &why) < 0) {
            rd_step_failed(verdict, rules[i].name, &why);
            if (err)
                *err = why;
            return -1;
        }
        rd_step_ok(verdict, rules[i].name, "%s", a.detail);
    }
    return 0;
}
