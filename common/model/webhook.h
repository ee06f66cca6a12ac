/* webhook: the owner's own service that is asked before each grant, as the policy names it; what it is asked, and its
 * answer: a signature over the question. docs/protocol/kms.md, "The owner's webhook".
 * Used by policies, which name it; by instances, which ask it; by key services, which see the answer's 72 bytes alone
 * and call nobody; and by the command line, which answers. A yes holds for one statement, whose nonce works once. */
#ifndef RD_MODEL_WEBHOOK_H
#define RD_MODEL_WEBHOOK_H

#include "common/model/egress.h"

#define RD_WEBHOOK_URL_MAX      512
#define RD_WEBHOOK_REASON_MAX   200
#define RD_WEBHOOK_ANSWER_SIZE  72                  /* signature, 64 ‖ u64be term in seconds */
#define RD_WEBHOOK_JSON_MAX     ((size_t)4 << 10)   /* of an answer as it comes from the owner's service */
#define RD_WEBHOOK_QUESTION_MAX ((size_t)160 << 10) /* of a question: evidence and statement in base64url */

/* The member "webhook" of a policy. */
typedef struct rd_webhook {
    bool is_set;
    bool is_private; /* its name may resolve to a private address, if the host's operator agrees (egress.h) */
    rd_public_key key;
    char url[RD_WEBHOOK_URL_MAX + 1]; /* scheme, host, port unless it is the scheme's own, path; in its one form */
} rd_webhook;

extern const rd_json_field rd_webhook_fields[]; /* offsets are in rd_webhook */
json_t *rd_webhook_to_json(const rd_webhook *webhook);
/* Where it is, and the request's target, which points into the webhook. JSON_RANGE: no URL in its one form, or plain
 * HTTP where allows_plain is not set. */
int rd_webhook_place(const rd_webhook *webhook, bool allows_plain, rd_egress_entry *ret, rd_bytes *ret_target,
                     rd_err *err) RD_NODISCARD;

/* --- the question --- */

/* JSON {"type","kms","key","statement","evidence"}: the statement of purpose grant that the instance made its evidence
 * over, and which the answer is about. Appends. */
int rd_webhook_question_write(const rd_kms_id *kms, const rd_public_key *key, rd_bytes statement, rd_bytes evidence,
                              rd_buf *out, rd_err *err) RD_NODISCARD;

typedef struct rd_webhook_question {
    rd_kms_id kms;
    rd_public_key key; /* the policy's: whose answer counts */
    rd_buf statement, evidence;
} rd_webhook_question;

/* Call rd_webhook_question_done also after a failure. Codes of JSON; STATEMENT, PURPOSE: the statement is none of
 * purpose grant for this key service, or the evidence is over another. What the evidence proves is not looked at. */
int rd_webhook_question_read(rd_bytes json, rd_webhook_question *ret, rd_err *err) RD_NODISCARD;
void rd_webhook_question_done(rd_webhook_question *question);

/* --- the answer --- */

/* Sign(key, "webhook-v1", kms id ‖ H("statement-v1", statement) ‖ u64be(term_s)), and the term. term_s 0: as long as
 * the head says; else RD_HEAD_GRANT_S_MIN..MAX, JSON_RANGE. */
int rd_webhook_sign(const rd_signing_key *key, const rd_kms_id *kms, rd_bytes statement, uint32_t term_s,
                    uint8_t ret[RD_WEBHOOK_ANSWER_SIZE], rd_err *err) RD_NODISCARD;
/* Whether a grant for this statement may be given, and for how long at most (0: as the head says). Nothing is asked for
 * where the policy names no webhook, and then nothing may come. WEBHOOK_REQUIRED: there is no answer; WEBHOOK_ANSWER:
 * what there is is not the key's, or not for this statement and this key service. */
int rd_webhook_accept(const rd_webhook *webhook, const rd_kms_id *kms, rd_bytes statement, rd_bytes answer,
                      uint32_t *ret_term_s, rd_err *err) RD_NODISCARD;

/* {"type","allow":true,"signature","term"?} and {"type","allow":false,"reason"?}, as the owner's service says it. */
int rd_webhook_yes_write(const uint8_t answer[RD_WEBHOOK_ANSWER_SIZE], rd_buf *out, rd_err *err) RD_NODISCARD;
int rd_webhook_no_write(const char *reason, rd_buf *out, rd_err *err) RD_NODISCARD;
/* A yes gives the answer's bytes, not yet verified. WEBHOOK_REFUSED: a no, with its reason, of which what is not
 * printable ASCII is shown as "?"; WEBHOOK_ANSWER: anything else. */
int rd_webhook_answer_read(rd_bytes json, uint8_t ret[RD_WEBHOOK_ANSWER_SIZE], rd_err *err) RD_NODISCARD;

#endif
