/* The policy's word about the machine, and about the registers that are no measurement. */
#include "attest/appraise_policy.h"

#include "attest/snp_report.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdio.h>
#include <string.h>

#define SNP_POLICY_MIGRATION_AGENT (UINT64_C(1) << 18) /* AMD 56860, guest policy */
#define SGX_PROVISION              0x30                /* Intel SDM 3D, ATTRIBUTES: PROVISION_KEY, EINITTOKEN_KEY */

static bool is_zero(const uint8_t *bytes, size_t size)
{
    uint8_t any = 0;
    for (size_t i = 0; i < size; i++)
        any |= bytes[i];
    return any == 0;
}

/* --- SEV-SNP --- */

/* Refuses by the first part that is too low. */
static int check_parts(const char *which, const rd_snp_tcb *has, const rd_snp_tcb *needs, rd_err *err)
{
    const struct {
        const char *name;
        uint8_t has, needs;
    } parts[] = {
        { "boot loader", has->boot_loader, needs->boot_loader },
        { "TEE", has->tee, needs->tee },
        { "SNP firmware", has->snp, needs->snp },
        { "microcode", has->microcode, needs->microcode },
        { "FMC", has->fmc, needs->fmc },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(parts); i++)
        if (parts[i].has < parts[i].needs)
            return rd_err_set(err, RD_E_TCB_STATUS, "%s: %s is %u, the policy asks for %u", which, parts[i].name,
                              parts[i].has, parts[i].needs);
    return 0;
}

static int check_snp_tcb(const rd_snp_claims *snp, const rd_policy *policy, rd_err *err)
{
    if (snp->product <= 0 || snp->product >= RD_SNP_PRODUCT_COUNT || !policy->snp.min_tcb[snp->product].is_set)
        return 0;
    const rd_snp_tcb *needs = &policy->snp.min_tcb[snp->product].tcb;
    rd_snp_tcb reported, committed;
    rd_snp_tcb_read(snp->reported_tcb, snp->product, &reported);
    rd_snp_tcb_read(snp->committed_tcb, snp->product, &committed);
    if (check_parts("reported TCB", &reported, needs, err) < 0)
        return -1;
    return check_parts("committed TCB, to which the firmware can go back", &committed, needs, err);
}

/* AMD 56860: firmware never runs below what was committed, and launches no guest that asks for a newer ABI. A machine
 * that says otherwise is not to be believed, whatever the policy. */
static int check_firmware(const rd_snp_claims *snp, rd_err *err)
{
    uint8_t minor = (uint8_t)snp->policy, major = (uint8_t)(snp->policy >> 8);
    for (size_t i = 0; i < sizeof snp->current_tcb; i++)
        if (snp->current_tcb[i] < snp->committed_tcb[i])
            return rd_err_set(err, RD_E_TCB_STATUS, "current TCB: part %zu is %u, %u was committed", i,
                              snp->current_tcb[i], snp->committed_tcb[i]);
    if (major > snp->current_build[2] || (major == snp->current_build[2] && minor > snp->current_build[1]))
        return rd_err_set(err, RD_E_SNP_POLICY, "the guest asks for ABI %u.%u, the firmware has %u.%u", major, minor,
                          snp->current_build[2], snp->current_build[1]);
    return 0;
}

static int check_snp_bits(const rd_snp_claims *snp, const rd_policy *policy, rd_err *err)
{
    bool is_missing = false;
    const char *name =
        rd_policy_flags_misfit(&policy->snp.guest_policy, rd_snp_guest_policy_bits, snp->policy, &is_missing);
    if (name)
        return rd_err_set(err, RD_E_SNP_POLICY, "the guest's policy %s %s", is_missing ? "does not have" : "has", name);
    name =
        rd_policy_flags_misfit(&policy->snp.platform_info, rd_snp_platform_info_bits, snp->platform_info, &is_missing);
    if (name)
        return rd_err_set(err, RD_E_SNP_PLATFORM, "the machine %s %s", is_missing ? "does not have" : "has", name);
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
    if (snp->is_chip_masked && !policy->snp.allows_masked_chip)
        return rd_err_set(err, RD_E_CHIP_ID, "the report hides its chip");
    if (policy->snp.demands_id_block && is_zero(snp->id_key_digest, sizeof snp->id_key_digest))
        return rd_err_set(err, RD_E_SNP_ID, "launched without an ID block, the policy asks for one");
    if (check_firmware(snp, err) < 0 || check_snp_bits(snp, policy, err) < 0)
        return -1;
    return check_snp_tcb(snp, policy, err);
}

