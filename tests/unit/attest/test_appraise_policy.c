// link: test_evidence
/* Each member of a policy, against evidence that it refuses and evidence that it accepts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "attest/appraise_policy.h"
#include "tests/support/evidence_builder.h"

#define HEX_96 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f"

typedef void change(ev_builder *b);

typedef struct row {
    const char *name;
    change *platform; /* of the evidence; may be NULL */
    change *policy;
    rd_code want;
} row;

#define CHANGE(name, ...)                                                                                              \
    static void name(ev_builder *b)                                                                                    \
    {                                                                                                                  \
        __VA_ARGS__;                                                                                                   \
    }

CHANGE(as_is, (void)b)
CHANGE(old, b->platform.sgx_svn[0] = 4)
CHANGE(migratable, b->td.td_attributes[3] = 0x30)
CHANGE(no_sept_ve, b->td.td_attributes[3] = 0)

static void add_part(ev_builder *b, rd_measure measure, const uint8_t *value)
{
    rd_policy *policy = &b->policy;
    rd_measurement *item = &policy->measurements[0];
    item->parts[item->parts_count].measure = (uint8_t)measure;
    item->parts[item->parts_count].first = (uint8_t)policy->values_count;
    item->parts[item->parts_count++].count = value ? 1 : 0;
    if (value)
        memcpy(policy->values[policy->values_count++], value, rd_measure_rows[measure].size);
}

static const uint8_t other[48] = { 9 };
CHANGE(rtmr_other, add_part(b, RD_MEASURE_RTMR1, other))
CHANGE(rtmr_any, add_part(b, RD_MEASURE_RTMR1, NULL))
CHANGE(owner_other, add_part(b, RD_MEASURE_MROWNER, other))
CHANGE(owner_zero, add_part(b, RD_MEASURE_MROWNER, (const uint8_t[48]){ 0 }))
CHANGE(sgx_only, b->policy.measurements[0].tee = RD_TEE_SGX)
CHANGE(platform_other, memset(b->policy.platforms[b->policy.platforms_count++], 7, 32))
CHANGE(evaluation_1, b->policy.min_evaluation = 1)
CHANGE(evaluation_2, b->policy.min_evaluation = 2)
CHANGE(report_data, b->policy.has_report_data = true)
CHANGE(allow_migratable, b->policy.td.allows_migratable = true)
CHANGE(allow_sept_ve, b->policy.td.allows_sept_ve = true)

static void grace(ev_builder *b)
{
    b->policy.has_grace = true;
    b->policy.grace.tcb[b->policy.grace.tcb_count++] = RD_TCB_OUT_OF_DATE;
    b->policy.grace.until_us = EV_NOW_US + 1;
}

CHANGE(grace_over, grace(b); b->policy.grace.until_us = EV_NOW_US)
CHANGE(grace_since, grace(b); b->policy.grace.since_us = EV_NOW_US)
CHANGE(grace_other, grace(b); b->policy.grace.tcb[0] = RD_TCB_CONFIGURATION_NEEDED)

static void advisory(ev_builder *b, const char *id)
{
    b->policy.has_advisories = true;
    if (id)
        (void)snprintf(b->policy.advisories[b->policy.advisories_count++], RD_ADVISORY_SIZE, "%s", id);
}

CHANGE(no_advisories, advisory(b, NULL))
CHANGE(grace_no_advisories, grace(b); advisory(b, NULL))
CHANGE(grace_one_advisory, grace(b); advisory(b, "REDOUBT-SIM-SA-00001"))
CHANGE(grace_both_advisories, grace(b); advisory(b, "REDOUBT-SIM-SA-00001"); advisory(b, "REDOUBT-SIM-SA-00002"))

