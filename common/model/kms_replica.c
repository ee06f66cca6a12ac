#include "common/model/kms_replica.h"

#include "common/base/mem.h"
#include "common/model/canonical.h"

#include <string.h>

static int sign(rd_bytes document, const rd_signing_key *key, rd_sign_label label, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope = { 0 };
    rd_envelope_init(&envelope, document);
    if (rd_envelope_sign(&envelope, key, label, err) < 0)
        return -1;
    return rd_envelope_encode(&envelope, out, err);
}

/* --- certificates --- */

#define CERTIFICATE_TYPE "redoubt/kms-replica/v1"

static const rd_json_field certificate_fields[] = {
    { "key", RD_JSON_KEY, offsetof(rd_kms_certificate, key), RD_REQUIRED },
    { "kms", RD_JSON_KMS_ID, offsetof(rd_kms_certificate, kms), RD_REQUIRED },
    { "measurement", RD_JSON_HEX, offsetof(rd_kms_certificate, measurement), RD_REQUIRED,
      .max = RD_KMS_MEASUREMENT_SIZE },
    { "not_after", RD_JSON_TIME, offsetof(rd_kms_certificate, not_after_us), RD_REQUIRED },
    { "platform", RD_JSON_HEX, offsetof(rd_kms_certificate, platform), RD_REQUIRED, .max = 32 },
    { "type", RD_JSON_CONST, 0, RD_REQUIRED, .text = CERTIFICATE_TYPE },
    { "use", RD_JSON_CONST, 0, RD_REQUIRED, .text = "grant" },
    RD_JSON_END,
};

int rd_kms_certificate_parse(rd_bytes canonical, rd_kms_certificate *ret, rd_err *err)
{
    rd_kms_certificate certificate = { 0 };
    if (rd_document_load(canonical, CERTIFICATE_TYPE, certificate_fields, &certificate, err) < 0)
        return rd_err_wrap(err, "certificate of a replica");
    *ret = certificate;
    return 0;
}

int rd_kms_certificate_encode(const rd_kms_certificate *certificate, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *document = json_object();
    rd_json_set_str(document, "type", CERTIFICATE_TYPE);
    rd_json_set_kms_id(document, "kms", &certificate->kms);
    rd_json_set_b64(document, "key", RD_BYTES_ARRAY(certificate->key.b));
    rd_json_set_str(document, "use", "grant");
    rd_json_set_hex(document, "measurement", RD_BYTES_ARRAY(certificate->measurement));
    rd_json_set_hex(document, "platform", RD_BYTES_ARRAY(certificate->platform));
    rd_json_set_time(document, "not_after", certificate->not_after_us);
    return rd_canonical_write(document, out, err);
}

int rd_kms_certificate_sign(const rd_kms_certificate *certificate, const rd_signing_key *root, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    if (rd_kms_certificate_encode(certificate, &document, err) < 0)
        return -1;
    return sign(rd_buf_bytes(&document), root, RD_SIGN_KMS_REPLICA, out, err);
}

static int refuse(rd_err *err, const char *sentence)
{
    return rd_err_set(err, RD_E_GRANT_SIGNATURE, "certificate of a replica: %s", sentence);
}

int rd_kms_certificate_accept(rd_bytes envelope_json, const rd_kms_genesis *genesis, const rd_kms_id *kms,
                              int64_t now_us, rd_kms_certificate *ret, rd_err *err)
{
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope = { 0 };
    rd_kms_certificate certificate;
    if (rd_envelope_parse(envelope_json, &envelope, err) < 0)
        return rd_err_wrap(err, "certificate of a replica");
    if (rd_envelope_verify_key(&envelope, &genesis->root, RD_SIGN_KMS_REPLICA, err) < 0)
        return refuse(err, "not signed by the root of the genesis");
    if (rd_kms_certificate_parse(rd_buf_bytes(&envelope.document), &certificate, err) < 0)
        return -1;
    if (!rd_kms_id_equal(&certificate.kms, kms))
        return refuse(err, "of another key service");
    if (!rd_kms_genesis_lists_build(genesis, certificate.measurement) ||
        !rd_kms_genesis_lists_platform(genesis, certificate.platform))
        return refuse(err, "of a build or a machine that the genesis does not list");
    if (now_us >= certificate.not_after_us)
        return refuse(err, "out of date");
    *ret = certificate;
    return 0;
}

/* --- records --- */

#define RECORD_TYPE "redoubt/kms-record/v1"

static const char *const kind_names[] = { "", "start", "grant", "refusal", "join", "recovery", NULL };

