#include "common/model/webhook.h"

#include "common/base/cursor.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/evidence.h"
#include "common/model/head.h"
#include "common/model/statement.h"

#include <stdio.h>
#include <string.h>

#define QUESTION_TYPE "redoubt/webhook-question/v1"
#define ANSWER_TYPE   "redoubt/webhook-answer/v1"

/* --- in the policy --- */

const rd_json_field rd_webhook_fields[] = {
    { "key", RD_JSON_KEY, offsetof(rd_webhook, key), RD_REQUIRED },
    { "private", RD_JSON_BOOL, offsetof(rd_webhook, is_private), RD_OPTIONAL },
    { "url", RD_JSON_TEXT, offsetof(rd_webhook, url), RD_REQUIRED, .min = 1, .max = RD_WEBHOOK_URL_MAX },
    RD_JSON_END,
};

json_t *rd_webhook_to_json(const rd_webhook *webhook)
{
    json_t *object = json_object();
    rd_json_set_b64(object, "key", RD_BYTES_ARRAY(webhook->key.b));
    if (webhook->is_private)
        rd_json_set_bool(object, "private", true);
    rd_json_set_str(object, "url", webhook->url);
    return object;
}

/* RFC 9112, 3.2.1: origin form. */
static bool is_target(const char *text)
{
    for (const char *at = text; *at; at++)
        if (*at <= 0x20 || *at >= 0x7f || *at == '#')
            return false;
    return text[0] == '/';
}

/* As the place would be written: no port where it is the scheme's own. */
static void write_place(const rd_egress_entry *entry, char *out, size_t size)
{
    bool has_port = entry->port != (entry->is_plain ? 80 : 443);
    int used = snprintf(out, size, "%s://%s", entry->is_plain ? "http" : "https", entry->host);
    if (has_port && used > 0 && (size_t)used < size)
        (void)snprintf(out + used, size - (size_t)used, ":%u", entry->port);
}

int rd_webhook_place(const rd_webhook *webhook, bool allows_plain, rd_egress_entry *ret, rd_bytes *ret_target,
                     rd_err *err)
{
    const char *scheme_end = strstr(webhook->url, "://");
    const char *path = scheme_end ? strchr(scheme_end + 3, '/') : NULL;
    char place[RD_WEBHOOK_URL_MAX + 1], again[RD_EGRESS_HOST_MAX + 32];
    if (!path || !is_target(path))
        return rd_err_set(err, RD_E_JSON_RANGE, "a webhook is https://HOST/PATH or https://HOST:PORT/PATH");
    (void)snprintf(place, sizeof place, "%.*s", (int)(path - webhook->url), webhook->url);
    *ret = (rd_egress_entry){ .is_private = webhook->is_private };
    if (rd_egress_place_parse(place, ret, err) < 0)
        return -1;
    write_place(ret, again, sizeof again);
    if (strcmp(place, again) != 0)
        return rd_err_set(err, RD_E_JSON_RANGE, "the webhook's place is written %s", again);
    if (ret->is_plain && !allows_plain)
        return rd_err_set(err, RD_E_JSON_RANGE, "plain HTTP is for webhooks of class simulated alone");
    *ret_target = rd_bytes_str(path);
    return 0;
}

/* --- the question --- */

int rd_webhook_question_write(const rd_kms_id *kms, const rd_public_key *key, rd_bytes statement, rd_bytes evidence,
                              rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *object = json_object();
    rd_json_set_str(object, "type", QUESTION_TYPE);
    rd_json_set_kms_id(object, "kms", kms);
    rd_json_set_b64(object, "key", RD_BYTES_ARRAY(key->b));
    rd_json_set_b64(object, "statement", statement);
    rd_json_set_b64(object, "evidence", evidence);
    return rd_json_dump(object, out) ? 0 : rd_err_set(err, RD_E_TOO_LARGE, "the webhook's question");
}

static const rd_json_field question_fields[] = {
    { "evidence", RD_JSON_B64_BUF, offsetof(rd_webhook_question, evidence), RD_REQUIRED, .min = 1,
      .max = (int64_t)RD_EVIDENCE_SIZE_MAX },
    { "key", RD_JSON_KEY, offsetof(rd_webhook_question, key), RD_REQUIRED },
    { "kms", RD_JSON_KMS_ID, offsetof(rd_webhook_question, kms), RD_REQUIRED },
    { "statement", RD_JSON_B64_BUF, offsetof(rd_webhook_question, statement), RD_REQUIRED, .min = 1,
      .max = (int64_t)RD_JSON_SIZE_MAX },
    { "type", RD_JSON_CONST, 0, RD_REQUIRED, .text = QUESTION_TYPE },
    RD_JSON_END,
};