static const row rows[] = {
    { "as it is", NULL, NULL, RD_OK },
    { "RTMR1 listed, other", NULL, rtmr_other, RD_E_MEASUREMENT },
    { "RTMR1 any", NULL, rtmr_any, RD_OK },
    { "MROWNER listed, other", NULL, owner_other, RD_E_MEASUREMENT },
    { "MROWNER listed", NULL, owner_zero, RD_OK },
    { "measurements of another TEE alone", NULL, sgx_only, RD_E_MEASUREMENT },
    /* R8 */
    { "platform not listed", NULL, platform_other, RD_E_POLICY_PLATFORM },
    { "evaluation number reached", NULL, evaluation_1, RD_OK },
    { "evaluation number too low", NULL, evaluation_2, RD_E_COLLATERAL_EVALNUM },
    { "other report data", NULL, report_data, RD_E_BINDING },
    { "MIGRATABLE accepted", migratable, allow_migratable, RD_OK },
    { "MIGRATABLE, other looseness", migratable, allow_sept_ve, RD_E_TD_ATTR },
    { "no SEPT_VE_DISABLE accepted", no_sept_ve, allow_sept_ve, RD_OK },
    { "out of date without grace", old, NULL, RD_E_TCB_STATUS },
    { "out of date in grace", old, grace, RD_OK },
    { "grace ended", old, grace_over, RD_E_TCB_STATUS },
    { "grace for younger levels", old, grace_since, RD_E_TCB_STATUS },
    { "grace for another state", old, grace_other, RD_E_TCB_STATUS },
    { "no advisory applies, none accepted", NULL, no_advisories, RD_OK },
    { "advisories apply, none accepted", old, grace_no_advisories, RD_E_ADVISORY_DENIED },
    { "advisories apply, one accepted", old, grace_one_advisory, RD_E_ADVISORY_DENIED },
    { "advisories apply, all accepted", old, grace_both_advisories, RD_OK },
};

static void test_rows(void **state RD_UNUSED)
{
    int failures = 0;
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        ev_builder b;
        rd_attest_report report;
        ev_build(&b, EV_PLATFORM, rows[i].platform ? rows[i].platform : as_is);
        if (rows[i].policy)
            rows[i].policy(&b);
        rd_code code = ev_check(&b, &report);
        ev_done(&b);
        if (code == rows[i].want && report.is_appraisal == (code != RD_OK))
            continue;
        print_message("%s: %s (%s)\n", rows[i].name, code ? rd_code_describe(code)->name : "accepted",
                      report.refusal.text);
        failures++;
    }
    assert_int_equal(failures, 0);
}

static rd_code platform_code(const rd_claims *claims, const rd_policy *policy)
{
    char detail[160];
    rd_err err = RD_ERR_INIT;
    return rd_appraise_platform(claims, policy, detail, sizeof detail, &err) < 0 ? err.code : RD_OK;
}

static void test_snp(void **state RD_UNUSED)
{
    rd_policy policy = { 0 };
    rd_claims claims = { .tee = RD_TEE_SNP };
    claims.snp.product = RD_SNP_MILAN;
    memcpy(claims.snp.reported_tcb, (uint8_t[8]){ 4, 0, 0, 0, 0, 0, 23, 213 }, 8);
    memcpy(claims.snp.committed_tcb, claims.snp.reported_tcb, 8);
    memset(claims.snp.current_tcb, 0xff, 8);
    assert_int_equal(platform_code(&claims, &policy), RD_OK);
    policy.snp.min_tcb[RD_SNP_MILAN].is_set = true;
    policy.snp.min_tcb[RD_SNP_MILAN].tcb = (rd_snp_tcb){ .boot_loader = 4, .snp = 23, .microcode = 213 };
    assert_int_equal(platform_code(&claims, &policy), RD_OK);
    claims.snp.committed_tcb[7] = 212;
    assert_int_equal(platform_code(&claims, &policy), RD_E_TCB_STATUS);
    claims.snp.committed_tcb[7] = 255;
    claims.snp.reported_tcb[6] = 22;
    assert_int_equal(platform_code(&claims, &policy), RD_E_TCB_STATUS);
    claims.snp.product = RD_SNP_GENOA;
    assert_int_equal(platform_code(&claims, &policy), RD_OK);
    claims.snp.vmpl = 1;
    assert_int_equal(platform_code(&claims, &policy), RD_E_SNP_VMPL);
    policy.snp.max_vmpl = 1;
    assert_int_equal(platform_code(&claims, &policy), RD_OK);
    claims.snp.vmpl = UINT32_MAX; /* asked for by the host */
    assert_int_equal(platform_code(&claims, &policy), RD_E_SNP_VMPL);
    claims.snp.vmpl = 0;
    claims.snp.policy = UINT64_C(1) << 18;
    assert_int_equal(platform_code(&claims, &policy), RD_E_SNP_POLICY);
    policy.snp.allows_migration_agent = true;
    assert_int_equal(platform_code(&claims, &policy), RD_OK);
    claims.snp.is_vlek = true;
    assert_int_equal(platform_code(&claims, &policy), RD_OK);
    policy.snp.demands_vcek = true;
    assert_int_equal(platform_code(&claims, &policy), RD_E_KEY_KIND);
}

