#include "common/model/policy.h"

#include "tests/unit/common/model/samples.h"

#define HEX_64   "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define HEX_32   "000102030405060708090a0b0c0d0e0f"
#define OTHER_96 "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f"

#define WEBHOOK_KEY  "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define WEBHOOK(url) "{\"key\":\"" WEBHOOK_KEY "\",\"url\":\"" url "\"}"

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
    { "D13 revoked", "/tcb", "[\"UpToDate\",\"Revoked\"]", RD_E_POLICY_UNSAFE },
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
    { "measurement with more", "/measurements/0/rtmr9", "\"\"", RD_E_JSON_UNKNOWN },
    { "register empty", "/measurements/0/rtmr0", "\"\"", RD_E_ENCODING },
    { "register (ok)", "/measurements/0/rtmr0", "\"" HEX_96 "\"", RD_OK },
    { "any register (ok)", "/measurements/0/rtmr1", "\"*\"", RD_OK },
    { "register a number", "/measurements/0/rtmr1", "1", RD_E_JSON_TYPE },
    { "one of two values (ok)", "/measurements/0/rtmr2", "[\"" HEX_96 "\",\"" OTHER_96 "\"]", RD_OK },
    { "a list of one value", "/measurements/0/rtmr2", "[\"" HEX_96 "\"]", RD_E_JSON_RANGE },
    { "a value twice", "/measurements/0/rtmr2", "[\"" HEX_96 "\",\"" HEX_96 "\"]", RD_E_JSON_RANGE },
    { "star in a list", "/measurements/0/rtmr2", "[\"" HEX_96 "\",\"*\"]", RD_E_ENCODING },
    { "F4 any code", "/measurements/0/mrtd", "\"*\"", RD_E_JSON_MISSING },
    { "no code", "/measurements", "[{\"rtmr0\":\"" HEX_96 "\"}]", RD_E_JSON_MISSING },
    { "two kinds of TEE in one item", "/measurements/0/host_data", "\"" HEX_64 "\"", RD_E_JSON_RANGE },
    { "isvprodid of a TD", "/measurements/0/isvprodid", "1", RD_E_JSON_RANGE },
    { "guest SVN of a TD", "/measurements/0/guest_svn_min", "1", RD_E_JSON_RANGE },
    { "enclave (ok)", "/measurements", "[{\"mrenclave\":\"" HEX_64 "\"}]", RD_OK },
    { "F3 enclave and signer at once, both must fit (ok)", "/measurements",
      "[{\"isvprodid\":1,\"isvsvn_min\":0,\"mrenclave\":\"" HEX_64 "\",\"mrsigner\":\"" HEX_64 "\"}]", RD_OK },
    { "F3 neither enclave nor signer", "/measurements", "[{\"isvprodid\":1,\"isvsvn_min\":0}]", RD_E_JSON_MISSING },
    { "enclave of 48 bytes", "/measurements", "[{\"mrenclave\":\"" HEX_96 "\"}]", RD_E_ENCODING },
    { "signer without product", "/measurements", "[{\"mrsigner\":\"" HEX_64 "\"}]", RD_E_JSON_MISSING },
    { "signer without version", "/measurements", "[{\"isvprodid\":1,\"mrsigner\":\"" HEX_64 "\"}]", RD_E_JSON_RANGE },
    { "signer with product and version (ok)", "/measurements",
      "[{\"isvprodid\":1,\"isvsvn_min\":0,\"mrsigner\":\"" HEX_64 "\"}]", RD_OK },
    { "version too large", "/measurements", "[{\"isvprodid\":1,\"isvsvn_min\":65536,\"mrsigner\":\"" HEX_64 "\"}]",
      RD_E_JSON_RANGE },
    { "SNP guest (ok)", "/measurements",
      "[{\"guest_svn_min\":2,\"host_data\":\"" HEX_64 "\",\"measurement\":\"" HEX_96 "\"}]", RD_OK },
    { "guest SVN 0 spelt out", "/measurements", "[{\"guest_svn_min\":0,\"measurement\":\"" HEX_96 "\"}]",
      RD_E_JSON_RANGE },
    { "webhook (ok)", "/webhook", WEBHOOK("https://h.example/a?b=c"), RD_OK },
    { "webhook with a port (ok)", "/webhook", WEBHOOK("https://h.example:8443/"), RD_OK },
    { "webhook at an IPv6 address (ok)", "/webhook", WEBHOOK("https://[2001:db8::1]/a"), RD_OK },
    { "private webhook (ok)", "/webhook",
      "{\"key\":\"" WEBHOOK_KEY "\",\"private\":true,\"url\":\"https://h.example/a\"}", RD_OK },
    { "webhook's default spelt out", "/webhook",
      "{\"key\":\"" WEBHOOK_KEY "\",\"private\":false,\"url\":\"https://h.example/a\"}", RD_E_NOT_CANONICAL },
    { "plain webhook of class simulated (ok)", "/webhook", WEBHOOK("http://h.example/a"), RD_OK },
    { "webhook without a path", "/webhook", WEBHOOK("https://h.example"), RD_E_JSON_RANGE },
    { "webhook without a scheme", "/webhook", WEBHOOK("h.example/a"), RD_E_JSON_RANGE },
    { "webhook of another scheme", "/webhook", WEBHOOK("ftp://h.example/a"), RD_E_JSON_RANGE },
    { "webhook with its scheme's port", "/webhook", WEBHOOK("https://h.example:443/a"), RD_E_JSON_RANGE },
    { "webhook with a user", "/webhook", WEBHOOK("https://user@h.example/a"), RD_E_JSON_RANGE },
    { "webhook in upper case", "/webhook", WEBHOOK("https://H.example/a"), RD_E_JSON_RANGE },
    { "webhook with a fragment", "/webhook", WEBHOOK("https://h.example/a#b"), RD_E_JSON_RANGE },
    { "webhook with a space", "/webhook", WEBHOOK("https://h.example/a b"), RD_E_JSON_RANGE },
    { "webhook with a line end", "/webhook", WEBHOOK("https://h.example/a\\r\\nx: y"), RD_E_JSON_RANGE },
    { "webhook without a key", "/webhook", "{\"url\":\"https://h.example/a\"}", RD_E_JSON_MISSING },
    { "webhook without a place", "/webhook", "{\"key\":\"" WEBHOOK_KEY "\"}", RD_E_JSON_MISSING },
    { "webhook of a key of small order", "/webhook", "{\"key\":\"" B64_ZERO_32 "\",\"url\":\"https://h.example/a\"}",
      RD_E_KEY_FORMAT },
    { "webhook with more", "/webhook", "{\"key\":\"" WEBHOOK_KEY "\",\"timeout\":5,\"url\":\"https://h.example/a\"}",
      RD_E_JSON_UNKNOWN },
    { "webhook null", "/webhook", "null", RD_E_JSON_TYPE },
    { "no advisory accepted (ok)", "/advisories", "[]", RD_OK },
    { "advisory (ok)", "/advisories", "[\"INTEL-SA-00828\"]", RD_OK },
    { "advisory twice", "/advisories", "[\"INTEL-SA-00828\",\"INTEL-SA-00828\"]", RD_E_JSON_RANGE },
    { "advisory with a space", "/advisories", "[\"INTEL SA\"]", RD_E_JSON_RANGE },
    { "advisory too long", "/advisories", "[\"INTEL-SA-0082800000000000000000000000\"]", RD_E_JSON_RANGE },
    { "advisory a number", "/advisories", "[828]", RD_E_JSON_TYPE },
    { "grace (ok)", "/grace", "{\"tcb\":[\"OutOfDate\"],\"until\":\"2026-12-31T00:00:00Z\"}", RD_OK },
    { "grace with since (ok)", "/grace",
      "{\"since\":\"2025-01-01T00:00:00Z\",\"tcb\":[\"OutOfDate\"],\"until\":\"2026-12-31T00:00:00Z\"}", RD_OK },
    { "grace without end", "/grace", "{\"tcb\":[\"OutOfDate\"]}", RD_E_JSON_MISSING },
    { "grace for nothing", "/grace", "{\"tcb\":[],\"until\":\"2026-12-31T00:00:00Z\"}", RD_E_JSON_RANGE },
    { "grace for revoked", "/grace", "{\"tcb\":[\"Revoked\"],\"until\":\"2026-12-31T00:00:00Z\"}", RD_E_POLICY_UNSAFE },
    { "grace with an offset", "/grace", "{\"tcb\":[\"OutOfDate\"],\"until\":\"2026-12-31T00:00:00+01:00\"}",
      RD_E_ENCODING },
    { "grace with an idle fraction", "/grace", "{\"tcb\":[\"OutOfDate\"],\"until\":\"2026-12-31T00:00:00.0Z\"}",
      RD_E_NOT_CANONICAL },
    { "evaluation number (ok)", "/min_evaluation", "19", RD_OK },
    { "evaluation number 0 spelt out", "/min_evaluation", "0", RD_E_JSON_RANGE },
    { "platform (ok)", "/platforms", "[\"" HEX_64 "\"]", RD_OK },
    { "no platform", "/platforms", "[]", RD_E_JSON_RANGE },
    { "platform twice", "/platforms", "[\"" HEX_64 "\",\"" HEX_64 "\"]", RD_E_JSON_RANGE },
    { "report data (ok)", "/report_data", "\"" HEX_64 HEX_64 "\"", RD_OK },
    { "report data too short", "/report_data", "\"" HEX_64 "\"", RD_E_ENCODING },
    { "nothing about SNP", "/snp", "{}", RD_E_NOT_CANONICAL },
    { "SNP (ok)", "/snp", "{\"max_vmpl\":1,\"migration_agent\":true,\"vcek_only\":true}", RD_OK },
    { "SNP default spelt out", "/snp", "{\"vcek_only\":false}", RD_E_NOT_CANONICAL },
    { "SNP VMPL 4", "/snp", "{\"max_vmpl\":4}", RD_E_JSON_RANGE },
    { "SNP lowest TCB (ok)", "/snp",
      "{\"min_tcb\":{\"Milan\":{\"boot_loader\":4,\"microcode\":213,\"snp\":23,\"tee\":0}}}", RD_OK },
    { "SNP product unknown", "/snp",
      "{\"min_tcb\":{\"Rome\":{\"boot_loader\":4,\"microcode\":213,\"snp\":23,\"tee\":0}}}", RD_E_JSON_RANGE },
    { "SNP FMC of Milan", "/snp",
      "{\"min_tcb\":{\"Milan\":{\"boot_loader\":4,\"fmc\":1,\"microcode\":213,\"snp\":23,\"tee\":0}}}",
      RD_E_JSON_UNKNOWN },
    { "SNP FMC of Turin (ok)", "/snp",
      "{\"min_tcb\":{\"Turin\":{\"boot_loader\":4,\"fmc\":1,\"microcode\":213,\"snp\":23,\"tee\":0}}}", RD_OK },
    { "SNP part over a byte", "/snp",
      "{\"min_tcb\":{\"Milan\":{\"boot_loader\":256,\"microcode\":213,\"snp\":23,\"tee\":0}}}", RD_E_JSON_RANGE },
    { "SNP bits (ok)", "/snp",
      "{\"guest_policy\":{\"refuse\":[\"smt\",\"cxl\"]},\"id_block\":true,\"masked_chip\":true,"
      "\"platform_info\":{\"refuse\":[\"smt\"],\"require\":[\"ecc\",\"alias_check\"]}}",
      RD_OK },
    { "SNP bits in another order", "/snp", "{\"guest_policy\":{\"refuse\":[\"cxl\",\"smt\"]}}", RD_E_NOT_CANONICAL },
    { "SNP bit twice", "/snp", "{\"guest_policy\":{\"refuse\":[\"smt\",\"smt\"]}}", RD_E_NOT_CANONICAL },
    { "SNP bit unknown", "/snp", "{\"guest_policy\":{\"refuse\":[\"debug\"]}}", RD_E_JSON_RANGE },
    { "SNP bit of the other register", "/snp", "{\"guest_policy\":{\"refuse\":[\"ecc\"]}}", RD_E_JSON_RANGE },
    { "SNP bit both ways", "/snp", "{\"platform_info\":{\"refuse\":[\"smt\"],\"require\":[\"smt\"]}}",
      RD_E_JSON_RANGE },
    { "SNP bits of neither kind", "/snp", "{\"platform_info\":{\"allow\":[\"smt\"]}}", RD_E_JSON_UNKNOWN },
    { "SNP no bits", "/snp", "{\"platform_info\":{\"refuse\":[]}}", RD_E_JSON_RANGE },
    { "SNP ids (ok)", "/measurements",
      "[{\"family_id\":\"" HEX_32 "\",\"image_id\":\"" HEX_32 "\",\"measurement\":\"" HEX_96 "\"}]", RD_OK },
    { "SGX KSS (ok)", "/measurements",
      "[{\"configid\":\"" HEX_64 HEX_64 "\",\"configsvn_min\":1,\"isvextprodid\":\"" HEX_32
      "\",\"isvfamilyid\":\"" HEX_32 "\",\"mrenclave\":\"" HEX_64 "\"}]",
      RD_OK },
    { "SGX CONFIGSVN of a TD", "/measurements/0/configsvn_min", "1", RD_E_JSON_RANGE },
    { "SGX (ok)", "/sgx",
      "{\"attributes\":{\"mask\":\"8000000000000000\",\"value\":\"8000000000000000\"},"
      "\"misc_select\":{\"mask\":\"ffffffff\",\"value\":\"00000000\"},\"provision_key\":true,"
      "\"xfrm\":{\"mask\":\"0300000000000000\",\"value\":\"0300000000000000\"}}",
      RD_OK },
    { "SGX mask of nothing", "/sgx", "{\"misc_select\":{\"mask\":\"00000000\",\"value\":\"00000000\"}}",
      RD_E_JSON_RANGE },
    { "SGX value outside its mask", "/sgx", "{\"misc_select\":{\"mask\":\"00000001\",\"value\":\"00000003\"}}",
      RD_E_JSON_RANGE },
    { "SGX mask too long", "/sgx", "{\"misc_select\":{\"mask\":\"0000000100\",\"value\":\"0000000100\"}}",
      RD_E_ENCODING },
    { "TD registers (ok)", "/td",
      "{\"attributes\":{\"mask\":\"0000001000000080\",\"value\":\"0000001000000000\"},\"modules\":[{\"svn_min\":5,"
      "\"version\":1}],\"mr_seams\":[\"" HEX_96
      "\"],\"seam_loader_min\":3,\"xfam\":{\"mask\":\"ff00000000000000\",\"value\":\"e700000000000000\"}}",
      RD_OK },
    { "TD module twice", "/td", "{\"modules\":[{\"svn_min\":5,\"version\":1},{\"svn_min\":6,\"version\":1}]}",
      RD_E_JSON_RANGE },
    { "TD no module", "/td", "{\"modules\":[]}", RD_E_JSON_RANGE },
    { "TD loader 0 spelt out", "/td", "{\"seam_loader_min\":0}", RD_E_JSON_RANGE },
    { "TD (ok)", "/td", "{\"migratable\":true,\"sept_ve\":true,\"service_tds\":[\"" HEX_96 "\"]}", RD_OK },
    { "TD default spelt out", "/td", "{\"migratable\":false}", RD_E_NOT_CANONICAL },
    { "TD member unknown", "/td", "{\"perfmon\":true}", RD_E_JSON_UNKNOWN },
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
    assert_true(rd_policy_part_accepts(&policy, &policy.measurements[0], 0, mrtd));
    mrtd[47] ^= 1;
    assert_false(rd_policy_part_accepts(&policy, &policy.measurements[0], 0, mrtd));
    assert_true(rd_policy_accepts_tee(&policy, RD_TEE_TDX));
    assert_true(rd_policy_accepts_tcb(&policy, RD_TCB_UP_TO_DATE));
    assert_false(rd_policy_accepts_tcb(&policy, RD_TCB_OUT_OF_DATE));
    policy.tcb[0] = RD_TCB_REVOKED;
    assert_false(rd_policy_accepts_tcb(&policy, RD_TCB_REVOKED));
    rd_policy empty = { 0 };
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

