#include "common/model/kms_wire.h"

#include "common/base/cursor.h"
#include "common/base/text.h"
#include "common/model/grant.h"
#include "common/model/kms_share.h"
#include "common/model/ticket.h"
#include "common/model/webhook.h"

#include "common/model/evidence.h"

#define FRAME_SIZE_MAX ((size_t)2 << 20)

size_t rd_kms_request_max(uint8_t type)
{
    switch (type) {
    case RD_KMS_NONCE:
        return 2;
    case RD_KMS_EVIDENCE:
        return 32;
    case RD_KMS_SEAL_KEY:
        return 40;
    case RD_KMS_COLLATERAL:
        return (size_t)1 << 20;
    case RD_KMS_GRANT:
        return RD_KMS_GRANT_MAX;
    case RD_KMS_ADMIT:
        return RD_NONCE_SIZE;
    case RD_KMS_JOIN:
        return RD_KMS_JOIN_MAX;
    case RD_KMS_ROOT:
        return RD_EVIDENCE_SIZE_MAX;
    case RD_KMS_JOINED:
        return RD_KMS_ROOT_MAX;
    case RD_KMS_RECOVER:
        return RD_NONCE_SIZE + RD_DOCUMENT_SIZE_MAX;
    case RD_KMS_SHARE:
        return RD_KMS_SHARE_SEALED_SIZE;
    default:
        return 0;
    }
}

size_t rd_kms_answer_max(uint8_t type)
{
    switch (type) {
    case RD_KMS_NONCE:
        return (size_t)RD_KMS_NONCES_MAX * 32;
    case RD_KMS_EVIDENCE:
        return RD_EVIDENCE_SIZE_MAX;
    case RD_KMS_SEAL_KEY:
        return RD_X25519_SIZE + RD_SIGNATURE_SIZE;
    case RD_KMS_GRANT:
        return RD_GRANT_SIZE_MAX;
    case RD_KMS_JOIN_NONCE:
        return RD_NONCE_SIZE;
    case RD_KMS_ADMIT:
        return RD_NONCE_SIZE + RD_EVIDENCE_SIZE_MAX;
    case RD_KMS_JOIN:
        return RD_EVIDENCE_SIZE_MAX;
    case RD_KMS_ROOT:
        return RD_KMS_ROOT_MAX;
    case RD_KMS_RECOVER:
        return RD_EVIDENCE_SIZE_MAX;
    case RD_KMS_SHARE:
        return 2 + RD_KMS_RECORDS_MAX;
    case RD_KMS_JOINED:
        return RD_KMS_RECORDS_MAX;
    case RD_KMS_GENESIS:
        return RD_JSON_SIZE_MAX;
    default:
        return 0;
    }
}

int rd_kms_frame(uint8_t type, rd_bytes payload, rd_buf *out, rd_err *err)
{
    (void)rd_buf_append_u32be(out, (uint32_t)payload.size + 1);
    (void)rd_buf_append_u8(out, type);
    return rd_buf_append_bytes(out, payload) ? 0 : rd_err_set(err, RD_E_TOO_LARGE, "no room for the frame");
}

static int head(const uint8_t bytes[RD_KMS_FRAME_HEAD], rd_kms_head *ret, rd_err *err)
{
    rd_cursor cursor = rd_cursor_of(rd_bytes_of(bytes, RD_KMS_FRAME_HEAD));
    uint32_t size = rd_cursor_u32be(&cursor);
    ret->type = rd_cursor_u8(&cursor);
    if (size == 0 || size > FRAME_SIZE_MAX)
        return rd_err_set(err, RD_E_KMS_FRAME, "a frame of %u bytes", size);
    ret->size = size - 1;
    return 0;
}

int rd_kms_head_request(const uint8_t bytes[RD_KMS_FRAME_HEAD], rd_kms_head *ret, rd_err *err)
{
    if (head(bytes, ret, err) < 0)
        return -1;
    if (ret->type < RD_KMS_NONCE || ret->type >= RD_KMS_TYPE_END)
        return rd_err_set(err, RD_E_KMS_FRAME, "no request has type 0x%02x", ret->type);
    if (ret->size > rd_kms_request_max(ret->type))
        return rd_err_set(err, RD_E_TOO_LARGE, "a request of type %u has at most %zu bytes, not %zu", ret->type,
                          rd_kms_request_max(ret->type), ret->size);
    return 0;
}

int rd_kms_head_answer(const uint8_t bytes[RD_KMS_FRAME_HEAD], uint8_t asked, rd_kms_head *ret, rd_err *err)
{
    if (head(bytes, ret, err) < 0)
        return -1;
    if (ret->type != RD_KMS_REFUSAL && ret->type != (RD_KMS_ANSWER | asked))
        return rd_err_set(err, RD_E_KMS_FRAME, "type 0x%02x answers no request of type %u", ret->type, asked);
    size_t size_max = ret->type == RD_KMS_REFUSAL ? (size_t)16 << 10 : rd_kms_answer_max(asked);
    if (ret->size > size_max)
        return rd_err_set(err, RD_E_TOO_LARGE, "an answer of %zu bytes, at most %zu", ret->size, size_max);
    return 0;
}

