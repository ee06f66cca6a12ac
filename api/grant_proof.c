#include "api/grant_proof.h"

#include "common/base/mem.h"

static bool is_of_claim(const rd_kms_record *record, const api_grant_claim *claim)
{
    return record->kind == RD_KMS_RECORD_GRANT && record->has_app && rd_app_id_equal(&record->app, &claim->app) &&
           record->has_release && rd_digest_equal(&record->release, &claim->release) && record->has_instance &&
           rd_id_equal(&record->instance, &claim->instance) && record->epoch == claim->epoch && record->has_statement &&
           rd_digest_equal(&record->statement, &claim->statement);
}

int api_grant_proof_check(const rd_grant_answer *answer, const api_grant_claim *claim, rd_kms_record *ret, rd_err *err)
{
    rd_kms_genesis genesis;
    rd_kms_certificate certificate;
    rd_digest digest;
    if (rd_kms_genesis_open(claim->kms_genesis, &claim->kms, &genesis, err) < 0 ||
        rd_kms_certificate_accept(answer->certificate, &genesis, &claim->kms, claim->now_us, &certificate, err) < 0 ||
        rd_kms_record_accept(answer->record, &certificate.key, ret, &digest, err) < 0)
        return -1;
    if (!rd_kms_id_equal(&ret->kms, &claim->kms) || !is_of_claim(ret, claim))
        return rd_err_set(err, RD_E_GRANT_MISMATCH, "the key service's record is not of this grant");
    return 0;
}

/* What the refusal could not establish is null. */
static bool may_be_of_claim(const rd_kms_record *record, const api_grant_claim *claim)
{
    return record->kind == RD_KMS_RECORD_REFUSAL && rd_kms_id_equal(&record->kms, &claim->kms) &&
           (!record->has_app || rd_app_id_equal(&record->app, &claim->app)) &&
           (!record->has_release || rd_digest_equal(&record->release, &claim->release)) &&
           (!record->has_instance ||
            (rd_id_equal(&record->instance, &claim->instance) && record->epoch == claim->epoch)) &&
           (!record->has_statement || rd_digest_equal(&record->statement, &claim->statement));
}

int api_grant_refusal_check(rd_bytes bytes, const api_grant_claim *claim, rd_kms_record *ret, rd_err *err)
{
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope = { 0 };
    rd_kms_record named;
    rd_digest digest;
    if (bytes.size > RD_KMS_DOCUMENT_SIZE_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "a record of %zu bytes", bytes.size);
    if (rd_envelope_parse(bytes, &envelope, err) < 0 ||
        rd_kms_record_parse(rd_buf_bytes(&envelope.document), &named, err) < 0 ||
        rd_kms_record_accept(bytes, &named.replica, ret, &digest, err) < 0)
        return -1;
    if (!may_be_of_claim(ret, claim))
        return rd_err_set(err, RD_E_GRANT_MISMATCH, "the refusal's record is not of this question");
    return 0;
}
