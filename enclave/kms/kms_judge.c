#include "enclave/kms/kms_judge.h"

#include <string.h>
#include <time.h>

#include "attest/attest.h"
#include "common/base/mem.h"
#include "enclave/kms/kms_channel.h"
#include "enclave/platform/platform.h"

#define COLLATERAL_AGE_S (7 * 86400)

typedef struct question {
    kms_ask_judge ask;
    rd_bytes genesis, evidence, collateral;
    rd_kms_id id;
    rd_kms_genesis parsed;
} question;

static int read_question(rd_bytes bytes, question *ret, rd_err *err)
{
    if (bytes.size < sizeof(ret->ask))
        return rd_err_set(err, RD_E_CONTROL_FRAME, "judge");
    memcpy(&ret->ask, bytes.data, sizeof(ret->ask));
    const kms_ask_judge *ask = &ret->ask;
    size_t left = bytes.size - sizeof(*ask);
    if ((uint64_t)ask->genesis_size + ask->evidence_size + ask->collateral_size != left ||
        (ask->purpose != RD_PURPOSE_JOIN && ask->purpose != RD_PURPOSE_ADMIT))
        return rd_err_set(err, RD_E_CONTROL_FRAME, "judge");
    ret->genesis = rd_bytes_of(bytes.data + sizeof(*ask), ask->genesis_size);
    ret->evidence = rd_bytes_of(ret->genesis.data + ret->genesis.size, ask->evidence_size);
    ret->collateral = rd_bytes_of(ret->evidence.data + ret->evidence.size, ask->collateral_size);
    memcpy(ret->id.b, ask->kms, sizeof(ret->id.b));
    return rd_kms_genesis_open(ret->genesis, &ret->id, &ret->parsed, err);
}

/* Exactly the build that asks, on patched hardware of the genesis's class; the machine is compared afterwards. */
static int fill_policy(const question *q, rd_policy *policy, rd_anchors *anchors, rd_err *err)
{
    bool is_simulated = q->parsed.class == RD_CLASS_SIMULATED;
    *policy = (rd_policy){ .is_simulated = is_simulated,
                           .tees = { RD_TEE_TDX },
                           .tees_count = 1,
                           .tcb = { RD_TCB_UP_TO_DATE, RD_TCB_SW_HARDENING_NEEDED },
                           .tcb_count = 2,
                           .max_collateral_age_s = COLLATERAL_AGE_S };
    *anchors = (rd_anchors){ .count = 0 };
    if (!is_simulated)
        rd_anchors_init(anchors);
    else if (q->parsed.has_sim_root && rd_anchors_add_simulated(anchors, q->parsed.sim_root, err) < 0)
        return -1;
    if (!rd_kms_genesis_lists_build(&q->parsed, q->ask.measurement))
        return rd_err_set(err, RD_E_KMS_BUILD, "this build is none of the genesis");
    return rd_policy_add_mrtd(policy, q->ask.measurement) < 0 ? rd_err_set(err, RD_E_INTERNAL, "policy") : 0;
}

/* The host's clock, not below the build's date, nor below what the front has seen signed. */
static int64_t time_of(const question *q)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    int64_t now_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    return RD_MAX(RD_MAX(now_us, encl_platform_build_floor_us()), q->ask.floor.now_us);
}

static int judge(const question *q, rd_attest_report *report, rd_err *err)
{
    rd_anchors anchors;
    RD_CLEANUP(rd_free_p) rd_policy *policy = rd_alloc(sizeof(*policy));
    if (fill_policy(q, policy, &anchors, err) < 0)
        return -1;
    const rd_attest_floor floor = { .evaluation_number = q->ask.floor.evaluation_number,
                                    .pck_crl_number = q->ask.floor.pck_crl_number,
                                    .root_crl_number = q->ask.floor.root_crl_number };
    const rd_evidence_check check = { .evidence = q->evidence,
                                      .floor = &floor,
                                      .collateral = q->collateral,
                                      .anchors = &anchors,
                                      .policy = policy,
                                      .expect = { .purpose = (rd_purpose)q->ask.purpose,
                                                  .nonce = q->ask.nonce,
                                                  .kms = &q->id,
                                                  .kms_count = 1,
                                                  .user = q->id.b },
                                      .time_us = time_of(q) };
    if (rd_attest_check_evidence(&check, report, err) < 0)
        return -1;
    if (!rd_kms_genesis_lists_platform(&q->parsed, report->verdict.claims.platform_id))
        return rd_err_set(err, RD_E_KMS_PLATFORM, "the other side runs on a machine that the genesis does not list");
    return 0;
}

static int answer(int fd, rd_bytes bytes, rd_err *err)
{
    RD_CLEANUP(rd_free_p) question *q = rd_alloc(sizeof(*q));
    RD_CLEANUP(rd_free_p) rd_attest_report *report = rd_alloc(sizeof(*report));
    RD_CLEANUP(rd_evidence_done) rd_evidence evidence = { 0 };
    if (read_question(bytes, q, err) < 0 || judge(q, report, err) < 0 ||
        rd_evidence_parse(q->evidence, &evidence, err) < 0)
        return -1;
    kms_told_judge told;
    memcpy(told.grant_key, report->statement.grant_key, sizeof(told.grant_key));
    return kms_channel_tell(fd, rd_bytes_of(&told, sizeof(told)), rd_buf_bytes(&evidence.statement_bytes));
}

int kms_judge_run(int channel_fd)
{
    for (;;) {
        uint8_t op;
        rd_err err = RD_ERR_INIT;
        RD_CLEANUP(rd_buf_done) rd_buf bytes = { .size_max = KMS_CHANNEL_MAX };
        if (kms_channel_receive(channel_fd, &op, &bytes) < 0 || op != KMS_OP_JUDGE)
            return 0;
        if (answer(channel_fd, rd_buf_bytes(&bytes), &err) < 0 &&
            (err.code == RD_OK || kms_channel_refuse(channel_fd, &err) < 0))
            return 0;
    }
}
