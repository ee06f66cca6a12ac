#include "enclave/runtime/specialise.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/model/code_seal.h"
#include "common/model/envelope.h"
#include "common/model/genesis.h"
#include "common/model/kms_genesis.h"
#include "enclave/engine/engine.h"

void encl_documents_done(encl_documents *documents)
{
    rd_buf_done(&documents->genesis);
    rd_buf_done(&documents->head);
    rd_buf_done(&documents->release);
    rd_buf_done(&documents->code);
}

void encl_app_done(encl_app *app)
{
    rd_release_done(&app->manifest);
    rd_code_bundle_done(&app->code);
    rd_buf_done(&app->kms_genesis);
}

void encl_start_done(encl_start *start)
{
    rd_buf_done(&start->kms_genesis);
}

static const rd_json_field grant_fields[] = {
    { .name = "genesis",
      .kind = RD_JSON_B64_BUF,
      .offset = offsetof(encl_start, kms_genesis),
      .min = 1,
      .max = (int64_t)RD_JSON_SIZE_MAX },
    { .name = "kms", .kind = RD_JSON_KMS_ID, .offset = offsetof(encl_start, kms) },
    { .name = "nonce",
      .kind = RD_JSON_B64,
      .offset = offsetof(encl_start, grant_nonce),
      .flags = RD_NULLABLE,
      .max = RD_NONCE_SIZE,
      .has = RD_HAS(encl_start, has_grant_nonce) },
    RD_JSON_END,
};

static const rd_json_field start_fields[] = {
    { .name = "grant",
      .kind = RD_JSON_OBJECT,
      .offset = 0,
      .flags = RD_NULLABLE,
      .fields = grant_fields,
      .has = RD_HAS(encl_start, has_grant) },
    { .name = "instance", .kind = RD_JSON_ID, .offset = offsetof(encl_start, instance), .text = RD_PREFIX_INSTANCE },
    { .name = "epoch", .kind = RD_JSON_U64, .offset = offsetof(encl_start, epoch) },
    { .name = "nonce", .kind = RD_JSON_B64, .offset = offsetof(encl_start, nonce), .max = RD_NONCE_SIZE },
    { .name = "host_time", .kind = RD_JSON_TIME, .offset = offsetof(encl_start, host_time_us) },
    RD_JSON_END,
};

int encl_start_parse(rd_bytes json, encl_start *ret, rd_err *err)
{
    memset(ret, 0, sizeof(*ret));
    static const rd_json_limits limits = { .size_max = ENCL_START_SIZE_MAX };
    if (rd_json_load(json, &limits, start_fields, RD_UNKNOWN_REFUSED, ret, err) < 0)
        return rd_err_wrap(err, "start");
    return 0;
}

typedef struct evidence_order {
    char purpose[17];
    uint8_t nonce[RD_NONCE_SIZE];
} evidence_order;

static const rd_json_field order_fields[] = {
    { .name = "purpose", .kind = RD_JSON_TEXT, .offset = offsetof(evidence_order, purpose), .min = 1, .max = 16 },
    { .name = "nonce", .kind = RD_JSON_B64, .offset = offsetof(evidence_order, nonce), .max = RD_NONCE_SIZE },
    RD_JSON_END,
};

int encl_evidence_order_parse(rd_bytes json, uint8_t ret_nonce[RD_NONCE_SIZE], rd_err *err)
{
    evidence_order order = { .purpose = "" };
    if (rd_json_load(json, NULL, order_fields, RD_UNKNOWN_REFUSED, &order, err) < 0)
        return rd_err_wrap(err, "evidence order");
    if (strcmp(order.purpose, "status") != 0)
        return rd_err_set(err, RD_E_PURPOSE, "the agent may ask for purpose status alone, not %s", order.purpose);
    memcpy(ret_nonce, order.nonce, RD_NONCE_SIZE);
    return 0;
}

static int open_head(const encl_documents *documents, const rd_genesis *genesis, rd_class class, int64_t now_us,
                     encl_app *app, rd_err *err)
{
    rd_envelope envelope = { 0 };
    rd_head head = { 0 };
    rd_head_check check = { .genesis = genesis, .app = &app->id, .now_us = &now_us, .class = &class };
    rd_digest digest = { { 0 } };
    int outcome = rd_envelope_parse(rd_buf_bytes(&documents->head), &envelope, err);
    if (outcome == 0)
        outcome = rd_head_accept(&envelope, &check, &head, &digest, err);
    if (outcome == 0 && !rd_head_lists(&head, &app->release))
        outcome = rd_err_set(err, RD_E_RELEASE_NOT_ALLOWED, "head %llu does not list the release",
                             (unsigned long long)head.seq);
    rd_envelope_done(&envelope);
    if (outcome < 0)
        return rd_err_wrap(err, "head");
    app->head = (encl_head){ rd_head_known_of(&head, &digest), head.policy.webhook };
    app->has_kms = head.kms_count > 0;
    if (app->has_kms)
        app->kms = head.kms[0];
    app->secrets_count = head.secrets_count;
    app->secrets_root = head.secrets_root;
    return 0;
}

/* Whatever was started under the app's own head goes on unchanged under this one. */
static int check_next(const encl_app *app, const rd_head *head, rd_err *err)
{
    if (!rd_head_lists(head, &app->release))
        return rd_err_set(err, RD_E_RELEASE_NOT_ALLOWED, "it does not list the release");
    if (head->kms_count != 1 || !rd_kms_id_equal(&head->kms[0], &app->kms))
        return rd_err_set(err, RD_E_KMS_SET, "it names another key service");
    if (head->secrets_count != app->secrets_count ||
        (head->secrets_count > 0 && !rd_digest_equal(&head->secrets_root, &app->secrets_root)))
        return rd_err_set(err, RD_E_SECRETS_INCOMPLETE, "its secrets are others than those that were read here");
    return 0;
}