void rd_webhook_question_done(rd_webhook_question *question)
{
    rd_buf_done(&question->statement);
    rd_buf_done(&question->evidence);
}

static int check_question(const rd_webhook_question *question, rd_err *err)
{
    RD_CLEANUP(rd_evidence_done) rd_evidence evidence = { 0 };
    if (rd_evidence_parse(rd_buf_bytes(&question->evidence), &evidence, err) < 0)
        return -1;
    const rd_statement *statement = &evidence.statement;
    if (!rd_bytes_equal(rd_buf_bytes(&evidence.statement_bytes), rd_buf_bytes(&question->statement)))
        return rd_err_set(err, RD_E_STATEMENT, "the evidence is over another statement");
    if (statement->purpose != RD_PURPOSE_GRANT)
        return rd_err_set(err, RD_E_PURPOSE, "a statement of purpose %s, and a webhook is asked for purpose grant",
                          rd_purpose_name(statement->purpose));
    if (statement->kms_count != 1 || !rd_kms_id_equal(&statement->kms[0], &question->kms))
        return rd_err_set(err, RD_E_STATEMENT, "the statement names another key service");
    return 0;
}

int rd_webhook_question_read(rd_bytes json, rd_webhook_question *ret, rd_err *err)
{
    static const rd_json_limits limits = { .size_max = RD_WEBHOOK_QUESTION_MAX };
    *ret = (rd_webhook_question){ .statement = { 0 } };
    if (rd_json_load(json, &limits, question_fields, RD_UNKNOWN_REFUSED, ret, err) < 0 || check_question(ret, err) < 0)
        return rd_err_wrap(err, "webhook's question");
    return 0;
}

/* --- the signature --- */

#define SIGNED_SIZE (32 + 32 + 8)

static void write_signed(const rd_kms_id *kms, rd_bytes statement, uint64_t term_s, uint8_t out[SIGNED_SIZE])
{
    rd_digest digest;
    rd_statement_digest(statement, &digest);
    memcpy(out, kms->b, 32);
    memcpy(out + 32, digest.b, 32);
    for (int i = 0; i < 8; i++)
        out[64 + i] = (uint8_t)(term_s >> 8 * (7 - i));
}

static bool is_term(uint64_t term_s)
{
    return term_s == 0 || (term_s >= RD_HEAD_GRANT_S_MIN && term_s <= RD_HEAD_GRANT_S_MAX);
}

int rd_webhook_sign(const rd_signing_key *key, const rd_kms_id *kms, rd_bytes statement, uint32_t term_s,
                    uint8_t ret[RD_WEBHOOK_ANSWER_SIZE], rd_err *err)
{
    uint8_t message[SIGNED_SIZE];
    rd_signature signature;
    if (!is_term(term_s))
        return rd_err_set(err, RD_E_JSON_RANGE, "a grant's term is %u to %u seconds", RD_HEAD_GRANT_S_MIN,
                          RD_HEAD_GRANT_S_MAX);
    write_signed(kms, statement, term_s, message);
    if (rd_sign(key, RD_SIGN_WEBHOOK, RD_BYTES_ARRAY(message), &signature, err) < 0)
        return -1;
    memcpy(ret, signature.b, RD_SIGNATURE_SIZE);
    memcpy(ret + RD_SIGNATURE_SIZE, message + 64, 8);
    return 0;
}

static int verify(const rd_webhook *webhook, const rd_kms_id *kms, rd_bytes statement, rd_bytes answer,
                  uint32_t *ret_term_s, rd_err *err)
{
    uint8_t message[SIGNED_SIZE];
    rd_signature signature;
    rd_cursor cursor = rd_cursor_of(answer);
    rd_cursor_copy(&cursor, signature.b, sizeof signature.b);
    uint64_t term_s = rd_cursor_u64be(&cursor);
    if (!rd_cursor_is_done(&cursor) || !is_term(term_s))
        return rd_err_set(err, RD_E_WEBHOOK_ANSWER, "not a signature and a term");
    write_signed(kms, statement, term_s, message);
    if (rd_verify(&webhook->key, RD_SIGN_WEBHOOK, RD_BYTES_ARRAY(message), &signature, err) < 0)
        return rd_err_set(err, RD_E_WEBHOOK_ANSWER,
                          "not signed by the webhook key of the policy for this statement and this key service");
    *ret_term_s = (uint32_t)term_s;
    return 0;
}

int rd_webhook_accept(const rd_webhook *webhook, const rd_kms_id *kms, rd_bytes statement, rd_bytes answer,
                      uint32_t *ret_term_s, rd_err *err)
{
    *ret_term_s = 0;
    if (webhook->is_set && answer.size == 0)
        return rd_err_set(err, RD_E_WEBHOOK_REQUIRED, "the policy names a webhook, and its answer did not come along");
    if (!webhook->is_set)
        return answer.size == 0
                   ? 0
                   : rd_err_set(err, RD_E_WEBHOOK_ANSWER, "an answer of a webhook, and the policy names none");
    return verify(webhook, kms, statement, answer, ret_term_s, err);
}

