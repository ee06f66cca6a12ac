#include "common/model/policy_review.h"

#include "tests/unit/common/model/samples.h"

#define HEX_64 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define SAFE                                                                                                           \
    "\"type\":\"redoubt/policy/v1\",\"simulated\":false,\"debug\":false,\"tees\":[\"tdx\"],\"tcb\":[\"UpToDate\"],"    \
    "\"max_collateral_age_s\":604800,\"measurements\":[{\"mrtd\":\"" HEX_96 "\",\"rtmr0\":\"" HEX_96                   \
    "\",\"rtmr1\":\"" HEX_96 "\",\"rtmr2\":\"" HEX_96 "\"}]"

static void load(const char *text, rd_policy *ret)
{
    rd_err err = RD_ERR_INIT;
    if (rd_policy_load(rd_bytes_str(text), ret, &err) < 0)
        fail_msg("%s: %s %s", text, err.text, err.pointer);
}

/* A member more, or in the place of what SAFE says, and the members that are named for it. */
static const struct {
    const char *text;
    const char *named[4];
} loose_rows[] = {
    { "{" SAFE "}", { "/platforms" } }, /* whoever holds a genuine board (R8) */
    { "{" SAFE ",\"advisories\":[],\"min_evaluation\":19,\"platforms\":[\"" HEX_64 "\"],\"snp\":{\"vcek_only\":true}}",
      { NULL } },
    { "{" SAFE ",\"grace\":{\"tcb\":[\"OutOfDate\"],\"until\":\"2027-01-01T00:00:00Z\"}}", { "/grace", "/platforms" } },
    { "{" SAFE ",\"td\":{\"migratable\":true,\"sept_ve\":true}}", { "/platforms", "/td/migratable", "/td/sept_ve" } },
    { "{" SAFE ",\"sgx\":{\"provision_key\":true},\"snp\":{\"id_block\":true,\"masked_chip\":true}}",
      { "/platforms", "/sgx/provision_key", "/snp/masked_chip" } },
    { "{" SAFE ",\"snp\":{\"max_vmpl\":2,\"migration_agent\":true}}",
      { "/platforms", "/snp/max_vmpl", "/snp/migration_agent" } },
    { "{\"type\":\"redoubt/policy/v1\",\"simulated\":true,\"debug\":true,\"tees\":[\"tdx\"],\"tcb\":[\"OutOfDate\"],"
      "\"max_collateral_age_s\":604801,\"measurements\":[{\"mrtd\":\"" HEX_96 "\"}]}",
      { "/simulated", "/debug", "/tcb", "/max_collateral_age_s" } },
    { "{\"type\":\"redoubt/policy/v1\",\"simulated\":false,\"debug\":false,\"tees\":[\"tdx\"],\"tcb\":[],"
      "\"max_collateral_age_s\":604800,\"measurements\":[{\"mrtd\":\"" HEX_96 "\",\"rtmr1\":\"*\"}]}",
      { "/measurements/0", "/measurements/0", "/measurements/0", "/platforms" } },
    { "{\"type\":\"redoubt/policy/v1\",\"simulated\":false,\"debug\":false,\"tees\":[\"sgx\"],\"tcb\":[],"
      "\"max_collateral_age_s\":604800,\"measurements\":[{\"mrsigner\":\"" HEX_64
      "\",\"isvprodid\":1,\"isvsvn_min\":2}]}",
      { "/measurements/0", "/platforms" } },
};

static void test_loosenings(void **state RD_UNUSED)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(loose_rows); i++) {
        rd_policy policy;
        rd_policy_notes notes = { 0 };
        load(loose_rows[i].text, &policy);
        rd_policy_loosenings(&policy, &notes);
        size_t wanted = 0;
        while (wanted < 4 && loose_rows[i].named[wanted])
            wanted++;
        assert_int_equal(notes.count, wanted);
        for (size_t n = 0; n < wanted; n++) {
            assert_string_equal(notes.items[n].member, loose_rows[i].named[n]);
            assert_int_equal(notes.items[n].effect, RD_POLICY_LOOSENS);
        }
    }
}

/* b = SAFE with this more; against SAFE it has this effect on this member, and the other way round the opposite. */
static const struct {
    const char *more;
    const char *member;
    rd_policy_effect effect;
} diff_rows[] = {
    { ",\"advisories\":[\"INTEL-SA-00001\"]", "/advisories", RD_POLICY_TIGHTENS },
    { ",\"min_evaluation\":19", "/min_evaluation", RD_POLICY_TIGHTENS },
    { ",\"platforms\":[\"" HEX_64 "\"]", "/platforms", RD_POLICY_TIGHTENS },
    { ",\"report_data\":\"" HEX_64 HEX_64 "\"", "/report_data", RD_POLICY_TIGHTENS },
    { ",\"td\":{\"migratable\":true}", "/td/migratable", RD_POLICY_LOOSENS },
    { ",\"td\":{\"service_tds\":[\"" HEX_96 "\"]}", "/td/service_tds", RD_POLICY_LOOSENS },
    { ",\"snp\":{\"max_vmpl\":1}", "/snp/max_vmpl", RD_POLICY_LOOSENS },
    { ",\"snp\":{\"vcek_only\":true}", "/snp/vcek_only", RD_POLICY_TIGHTENS },
    { ",\"snp\":{\"id_block\":true}", "/snp/id_block", RD_POLICY_TIGHTENS },
    { ",\"snp\":{\"masked_chip\":true}", "/snp/masked_chip", RD_POLICY_LOOSENS },
    { ",\"snp\":{\"platform_info\":{\"require\":[\"ecc\"]}}", "/snp/platform_info/require", RD_POLICY_TIGHTENS },
    { ",\"sgx\":{\"provision_key\":true}", "/sgx/provision_key", RD_POLICY_LOOSENS },
    { ",\"sgx\":{\"misc_select\":{\"mask\":\"ffffffff\",\"value\":\"00000000\"}}", "/sgx/misc_select",
      RD_POLICY_TIGHTENS },
    { ",\"td\":{\"modules\":[{\"svn_min\":5,\"version\":1}]}", "/td/modules", RD_POLICY_TIGHTENS },
    { ",\"td\":{\"seam_loader_min\":2}", "/td/seam_loader_min", RD_POLICY_TIGHTENS },
    { ",\"snp\":{\"min_tcb\":{\"Milan\":{\"boot_loader\":0,\"microcode\":1,\"snp\":0,\"tee\":0}}}",
      "/snp/min_tcb/Milan/microcode", RD_POLICY_TIGHTENS },
};