int encl_app_next_head(const encl_documents *documents, const encl_app *app, rd_bytes envelope, int64_t now_us,
                       encl_head *seen, bool *ret_fits, rd_err *err)
{
    RD_CLEANUP(rd_envelope_done) rd_envelope parsed = { 0 };
    rd_genesis genesis;
    rd_head head;
    rd_digest digest;
    const rd_head_check check = { .genesis = &genesis,
                                  .app = &app->id,
                                  .known = &seen->known,
                                  .now_us = &now_us,
                                  .class = &app->class };
    if (rd_genesis_open(rd_buf_bytes(&documents->genesis), &app->id, &genesis, err) < 0 ||
        rd_envelope_parse(envelope, &parsed, err) < 0 || rd_head_accept(&parsed, &check, &head, &digest, err) < 0)
        return rd_err_wrap(err, "newer head");
    *seen = (encl_head){ rd_head_known_of(&head, &digest), head.policy.webhook };
    *ret_fits = check_next(app, &head, err) == 0;
    if (!*ret_fits)
        rd_err_prefix(err, "newer head");
    return 0;
}

/* The header was measured with the head's key service, and START brings that one's genesis. */
static int open_kms(const rd_launch_header *header, const encl_start *start, encl_app *app, rd_err *err)
{
    rd_kms_genesis genesis;
    rd_digest set;
    rd_kms_set_digest(&app->kms, app->has_kms, &set);
    if (!rd_digest_equal(&header->kms_set, &set))
        return rd_err_set(err, RD_E_HEADER_MISMATCH, "the header was measured with another set of key services");
    if (app->has_kms != start->has_grant || (app->has_kms && !rd_kms_id_equal(&app->kms, &start->kms)))
        return rd_err_set(err, RD_E_KMS_SET, "the start names another key service than the head");
    if (!app->has_kms)
        return app->manifest.is_sealed ? rd_err_set(err, RD_E_KMS_SET, "sealed code needs a key service") : 0;
    if (rd_kms_genesis_open(rd_buf_bytes(&start->kms_genesis), &app->kms, &genesis, err) < 0)
        return rd_err_wrap(err, "key service");
    if (genesis.class != app->class)
        return rd_err_set(err, RD_E_CLASS_MISMATCH, "the key service is of the other class");
    rd_buf_init(&app->kms_genesis, RD_JSON_SIZE_MAX);
    (void)rd_buf_append_bytes(&app->kms_genesis, rd_buf_bytes(&start->kms_genesis));
    return 0;
}

static int open_release(const encl_documents *documents, const rd_genesis *genesis, encl_app *app, rd_err *err)
{
    rd_envelope envelope = { 0 };
    rd_digest digest;
    int outcome = rd_envelope_parse(rd_buf_bytes(&documents->release), &envelope, err);
    if (outcome == 0)
        outcome = rd_release_accept(&envelope, genesis, &app->id, &app->manifest, &digest, err);
    if (outcome == 0 && !rd_digest_equal(&digest, &app->release))
        outcome = rd_err_set(err, RD_E_HEADER_MISMATCH, "another release than the header measured");
    rd_envelope_done(&envelope);
    if (outcome == 0 && strcmp(rd_engine_names[app->manifest.engine], encl_engine_name()) != 0)
        outcome = rd_err_set(err, RD_E_ENGINE_MISMATCH, "it asks for engine %s, and this is %s",
                             rd_engine_names[app->manifest.engine], encl_engine_name());
    return outcome < 0 ? rd_err_wrap(err, "release") : 0;
}

static int open_code(const encl_documents *documents, encl_app *app, rd_err *err)
{
    rd_bytes code = rd_buf_bytes(&documents->code);
    rd_digest digest;
    rd_sha256(code, digest.b);
    if (!rd_digest_equal(&digest, &app->manifest.code_digest) || code.size != app->manifest.code_size)
        return rd_err_set(err, RD_E_CODE_MISMATCH, "the code of %zu bytes is not what the release names", code.size);
    if (!app->manifest.is_sealed && rd_code_bundle_parse(code, &app->code, err) < 0)
        return rd_err_wrap(err, "code");
    return 0;
}

int encl_app_open_code(const encl_documents *documents, const uint8_t key[32], encl_app *app, rd_err *err)
{
    RD_CLEANUP(rd_buf_wipe) rd_buf code = { .size_max = RD_CODE_BUNDLE_SIZE_MAX };
    if (rd_code_open(key, rd_buf_bytes(&documents->code), &code, err) < 0 ||
        rd_code_bundle_parse(rd_buf_bytes(&code), &app->code, err) < 0)
        return rd_err_wrap(err, "code");
    return 0;
}

int encl_app_open(const encl_documents *documents, const encl_start *start, rd_class class, int64_t now_us,
                  encl_app *ret, rd_err *err)
{
    memset(ret, 0, sizeof(*ret));
    rd_release_init(&ret->manifest);
    rd_launch_header header;
    if (rd_launch_header_parse(RD_BYTES_ARRAY(documents->header), &header, err) < 0)
        return rd_err_wrap(err, "header");
    ret->id = header.app;
    ret->release = header.release;
    ret->class = class;
    rd_genesis genesis;
    if (rd_genesis_open(rd_buf_bytes(&documents->genesis), &ret->id, &genesis, err) < 0)
        return rd_err_wrap(err, "genesis");
    if (open_head(documents, &genesis, class, now_us, ret, err) < 0 ||
        open_release(documents, &genesis, ret, err) < 0 || open_kms(&header, start, ret, err) < 0)
        return -1;
    return open_code(documents, ret, err);
}
