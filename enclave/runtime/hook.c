#include "enclave/runtime/hook.h"

#include <stdlib.h>

#include "common/base/mem.h"

#define OFTEN_US (INT64_C(100) * 1000) /* turns that come so often are all that a question needs */

struct encl_hook {
    encl_lines *lines;
    encl_platform *platform;
    rd_egress list; /* empty: what is asked is the policy's, not the release's */
    encl_egress *egress;
    /* asked */
    bool is_asking;
    bool goes_on; /* it can at once go on */
    rd_webhook webhook;
    rd_egress_entry place;
    rd_kms_id kms;
    rd_buf statement;
    uint32_t id;
    int64_t until_us;
    int64_t grace_us; /* that until_us may still move for want of turns */
};

static int dial(void *context, uint64_t id, const rd_egress_entry *entry, rd_err *err)
{
    return encl_lines_ask(((encl_hook *)context)->lines, id | ENCL_LINE_OF_HOOK, entry, err);
}

static int64_t time_us(void *context)
{
    return encl_platform_time_us(((encl_hook *)context)->platform);
}

encl_hook *encl_hook_new(encl_lines *lines, encl_platform *platform)
{
    encl_hook *hook = rd_alloc(sizeof(*hook));
    const encl_egress_host host = { .dial = dial, .time_us = time_us, .context = hook };
    hook->lines = lines;
    hook->platform = platform;
    hook->egress = encl_egress_new(&hook->list, &host);
    lines->hook = hook->egress;
    return hook;
}

void encl_hook_forget(encl_hook *hook)
{
    encl_egress_forget(hook->egress);
    hook->is_asking = hook->goes_on = false;
}

encl_hook *encl_hook_free(encl_hook *hook)
{
    if (hook == NULL)
        return NULL;
    hook->lines->hook = NULL;
    encl_egress_free(hook->egress);
    rd_buf_done(&hook->statement);
    free(hook);
    return NULL;
}

static int post(encl_hook *hook, rd_bytes target, rd_bytes question, rd_err *err)
{
    const rd_bytes headers[] = { RD_BYTES_LIT("accept"), RD_BYTES_LIT("application/json"), RD_BYTES_LIT("content-type"),
                                 RD_BYTES_LIT("application/json") };
    const encl_fetch fetch = { .entry = &hook->place,
                               .method = RD_BYTES_LIT("POST"),
                               .target = target,
                               .headers = headers,
                               .headers_count = RD_ARRAY_LEN(headers) / 2,
                               .body = question,
                               .answer_max = RD_WEBHOOK_JSON_MAX };
    rd_err why = RD_ERR_INIT;
    encl_egress_begin(hook->egress);
    if (encl_egress_start(hook->egress, &fetch, &hook->id, &why) < 0)
        return rd_err_set(err, RD_E_WEBHOOK_REQUIRED, "webhook: %s", why.text);
    return 0;
}

int encl_hook_ask(encl_hook *hook, const encl_hook_question *question, int64_t now_us, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { .size_max = RD_WEBHOOK_QUESTION_MAX };
    rd_bytes target;
    encl_hook_forget(hook);
    hook->webhook = *question->webhook;
    hook->kms = *question->kms;
    rd_buf_clear(&hook->statement);
    (void)rd_buf_append_bytes(&hook->statement, question->statement);
    /* The policy was read: plain HTTP stands in none of class hardware. */
    if (rd_webhook_place(&hook->webhook, true, &hook->place, &target, err) < 0 ||
        rd_webhook_question_write(&hook->kms, &hook->webhook.key, question->statement, question->evidence, &text, err) <
            0 ||
        post(hook, target, rd_buf_bytes(&text), err) < 0)
        return -1;
    hook->is_asking = true;
    hook->until_us = now_us + ENCL_HOOK_US;
    hook->grace_us = ENCL_HOOK_GRACE_US;
    return 0;
}

void encl_hook_delayed(encl_hook *hook, int64_t took_us)
{
    int64_t more_us = RD_MIN(RD_MAX(took_us - OFTEN_US, INT64_C(0)), hook->grace_us);
    hook->until_us += more_us;
    hook->grace_us -= more_us;
}

bool encl_hook_is_asking(const encl_hook *hook)
{
    return hook->is_asking;
}

size_t encl_hook_watch(const encl_hook *hook, struct pollfd *ret)
{
    size_t count = encl_lines_watch(hook->lines, ret);
    return count + encl_egress_watch(hook->egress, ret + count);
}

int encl_hook_timeout_ms(const encl_hook *hook, int64_t now_us)
{
    int64_t left_us = hook->goes_on ? 0 : hook->until_us - now_us;
    return left_us <= 0 ? 0 : (int)((left_us + 999) / 1000);
}

static int refuse(const encl_hook *hook, rd_err *err, const char *sentence)
{
    return rd_err_set(err, RD_E_WEBHOOK_REQUIRED, "webhook: %s:%u: %s", hook->place.host, hook->place.port, sentence);
}

/* What came, whole. */
static int judge(const encl_hook *hook, unsigned status, rd_bytes body, uint8_t ret[RD_WEBHOOK_ANSWER_SIZE],
                 rd_err *err)
{
    uint32_t term_s;
    if (status >= 300 && status < 400)
        return refuse(hook, err, "it redirects, which is not followed");
    if (status != 200)
        return rd_err_set(err, RD_E_WEBHOOK_REQUIRED, "webhook: %s:%u: status %u", hook->place.host, hook->place.port,
                          status);
    if (rd_webhook_answer_read(body, ret, err) < 0)
        return -1;
    return rd_webhook_accept(&hook->webhook, &hook->kms, rd_buf_bytes(&hook->statement),
                             rd_bytes_of(ret, RD_WEBHOOK_ANSWER_SIZE), &term_s, err) < 0
               ? -1
               : 1;
}

int encl_hook_turn(encl_hook *hook, int64_t now_us, uint8_t ret[RD_WEBHOOK_ANSWER_SIZE], rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf body = { .size_max = RD_WEBHOOK_JSON_MAX };
    rd_err why = RD_ERR_INIT;
    unsigned status = 0;
    if (!hook->is_asking)
        return 0;
    encl_lines_turn(hook->lines, NULL);
    hook->goes_on = encl_egress_turn(hook->egress);
    int outcome = encl_egress_whole(hook->egress, hook->id, &status, &body, &why);
    if (outcome == 0 && now_us < hook->until_us)
        return 0;
    if (outcome == 0)
        outcome = refuse(hook, err, "no answer within five seconds");
    else if (outcome < 0)
        outcome = rd_err_set(err, RD_E_WEBHOOK_REQUIRED, "webhook: %s", why.text);
    else
        outcome = judge(hook, status, rd_buf_bytes(&body), ret, err);
    encl_hook_forget(hook);
    return outcome;
}
