#include "attest/claims_json.h"
#include "attest/fields_json.h"
#include "attest/judge.h"

static json_t *advisories_json(const rd_tcb_verdict *tcb)
{
    json_t *array = json_array();
    for (size_t i = 0; i < tcb->advisory_count; i++)
        json_array_append_new(array, json_string(tcb->advisories[i]));
    return array;
}

static json_t *reason_json(const rd_judgement *judgement)
{
    const rd_code_info *info = rd_code_describe(judgement->reason);
    if (judgement->is_accepted)
        return json_null();
    json_t *object = json_object();
    rd_json_set_str(object, "code", info->name);
    rd_json_set_str(object, "rule", judgement->rule);
    rd_json_set_str(object, "detail", judgement->refusal.text);
    rd_json_set_str(object, "hint", info->hint[0] ? info->hint : NULL);
    return object;
}

static void add_log(json_t *object, const rd_judgement *judgement)
{
    static const char *const names[] = { "rtmr0", "rtmr1", "rtmr2", "rtmr3" };
    if (!judgement->has_log)
        return;
    json_t *replayed = json_object(), *log = json_object();
    for (size_t i = 0; i < RD_ARRAY_LEN(names); i++)
        rd_json_set_hex(replayed, names[i], RD_BYTES_ARRAY(judgement->log.rtmr[i]));
    rd_json_set_bool(log, "matches", judgement->log_matches);
    rd_json_set_int(log, "events", (int64_t)judgement->log.event_count);
    rd_json_set_int(log, "end", (int64_t)judgement->log.end);
    rd_json_set(object, "event_log", log);
    rd_json_set(object, "replayed", replayed);
}

json_t *rd_judgement_to_json(const rd_judgement *judgement)
{
    const rd_verdict *verdict = &judgement->verdict;
    const rd_claims *claims = &verdict->claims;
    json_t *object = json_object();
    rd_json_set_bool(object, "genuine", verdict->is_genuine);
    rd_json_set_str(object, "error_class", judgement->error_class);
    rd_json_set_str(object, "tee", claims->tee ? rd_tee_names[claims->tee] : judgement->has_log ? "tdx" : NULL);
    rd_json_set_str(object, "class", rd_class_name(claims->class));
    rd_json_set_str(object, "verdict", judgement->word);
    rd_json_set(object, "advisory_ids", advisories_json(&verdict->tcb));
    rd_json_set_bool(object, "debug", claims->is_debug);
    rd_json_set(object, "fields", rd_attest_fields(claims));
    rd_json_set_bool(object, "accepted", judgement->is_accepted);
    rd_json_set(object, "reason", reason_json(judgement));
    bool has_levels = claims->tee != RD_TEE_SNP && (verdict->is_genuine || verdict->tcb.shortfall_count > 0);
    rd_json_set(object, "tcb", has_levels ? rd_tcb_to_json(&verdict->tcb) : json_null());
    rd_json_set(object, "collateral", verdict->is_genuine ? rd_verdict_collateral_json(verdict) : json_null());
    rd_json_set_int(object, "trailing_bytes", (int64_t)verdict->padding);
    rd_json_set_str(object, "convention", judgement->convention);
    add_log(object, judgement);
    rd_json_set(object, "steps", rd_verdict_steps_json(verdict));
    return object;
}
