#include "attest/appraise_policy.h"

#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdio.h>
#include <string.h>

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
    case RD_MEASURE_CONFIGID:
        return claims->sgx.config_id;
    case RD_MEASURE_ISVFAMILYID:
        return claims->sgx.isv_family_id;
    case RD_MEASURE_ISVEXTPRODID:
        return claims->sgx.isv_ext_prod_id;
    case RD_MEASURE_LAUNCH:
        return claims->snp.measurement;
    case RD_MEASURE_HOST_DATA:
        return claims->snp.host_data;
    case RD_MEASURE_ID_KEY_DIGEST:
        return claims->snp.id_key_digest;
    case RD_MEASURE_AUTHOR_KEY_DIGEST:
        return claims->snp.author_key_digest;
    case RD_MEASURE_FAMILY_ID:
        return claims->snp.family_id;
    case RD_MEASURE_IMAGE_ID:
        return claims->snp.image_id;
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
    if (item->config_svn_min && claims->sgx.config_svn < item->config_svn_min) {
        *ret = (misfit){ RD_PARTS_MAX, "configsvn", NULL, claims->sgx.config_svn, item->config_svn_min };
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
    char hex[2 * RD_POLICY_VALUE_SIZE + 1];
    rd_hex_encode(rd_bytes_of(measured(claims, measure), rd_measure_rows[measure].size), hex);
    (void)snprintf(out, size, "%s %s", rd_measure_rows[measure].name, hex);
}

static int refuse_measurement(const rd_claims *claims, const misfit *nearest, bool has_any, rd_err *err)
{
    char text[2 * RD_POLICY_VALUE_SIZE + 24];
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
