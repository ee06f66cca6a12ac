#include "common/model/policy.h"

#include "tests/unit/common/model/samples.h"

static int parse(rd_bytes bytes, rd_err *err)
{
    rd_policy policy;
    return rd_policy_parse(bytes, &policy, err);
}

static const spoil rows[] = {
    { "unknown member", "/operators", "[]", RD_E_JSON_UNKNOWN },
    { "other type", "/type", "\"redoubt/head/v1\"", RD_E_PURPOSE },
    { "simulated missing", "/simulated", NULL, RD_E_JSON_MISSING },
    { "simulated a string", "/simulated", "\"true\"", RD_E_JSON_TYPE },
    { "tees missing", "/tees", NULL, RD_E_JSON_MISSING },
    { "no tees (ok: refuses everything)", "/tees", "[]", RD_OK },
    { "every TEE (ok)", "/tees", "[\"tdx\",\"sgx\",\"snp\"]", RD_OK },
    { "unknown TEE", "/tees", "[\"nitro\"]", RD_E_JSON_RANGE },
    { "empty TEE", "/tees", "[\"\"]", RD_E_JSON_RANGE },
    { "a TEE twice", "/tees", "[\"tdx\",\"tdx\"]", RD_E_JSON_RANGE },
    { "tcb missing", "/tcb", NULL, RD_E_JSON_MISSING },
    { "no tcb (ok: refuses everything)", "/tcb", "[]", RD_OK },
    { "every tcb that can be accepted (ok)", "/tcb",
      "[\"UpToDate\",\"SWHardeningNeeded\",\"ConfigurationNeeded\",\"ConfigurationAndSWHardeningNeeded\","
      "\"OutOfDate\",\"OutOfDateConfigurationNeeded\"]",
      RD_OK },
    { "revoked", "/tcb", "[\"UpToDate\",\"Revoked\"]", RD_E_POLICY_UNSAFE },
    { "unknown tcb", "/tcb", "[\"Fine\"]", RD_E_JSON_RANGE },
    { "tcb in other case", "/tcb", "[\"uptodate\"]", RD_E_JSON_RANGE },
    { "a tcb twice", "/tcb", "[\"UpToDate\",\"UpToDate\"]", RD_E_JSON_RANGE },
    { "measurements missing", "/measurements", NULL, RD_E_JSON_MISSING },
    { "no measurements (ok: refuses everything)", "/measurements", "[]", RD_OK },
    { "measurement a string", "/measurements", "[\"" HEX_96 "\"]", RD_E_JSON_TYPE },
    { "measurement too short", "/measurements/0/mrtd", "\"00\"", RD_E_ENCODING },
    { "measurement in upper case", "/measurements/0/mrtd",
      "\"AA0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f\"",
      RD_E_ENCODING },
    { "measurement twice", "/measurements", "[{\"mrtd\":\"" HEX_96 "\"},{\"mrtd\":\"" HEX_96 "\"}]", RD_E_JSON_RANGE },
    { "measurement with more", "/measurements/0/rtmr0", "\"\"", RD_E_JSON_UNKNOWN },
    { "debug under simulated (ok)", "/debug", "true", RD_OK },
    { "debug missing", "/debug", NULL, RD_E_JSON_MISSING },
    { "age 0", "/max_collateral_age_s", "0", RD_E_JSON_RANGE },
    { "age an hour (ok)", "/max_collateral_age_s", "3600", RD_OK },
    { "age above a year", "/max_collateral_age_s", "31536001", RD_E_JSON_RANGE },
    { "age missing", "/max_collateral_age_s", NULL, RD_E_JSON_MISSING },
};

static void test_spoiled(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    rd_policy policy = sample_head().policy;
    assert_int_equal(rd_policy_encode(&policy, &document, NULL), 0);
    run_spoils(rd_buf_bytes(&document), parse, rows, RD_ARRAY_LEN(rows));
    run_form_spoils(rd_buf_bytes(&document), parse);
}

static void test_debug_on_hardware_is_refused(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    rd_err err = RD_ERR_INIT;
    rd_policy policy = sample_head().policy;
    policy.is_simulated = false;
    policy.allows_debug = true;
    assert_int_equal(rd_policy_encode(&policy, &document, NULL), 0);
    assert_int_equal(parse(rd_buf_bytes(&document), &err), -1);
    assert_int_equal(err.code, RD_E_POLICY_UNSAFE);
}

static void test_questions(void **state RD_UNUSED)
{
    rd_policy policy = sample_head().policy;
    uint8_t mrtd[RD_MRTD_SIZE];
    memset(mrtd, 0x44, sizeof mrtd);
    assert_true(rd_policy_accepts_mrtd(&policy, mrtd));
    mrtd[47] ^= 1;
    assert_false(rd_policy_accepts_mrtd(&policy, mrtd));
    assert_true(rd_policy_accepts_tee(&policy, RD_TEE_TDX));
    assert_true(rd_policy_accepts_tcb(&policy, RD_TCB_UP_TO_DATE));
    assert_false(rd_policy_accepts_tcb(&policy, RD_TCB_OUT_OF_DATE));
    policy.tcb[0] = RD_TCB_REVOKED;
    assert_false(rd_policy_accepts_tcb(&policy, RD_TCB_REVOKED));
    rd_policy empty = { 0 };
    memset(mrtd, 0, sizeof mrtd);
    assert_false(rd_policy_accepts_mrtd(&empty, mrtd));
    assert_false(rd_policy_accepts_tcb(&empty, RD_TCB_UP_TO_DATE));
    assert_false(rd_policy_accepts_tee(&empty, RD_TEE_TDX));
    for (int i = RD_TCB_UP_TO_DATE; i < RD_TCB_STATUS_COUNT; i++)
        assert_int_equal(rd_tcb_status_parse(rd_tcb_status_names[i]), i);
    assert_int_equal(rd_tcb_status_parse(""), RD_TCB_UNKNOWN);
    assert_int_equal(rd_tcb_status_parse("uptodate"), RD_TCB_UNKNOWN);
}

static void test_round_trip_and_digest(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf again = { 0 };
    rd_policy policy = sample_head().policy;
    rd_policy read;
    rd_digest digest, want;
    assert_int_equal(rd_policy_encode(&policy, &document, NULL), 0);
    assert_int_equal(rd_policy_parse(rd_buf_bytes(&document), &read, NULL), 0);
    assert_int_equal(rd_policy_encode(&read, &again, NULL), 0);
    assert_true(rd_bytes_equal(rd_buf_bytes(&document), rd_buf_bytes(&again)));
    assert_int_equal(rd_policy_digest(&read, &digest, NULL), 0);
    RD_H(want.b, RD_HASH_POLICY, rd_buf_bytes(&document));
    assert_true(rd_digest_equal(&digest, &want));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spoiled),
        cmocka_unit_test(test_debug_on_hardware_is_refused),
        cmocka_unit_test(test_questions),
        cmocka_unit_test(test_round_trip_and_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