/* --- the answer as JSON --- */

static int dump(const json_t *object, rd_buf *out, rd_err *err)
{
    return rd_json_dump(object, out) ? 0 : rd_err_set(err, RD_E_TOO_LARGE, "the webhook's answer");
}

int rd_webhook_yes_write(const uint8_t answer[RD_WEBHOOK_ANSWER_SIZE], rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *object = json_object();
    rd_cursor cursor = rd_cursor_of(rd_bytes_of(answer, RD_WEBHOOK_ANSWER_SIZE));
    rd_bytes signature = rd_cursor_take(&cursor, RD_SIGNATURE_SIZE);
    uint64_t term_s = rd_cursor_u64be(&cursor);
    rd_json_set_str(object, "type", ANSWER_TYPE);
    rd_json_set_bool(object, "allow", true);
    rd_json_set_b64(object, "signature", signature);
    if (term_s > 0)
        rd_json_set_int(object, "term", (int64_t)term_s);
    return dump(object, out, err);
}

int rd_webhook_no_write(const char *reason, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *object = json_object();
    if (strlen(reason) > RD_WEBHOOK_REASON_MAX || !rd_is_utf8(rd_bytes_str(reason)))
        return rd_err_set(err, RD_E_JSON_RANGE, "a reason has at most %d bytes of UTF-8", RD_WEBHOOK_REASON_MAX);
    rd_json_set_str(object, "type", ANSWER_TYPE);
    rd_json_set_bool(object, "allow", false);
    if (reason[0])
        rd_json_set_str(object, "reason", reason);
    return dump(object, out, err);
}

typedef struct said {
    bool allows, has_signature, has_reason;
    uint8_t signature[RD_SIGNATURE_SIZE];
    uint32_t term_s;
    char reason[RD_WEBHOOK_REASON_MAX + 1];
} said;

static const rd_json_field answer_fields[] = {
    { "allow", RD_JSON_BOOL, offsetof(said, allows), RD_REQUIRED },
    { "reason", RD_JSON_TEXT, offsetof(said, reason), RD_OPTIONAL, .max = RD_WEBHOOK_REASON_MAX,
      .has = RD_HAS(said, has_reason) },
    { "signature", RD_JSON_B64, offsetof(said, signature), RD_OPTIONAL, .max = RD_SIGNATURE_SIZE,
      .has = RD_HAS(said, has_signature) },
    { "term", RD_JSON_U32, offsetof(said, term_s), RD_OPTIONAL, .min = RD_HEAD_GRANT_S_MIN,
      .max = RD_HEAD_GRANT_S_MAX },
    { "type", RD_JSON_CONST, 0, RD_REQUIRED, .text = ANSWER_TYPE },
    RD_JSON_END,
};

/* It goes to logs and terminals. */
static void make_printable(char *text)
{
    for (; *text; text++)
        if (*text < 0x20 || *text > 0x7e)
            *text = '?';
}

int rd_webhook_answer_read(rd_bytes json, uint8_t ret[RD_WEBHOOK_ANSWER_SIZE], rd_err *err)
{
    static const rd_json_limits limits = { .size_max = RD_WEBHOOK_JSON_MAX, .integers_only = true };
    said answer = { .allows = false };
    rd_err why = RD_ERR_INIT;
    if (rd_json_load(json, &limits, answer_fields, RD_UNKNOWN_REFUSED, &answer, &why) < 0)
        return rd_err_set(err, RD_E_WEBHOOK_ANSWER, "not the form of a webhook's answer: %s%s%s", why.pointer,
                          why.pointer[0] ? ": " : "", why.text);
    if (answer.allows != answer.has_signature || (answer.allows ? answer.has_reason : answer.term_s > 0))
        return rd_err_set(err, RD_E_WEBHOOK_ANSWER,
                          "a yes has a signature and perhaps a term, a no has at most a reason");
    make_printable(answer.reason);
    if (!answer.allows)
        return rd_err_set(err, RD_E_WEBHOOK_REFUSED, "the owner's webhook says no%s%s", answer.reason[0] ? ": " : "",
                          answer.reason);
    memcpy(ret, answer.signature, RD_SIGNATURE_SIZE);
    memset(ret + RD_SIGNATURE_SIZE, 0, 4);
    for (int i = 0; i < 4; i++)
        ret[RD_SIGNATURE_SIZE + 4 + i] = (uint8_t)(answer.term_s >> 8 * (3 - i));
    return 0;
}