/* Every member, as people would write it; the canonical form reads back to the same. */
static void test_full(void **state RD_UNUSED)
{
    static const char text[] =
        "{ \"type\": \"redoubt/policy/v1\", \"simulated\": false, \"debug\": false, \"tees\": [\"tdx\", \"snp\"],\n"
        "  \"tcb\": [\"UpToDate\"], \"max_collateral_age_s\": 86400, \"advisories\": [\"INTEL-SA-00828\"],\n"
        "  \"measurements\": [{\"mrtd\": \"" HEX_96 "\", \"rtmr1\": [\"" HEX_96 "\", \"" OTHER_96 "\"],"
        " \"rtmr2\": \"*\"}, {\"measurement\": \"" OTHER_96 "\"}],\n"
        "  \"grace\": {\"tcb\": [\"OutOfDate\"], \"until\": \"2026-12-31T00:00:00Z\", \"since\": "
        "\"2026-01-01T00:00:00Z\"},"
        " \"platforms\": [\"" HEX_64 "\"], \"min_evaluation\": 19 }";
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    rd_policy policy, again;
    rd_err err = RD_ERR_INIT;
    int64_t until, since;
    assert_int_equal(rd_policy_load(RD_BYTES_LIT(text), &policy, &err), 0);
    assert_int_equal(rd_policy_parse(RD_BYTES_LIT(text), &again, &err), -1);
    assert_int_equal(err.code, RD_E_NOT_CANONICAL);
    assert_int_equal(rd_policy_encode(&policy, &document, NULL), 0);
    assert_int_equal(rd_policy_parse(rd_buf_bytes(&document), &again, NULL), 0);
    assert_int_equal(policy.measurements_count, 2);
    assert_int_equal(policy.values_count, 4);
    const rd_measurement *td = &policy.measurements[0];
    assert_int_equal(td->parts_count, 3);
    assert_true(rd_policy_part_accepts(&policy, td, 1, policy.values[0]));
    assert_true(rd_policy_part_accepts(&policy, td, 1, policy.values[2]));
    assert_true(rd_policy_part_accepts(&policy, td, 2, (const uint8_t[48]){ 7 }));
    assert_false(rd_policy_part_accepts(&policy, td, 1, (const uint8_t[48]){ 7 }));
    assert_true(rd_policy_accepts_advisory(&policy, "INTEL-SA-00828"));
    assert_false(rd_policy_accepts_advisory(&policy, "INTEL-SA-00960"));
    assert_false(rd_policy_accepts_platform(&policy, (const uint8_t[32]){ 1 }));
    assert_int_equal(rd_time_parse("2026-12-31T00:00:00Z", 20, &until), 0);
    assert_int_equal(rd_time_parse("2026-01-01T00:00:00Z", 20, &since), 0);
    assert_true(rd_policy_grace_covers(&policy, RD_TCB_OUT_OF_DATE, since, until - 1));
    assert_false(rd_policy_grace_covers(&policy, RD_TCB_OUT_OF_DATE, since, until));
    assert_false(rd_policy_grace_covers(&policy, RD_TCB_OUT_OF_DATE, since - 1, until - 1));
    assert_false(rd_policy_grace_covers(&policy, RD_TCB_REVOKED, since, until - 1));
    assert_false(rd_policy_grace_covers(&policy, RD_TCB_CONFIGURATION_NEEDED, since, until - 1));
}