static void test_diff(void **state RD_UNUSED)
{
    rd_policy safe, changed;
    load("{" SAFE "}", &safe);
    for (size_t i = 0; i < RD_ARRAY_LEN(diff_rows); i++) {
        RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
        rd_policy_notes there = { 0 }, back = { 0 }, same = { 0 };
        rd_buf_printf(&text, "{%s%s}", SAFE, diff_rows[i].more);
        load(rd_buf_text(&text), &changed);
        rd_policy_diff(&safe, &changed, &there);
        rd_policy_diff(&changed, &safe, &back);
        rd_policy_diff(&changed, &changed, &same);
        assert_int_equal(same.count, 0);
        assert_int_equal(there.count, 1);
        assert_int_equal(back.count, 1);
        assert_string_equal(there.items[0].member, diff_rows[i].member);
        assert_int_equal(there.items[0].effect, diff_rows[i].effect);
        assert_int_equal(back.items[0].effect,
                         diff_rows[i].effect == RD_POLICY_LOOSENS ? RD_POLICY_TIGHTENS : RD_POLICY_LOOSENS);
    }
}

#define HOOK(key, more, path)                                                                                          \
    "{" SAFE ",\"webhook\":{\"key\":\"" key "\"," more "\"url\":\"https://h.example/" path "\"}}"
#define KEY_A "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define KEY_B "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw"

/* A webhook tightens; another one is neither looser nor tighter. */
static void test_diff_of_webhooks(void **state RD_UNUSED)
{
    static const struct {
        const char *a, *b, *member;
        rd_policy_effect effect;
        size_t count;
    } rows[] = {
        { "{" SAFE "}", HOOK(KEY_A, "", "a"), "/webhook/key", RD_POLICY_TIGHTENS, 2 },
        { HOOK(KEY_A, "", "a"), "{" SAFE "}", "/webhook/key", RD_POLICY_LOOSENS, 2 },
        { HOOK(KEY_A, "", "a"), HOOK(KEY_B, "", "a"), "/webhook/key", RD_POLICY_CHANGES, 1 },
        { HOOK(KEY_A, "", "a"), HOOK(KEY_A, "", "b"), "/webhook/url", RD_POLICY_CHANGES, 1 },
        { HOOK(KEY_A, "", "a"), HOOK(KEY_A, "\"private\":true,", "a"), "/webhook/private", RD_POLICY_CHANGES, 1 },
        { HOOK(KEY_A, "", "a"), HOOK(KEY_A, "", "a"), NULL, RD_POLICY_CHANGES, 0 },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        rd_policy a, b;
        rd_policy_notes notes = { 0 };
        load(rows[i].a, &a);
        load(rows[i].b, &b);
        rd_policy_diff(&a, &b, &notes);
        assert_int_equal(notes.count, rows[i].count);
        if (rows[i].member == NULL)
            continue;
        assert_string_equal(notes.items[0].member, rows[i].member);
        assert_int_equal(notes.items[0].effect, rows[i].effect);
    }
}

#define GRACE(since, until)                                                                                            \
    "{" SAFE ",\"grace\":{\"since\":\"" since "T00:00:00Z\",\"tcb\":[\"OutOfDate\"],\"until\":\"" until "T00:00:"      \
    "00Z\"}}"

static void test_diff_of_grace(void **state RD_UNUSED)
{
    rd_policy a, b;
    rd_policy_notes notes = { 0 };
    load(GRACE("2026-01-01", "2027-01-01"), &a);
    load(GRACE("2026-02-01", "2027-02-01"), &b);
    rd_policy_diff(&a, &b, &notes);
    assert_int_equal(notes.count, 2);
    assert_string_equal(notes.items[0].member, "/grace/until");
    assert_int_equal(notes.items[0].effect, RD_POLICY_LOOSENS);
    assert_string_equal(notes.items[1].member, "/grace/since");
    assert_int_equal(notes.items[1].effect, RD_POLICY_TIGHTENS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loosenings),
        cmocka_unit_test(test_diff),
        cmocka_unit_test(test_diff_of_webhooks),
        cmocka_unit_test(test_diff_of_grace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
