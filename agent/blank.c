#include "agent/blank.h"

#include "common/base/mem.h"
#include "common/model/evidence.h"

static int verify(const agent_blank_rules *rules, const rd_evidence *evidence, int64_t time_us, rd_verdict *verdict,
                  rd_err *err)
{
    static const rd_collateral none;
    const rd_attest_input input = { .quote = rd_buf_bytes(&evidence->quote),
                                    .collateral = &none,
                                    .anchors = &rules->anchors,
                                    .cache = rules->cache,
                                    .time_us = time_us };
    rd_err why = RD_ERR_INIT;
    if (rd_attest_verify(&input, verdict, &why) == 0 || verdict->holds_alone)
        return 0;
    *err = why;
    return -1;
}

static int check_statement(const agent_blank_rules *rules, const rd_evidence *evidence, const rd_claims *claims,
                           rd_err *err)
{
    uint8_t wanted[RD_REPORT_DATA_SIZE];
    const rd_statement *statement = &evidence->statement;
    if (statement->purpose != RD_PURPOSE_BLANK)
        return rd_err_set(err, RD_E_PURPOSE, "statement of purpose %s, wanted blank",
                          rd_purpose_name(statement->purpose));
    if (statement->class != rules->class || claims->class != rules->class)
        return rd_err_set(err, RD_E_CLASS_MISMATCH, "statement of class %s under a root of class %s on a host of %s",
                          rd_class_name(statement->class), rd_class_name(claims->class), rd_class_name(rules->class));
    rd_statement_report_data(rd_buf_bytes(&evidence->statement_bytes), wanted);
    if (!rd_equal_ct(wanted, claims->report_data, sizeof(wanted)))
        return rd_err_set(err, RD_E_BINDING, "report data is not the hash of the statement");
    return 0;
}

static int check_registers(const agent_blank_rules *rules, const rd_evidence *evidence, const rd_claims *claims,
                           rd_err *err)
{
    uint8_t empty[RD_RTMR_SIZE];
    if (claims->tee != RD_TEE_TDX)
        return rd_err_set(err, RD_E_RTMR, "evidence without run-time registers");
    if (rd_evidence_check_log(evidence, empty, err) < 0)
        return -1;
    if (!rd_equal_ct(empty, claims->tdx.rtmr[3], sizeof(empty)))
        return rd_err_set(err, RD_E_RTMR, "register 3 was extended already");
    if (!rd_equal_ct(rules->mrtd, claims->tdx.mr_td, sizeof(rules->mrtd)))
        return rd_err_set(err, RD_E_MEASUREMENT, "MRTD is not that of the runtime that was launched");
    return 0;
}

int agent_blank_check(const agent_blank_rules *rules, rd_bytes bundle, int64_t time_us, rd_err *err)
{
    RD_CLEANUP(rd_evidence_done) rd_evidence evidence = { 0 };
    RD_CLEANUP(rd_free_p) rd_verdict *verdict = rd_alloc(sizeof(*verdict));
    if (rd_evidence_parse(bundle, &evidence, err) < 0 || verify(rules, &evidence, time_us, verdict, err) < 0 ||
        check_statement(rules, &evidence, &verdict->claims, err) < 0)
        return -1;
    return check_registers(rules, &evidence, &verdict->claims, err);
}
