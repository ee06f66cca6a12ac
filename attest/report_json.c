#include "attest/attest.h"
#include "attest/claims_json.h"
#include "common/base/text.h"
#include "common/model/json.h"

json_t *rd_tcb_shortfalls_json(const rd_tcb_verdict *tcb)
{
    json_t *array = json_array();
    for (size_t i = 0; i < tcb->shortfall_count; i++) {
        const rd_tcb_shortfall *item = &tcb->shortfalls[i];
        json_t *object = json_object();
        rd_json_set_str(object, "component", item->component);
        rd_json_set_str(object, "kind", rd_tcb_kind_names[item->kind]);
        rd_json_set_int(object, "has", item->has);
        rd_json_set_int(object, "needs", item->needs);
        (void)json_array_append_new(array, object);
    }
    return array;
}

json_t *rd_tcb_to_json(const rd_tcb_verdict *tcb)
{
    json_t *object = json_object(), *advisories = json_array();
    rd_json_set_str(object, "status", rd_tcb_status_names[tcb->status]);
    rd_json_set_str(object, "platform", rd_tcb_status_names[tcb->platform]);
    rd_json_set_str(object, "qe", rd_tcb_status_names[tcb->qe]);
    rd_json_set_str(object, "module", rd_tcb_status_names[tcb->module]);
    rd_json_set_time(object, "date", tcb->date_us);
    rd_json_set_int(object, "evaluation_number", tcb->evaluation_number);
    for (size_t i = 0; i < tcb->advisory_count; i++)
        json_array_append_new(advisories, json_string(tcb->advisories[i]));
    rd_json_set(object, "advisories", advisories);
    rd_json_set(object, "shortfalls", rd_tcb_shortfalls_json(tcb));
    return object;
}

static void add_td(json_t *object, const rd_tdx_claims *tdx)
{
    json_t *rtmrs = json_array();
    rd_json_set_hex(object, "mrtd", RD_BYTES_ARRAY(tdx->mr_td));
    for (size_t i = 0; i < RD_ARRAY_LEN(tdx->rtmr); i++) {
        char hex[97];
        rd_hex_encode(RD_BYTES_ARRAY(tdx->rtmr[i]), hex);
        json_array_append_new(rtmrs, json_string(hex));
    }
    rd_json_set(object, "rtmr", rtmrs);
    rd_json_set_hex(object, "td_attributes", RD_BYTES_ARRAY(tdx->td_attributes));
    rd_json_set_hex(object, "xfam", RD_BYTES_ARRAY(tdx->xfam));
    rd_json_set_hex(object, "mr_seam", RD_BYTES_ARRAY(tdx->mr_seam));
    rd_json_set_hex(object, "mr_config_id", RD_BYTES_ARRAY(tdx->mr_config_id));
    rd_json_set_hex(object, "tee_tcb_svn", RD_BYTES_ARRAY(tdx->tee_tcb_svn));
}

static json_t *claims_json(const rd_claims *claims)
{
    json_t *object = json_object();
    rd_json_set_bool(object, "debug", claims->is_debug);
    rd_json_set_hex(object, "report_data", RD_BYTES_ARRAY(claims->report_data));
    rd_json_set_hex(object, "platform_id", RD_BYTES_ARRAY(claims->platform_id));
    rd_json_set_hex(object, "fmspc", RD_BYTES_ARRAY(claims->pck.fmspc));
    if (claims->tee == RD_TEE_TDX)
        add_td(object, &claims->tdx);
    if (claims->tee == RD_TEE_SGX) {
        rd_json_set_hex(object, "mr_enclave", RD_BYTES_ARRAY(claims->sgx.mr_enclave));
        rd_json_set_hex(object, "mr_signer", RD_BYTES_ARRAY(claims->sgx.mr_signer));
    }
    if (claims->tee == RD_TEE_SNP)
        rd_json_set_hex(object, "measurement", RD_BYTES_ARRAY(claims->snp.measurement));
    return object;
}

json_t *rd_verdict_collateral_json(const rd_verdict *verdict)
{
    json_t *object = json_object();
    rd_json_set_time(object, "issued", verdict->collateral_issued_us);
    rd_json_set_time(object, "expires", verdict->collateral_expires_us);
    rd_json_set_int(object, "pck_crl_number", verdict->pck_crl_number);
    rd_json_set_int(object, "root_crl_number", verdict->root_crl_number);
    return object;
}

json_t *rd_verdict_steps_json(const rd_verdict *verdict)
{
    json_t *array = json_array();
    for (size_t i = 0; i < verdict->step_count; i++) {
        json_t *object = json_object();
        rd_json_set_str(object, "name", verdict->steps[i].name);
        rd_json_set_bool(object, "ok", verdict->steps[i].is_ok);
        rd_json_set_str(object, "detail", verdict->steps[i].detail);
        json_array_append_new(array, object);
    }
    return array;
}

json_t *rd_attest_report_to_json(const rd_attest_report *report)
{
    const rd_verdict *verdict = &report->verdict;
    const rd_code_info *info = rd_code_describe(report->reason);
    bool is_refused = report->reason != RD_OK;
    json_t *object = json_object();
    rd_json_set_bool(object, "accepted", report->is_accepted);
    rd_json_set_str(object, "reason", is_refused ? info->name : NULL);
    rd_json_set_str(object, "detail", is_refused ? report->refusal.text : NULL);
    rd_json_set_str(object, "hint", is_refused && info->hint[0] ? info->hint : NULL);
    rd_json_set_bool(object, "genuine", verdict->is_genuine);
    rd_json_set_str(object, "tee", verdict->claims.tee ? rd_tee_names[verdict->claims.tee] : NULL);
    rd_json_set_str(object, "class", rd_class_name(verdict->claims.class));
    rd_json_set(object, "tcb", verdict->is_genuine ? rd_tcb_to_json(&verdict->tcb) : json_null());
    rd_json_set(object, "claims", verdict->is_genuine ? claims_json(&verdict->claims) : json_null());
    rd_json_set(object, "collateral", verdict->is_genuine ? rd_verdict_collateral_json(verdict) : json_null());
    rd_json_set_digest(object, "statement", &report->statement_digest);
    rd_json_set_digest(object, "evidence", &report->evidence_digest);
    rd_json_set(object, "steps", rd_verdict_steps_json(verdict));
    return object;
}
