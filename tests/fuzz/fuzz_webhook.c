// link: rd_model
/* The owner's webhook from both sides: what its service answers, read inside the enclave, and what the service is
 * asked, read by the command line; and the URL of a policy. */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/model/webhook.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_answer(rd_bytes bytes)
{
    RD_CLEANUP(rd_buf_done) rd_buf again = { 0 };
    uint8_t answer[RD_WEBHOOK_ANSWER_SIZE], same[RD_WEBHOOK_ANSWER_SIZE];
    rd_err err = RD_ERR_INIT;
    int outcome = rd_webhook_answer_read(bytes, answer, &err);
    for (const char *at = err.text; err.code == RD_E_WEBHOOK_REFUSED && *at; at++)
        if (*at < 0x20 || *at > 0x7e)
            abort();
    if (outcome == 0 &&
        (rd_webhook_yes_write(answer, &again, NULL) < 0 ||
         rd_webhook_answer_read(rd_buf_bytes(&again), same, NULL) < 0 || memcmp(answer, same, sizeof answer) != 0))
        abort();
}

static void read_question(rd_bytes bytes)
{
    rd_webhook_question question;
    RD_CLEANUP(rd_buf_done) rd_buf again = { 0 };
    if (rd_webhook_question_read(bytes, &question, NULL) == 0 &&
        rd_webhook_question_write(&question.kms, &question.key, rd_buf_bytes(&question.statement),
                                  rd_buf_bytes(&question.evidence), &again, NULL) < 0)
        abort();
    rd_webhook_question_done(&question);
}

static void read_url(rd_bytes bytes)
{
    rd_webhook webhook = { .is_set = true };
    rd_egress_entry place;
    rd_bytes target;
    memcpy(webhook.url, bytes.data, RD_MIN(bytes.size, (size_t)RD_WEBHOOK_URL_MAX));
    if (rd_webhook_place(&webhook, true, &place, &target, NULL) == 0 &&
        (target.size == 0 || target.data[0] != '/' || !rd_egress_host_is_ok(place.host)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rd_bytes bytes = rd_bytes_of(data, size);
    uint32_t term_s;
    static const rd_kms_id none;
    static const rd_webhook nobody = { .is_set = true, .key = { { 1 } } };
    read_answer(bytes);
    read_question(bytes);
    if (size > 0)
        read_url(bytes);
    (void)!rd_webhook_accept(&nobody, &none, bytes, bytes, &term_s, NULL);
    return 0;
}
