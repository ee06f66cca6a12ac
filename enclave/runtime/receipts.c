#include "enclave/runtime/receipts.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

#define SALTS 32 /* drawn at once: a system call each is dear */

struct encl_receipts {
    encl_platform *platform;
    rd_receipt_signer *signer;
    rd_receipt_claims common; /* what is the same in every claim */
    rd_receipt_claims burst[ENCL_BURST_MAX];
    rd_buf *out[ENCL_BURST_MAX];
    bool is_sealed[ENCL_BURST_MAX];
    size_t waiting;
    /* Drawn ahead, each handed out once and wiped. This process, which forks no more, is the only one that has them. */
    uint8_t salts[SALTS][RD_SALT_SIZE];
    size_t salts_left;
};

encl_receipts *encl_receipts_new(const encl_identity *identity, encl_platform *platform, const encl_app *app)
{
    encl_receipts *receipts = rd_alloc(sizeof(*receipts));
    receipts->platform = platform;
    receipts->signer = rd_receipt_signer_new(encl_identity_receipt_key(identity));
    receipts->common = (rd_receipt_claims){ .app = app->id,
                                            .release = app->release,
                                            .head = app->head.known.digest,
                                            .class = app->class,
                                            .evidence = *encl_identity_status(identity) };
    return receipts;
}

encl_receipts *encl_receipts_free(encl_receipts *receipts)
{
    if (receipts != NULL) {
        rd_receipt_signer_free(receipts->signer);
        rd_wipe(receipts->salts, sizeof receipts->salts);
        free(receipts);
    }
    return NULL;
}

void encl_receipts_free_p(encl_receipts **receipts)
{
    *receipts = encl_receipts_free(*receipts);
}

int encl_receipts_salt(encl_receipts *receipts, encl_receipt_wish *wish, rd_err *err)
{
    if (wish->has_salt)
        return 0;
    if (receipts->salts_left == 0) {
        if (encl_platform_random(receipts->platform, receipts->salts[0], sizeof receipts->salts, err) < 0)
            return -1;
        receipts->salts_left = SALTS;
    }
    uint8_t *salt = receipts->salts[--receipts->salts_left];
    memcpy(wish->salt, salt, RD_SALT_SIZE);
    rd_wipe(salt, RD_SALT_SIZE);
    return 0;
}

bool encl_receipts_add(encl_receipts *receipts, const encl_receipt_wish *wish, const rd_exchange *exchange, rd_buf *out)
{
    if (receipts->waiting == ENCL_BURST_MAX)
        return false;
    rd_receipt_claims *claims = &receipts->burst[receipts->waiting];
    *claims = receipts->common;
    rd_commit_request(wish->salt, exchange->method, exchange->target, exchange->request_type, exchange->request_body,
                      claims->request);
    rd_commit_response(wish->salt, exchange->status, exchange->response_type, exchange->response_body,
                       claims->response);
    claims->status = exchange->status;
    claims->has_nonce = wish->has_nonce;
    if (wish->has_nonce)
        memcpy(claims->nonce, wish->nonce, sizeof(claims->nonce));
    claims->egress_asked = wish->egress_asked;
    claims->egress_failed = wish->egress_failed;
    claims->host_time_us = encl_platform_time_us(receipts->platform);
    receipts->out[receipts->waiting] = out;
    receipts->is_sealed[receipts->waiting] = wish->is_sealed;
    receipts->waiting++;
    return true;
}

size_t encl_receipts_waiting(const encl_receipts *receipts)
{
    return receipts->waiting;
}

int encl_receipts_sign(encl_receipts *receipts, rd_err *err)
{
    size_t count = receipts->waiting;
    receipts->waiting = 0;
    if (count == 0)
        return 0;
    return rd_receipt_sign_burst(receipts->signer, receipts->burst, count, receipts->out, err);
}

bool encl_receipts_record(const encl_receipts *receipts, rd_buf *out)
{
    return rd_receipt_signer_record(receipts->signer, receipts->is_sealed, out);
}