static rd_code load_code(const rd_claims *claims, const char *members)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_policy policy;
    rd_err err = RD_ERR_INIT;
    rd_buf_printf(&text,
                  "{\"type\":\"redoubt/policy/v1\",\"simulated\":false,\"debug\":false,\"tees\":[],\"tcb\":[],"
                  "\"max_collateral_age_s\":3600,\"measurements\":[],%s}",
                  members);
    if (rd_policy_load(rd_buf_bytes(&text), &policy, &err) < 0)
        fail_msg("%s: %s %s", members, err.text, err.pointer);
    return platform_code(claims, &policy);
}

static void test_snp_bits(void **state RD_UNUSED)
{
    rd_claims claims = { .tee = RD_TEE_SNP };
    claims.snp.policy = UINT64_C(3) << 16; /* SMT, and the bit that is always one */
    claims.snp.platform_info = 1 | 1 << 5; /* SMT, alias check */
    assert_int_equal(load_code(&claims, "\"snp\":{\"guest_policy\":{\"refuse\":[\"smt\"]}}"), RD_E_SNP_POLICY);
    assert_int_equal(load_code(&claims, "\"snp\":{\"guest_policy\":{\"require\":[\"smt\",\"single_socket\"]}}"),
                     RD_E_SNP_POLICY);
    assert_int_equal(load_code(&claims, "\"snp\":{\"guest_policy\":{\"refuse\":[\"cxl\"],\"require\":[\"smt\"]}}"),
                     RD_OK);
    assert_int_equal(load_code(&claims, "\"snp\":{\"platform_info\":{\"refuse\":[\"smt\",\"tsme\"]}}"),
                     RD_E_SNP_PLATFORM);
    assert_int_equal(load_code(&claims, "\"snp\":{\"platform_info\":{\"require\":[\"ciphertext_hiding\"]}}"),
                     RD_E_SNP_PLATFORM);
    assert_int_equal(
        load_code(&claims, "\"snp\":{\"platform_info\":{\"refuse\":[\"tsme\"],\"require\":[\"alias_check\"]}}"), RD_OK);
    assert_int_equal(load_code(&claims, "\"snp\":{\"id_block\":true}"), RD_E_SNP_ID);
    claims.snp.id_key_digest[47] = 1;
    assert_int_equal(load_code(&claims, "\"snp\":{\"id_block\":true}"), RD_OK);
    claims.snp.is_chip_masked = true;
    assert_int_equal(load_code(&claims, "\"min_evaluation\":1"), RD_E_CHIP_ID);
    assert_int_equal(load_code(&claims, "\"snp\":{\"masked_chip\":true}"), RD_OK);
}

#define ONES_48 "010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101"

