/* What keeps a platform from a better level: by name, kind and number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "attest/tcb.h"
#include "common/base/mem.h"

static void append_components(rd_buf *out, const char *name, const int svns[16], const char *const words[16])
{
    rd_buf_printf(out, "\"%s\":[", name);
    for (int i = 0; i < 16; i++)
        rd_buf_printf(out, "%s{\"svn\":%d%s}", i ? "," : "", svns[i], words[i] ? words[i] : "");
    rd_buf_append_str(out, "],");
}

static void append_level(rd_buf *out, const int sgx[16], const int tdx[16], int pce, const char *status)
{
    static const char *const sgx_words[16] = {
        ",\"category\":\"BIOS\",\"type\":\"Early Microcode Update\"",
        ",\"category\":\"OS/VMM\",\"type\":\"SGX Late Microcode Update\"",
        ",\"category\":\"OS/VMM\",\"type\":\"TXT SINIT\"",
        ",\"category\":\"BIOS\"",
        NULL,
        NULL,
        NULL,
        ",\"category\":\"OS/VMM\",\"type\":\"SEAMLDR ACM\"",
    };
    static const char *const tdx_words[16] = { NULL };
    rd_buf_append_str(out, "{\"tcb\":{");
    append_components(out, "sgxtcbcomponents", sgx, sgx_words);
    append_components(out, "tdxtcbcomponents", tdx, tdx_words);
    rd_buf_printf(out, "\"pcesvn\":%d},\"tcbDate\":\"2025-01-01T00:00:00Z\",\"tcbStatus\":\"%s\"}", pce, status);
}

#define ZEROS_48 "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"

static void load(rd_tcb_info *ret)
{
    static const int high[16] = { 9, 9, 9, 9, 9, 0, 0, 9 }, middle[16] = { 8, 9, 9, 9, 9, 0, 0, 9 };
    static const int low[16] = { 2, 2, 2, 2, 2 }, modules[16] = { 5, 1, 4 };
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_err err = RD_ERR_INIT;
    rd_buf_append_str(&text, "{\"id\":\"TDX\",\"version\":3,\"issueDate\":\"2025-01-01T00:00:00Z\","
                             "\"nextUpdate\":\"2025-02-01T00:00:00Z\",\"fmspc\":\"00806f050000\",\"pceId\":\"0000\","
                             "\"tcbType\":0,\"tcbEvaluationDataNumber\":17,\"tdxModule\":{\"mrsigner\":\"" ZEROS_48
                             "\",\"attributes\":\"0000000000000000\",\"attributesMask\":\"FFFFFFFFFFFFFFFF\"},"
                             "\"tcbLevels\":[");
    append_level(&text, high, modules, 13, "UpToDate");
    rd_buf_append_str(&text, ",");
    append_level(&text, middle, modules, 13, "OutOfDate");
    rd_buf_append_str(&text, ",");
    append_level(&text, low, (const int[16]){ 1, 1, 1 }, 5, "OutOfDate");
    rd_buf_append_str(&text, "]}");
    if (rd_tcb_info_parse(rd_buf_bytes(&text), ret, &err) < 0)
        fail_msg("%s", err.text);
}

static void check_shortfall(const rd_tcb_shortfall *item, const char *component, rd_tcb_kind kind, uint32_t has,
                            uint32_t needs)
{
    assert_string_equal(item->component, component);
    assert_int_equal(item->kind, kind);
    assert_int_equal(item->has, has);
    assert_int_equal(item->needs, needs);
}

/* The level right above has the same status: what is compared with is the one that is better. */
static void test_platform(void **state RD_UNUSED)
{
    static const uint8_t sgx[16] = { 7, 8, 8, 8, 8, 0, 0, 3 }, tdx[16] = { 4, 1, 3 };
    rd_platform_svns svns = { .sgx = sgx, .pce_svn = 11, .tdx = tdx };
    rd_tcb_info info;
    rd_tcb_verdict verdict = { 0 };
    load(&info);
    const rd_tcb_level *level = rd_tcb_match_platform(&info.levels, &svns);
    assert_ptr_equal(level, &info.levels.items[2]);
    rd_tcb_note_platform(&info.levels, level, &svns, &verdict);
    assert_int_equal(verdict.shortfall_count, 8);
    check_shortfall(&verdict.shortfalls[0], "sgxtcbcomponents[0]", RD_TCB_KIND_MICROCODE_EARLY, 7, 9);
    check_shortfall(&verdict.shortfalls[1], "sgxtcbcomponents[1]", RD_TCB_KIND_MICROCODE_LATE, 8, 9);
    check_shortfall(&verdict.shortfalls[2], "sgxtcbcomponents[2]", RD_TCB_KIND_SINIT, 8, 9);
    check_shortfall(&verdict.shortfalls[3], "sgxtcbcomponents[3]", RD_TCB_KIND_BIOS, 8, 9);
    check_shortfall(&verdict.shortfalls[4], "sgxtcbcomponents[4]", RD_TCB_KIND_FIRMWARE, 8, 9);
    check_shortfall(&verdict.shortfalls[5], "sgxtcbcomponents[7]", RD_TCB_KIND_SEAM_LOADER, 3, 9);
    check_shortfall(&verdict.shortfalls[6], "pcesvn", RD_TCB_KIND_PCE, 11, 13);
    /* By its place, as it has no words; the module's own two are judged by its identity. */
    check_shortfall(&verdict.shortfalls[7], "tdxtcbcomponents[2]", RD_TCB_KIND_MICROCODE_LATE, 3, 4);
    char text[96];
    rd_tcb_shortfall_format(&verdict.shortfalls[6], text, sizeof text);
    assert_string_equal(text, "pce: pcesvn is 11, needs 13");
    rd_tcb_info_done(&info);
}

