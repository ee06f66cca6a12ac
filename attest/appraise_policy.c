#include "attest/appraise_policy.h"

#include "attest/snp_report.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdio.h>
#include <string.h>

#define SNP_POLICY_MIGRATION_AGENT (UINT64_C(1) << 18) /* AMD 56860, guest policy */

static const uint8_t *measured(const rd_claims *claims, rd_measure measure)
{
    switch (measure) {
    case RD_MEASURE_MRTD:
        return claims->tdx.mr_td;
    case RD_MEASURE_RTMR0:
    case RD_MEASURE_RTMR1:
    case RD_MEASURE_RTMR2:
        return claims->tdx.rtmr[measure - RD_MEASURE_RTMR0];
    case RD_MEASURE_MRCONFIGID:
        return claims->tdx.mr_config_id;
    case RD_MEASURE_MROWNER:
        return claims->tdx.mr_owner;
    case RD_MEASURE_MROWNERCONFIG:
        return claims->tdx.mr_owner_config;
    case RD_MEASURE_MRENCLAVE:
        return claims->sgx.mr_enclave;
    case RD_MEASURE_MRSIGNER:
        return claims->sgx.mr_signer;
    case RD_MEASURE_LAUNCH:
        return claims->snp.measurement;
    case RD_MEASURE_HOST_DATA:
        return claims->snp.host_data;
    case RD_MEASURE_ID_KEY_DIGEST:
        return claims->snp.id_key_digest;
    case RD_MEASURE_AUTHOR_KEY_DIGEST:
        return claims->snp.author_key_digest;
    case RD_MEASURE_COUNT:
        break;
    }
    return NULL;
}

/* The first part of an item that does not fit; its number says how near the item came. */
typedef struct misfit {
    size_t at;
    const char *name;
    const uint8_t *found; /* NULL: a number */
    uint32_t has, needs;
} misfit;

static bool numbers_fit(const rd_claims *claims, const rd_measurement *item, misfit *ret)
{
    if (item->has_isv && claims->sgx.isv_prod_id != item->isv_prod_id) {
        *ret = (misfit){ RD_PARTS_MAX, "isvprodid", NULL, claims->sgx.isv_prod_id, item->isv_prod_id };
        return false;
    }
    if (item->has_isv && claims->sgx.isv_svn < item->isv_svn_min) {
        *ret = (misfit){ RD_PARTS_MAX + 1, "isvsvn", NULL, claims->sgx.isv_svn, item->isv_svn_min };
        return false;
    }
    if (item->guest_svn_min && claims->snp.guest_svn < item->guest_svn_min) {
        *ret = (misfit){ RD_PARTS_MAX, "guest_svn", NULL, claims->snp.guest_svn, item->guest_svn_min };
        return false;
    }
    return true;
}

static bool item_fits(const rd_claims *claims, const rd_policy *policy, const rd_measurement *item, misfit *ret)
{
    for (size_t p = 0; p < item->parts_count; p++) {
        rd_measure measure = (rd_measure)item->parts[p].measure;
        const uint8_t *bytes = measured(claims, measure);
        if (rd_policy_part_accepts(policy, item, p, bytes))
            continue;
        *ret = (misfit){ .at = p, .name = rd_measure_rows[measure].name, .found = bytes };
        return false;
    }
    return numbers_fit(claims, item, ret);
}

static rd_measure first_measure(rd_tee tee)
{
    return tee == RD_TEE_SGX ? RD_MEASURE_MRENCLAVE : tee == RD_TEE_SNP ? RD_MEASURE_LAUNCH : RD_MEASURE_MRTD;
}

static void print_measure(const rd_claims *claims, rd_measure measure, char *out, size_t size)
{
    char hex[2 * RD_MRTD_SIZE + 1];
    rd_hex_encode(rd_bytes_of(measured(claims, measure), rd_measure_rows[measure].size), hex);
    (void)snprintf(out, size, "%s %s", rd_measure_rows[measure].name, hex);
}