/* --- TDX --- */

static int check_module(const rd_tdx_claims *tdx, const rd_policy *policy, rd_err *err)
{
    const uint8_t *svn = tdx->tee_tcb_svn;
    bool fits = policy->td.mr_seams_count == 0;
    for (size_t i = 0; i < policy->td.mr_seams_count; i++)
        fits |= memcmp(policy->td.mr_seams[i], tdx->mr_seam, sizeof tdx->mr_seam) == 0;
    if (!fits)
        return rd_err_set(err, RD_E_TDX_MODULE, "the TDX module's MRSEAM is not on the policy's list");
    if (svn[2] < policy->td.seam_loader_min)
        return rd_err_set(err, RD_E_TDX_MODULE_TCB, "SEAM loader of SVN %u, the policy asks for %u", svn[2],
                          policy->td.seam_loader_min);
    for (size_t i = 0; i < policy->td.modules_count; i++) {
        if (policy->td.modules[i].version != svn[1])
            continue;
        if (svn[0] >= policy->td.modules[i].svn_min)
            return 0;
        return rd_err_set(err, RD_E_TDX_MODULE_TCB, "launched by a TDX module of SVN %u, the policy asks for %u",
                          svn[0], policy->td.modules[i].svn_min);
    }
    if (policy->td.modules_count)
        return rd_err_set(err, RD_E_TDX_MODULE_TCB,
                          "launched by a TDX module of version %u, which the policy does not "
                          "list",
                          svn[1]);
    return 0;
}

static int check_td(const rd_tdx_claims *tdx, const rd_policy *policy, rd_err *err)
{
    if (!rd_policy_bits_fit(&policy->td.attributes, tdx->td_attributes, 8))
        return rd_err_set(err, RD_E_TD_ATTR, "the TD's attributes are not what the policy asks for");
    if (!rd_policy_bits_fit(&policy->td.xfam, tdx->xfam, 8))
        return rd_err_set(err, RD_E_TD_XFAM, "the TD's XFAM is not what the policy asks for");
    return check_module(tdx, policy, err);
}

/* --- SGX --- */

static int check_sgx(const rd_sgx_claims *sgx, const rd_policy *policy, rd_err *err)
{
    if ((sgx->attributes[0] & SGX_PROVISION) && !policy->sgx.allows_provision_key)
        return rd_err_set(err, RD_E_SGX_CONFIG, "the enclave may use the provisioning or launch key");
    if (!rd_policy_bits_fit(&policy->sgx.attributes, sgx->attributes, 8))
        return rd_err_set(err, RD_E_SGX_CONFIG, "the enclave's attributes are not what the policy asks for");
    if (!rd_policy_bits_fit(&policy->sgx.xfrm, sgx->attributes + 8, 8))
        return rd_err_set(err, RD_E_SGX_CONFIG, "the enclave's XFRM is not what the policy asks for");
    if (!rd_policy_bits_fit(&policy->sgx.misc_select, sgx->misc_select, 4))
        return rd_err_set(err, RD_E_SGX_CONFIG, "the enclave's MISCSELECT is not what the policy asks for");
    return 0;
}

static int check_tee(const rd_claims *claims, const rd_policy *policy, rd_err *err)
{
    switch (claims->tee) {
    case RD_TEE_TDX:
        return check_td(&claims->tdx, policy, err);
    case RD_TEE_SGX:
        return check_sgx(&claims->sgx, policy, err);
    case RD_TEE_SNP:
        return check_snp(&claims->snp, policy, err);
    case RD_TEE_COUNT:
        break;
    }
    return 0;
}

int rd_appraise_platform(const rd_claims *claims, const rd_policy *policy, char *detail, size_t size, rd_err *err)
{
    char hex[65];
    rd_hex_encode(RD_BYTES_ARRAY(claims->platform_id), hex);
    if (!rd_policy_accepts_platform(policy, claims->platform_id))
        return rd_err_set(err, RD_E_POLICY_PLATFORM, "platform %s is not on the policy's list", hex);
    if (policy->has_report_data && !rd_equal_ct(policy->report_data, claims->report_data, 64))
        return rd_err_set(err, RD_E_BINDING, "the report data is not what the policy says");
    if (check_tee(claims, policy, err) < 0)
        return -1;
    (void)snprintf(detail, size, "platform %s", hex);
    return 0;
}