/* --- the grant message --- */

static bool put_part(rd_buf *out, rd_bytes part)
{
    return rd_buf_append_u32be(out, (uint32_t)part.size) && rd_buf_append_bytes(out, part);
}

int rd_kms_grant_message_encode(const rd_kms_grant_message *message, rd_buf *out, rd_err *err)
{
    size_t before = out->size;
    bool is_ok = put_part(out, message->evidence) && put_part(out, message->genesis) && put_part(out, message->head) &&
                 put_part(out, message->release) && put_part(out, message->ticket) && put_part(out, message->secrets) &&
                 put_part(out, message->newest) && (message->webhook.size == 0 || put_part(out, message->webhook));
    if (!is_ok || out->size - before > RD_KMS_GRANT_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "what a grant is asked with has at most %zu bytes", RD_KMS_GRANT_MAX);
    return 0;
}

static rd_bytes take_part(rd_cursor *cursor, size_t size_max)
{
    uint32_t size = rd_cursor_u32be(cursor);
    if (size > size_max)
        cursor->has_failed = true;
    return rd_cursor_take(cursor, size);
}

int rd_kms_grant_message_parse(rd_bytes bytes, rd_kms_grant_message *ret, rd_err *err)
{
    rd_cursor cursor = rd_cursor_of(bytes);
    ret->evidence = take_part(&cursor, RD_EVIDENCE_SIZE_MAX);
    ret->genesis = take_part(&cursor, RD_DOCUMENT_SIZE_MAX);
    ret->head = take_part(&cursor, RD_ENVELOPE_SIZE_MAX);
    ret->release = take_part(&cursor, RD_ENVELOPE_SIZE_MAX);
    ret->ticket = take_part(&cursor, RD_TICKET_SIZE_MAX);
    ret->secrets = take_part(&cursor, RD_KMS_SECRETS_MAX);
    ret->newest = take_part(&cursor, RD_ENVELOPE_SIZE_MAX);
    ret->webhook = RD_BYTES_NULL;
    bool has_webhook = rd_cursor_is_ok(&cursor) && !rd_cursor_is_done(&cursor);
    if (has_webhook)
        ret->webhook = take_part(&cursor, RD_WEBHOOK_ANSWER_SIZE);
    if (!rd_cursor_is_done(&cursor) || (has_webhook && ret->webhook.size != RD_WEBHOOK_ANSWER_SIZE))
        return rd_err_set(err, RD_E_KMS_FRAME, "the parts of the message do not fill it, or one is too large");
    return 0;
}

/* --- the join message --- */

int rd_kms_join_message_encode(const rd_kms_join_message *message, rd_buf *out, rd_err *err)
{
    bool is_ok = put_part(out, message->genesis) && rd_buf_append_bytes(out, message->nonce) &&
                 rd_buf_append_bytes(out, message->evidence);
    return is_ok ? 0 : rd_err_set(err, RD_E_TOO_LARGE, "no room for what a join is asked with");
}

int rd_kms_join_message_parse(rd_bytes bytes, rd_kms_join_message *ret, rd_err *err)
{
    rd_cursor cursor = rd_cursor_of(bytes);
    ret->genesis = take_part(&cursor, RD_DOCUMENT_SIZE_MAX);
    ret->nonce = rd_cursor_take(&cursor, RD_NONCE_SIZE);
    ret->evidence = rd_cursor_rest(&cursor);
    if (!rd_cursor_is_ok(&cursor) || ret->evidence.size == 0 || ret->evidence.size > RD_EVIDENCE_SIZE_MAX)
        return rd_err_set(err, RD_E_KMS_FRAME, "a genesis, a nonce and evidence make up a join");
    return 0;
}

/* --- refusals --- */

int rd_kms_refusal_encode(const rd_kms_refusal *refusal, rd_buf *out, rd_err *err)
{
    (void)rd_buf_append_u16be(out, (uint16_t)refusal->code.size);
    (void)rd_buf_append_bytes(out, refusal->code);
    (void)rd_buf_append_u16be(out, (uint16_t)refusal->detail.size);
    (void)rd_buf_append_bytes(out, refusal->detail);
    return rd_buf_append_bytes(out, refusal->record) ? 0 : rd_err_set(err, RD_E_TOO_LARGE, "no room for the refusal");
}

int rd_kms_refusal_parse(rd_bytes bytes, rd_kms_refusal *ret, rd_err *err)
{
    rd_cursor cursor = rd_cursor_of(bytes);
    uint16_t code_size = rd_cursor_u16be(&cursor);
    ret->code = rd_cursor_take(&cursor, code_size);
    uint16_t detail_size = rd_cursor_u16be(&cursor);
    ret->detail = rd_cursor_take(&cursor, detail_size);
    ret->record = rd_cursor_rest(&cursor);
    if (!rd_cursor_is_ok(&cursor) || ret->code.size == 0 || ret->code.size > 48 || ret->detail.size > 512 ||
        ret->record.size > RD_KMS_DOCUMENT_SIZE_MAX || !rd_is_utf8(ret->detail))
        return rd_err_set(err, RD_E_KMS_FRAME, "not a refusal");
    return 0;
}
