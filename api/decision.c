#include "api/decision.h"

#include "common/model/canonical.h"
#include "common/model/envelope.h"
#include "common/model/json.h"

static json_t *document(const api_verdict *v, const rd_app_id *app, const char *plane_id)
{
    json_t *object = json_object();
    rd_json_set_str(object, "type", "redoubt/decision/v1");
    rd_json_set_str(object, "plane", plane_id);
    rd_json_set_id(object, "host", RD_PREFIX_HOST, &v->host);
    rd_json_set_id(object, "instance", RD_PREFIX_INSTANCE, &v->instance);
    rd_json_set_int(object, "epoch", (int64_t)v->epoch);
    rd_json_set_app_id(object, "app", app);
    rd_json_set_str(object, "result", v->is_accepted ? "accepted" : "refused");
    rd_json_set_str(object, "reason", v->is_accepted ? NULL : rd_code_describe(v->reason)->name);
    rd_json_set_digest(object, "evidence", &v->evidence_digest);
    rd_json_set_digest(object, "collateral", &v->collateral_digest);
    rd_json_set_digest(object, "policy", v->has_policy ? &v->policy_digest : NULL);
    rd_json_set_time(object, "verified_at", v->verified_at_us);
    rd_json_set_time(object, "valid_until", v->valid_until_us);
    return object;
}

int api_decision_record(const api_verdict *verdict, const rd_app_id *app, const char *plane_id,
                        const rd_signing_key *key, rd_buf *ret, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *object = document(verdict, app, plane_id);
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { .size_max = API_DECISION_SIZE_MAX };
    rd_envelope envelope = { 0 };
    if (rd_canonical_write(object, &bytes, err) < 0)
        return -1;
    rd_envelope_init(&envelope, rd_buf_bytes(&bytes));
    int rc = rd_envelope_sign(&envelope, key, RD_SIGN_RECORD, err);
    if (rc == 0)
        rc = rd_envelope_encode(&envelope, ret, err);
    rd_envelope_done(&envelope);
    return rc;
}
