#include "attest/fields_json.h"

#include <inttypes.h>
#include <stdio.h>

#define SET(object, claims, member) rd_json_set_hex(object, #member, RD_BYTES_ARRAY((claims)->member))

static uint32_t u32le(const uint8_t bytes[4])
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static void set_u64(json_t *object, const char *name, uint64_t value)
{
    char digits[17];
    snprintf(digits, sizeof digits, "%016" PRIx64, value);
    rd_json_set_str(object, name, digits);
}

static void add_tdx(json_t *object, const rd_tdx_claims *tdx)
{
    static const char *const rtmrs[] = { "rtmr0", "rtmr1", "rtmr2", "rtmr3" };
    SET(object, tdx, tee_tcb_svn);
    SET(object, tdx, mr_seam);
    SET(object, tdx, mr_signer_seam);
    SET(object, tdx, seam_attributes);
    SET(object, tdx, td_attributes);
    SET(object, tdx, xfam);
    SET(object, tdx, mr_td);
    SET(object, tdx, mr_config_id);
    SET(object, tdx, mr_owner);
    SET(object, tdx, mr_owner_config);
    for (size_t i = 0; i < RD_ARRAY_LEN(rtmrs); i++)
        rd_json_set_hex(object, rtmrs[i], RD_BYTES_ARRAY(tdx->rtmr[i]));
    if (!tdx->has_15)
        return;
    SET(object, tdx, tee_tcb_svn_2);
    SET(object, tdx, mr_service_td);
}

static void add_tdx_ex(json_t *object, const rd_tdx_ex_claims *ex)
{
    rd_json_set_int(object, "vm_id", ex->vm_id);
    SET(object, ex, td_id);
    SET(object, ex, dev_info);
    SET(object, ex, init_service_td);
    SET(object, ex, init_service_td_attributes);
    SET(object, ex, init_cpu_svn);
    SET(object, ex, init_tee_tcb_svn);
    SET(object, ex, init_fmspc);
    SET(object, ex, service_td);
    SET(object, ex, service_td_attributes);
}

static void add_sgx(json_t *object, const rd_sgx_claims *sgx)
{
    SET(object, sgx, cpu_svn);
    rd_json_set_int(object, "misc_select", u32le(sgx->misc_select));
    SET(object, sgx, attributes);
    SET(object, sgx, mr_enclave);
    SET(object, sgx, mr_signer);
    SET(object, sgx, config_id);
    rd_json_set_int(object, "isv_prod_id", sgx->isv_prod_id);
    rd_json_set_int(object, "isv_svn", sgx->isv_svn);
    rd_json_set_int(object, "config_svn", sgx->config_svn);
    SET(object, sgx, isv_family_id);
    SET(object, sgx, isv_ext_prod_id);
}

static void add_snp_versions(json_t *object, const rd_snp_claims *snp)
{
    SET(object, snp, current_tcb);
    SET(object, snp, reported_tcb);
    SET(object, snp, committed_tcb);
    SET(object, snp, launch_tcb);
    SET(object, snp, cpuid);
    SET(object, snp, current_build);
    SET(object, snp, committed_build);
    SET(object, snp, launch_mit);
    SET(object, snp, current_mit);
}

static void add_snp(json_t *object, const rd_snp_claims *snp)
{
    rd_json_set_int(object, "version", snp->version);
    rd_json_set_int(object, "guest_svn", snp->guest_svn);
    set_u64(object, "policy", snp->policy);
    set_u64(object, "platform_info", snp->platform_info);
    rd_json_set_int(object, "vmpl", snp->vmpl);
    rd_json_set_int(object, "sig_algo", snp->sig_algo);
    rd_json_set_int(object, "key_info", snp->key_info);
    SET(object, snp, family_id);
    SET(object, snp, image_id);
    SET(object, snp, measurement);
    SET(object, snp, host_data);
    SET(object, snp, id_key_digest);
    SET(object, snp, author_key_digest);
    SET(object, snp, report_id);
    SET(object, snp, report_id_ma);
    SET(object, snp, chip_id);
    add_snp_versions(object, snp);
}

json_t *rd_attest_fields(const rd_claims *claims)
{
    json_t *object = json_object();
    if (claims->has_fields && claims->tee == RD_TEE_TDX)
        add_tdx(object, &claims->tdx);
    if (claims->has_fields && claims->tee == RD_TEE_TDX && claims->tdx.has_ex)
        add_tdx_ex(object, &claims->tdx.ex);
    if (claims->has_fields && claims->tee == RD_TEE_SGX)
        add_sgx(object, &claims->sgx);
    if (claims->has_fields && claims->tee == RD_TEE_SNP)
        add_snp(object, &claims->snp);
    if (claims->has_fields)
        rd_json_set_hex(object, "report_data", RD_BYTES_ARRAY(claims->report_data));
    return object;
}
