#include "api/grant_proof.h"

#include "common/model/grant.h"
#include "common/model/kms_replica.h"

static bool is_of_claim(const rd_kms_record *record, const api_grant_claim *claim)
{
    return record->kind == RD_KMS_RECORD_GRANT && record->has_app && rd_app_id_equal(&record->app, &claim->app) &&
           record->has_release && rd_digest_equal(&record->release, &claim->release) && record->has_instance &&
           rd_id_equal(&record->instance, &claim->instance) && record->epoch == claim->epoch && record->has_statement &&
           rd_digest_equal(&record->statement, &claim->statement);
}

int api_grant_proof_check(rd_bytes answer, const api_grant_claim *claim, rd_err *err)
{
    rd_kms_genesis genesis;
    rd_grant_answer parts;
    rd_kms_certificate certificate;
    rd_kms_record record;
    rd_digest digest;
    if (rd_kms_genesis_open(claim->kms_genesis, &claim->kms, &genesis, err) < 0 ||
        rd_grant_answer_parse(answer, &parts, err) < 0 ||
        rd_kms_certificate_accept(parts.certificate, &genesis, &claim->kms, claim->now_us, &certificate, err) < 0 ||
        rd_kms_record_accept(parts.record, &certificate.key, &record, &digest, err) < 0)
        return -1;
    if (!rd_kms_id_equal(&record.kms, &claim->kms) || !is_of_claim(&record, claim))
        return rd_err_set(err, RD_E_GRANT_MISMATCH, "the key service's record is not of this grant");
    return 0;
}
