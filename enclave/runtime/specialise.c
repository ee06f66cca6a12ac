#include "enclave/runtime/specialise.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/model/envelope.h"
#include "common/model/genesis.h"
#include "common/model/head.h"

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
}

static const rd_json_field start_fields[] = {
    { .name = "instance", .kind = RD_JSON_ID, .offset = offsetof(encl_start, instance), .text = RD_PREFIX_INSTANCE },
    { .name = "epoch", .kind = RD_JSON_U64, .offset = offsetof(encl_start, epoch) },
    { .name = "nonce", .kind = RD_JSON_B64, .offset = offsetof(encl_start, nonce), .max = RD_NONCE_SIZE },
    { .name = "host_time", .kind = RD_JSON_TIME, .offset = offsetof(encl_start, host_time_us) },
    RD_JSON_END,
};

int encl_start_parse(rd_bytes json, encl_start *ret, rd_err *err)
{
    memset(ret, 0, sizeof(*ret));
    if (rd_json_load(json, NULL, start_fields, RD_UNKNOWN_REFUSED, ret, err) < 0)
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
    rd_head head;
    rd_head_check check = { .genesis = genesis, .app = &app->id, .now_us = &now_us, .class = &class };
    int outcome = rd_envelope_parse(rd_buf_bytes(&documents->head), &envelope, err);
    if (outcome == 0)
        outcome = rd_head_accept(&envelope, &check, &head, &app->head, err);
    if (outcome == 0 && !rd_head_lists(&head, &app->release))
        outcome = rd_err_set(err, RD_E_RELEASE_NOT_ALLOWED, "head %llu does not list the release",
                             (unsigned long long)head.seq);
    rd_envelope_done(&envelope);
    return outcome < 0 ? rd_err_wrap(err, "head") : 0;
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
    return outcome < 0 ? rd_err_wrap(err, "release") : 0;
}

static int open_code(const encl_documents *documents, encl_app *app, rd_err *err)
{
    rd_bytes code = rd_buf_bytes(&documents->code);
    rd_digest digest;
    rd_sha256(code, digest.b);
    if (!rd_digest_equal(&digest, &app->manifest.code_digest) || code.size != app->manifest.code_size)
        return rd_err_set(err, RD_E_CODE_MISMATCH, "the code of %zu bytes is not what the release names", code.size);
    if (app->manifest.is_sealed)
        return rd_err_set(err, RD_E_UNSUPPORTED, "sealed code opens with the key of a grant alone");
    if (rd_code_bundle_parse(code, &app->code, err) < 0)
        return rd_err_wrap(err, "code");
    return 0;
}

int encl_app_open(const encl_documents *documents, rd_class class, int64_t now_us, encl_app *ret, rd_err *err)
{
    memset(ret, 0, sizeof(*ret));
    rd_release_init(&ret->manifest);
    rd_launch_header header;
    if (rd_launch_header_parse(RD_BYTES_ARRAY(documents->header), &header, err) < 0)
        return rd_err_wrap(err, "header");
    rd_digest no_kms;
    rd_kms_set_digest(NULL, 0, &no_kms);
    if (!rd_digest_equal(&header.kms_set, &no_kms))
        return rd_err_set(err, RD_E_HEADER_MISMATCH, "the header names a set of KMS, the head knows none");
    ret->id = header.app;
    ret->release = header.release;
    ret->class = class;
    rd_genesis genesis;
    if (rd_genesis_open(rd_buf_bytes(&documents->genesis), &ret->id, &genesis, err) < 0)
        return rd_err_wrap(err, "genesis");
    if (open_head(documents, &genesis, class, now_us, ret, err) < 0 || open_release(documents, &genesis, ret, err) < 0)
        return -1;
    return open_code(documents, ret, err);
}