static int refuse_measurement(const rd_claims *claims, const misfit *nearest, bool has_any, rd_err *err)
{
    char text[2 * RD_MRTD_SIZE + 24];
    print_measure(claims, first_measure(claims->tee), text, sizeof text);
    if (!has_any)
        return rd_err_set(err, RD_E_MEASUREMENT, "the policy lists no measurement of this kind of TEE; %s", text);
    if (!nearest->found)
        return rd_err_set(err, RD_E_MEASUREMENT, "%s is %u, the policy asks for %u", nearest->name, nearest->has,
                          nearest->needs);
    for (int m = 0; m < RD_MEASURE_COUNT; m++)
        if (strcmp(rd_measure_rows[m].name, nearest->name) == 0)
            print_measure(claims, (rd_measure)m, text, sizeof text);
    return rd_err_set(err, RD_E_MEASUREMENT, "%s is not on the policy's list", text);
}

int rd_appraise_measurement(const rd_claims *claims, const rd_policy *policy, char *detail, size_t size, rd_err *err)
{
    misfit nearest = { 0 };
    bool has_any = false;
    for (size_t i = 0; i < policy->measurements_count; i++) {
        misfit this = { 0 };
        if (policy->measurements[i].tee != claims->tee)
            continue;
        if (item_fits(claims, policy, &policy->measurements[i], &this)) {
            print_measure(claims, first_measure(claims->tee), detail, size);
            return 0;
        }
        if (!has_any || this.at > nearest.at)
            nearest = this;
        has_any = true;
    }
    return refuse_measurement(claims, &nearest, has_any, err);
}

static bool tcb_reaches(const rd_snp_tcb *has, const rd_snp_tcb *needs, const char **ret_part)
{
    *ret_part = has->boot_loader < needs->boot_loader ? "boot_loader"
                : has->tee < needs->tee               ? "tee"
                : has->snp < needs->snp               ? "snp"
                : has->microcode < needs->microcode   ? "microcode"
                : has->fmc < needs->fmc               ? "fmc"
                                                      : NULL;
    return *ret_part == NULL;
}

static int check_snp_tcb(const rd_snp_claims *snp, const rd_policy *policy, rd_err *err)
{
    if (snp->product <= 0 || snp->product >= RD_SNP_PRODUCT_COUNT || !policy->snp.min_tcb[snp->product].is_set)
        return 0;
    const rd_snp_tcb *needs = &policy->snp.min_tcb[snp->product].tcb;
    rd_snp_tcb reported, committed;
    const char *part;
    rd_snp_tcb_read(snp->reported_tcb, snp->product, &reported);
    rd_snp_tcb_read(snp->committed_tcb, snp->product, &committed);
    if (!tcb_reaches(&reported, needs, &part))
        return rd_err_set(err, RD_E_TCB_STATUS, "reported TCB: %s is lower than the policy asks for %s", part,
                          rd_snp_product_names[snp->product]);
    if (!tcb_reaches(&committed, needs, &part))
        return rd_err_set(err, RD_E_TCB_STATUS,
                          "committed TCB: %s is lower than the policy asks, so the firmware could go back", part);
    return 0;
}

static int check_snp(const rd_snp_claims *snp, const rd_policy *policy, rd_err *err)
{
    if (snp->vmpl > policy->snp.max_vmpl)
        return rd_err_set(err, RD_E_SNP_VMPL, "asked for at VMPL %u, at most %u is accepted", snp->vmpl,
                          policy->snp.max_vmpl);
    if ((snp->policy & SNP_POLICY_MIGRATION_AGENT) && !policy->snp.allows_migration_agent)
        return rd_err_set(err, RD_E_SNP_POLICY, "a migration agent may take the guest elsewhere");
    if (snp->is_vlek && policy->snp.demands_vcek)
        return rd_err_set(err, RD_E_KEY_KIND, "signed by a VLEK, the policy asks for a VCEK");
    return check_snp_tcb(snp, policy, err);
}

int rd_appraise_platform(const rd_claims *claims, const rd_policy *policy, char *detail, size_t size, rd_err *err)
{
    char hex[65];
    rd_hex_encode(RD_BYTES_ARRAY(claims->platform_id), hex);
    if (!rd_policy_accepts_platform(policy, claims->platform_id))
        return rd_err_set(err, RD_E_POLICY_PLATFORM, "platform %s is not on the policy's list", hex);
    if (policy->has_report_data && !rd_equal_ct(policy->report_data, claims->report_data, 64))
        return rd_err_set(err, RD_E_BINDING, "the report data is not what the policy says");
    if (claims->tee == RD_TEE_SNP && check_snp(&claims->snp, policy, err) < 0)
        return -1;
    (void)snprintf(detail, size, "platform %s", hex);
    return 0;
}
