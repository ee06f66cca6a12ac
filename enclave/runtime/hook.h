/* hook: asks the owner's webhook for its word on a grant, over the agent's way out, with TLS that ends here
 * (docs/protocol/kms.md, "The owner's webhook"). Used by the instance, beside whatever it serves.
 * One question at a time, five seconds in which somebody listens (a minute at most), 4 KiB of an answer, no
 * redirection. Gives out only what the policy's key signed for this very question; that counts for nothing until the
 * key service has seen it. */
#ifndef ENCL_HOOK_H
#define ENCL_HOOK_H

#include "common/model/webhook.h"
#include "enclave/platform/platform.h"
#include "enclave/runtime/lines.h"

#define ENCL_HOOK_US       (INT64_C(5) * 1000000)
#define ENCL_HOOK_GRACE_US (INT64_C(55) * 1000000) /* of one question, for calls of the function */
#define ENCL_HOOK_WATCHED  (ENCL_LINES_WATCHED + ENCL_EGRESS_AT_ONCE)

typedef struct encl_hook encl_hook;

/* Both are borrowed for the life of the hook; its connections come over these lines from now on. */
encl_hook *encl_hook_new(encl_lines *lines, encl_platform *platform);
encl_hook *encl_hook_free(encl_hook *hook);

/* What is asked. Borrowed for the call. */
typedef struct encl_hook_question {
    const rd_webhook *webhook;
    const rd_kms_id *kms;
    rd_bytes statement, evidence;
} encl_hook_question;

/* Begins to ask; what was asked before is void. now_us of a clock that only goes forward, here and below.
 * WEBHOOK_REQUIRED: it cannot be asked. */
int encl_hook_ask(encl_hook *hook, const encl_hook_question *question, int64_t now_us, rd_err *err) RD_NODISCARD;
/* What was asked is of no use any more. */
void encl_hook_forget(encl_hook *hook);
/* Whoever has the hook was that long busy with something else, and gave it no turn: beyond a tenth of a
 * second that is none of the five seconds, up to ENCL_HOOK_GRACE_US of a question. */
void encl_hook_delayed(encl_hook *hook, int64_t took_us);
bool encl_hook_is_asking(const encl_hook *hook);
/* While it asks: descriptors to wait for, at most ENCL_HOOK_WATCHED, and how long at most. */
size_t encl_hook_watch(const encl_hook *hook, struct pollfd *ret);
int encl_hook_timeout_ms(const encl_hook *hook, int64_t now_us);
/* Goes on without waiting. 1: a yes, in ret; 0: nothing yet, or nothing was asked; -1: WEBHOOK_REQUIRED (no answer, in
 * time and of status 200), WEBHOOK_ANSWER (not signed for this question), WEBHOOK_REFUSED (the owner says no). */
int encl_hook_turn(encl_hook *hook, int64_t now_us, uint8_t ret[RD_WEBHOOK_ANSWER_SIZE], rd_err *err) RD_NODISCARD;

#endif