static void test_best_and_none(void **state RD_UNUSED)
{
    static const uint8_t best[16] = { 9, 9, 9, 9, 9, 0, 0, 9 }, tdx[16] = { 5, 1, 4 }, worst[16] = { 2, 1, 2, 2, 2 };
    rd_tcb_info info;
    rd_tcb_verdict verdict = { 0 };
    rd_platform_svns svns = { .sgx = best, .pce_svn = 13, .tdx = tdx };
    load(&info);
    rd_tcb_note_platform(&info.levels, rd_tcb_match_platform(&info.levels, &svns), &svns, &verdict);
    assert_int_equal(verdict.shortfall_count, 0);
    svns.sgx = worst;
    assert_null(rd_tcb_match_platform(&info.levels, &svns));
    rd_tcb_note_platform(&info.levels, NULL, &svns, &verdict);
    assert_int_equal(verdict.shortfall_count, 1);
    check_shortfall(&verdict.shortfalls[0], "sgxtcbcomponents[1]", RD_TCB_KIND_MICROCODE_LATE, 1, 2);
    rd_tcb_info_done(&info);
}

/* Only UpToDate is up to date for an enclave or a module. */
static void test_converge(void **state RD_UNUSED)
{
    assert_int_equal(rd_tcb_converge(RD_TCB_UP_TO_DATE, RD_TCB_CONFIGURATION_NEEDED, RD_TCB_UP_TO_DATE),
                     RD_TCB_OUT_OF_DATE);
    assert_int_equal(rd_tcb_converge(RD_TCB_CONFIGURATION_NEEDED, RD_TCB_UP_TO_DATE, RD_TCB_SW_HARDENING_NEEDED),
                     RD_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED);
    assert_int_equal(rd_tcb_converge(RD_TCB_SW_HARDENING_NEEDED, RD_TCB_UP_TO_DATE, RD_TCB_UP_TO_DATE),
                     RD_TCB_SW_HARDENING_NEEDED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_platform),
        cmocka_unit_test(test_best_and_none),
        cmocka_unit_test(test_converge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