/* More values than the pool holds are refused, not cut. */
static void test_too_many_values(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_policy policy;
    rd_err err = RD_ERR_INIT;
    rd_buf_append_str(&text,
                      "{\"type\":\"redoubt/policy/v1\",\"simulated\":false,\"debug\":false,\"tees\":[],\"tcb\":[],"
                      "\"max_collateral_age_s\":86400,\"measurements\":[");
    for (unsigned i = 0; i < 6; i++) {
        rd_buf_append_str(&text, i ? ",{\"mrtd\":[" : "{\"mrtd\":[");
        for (unsigned v = 0; v < 30; v++)
            rd_buf_printf(&text, "%s\"%096x\"", v ? "," : "", i * 32 + v);
        rd_buf_append_str(&text, "]}");
    }
    rd_buf_append_str(&text, "]}");
    assert_int_equal(rd_policy_load(rd_buf_bytes(&text), &policy, &err), -1);
    assert_int_equal(err.code, RD_E_JSON_RANGE);
    assert_string_equal(err.pointer, "/measurements/5/mrtd/10");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spoiled),   cmocka_unit_test(test_debug_on_hardware_is_refused),
        cmocka_unit_test(test_questions), cmocka_unit_test(test_round_trip_and_digest),
        cmocka_unit_test(test_full),      cmocka_unit_test(test_too_many_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
