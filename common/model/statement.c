#include "common/model/statement.h"

#include "common/base/mem.h"
#include "common/model/canonical.h"

#include <string.h>

#define TYPE    "redoubt/statement/v1"
#define CHANNEL "tls-exporter"

const char *const rd_purpose_names[] = { "",    "blank", "grant", "status", "client", "channel",
                                         "app", "kms",   "join",  "admit",  "enrol",  NULL };

const char *rd_purpose_name(rd_purpose purpose)
{
    return purpose >= RD_PURPOSE_BLANK && purpose <= RD_PURPOSE_ENROL ? rd_purpose_names[purpose] : "";
}

static int read_kms(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    rd_statement *statement = context;
    if (rd_json_kms_id(item, pointer, &statement->kms[index], err) < 0)
        return -1;
    if (index > 0 && rd_kms_id_equal(&statement->kms[0], &statement->kms[index])) {
        (void)rd_err_set(err, RD_E_JSON_RANGE, "a KMS stands twice");
        return rd_err_at(err, pointer);
    }
    statement->kms_count = index + 1;
    return 0;
}

static int read_kms_list(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_json_each(value, 0, RD_KMS_MAX, pointer, read_kms, into, err);
}

static const rd_json_field key_fields[] = {
    { "chain", RD_JSON_NULL, 0, RD_REQUIRED },
    { "grant", RD_JSON_B64, offsetof(rd_statement, grant_key), RD_NULLABLE, .max = 32,
      .has = RD_HAS(rd_statement, has_grant_key) },
    { "ohttp", RD_JSON_B64, offsetof(rd_statement, ohttp), RD_NULLABLE, .max = 32,
      .has = RD_HAS(rd_statement, has_ohttp) },
    { "receipt", RD_JSON_KEY, offsetof(rd_statement, receipt_key), RD_NULLABLE,
      .has = RD_HAS(rd_statement, has_receipt_key) },
    { "tls", RD_JSON_B64, offsetof(rd_statement, tls), RD_NULLABLE, .max = 32, .has = RD_HAS(rd_statement, has_tls) },
    { "usage", RD_JSON_NULL, 0, RD_REQUIRED },
    RD_JSON_END,
};

/* The only binding known: RFC 9266. */
static const rd_json_field channel_fields[] = {
    { "type", RD_JSON_CONST, 0, RD_REQUIRED, .text = CHANNEL },
    { "value", RD_JSON_B64, offsetof(rd_statement, channel), RD_REQUIRED, .max = RD_CHANNEL_SIZE },
    RD_JSON_END,
};

static const rd_json_field statement_fields[] = {
    { "app", RD_JSON_APP_ID, offsetof(rd_statement, app), RD_NULLABLE, .has = RD_HAS(rd_statement, has_app) },
    { "channel", RD_JSON_OBJECT, 0, RD_NULLABLE, .fields = channel_fields, .has = RD_HAS(rd_statement, has_channel) },
    { "class", RD_JSON_ENUM, offsetof(rd_statement, class), RD_REQUIRED, .names = rd_class_names },
    { "epoch", RD_JSON_U64, offsetof(rd_statement, epoch), RD_REQUIRED },
    { "head", RD_JSON_DIGEST, offsetof(rd_statement, head), RD_NULLABLE, .has = RD_HAS(rd_statement, has_head) },
    { "instance", RD_JSON_ID, offsetof(rd_statement, instance), RD_NULLABLE, .text = RD_PREFIX_INSTANCE,
      .has = RD_HAS(rd_statement, has_instance) },
    { "keys", RD_JSON_OBJECT, 0, RD_REQUIRED, .fields = key_fields },
    { "kms", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_kms_list },
    { "log", RD_JSON_NULL, 0, RD_REQUIRED },
    { "nonce", RD_JSON_B64, offsetof(rd_statement, nonce), RD_REQUIRED, .max = RD_NONCE_SIZE },
    { "purpose", RD_JSON_ENUM, offsetof(rd_statement, purpose), RD_REQUIRED, .names = rd_purpose_names },
    { "release", RD_JSON_DIGEST, offsetof(rd_statement, release), RD_NULLABLE,
      .has = RD_HAS(rd_statement, has_release) },
    { "type", RD_JSON_CONST, 0, RD_REQUIRED, .text = TYPE },
    { "user", RD_JSON_B64, offsetof(rd_statement, user), RD_NULLABLE, .max = 32,
      .has = RD_HAS(rd_statement, has_user) },
    RD_JSON_END,
};

