// link: test_evidence
/* From an empty folder to accepted evidence: PKI, platform, quoting enclave, verifier. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/sim_files.h"
#include "agent/sim_pki.h"
#include "agent/sim_quoter.h"
#include "attest/attest.h"
#include "common/base/mem.h"

#define NOW_US (INT64_C(1795435200) * 1000000)
#define DAY_US (INT64_C(86400) * 1000000)

static char dir[] = "/tmp/redoubt-sim-XXXXXX";
static char *pki, *platform;

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    pki = rd_asprintf("%s/pki", dir);
    platform = rd_asprintf("%s/platform", dir);
    rd_err err = RD_ERR_INIT;
    if (agent_sim_pki_create(pki, NOW_US, &err) < 0 || agent_sim_pki_issue_platform(pki, platform, NOW_US, &err) < 0) {
        print_message("%s\n", err.text);
        return -1;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    RD_CLEANUP(rd_free_p) char *command = rd_asprintf("rm -rf %s", dir);
    free(pki);
    free(platform);
    return system(command);
}

static mode_t mode_of(const char *folder, const char *name)
{
    struct stat info;
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/%s", folder, name);
    assert_int_equal(stat(path, &info), 0);
    return info.st_mode & 0777;
}

static void files(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(mode_of(pki, "."), 0700);
    assert_int_equal(mode_of(pki, "root.key"), 0600);
    assert_int_equal(mode_of(pki, "platform-ca.key"), 0600);
    assert_int_equal(mode_of(pki, "tcb-signing.key"), 0600);
    assert_int_equal(mode_of(platform, "pck.key"), 0600);
    assert_int_equal(agent_sim_pki_create(pki, NOW_US, &err), -1);
    assert_int_equal(err.code, RD_E_USAGE);
    assert_int_equal(agent_sim_pki_issue_platform(pki, platform, NOW_US, &err), -1);
}

/* --- a launch over the quoter stream, as an instance does it --- */

static void put_frame(rd_buf *out, uint8_t type, const void *payload, size_t size)
{
    rd_buf_append_u32be(out, (uint32_t)size + 1);
    rd_buf_append_u8(out, type);
    rd_buf_append(out, payload, size);
}

static void put_event(rd_buf *out, const char *name, rd_bytes payload)
{
    uint8_t request[49] = { 3 };
    rd_event_digest(name, payload, request + 1);
    put_frame(out, 1, request, sizeof request);
}

typedef struct launch {
    rd_statement statement;
    rd_buf statement_bytes, evidence;
    uint8_t header[RD_LAUNCH_HEADER_SIZE];
} launch;

static void make_statement(launch *l)
{
    rd_signing_key *key = rd_signing_key_new();
    l->statement = (rd_statement){ .purpose = RD_PURPOSE_STATUS,
                                   .class = RD_CLASS_SIMULATED,
                                   .has_app = true,
                                   .has_release = true,
                                   .has_head = true,
                                   .has_instance = true,
                                   .has_receipt_key = true,
                                   .receipt_key = *rd_signing_key_public(key),
                                   .epoch = 1 };
    rd_signing_key_free(key);
    rd_launch_header header = { .app = l->statement.app, .release = l->statement.release };
    rd_kms_set_digest(NULL, 0, &header.kms_set);
    rd_launch_header_encode(&header, l->header);
    assert_int_equal(rd_statement_encode(&l->statement, &l->statement_bytes, NULL), 0);
}

static void run_launch(launch *l)
{
    RD_CLEANUP(agent_sim_quoter_free_p) agent_sim_quoter *quoter = NULL;
    RD_CLEANUP(rd_buf_done) rd_buf requests = { 0 }, answers = { 0 };
    rd_err err = RD_ERR_INIT;
    agent_sim_launch measured = { 0 };
    uint8_t report_data[64];
    memset(measured.mrtd, 0x42, sizeof measured.mrtd);
    memset(measured.configuration, 0x43, sizeof measured.configuration);
    assert_int_equal(agent_sim_quoter_open(platform, &quoter, &err), 0);
    RD_CLEANUP(agent_sim_door_free_p) agent_sim_door *door = agent_sim_door_new(quoter, &measured);
    make_statement(l);
    rd_statement_report_data(rd_buf_bytes(&l->statement_bytes), report_data);
    put_event(&requests, RD_EVENT_APP, RD_BYTES_ARRAY(l->header));
    put_event(&requests, RD_EVENT_CLOSED, RD_BYTES_NULL);
    put_frame(&requests, 2, report_data, sizeof report_data);
    for (size_t i = 0; i < requests.size; i++)
        assert_int_equal(agent_sim_door_feed(door, rd_bytes_of(requests.data + i, 1), &answers, &err), 0);
    static const uint8_t extended[5] = { 0, 0, 0, 1, 0x81 };
    assert_true(answers.size > 15);
    assert_memory_equal(answers.data, extended, 5);
    assert_memory_equal(answers.data + 5, extended, 5);
    assert_int_equal(answers.data[14], 0x82);
    rd_bytes quote = rd_bytes_of(answers.data + 15, answers.size - 15);
    assert_int_equal(rd_evidence_encode(quote, rd_buf_bytes(&l->statement_bytes), l->header, NULL, &l->evidence, &err),
                     0);
}