static const rd_json_field record_fields[] = {
    { "app", RD_JSON_APP_ID, offsetof(rd_kms_record, app), RD_NULLABLE, .has = RD_HAS(rd_kms_record, has_app) },
    { "at", RD_JSON_TIME, offsetof(rd_kms_record, at_us), RD_REQUIRED },
    { "epoch", RD_JSON_U64, offsetof(rd_kms_record, epoch), RD_REQUIRED },
    { "head", RD_JSON_DIGEST, offsetof(rd_kms_record, head), RD_NULLABLE, .has = RD_HAS(rd_kms_record, has_head) },
    { "instance", RD_JSON_ID, offsetof(rd_kms_record, instance), RD_NULLABLE, .text = RD_PREFIX_INSTANCE,
      .has = RD_HAS(rd_kms_record, has_instance) },
    { "kind", RD_JSON_ENUM, offsetof(rd_kms_record, kind), RD_REQUIRED, .names = kind_names },
    { "kms", RD_JSON_KMS_ID, offsetof(rd_kms_record, kms), RD_REQUIRED },
    { "number", RD_JSON_U64, offsetof(rd_kms_record, number), RD_REQUIRED, .min = 1 },
    { "prev", RD_JSON_DIGEST, offsetof(rd_kms_record, prev), RD_NULLABLE, .has = RD_HAS(rd_kms_record, has_prev) },
    { "reason", RD_JSON_TEXT, offsetof(rd_kms_record, reason), RD_NULLABLE, .min = 1,
      .max = sizeof((rd_kms_record *)0)->reason - 1 },
    { "release", RD_JSON_DIGEST, offsetof(rd_kms_record, release), RD_NULLABLE,
      .has = RD_HAS(rd_kms_record, has_release) },
    { "replica", RD_JSON_KEY, offsetof(rd_kms_record, replica), RD_REQUIRED },
    { "statement", RD_JSON_DIGEST, offsetof(rd_kms_record, statement), RD_NULLABLE,
      .has = RD_HAS(rd_kms_record, has_statement) },
    { "type", RD_JSON_CONST, 0, RD_REQUIRED, .text = RECORD_TYPE },
    { "until", RD_JSON_TIME, offsetof(rd_kms_record, until_us), RD_NULLABLE, .has = RD_HAS(rd_kms_record, has_until) },
    RD_JSON_END,
};

int rd_kms_record_parse(rd_bytes canonical, rd_kms_record *ret, rd_err *err)
{
    rd_kms_record record = { 0 };
    if (rd_document_load(canonical, RECORD_TYPE, record_fields, &record, err) < 0)
        return rd_err_wrap(err, "record");
    if (record.has_prev != (record.number > 1) || (record.reason[0] != '\0') != (record.kind == RD_KMS_RECORD_REFUSAL))
        return rd_err_set(err, RD_E_JSON_RANGE, "record: its members do not fit each other");
    *ret = record;
    return 0;
}

int rd_kms_record_encode(const rd_kms_record *record, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *document = json_object();
    rd_json_set_str(document, "type", RECORD_TYPE);
    rd_json_set_kms_id(document, "kms", &record->kms);
    rd_json_set_b64(document, "replica", RD_BYTES_ARRAY(record->replica.b));
    rd_json_set_int(document, "number", (int64_t)record->number);
    rd_json_set_digest(document, "prev", record->has_prev ? &record->prev : NULL);
    rd_json_set_str(document, "kind", kind_names[record->kind]);
    rd_json_set_time(document, "at", record->at_us);
    rd_json_set_app_id(document, "app", record->has_app ? &record->app : NULL);
    rd_json_set_digest(document, "release", record->has_release ? &record->release : NULL);
    rd_json_set_digest(document, "head", record->has_head ? &record->head : NULL);
    rd_json_set_id(document, "instance", RD_PREFIX_INSTANCE, record->has_instance ? &record->instance : NULL);
    rd_json_set_int(document, "epoch", (int64_t)record->epoch);
    rd_json_set_digest(document, "statement", record->has_statement ? &record->statement : NULL);
    if (record->has_until)
        rd_json_set_time(document, "until", record->until_us);
    else
        rd_json_set_null(document, "until");
    rd_json_set_str(document, "reason", record->reason[0] ? record->reason : NULL);
    return rd_canonical_write(document, out, err);
}

int rd_kms_record_sign(const rd_kms_record *record, const rd_signing_key *replica, rd_buf *out, rd_digest *ret_digest,
                       rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    if (rd_kms_record_encode(record, &document, err) < 0)
        return -1;
    RD_H(ret_digest->b, RD_HASH_RECORD, rd_buf_bytes(&document));
    return sign(rd_buf_bytes(&document), replica, RD_SIGN_RECORD, out, err);
}

int rd_kms_record_accept(rd_bytes envelope_json, const rd_public_key *replica, rd_kms_record *ret,
                         rd_digest *ret_digest, rd_err *err)
{
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope = { 0 };
    if (rd_envelope_parse(envelope_json, &envelope, err) < 0 ||
        rd_envelope_verify_key(&envelope, replica, RD_SIGN_RECORD, err) < 0 ||
        rd_kms_record_parse(rd_buf_bytes(&envelope.document), ret, err) < 0)
        return rd_err_wrap(err, "record");
    if (!rd_public_key_equal(&ret->replica, replica))
        return rd_err_set(err, RD_E_SIGNATURE, "record: it names another replica");
    RD_H(ret_digest->b, RD_HASH_RECORD, rd_buf_bytes(&envelope.document));
    return 0;
}