static void test_td_registers(void **state RD_UNUSED)
{
    rd_claims claims = { .tee = RD_TEE_TDX };
    memcpy(claims.tdx.tee_tcb_svn, (uint8_t[3]){ 5, 1, 3 }, 3);
    memcpy(claims.tdx.td_attributes, (uint8_t[8]){ 0, 0, 0, 0x10, 0, 0, 0, 0x80 }, 8);
    claims.tdx.xfam[0] = 0xe7;
    memset(claims.tdx.mr_seam, 1, sizeof claims.tdx.mr_seam);
    static const struct {
        const char *members;
        rd_code want;
    } rows_td[] = {
        { "{\"attributes\":{\"mask\":\"0000001000000080\",\"value\":\"0000001000000000\"}}", RD_E_TD_ATTR },
        { "{\"attributes\":{\"mask\":\"0000001000000000\",\"value\":\"0000001000000000\"}}", RD_OK },
        { "{\"xfam\":{\"mask\":\"ff00000000000000\",\"value\":\"e700000000000000\"}}", RD_OK },
        { "{\"xfam\":{\"mask\":\"ff00000000000000\",\"value\":\"e300000000000000\"}}", RD_E_TD_XFAM },
        { "{\"mr_seams\":[\"" ONES_48 "\"]}", RD_OK },
        { "{\"mr_seams\":[\"" HEX_96 "\"]}", RD_E_TDX_MODULE },
        { "{\"modules\":[{\"svn_min\":5,\"version\":1}]}", RD_OK },
        { "{\"modules\":[{\"svn_min\":6,\"version\":1}]}", RD_E_TDX_MODULE_TCB },
        { "{\"modules\":[{\"svn_min\":0,\"version\":2}]}", RD_E_TDX_MODULE_TCB },
        { "{\"seam_loader_min\":3}", RD_OK },
        { "{\"seam_loader_min\":4}", RD_E_TDX_MODULE_TCB },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows_td); i++) {
        char members[400];
        (void)snprintf(members, sizeof members, "\"td\":%s", rows_td[i].members);
        assert_int_equal(load_code(&claims, members), rows_td[i].want);
    }
}

static void test_sgx_registers(void **state RD_UNUSED)
{
    rd_claims claims = { .tee = RD_TEE_SGX };
    memcpy(claims.sgx.attributes, (uint8_t[16]){ 0x05, 0, 0, 0, 0, 0, 0, 0, 0xe7 }, 16);
    claims.sgx.misc_select[0] = 1;
    static const struct {
        const char *members;
        rd_code want;
    } rows_sgx[] = {
        { "{\"attributes\":{\"mask\":\"8400000000000000\",\"value\":\"0400000000000000\"}}", RD_OK },
        { "{\"attributes\":{\"mask\":\"8400000000000000\",\"value\":\"8400000000000000\"}}", RD_E_SGX_CONFIG },
        { "{\"xfrm\":{\"mask\":\"0400000000000000\",\"value\":\"0400000000000000\"}}", RD_OK },
        { "{\"xfrm\":{\"mask\":\"0400000000000000\",\"value\":\"0000000000000000\"}}", RD_E_SGX_CONFIG },
        { "{\"misc_select\":{\"mask\":\"ffffffff\",\"value\":\"01000000\"}}", RD_OK },
        { "{\"misc_select\":{\"mask\":\"ffffffff\",\"value\":\"00000000\"}}", RD_E_SGX_CONFIG },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows_sgx); i++) {
        char members[200];
        (void)snprintf(members, sizeof members, "\"sgx\":%s", rows_sgx[i].members);
        assert_int_equal(load_code(&claims, members), rows_sgx[i].want);
    }
    claims.sgx.attributes[0] |= 0x10;
    assert_int_equal(load_code(&claims, "\"min_evaluation\":1"), RD_E_SGX_CONFIG);
    assert_int_equal(load_code(&claims, "\"sgx\":{\"provision_key\":true}"), RD_OK);
}