static rd_code check(const launch *l, int64_t time_us, rd_attest_report *report)
{
    RD_CLEANUP(rd_buf_done) rd_buf collateral = { 0 };
    rd_err err = RD_ERR_INIT;
    rd_anchors anchors;
    uint8_t fingerprint[32];
    rd_policy policy = { .is_simulated = true,
                         .tees = { RD_TEE_TDX },
                         .tees_count = 1,
                         .tcb = { RD_TCB_UP_TO_DATE },
                         .tcb_count = 1,
                         .max_collateral_age_s = 604800 };
    uint8_t mrtd[RD_MRTD_SIZE];
    memset(mrtd, 0x42, sizeof mrtd);
    assert_int_equal(rd_policy_add_mrtd(&policy, mrtd), 0);
    assert_int_equal(agent_sim_read(pki, "collateral.json", &collateral, &err), 0);
    assert_int_equal(agent_sim_pki_fingerprint(pki, fingerprint, &err), 0);
    rd_anchors_init(&anchors);
    assert_int_equal(rd_anchors_add_simulated(&anchors, fingerprint, &err), 0);
    rd_evidence_check job = { .evidence = rd_buf_bytes(&l->evidence),
                              .collateral = rd_buf_bytes(&collateral),
                              .anchors = &anchors,
                              .policy = &policy,
                              .expect = { .purpose = RD_PURPOSE_STATUS, .nonce = l->statement.nonce },
                              .time_us = time_us };
    rd_code code = rd_attest_check_evidence(&job, report, &err) == 0 ? RD_OK : err.code;
    if (code != RD_OK)
        print_message("%s: %s\n", rd_code_describe(code)->name, err.text);
    return code;
}

static void accepted(void **state)
{
    (void)state;
    launch l = { 0 };
    rd_attest_report report;
    run_launch(&l);
    assert_int_equal(check(&l, NOW_US, &report), RD_OK);
    assert_int_equal(report.verdict.claims.class, RD_CLASS_SIMULATED);
    assert_int_equal(report.verdict.pck_crl_number, 1);
    /* Past the collateral's term nothing is accepted, until it is refreshed. */
    assert_int_equal(check(&l, NOW_US + 31 * DAY_US, &report), RD_E_CRL_TIME);
    rd_err err = RD_ERR_INIT;
    assert_int_equal(agent_sim_pki_refresh(pki, false, NOW_US + 29 * DAY_US, &err), 0);
    assert_int_equal(check(&l, NOW_US + 31 * DAY_US, &report), RD_OK);
    assert_int_equal(report.verdict.pck_crl_number, 2);
    json_t *json = rd_attest_report_to_json(&report);
    assert_true(json_is_true(json_object_get(json, "accepted")));
    json_decref(json);
    rd_buf_done(&l.statement_bytes);
    rd_buf_done(&l.evidence);
}

static void refusals(void **state)
{
    (void)state;
    RD_CLEANUP(agent_sim_quoter_free_p) agent_sim_quoter *quoter = NULL;
    RD_CLEANUP(rd_buf_done) rd_buf in = { 0 }, out = { 0 };
    rd_err err = RD_ERR_INIT;
    agent_sim_launch measured = { 0 };
    assert_int_equal(agent_sim_quoter_open(platform, &quoter, &err), 0);
    RD_CLEANUP(agent_sim_door_free_p) agent_sim_door *door = agent_sim_door_new(quoter, &measured);
    uint8_t zeros[65] = { 0 };
    put_frame(&in, 1, zeros, 49); /* register 0 */
    put_frame(&in, 1, zeros, 48); /* too short */
    put_frame(&in, 2, zeros, 65); /* too long */
    put_frame(&in, 9, zeros, 1);  /* unknown */
    assert_int_equal(agent_sim_door_feed(door, rd_buf_bytes(&in), &out, &err), 0);
    size_t at = 0, refused = 0;
    while (at < out.size) {
        assert_int_equal(out.data[at + 4], 0xff);
        at += 4 + out.data[at + 3];
        refused++;
    }
    assert_int_equal(refused, 4);
    const uint8_t huge[4] = { 0xff, 0xff, 0xff, 0xff };
    assert_int_equal(agent_sim_door_feed(door, RD_BYTES_ARRAY(huge), &out, &err), -1);
    assert_int_equal(agent_sim_quoter_open("/nonexistent", &quoter, &err), -1);
}

static void speed(void **state)
{
    (void)state;
    RD_CLEANUP(agent_sim_quoter_free_p) agent_sim_quoter *quoter = NULL;
    agent_sim_launch measured = { 0 };
    assert_int_equal(agent_sim_quoter_open(platform, &quoter, NULL), 0);
    RD_CLEANUP(agent_sim_door_free_p) agent_sim_door *door = agent_sim_door_new(quoter, &measured);
    struct timespec from, to;
    uint8_t report_data[64] = { 1 };
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < 100; i++) {
        RD_CLEANUP(rd_buf_done) rd_buf quote = { 0 };
        assert_int_equal(agent_sim_door_quote(door, report_data, &quote, NULL), 0);
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    long each_us = ((to.tv_sec - from.tv_sec) * 1000000 + (to.tv_nsec - from.tv_nsec) / 1000) / 100;
    print_message("a quote takes %ld us\n", each_us);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(files), cmocka_unit_test(accepted), cmocka_unit_test(refusals),
                                        cmocka_unit_test(speed) };
    return cmocka_run_group_tests(tests, setup, teardown);
}
