#include "cli/proof.h"

#include "cli/steps.h"
#include "common/model/receipt.h"

#include <string.h>

static const char *explain(rd_receipt_step step)
{
    static const char *const texts[RD_STEP_COUNT] = {
        [RD_STEP_HEADER] = "protected header as specified, key known from evidence",
        [RD_STEP_SIGNATURE] = "root statement signed by the enclave's receipt key",
        [RD_STEP_PATH] = "claims lead to the signed root at their place",
        [RD_STEP_INSTANCE] = "claims and root name this instance's key",
        [RD_STEP_EVIDENCE] = "claims name the evidence that was verified",
        [RD_STEP_APP] = "app, release, head and class are the expected ones",
        [RD_STEP_NONCE] = "the nonce is ours",
        [RD_STEP_REQUEST] = "commitment opens to the request that was sent",
        [RD_STEP_RESPONSE] = "commitment opens to the answer that was read",
    };
    return texts[step];
}

static void list_steps(const rd_step_result *results, const rd_err *err, json_t *steps)
{
    for (rd_receipt_step step = 0; step < RD_STEP_COUNT; step++) {
        if (results[step] == RD_STEP_SKIPPED)
            continue;
        bool is_ok = results[step] == RD_STEP_PASSED;
        cli_step(steps, rd_receipt_step_names[step], is_ok, "%s", is_ok ? explain(step) : err->text);
    }
}

int cli_receipt_check(const cli_receipt_request *request, const cli_docs *docs, const cli_proof *proof, json_t *steps,
                      rd_err *err)
{
    rd_receipt receipt = { .index = 0 };
    if (rd_receipt_parse_header(request->receipt, strlen(request->receipt), &receipt, err) < 0) {
        rd_receipt_done(&receipt);
        return cli_step_failed(steps, "receipt", err);
    }
    const rd_exchange exchange = {
        .method = request->method,
        .target = request->target,
        .request_type = request->request_type,
        .request_body = request->request_body,
        .status = request->status,
        .response_type = request->response_type,
        .response_body = request->response_body,
    };
    /* A receipt names the evidence that its instance began with; renewed evidence proves the same receipt key. */
    const rd_bytes statement = rd_buf_bytes(&proof->statement);
    rd_digest digest;
    rd_statement_digest(statement, &digest);
    bool is_named = rd_digest_equal(&digest, &receipt.claims.evidence);
    const rd_receipt_expect expect = {
        .key = &proof->receipt_key,
        .statement = is_named ? &statement : NULL,
        .app = &docs->app,
        .release = &docs->release_digest,
        .head = &docs->head_digest,
        .class = &docs->head.class,
        .nonce = request->nonce,
        .salt = request->salt,
        .exchange = request->salt ? &exchange : NULL,
    };
    rd_step_result results[RD_STEP_COUNT] = { RD_STEP_SKIPPED };
    int status = rd_receipt_verify(&receipt, &expect, results, err);
    list_steps(results, err, steps);
    rd_receipt_done(&receipt);
    return status < 0 ? cli_steps_explain(steps, err) : 0;
}