/* Members that must, and that must not, stand under a purpose. */
static int check_purpose(const rd_statement *statement, rd_err *err)
{
    bool has_identity = statement->has_app && statement->has_release && statement->has_head && statement->has_instance;
    bool has_any = statement->has_app || statement->has_release || statement->has_head || statement->has_instance ||
                   statement->has_ohttp || statement->epoch != 0;
    bool is_blank = !has_any && !statement->has_receipt_key && !statement->has_grant_key && !statement->has_user &&
                    statement->kms_count == 0;
    bool is_kms = !has_any && !statement->has_receipt_key && !statement->has_tls && statement->has_user &&
                  statement->kms_count == 1 && memcmp(statement->kms[0].b, statement->user, 32) == 0;
    bool is_app = has_identity && statement->has_receipt_key;
    bool is_ok = false;
    switch (statement->purpose) {
    case RD_PURPOSE_BLANK:
        is_ok = is_blank && !statement->has_tls;
        break;
    case RD_PURPOSE_ENROL:
        is_ok = is_blank && statement->has_tls;
        break;
    case RD_PURPOSE_GRANT:
        is_ok = is_app && statement->has_grant_key && !statement->has_user && statement->kms_count > 0;
        break;
    case RD_PURPOSE_STATUS:
    case RD_PURPOSE_CLIENT:
        is_ok = is_app && !statement->has_grant_key && !statement->has_user;
        break;
    case RD_PURPOSE_APP:
        is_ok = is_app && !statement->has_grant_key && statement->has_user;
        break;
    case RD_PURPOSE_KMS:
    case RD_PURPOSE_ADMIT:
        is_ok = is_kms && !statement->has_grant_key;
        break;
    case RD_PURPOSE_JOIN:
        is_ok = is_kms && statement->has_grant_key;
        break;
    case RD_PURPOSE_CHANNEL:
        is_ok = is_app && !statement->has_grant_key && !statement->has_user && statement->has_tls;
        break;
    }
    if (!is_ok || statement->has_channel != (statement->purpose == RD_PURPOSE_CHANNEL)) {
        (void)rd_err_set(err, RD_E_PURPOSE, "statement: members do not fit purpose %s",
                         rd_purpose_name(statement->purpose));
        return rd_err_at(err, "/purpose");
    }
    return 0;
}

int rd_statement_parse(rd_bytes canonical, rd_statement *ret, rd_err *err)
{
    rd_statement statement = { 0 };
    if (rd_document_load(canonical, TYPE, statement_fields, &statement, err) < 0)
        return rd_err_wrap(err, "statement");
    if (check_purpose(&statement, err) < 0)
        return -1;
    *ret = statement;
    return 0;
}

static void set_b64_or_null(json_t *object, const char *name, bool has, rd_bytes bytes)
{
    if (has)
        rd_json_set_b64(object, name, bytes);
    else
        rd_json_set_null(object, name);
}

static json_t *keys_to_json(const rd_statement *statement)
{
    json_t *keys = json_object();
    set_b64_or_null(keys, "receipt", statement->has_receipt_key, RD_BYTES_ARRAY(statement->receipt_key.b));
    set_b64_or_null(keys, "tls", statement->has_tls, RD_BYTES_ARRAY(statement->tls));
    set_b64_or_null(keys, "grant", statement->has_grant_key, RD_BYTES_ARRAY(statement->grant_key));
    set_b64_or_null(keys, "ohttp", statement->has_ohttp, RD_BYTES_ARRAY(statement->ohttp));
    rd_json_set_null(keys, "chain");
    rd_json_set_null(keys, "usage");
    return keys;
}

static json_t *kms_to_json(const rd_statement *statement)
{
    json_t *list = json_array();
    for (size_t i = 0; i < statement->kms_count; i++)
        (void)json_array_append_new(list, rd_json_new_kms_id(&statement->kms[i]));
    return list;
}

static void set_channel(json_t *document, const rd_statement *statement)
{
    if (!statement->has_channel) {
        rd_json_set_null(document, "channel");
        return;
    }
    json_t *channel = json_object();
    rd_json_set_str(channel, "type", CHANNEL);
    rd_json_set_b64(channel, "value", RD_BYTES_ARRAY(statement->channel));
    rd_json_set(document, "channel", channel);
}

int rd_statement_encode(const rd_statement *statement, rd_buf *out, rd_err *err)
{
    if (check_purpose(statement, err) < 0)
        return -1;
    RD_CLEANUP(rd_json_free_p) json_t *document = json_object();
    rd_json_set_str(document, "type", TYPE);
    rd_json_set_str(document, "purpose", rd_purpose_name(statement->purpose));
    rd_json_set_str(document, "class", rd_class_name(statement->class));
    rd_json_set_b64(document, "nonce", RD_BYTES_ARRAY(statement->nonce));
    rd_json_set_app_id(document, "app", statement->has_app ? &statement->app : NULL);
    rd_json_set_digest(document, "release", statement->has_release ? &statement->release : NULL);
    rd_json_set_digest(document, "head", statement->has_head ? &statement->head : NULL);
    rd_json_set(document, "kms", kms_to_json(statement));
    rd_json_set_id(document, "instance", RD_PREFIX_INSTANCE, statement->has_instance ? &statement->instance : NULL);
    rd_json_set_int(document, "epoch", (int64_t)statement->epoch);
    rd_json_set(document, "keys", keys_to_json(statement));
    set_channel(document, statement);
    set_b64_or_null(document, "user", statement->has_user, RD_BYTES_ARRAY(statement->user));
    rd_json_set_null(document, "log");
    return rd_canonical_write(document, out, err);
}

void rd_statement_digest(rd_bytes canonical, rd_digest *ret)
{
    RD_H(ret->b, RD_HASH_STATEMENT, canonical);
}

void rd_statement_report_data(rd_bytes canonical, uint8_t out[RD_REPORT_DATA_SIZE])
{
    rd_evidence_hash(RD_EVIDENCE_EVIDENCE, canonical, out);
}