static rd_code measure_code(const rd_claims *claims, const char *measurements, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_policy policy;
    char detail[160];
    rd_buf_printf(&text,
                  "{\"type\":\"redoubt/policy/v1\",\"simulated\":false,\"debug\":false,\"tees\":[\"sgx\",\"snp\"],"
                  "\"tcb\":[],\"max_collateral_age_s\":3600,\"measurements\":%s}",
                  measurements);
    assert_int_equal(rd_policy_load(rd_buf_bytes(&text), &policy, err), 0);
    return rd_appraise_measurement(claims, &policy, detail, sizeof detail, err) < 0 ? err->code : RD_OK;
}

#define ZERO_16 "00000000000000000000000000000000"
#define ZERO_32 "0000000000000000000000000000000000000000000000000000000000000000"
#define ZERO_48 ZERO_32 "00000000000000000000000000000000"

static void test_sgx_and_snp_measurements(void **state RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    rd_claims sgx = { .tee = RD_TEE_SGX };
    rd_claims snp = { .tee = RD_TEE_SNP };
    static const char by_signer[] = "[{\"mrsigner\":\"" ZERO_32 "\",\"isvprodid\":3,\"isvsvn_min\":5}]";
    sgx.sgx.isv_prod_id = 3;
    sgx.sgx.isv_svn = 5;
    assert_int_equal(measure_code(&sgx, "[{\"mrenclave\":\"" ZERO_32 "\"}]", &err), RD_OK);
    assert_int_equal(measure_code(&sgx, by_signer, &err), RD_OK);
    sgx.sgx.isv_svn = 4;
    assert_int_equal(measure_code(&sgx, by_signer, &err), RD_E_MEASUREMENT);
    assert_non_null(strstr(err.text, "isvsvn is 4, the policy asks for 5"));
    sgx.sgx.isv_svn = 6;
    sgx.sgx.isv_prod_id = 2;
    assert_int_equal(measure_code(&sgx, by_signer, &err), RD_E_MEASUREMENT);
    static const char by_config[] =
        "[{\"mrenclave\":\"" ZERO_32 "\",\"configid\":\"" ZERO_32 ZERO_32 "\",\"isvfamilyid\":\"" ZERO_16
        "\",\"isvextprodid\":\"" ZERO_16 "\",\"configsvn_min\":2}]";
    assert_int_equal(measure_code(&sgx, by_config, &err), RD_E_MEASUREMENT);
    assert_non_null(strstr(err.text, "configsvn is 0, the policy asks for 2"));
    sgx.sgx.config_svn = 2;
    assert_int_equal(measure_code(&sgx, by_config, &err), RD_OK);
    sgx.sgx.config_id[63] = 1;
    assert_int_equal(measure_code(&sgx, by_config, &err), RD_E_MEASUREMENT);
    assert_non_null(strstr(err.text, "configid 00"));
    sgx.sgx.mr_enclave[31] = 1;
    assert_int_equal(measure_code(&sgx, "[{\"mrenclave\":\"" ZERO_32 "\"}]", &err), RD_E_MEASUREMENT);
    assert_int_equal(measure_code(&snp, "[{\"mrenclave\":\"" ZERO_32 "\"}]", &err), RD_E_MEASUREMENT);
    assert_int_equal(measure_code(&snp, "[{\"measurement\":\"" ZERO_48 "\",\"host_data\":\"" ZERO_32 "\"}]", &err),
                     RD_OK);
    assert_int_equal(measure_code(&snp, "[{\"measurement\":\"" ZERO_48 "\",\"guest_svn_min\":1}]", &err),
                     RD_E_MEASUREMENT);
    snp.snp.host_data[0] = 1;
    assert_int_equal(measure_code(&snp, "[{\"measurement\":\"" ZERO_48 "\",\"host_data\":\"" ZERO_32 "\"}]", &err),
                     RD_E_MEASUREMENT);
    assert_non_null(strstr(err.text, "host_data 01"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),          cmocka_unit_test(test_snp),
        cmocka_unit_test(test_snp_bits),      cmocka_unit_test(test_td_registers),
        cmocka_unit_test(test_sgx_registers), cmocka_unit_test(test_sgx_and_snp_measurements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
