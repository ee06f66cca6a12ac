#include "common/model/receipt_priv.h"

#include "common/base/mem.h"
#include "common/base/text.h"

#include <inttypes.h>
#include <string.h>

const char *const rd_receipt_step_names[] = { "header", "signature", "path",    "instance", "evidence",
                                              "app",    "nonce",     "request", "response", NULL };

typedef struct verification {
    const rd_receipt *receipt;
    const rd_receipt_expect *expect;
    rd_public_key key;
    uint8_t thumbprint[32];
    bool has_statement;
    rd_statement statement;
    rd_digest statement_digest;
} verification;

static int step_header(const verification *v, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf wanted = { 0 };
    (void)rd_receipt_put_protected(v->thumbprint, &wanted);
    /* RFC 7515, 4.1: what a header may hold is ours to say; kid names a key known from evidence, never fetches one. */
    if (!rd_bytes_equal(rd_buf_bytes(&wanted), rd_buf_bytes(&v->receipt->protected_text)))
        return rd_err_set(err, RD_E_SIGNATURE, "the protected header is not that of a receipt by this key");
    return 0;
}

static int step_signature(const verification *v, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    /* RFC 7515, 5.2, step 8: protected '.' payload */
    (void)rd_buf_append_bytes(&text, rd_buf_bytes(&v->receipt->protected_text));
    (void)rd_buf_append_u8(&text, '.');
    (void)rd_buf_append_base64url(&text, rd_buf_bytes(&v->receipt->payload));
    return rd_ed25519_verify(&v->key, rd_buf_bytes(&text), &v->receipt->signature, err);
}

static int step_path(const verification *v, rd_err *err)
{
    const rd_receipt *receipt = v->receipt;
    rd_digest leaf;
    rd_tree_leaf(rd_buf_bytes(&receipt->claims_bytes), &leaf);
    if (!rd_tree_verify(&leaf, receipt->index, receipt->root.count, &receipt->path, &receipt->root.root))
        return rd_err_set(err, RD_E_RECEIPT_PATH, "the claims do not lead to the signed root");
    if (receipt->claims.seq != receipt->root.first + receipt->index)
        return rd_err_set(err, RD_E_RECEIPT_PATH, "seq %" PRIu64 " at index %u of a burst from %" PRIu64,
                          receipt->claims.seq, receipt->index, receipt->root.first);
    return 0;
}

static int step_instance(const verification *v, rd_err *err)
{
    if (memcmp(v->receipt->claims.instance, v->thumbprint, 32) != 0 ||
        memcmp(v->receipt->root.instance, v->thumbprint, 32) != 0)
        return rd_err_set(err, RD_E_RECEIPT_CLAIMS, "the receipt names another instance than the one that signed");
    return 0;
}

static int step_evidence(const verification *v, rd_err *err)
{
    const rd_receipt_claims *claims = &v->receipt->claims;
    const rd_statement *statement = &v->statement;
    if (statement->purpose != RD_PURPOSE_STATUS)
        return rd_err_set(err, RD_E_PURPOSE, "receipts name the status statement, not one of purpose %s",
                          rd_purpose_name(statement->purpose));
    if (!rd_digest_equal(&claims->evidence, &v->statement_digest))
        return rd_err_set(err, RD_E_RECEIPT_CLAIMS, "the receipt names other evidence");
    if (!rd_app_id_equal(&claims->app, &statement->app) || !rd_digest_equal(&claims->release, &statement->release) ||
        !rd_digest_equal(&claims->head, &statement->head) || claims->class != statement->class)
        return rd_err_set(err, RD_E_RECEIPT_CLAIMS, "app, release, head or class differ from the evidence");
    return 0;
}

static int step_app(const verification *v, rd_err *err)
{
    const rd_receipt_claims *claims = &v->receipt->claims;
    const rd_receipt_expect *expect = v->expect;
    if (expect->app && !rd_app_id_equal(&claims->app, expect->app))
        return rd_err_set(err, RD_E_RECEIPT_CLAIMS, "the receipt is of another app");
    if (expect->release && !rd_digest_equal(&claims->release, expect->release))
        return rd_err_set(err, RD_E_RECEIPT_CLAIMS, "the receipt is of another release");
    if (expect->head && !rd_digest_equal(&claims->head, expect->head))
        return rd_err_set(err, RD_E_RECEIPT_CLAIMS, "the receipt is under another head");
    if (expect->class && claims->class != *expect->class)
        return rd_err_set(err, RD_E_CLASS_MISMATCH, "the receipt is of class %s", rd_class_name(claims->class));
    return 0;
}

static int step_nonce(const verification *v, rd_err *err)
{
    const rd_receipt_claims *claims = &v->receipt->claims;
    if (!claims->has_nonce || memcmp(claims->nonce, v->expect->nonce, RD_NONCE_SIZE) != 0)
        return rd_err_set(err, RD_E_NONCE, "the receipt does not hold the nonce that was sent");
    return 0;
}

static int step_request(const verification *v, rd_err *err)
{
    const rd_exchange *exchange = v->expect->exchange;
    uint8_t wanted[32];
    rd_commit_request(v->expect->salt, exchange->method, exchange->target, exchange->request_type,
                      exchange->request_body, wanted);
    if (!rd_equal_ct(wanted, v->receipt->claims.request, sizeof wanted))
        return rd_err_set(err, RD_E_RECEIPT_COMMITMENT, "the receipt is for another request, or the salt is wrong");
    return 0;
}

static int step_response(const verification *v, rd_err *err)
{
    const rd_exchange *exchange = v->expect->exchange;
    uint8_t wanted[32];
    rd_commit_response(v->expect->salt, exchange->status, exchange->response_type, exchange->response_body, wanted);
    if (v->receipt->claims.status != exchange->status || !rd_equal_ct(wanted, v->receipt->claims.response, 32))
        return rd_err_set(err, RD_E_RECEIPT_COMMITMENT, "the receipt is for another answer, or the salt is wrong");
    return 0;
}

static int (*const step_functions[RD_STEP_COUNT])(const verification *v, rd_err *err) = {
    [RD_STEP_HEADER] = step_header,     [RD_STEP_SIGNATURE] = step_signature, [RD_STEP_PATH] = step_path,
    [RD_STEP_INSTANCE] = step_instance, [RD_STEP_EVIDENCE] = step_evidence,   [RD_STEP_APP] = step_app,
    [RD_STEP_NONCE] = step_nonce,       [RD_STEP_REQUEST] = step_request,     [RD_STEP_RESPONSE] = step_response,
};

static bool is_asked(const verification *v, rd_receipt_step step)
{
    const rd_receipt_expect *expect = v->expect;
    switch (step) {
    case RD_STEP_EVIDENCE:
        return v->has_statement;
    case RD_STEP_APP:
        return expect->app || expect->release || expect->head || expect->class;
    case RD_STEP_NONCE:
        return expect->nonce;
    case RD_STEP_REQUEST:
    case RD_STEP_RESPONSE:
        return expect->salt && expect->exchange;
    default:
        return true;
    }
}

/* Finds the receipt key: given, or in the statement; given twice they agree. */
static int prepare(verification *v, rd_err *err)
{
    const rd_receipt_expect *expect = v->expect;
    if (!expect->key && !expect->statement)
        return rd_err_set(err, RD_E_USAGE, "a receipt is verified with a key from evidence, or the statement itself");
    if (expect->statement) {
        if (rd_statement_parse(*expect->statement, &v->statement, err) < 0)
            return -1;
        if (!v->statement.has_receipt_key)
            return rd_err_set(err, RD_E_PURPOSE, "the statement holds no receipt key");
        rd_statement_digest(*expect->statement, &v->statement_digest);
        v->has_statement = true;
        v->key = v->statement.receipt_key;
    }
    if (expect->key && v->has_statement && !rd_public_key_equal(expect->key, &v->key))
        return rd_err_set(err, RD_E_RECEIPT_CLAIMS, "the statement holds another receipt key than the one given");
    if (expect->key)
        v->key = *expect->key;
    rd_jwk_thumbprint(&v->key, v->thumbprint);
    return 0;
}

int rd_receipt_verify(const rd_receipt *receipt, const rd_receipt_expect *expect, rd_step_result steps[RD_STEP_COUNT],
                      rd_err *err)
{
    rd_step_result results[RD_STEP_COUNT] = { RD_STEP_SKIPPED };
    verification v = { .receipt = receipt, .expect = expect };
    int outcome = prepare(&v, err);
    for (int step = 0; step < RD_STEP_COUNT; step++) {
        bool is_broken = outcome < 0 && step <= RD_STEP_EVIDENCE; /* nothing signed stands behind the rest */
        if (is_broken)
            break;
        if (!is_asked(&v, (rd_receipt_step)step))
            continue;
        rd_err found = RD_ERR_INIT;
        bool is_passed = step_functions[step](&v, &found) == 0;
        results[step] = is_passed ? RD_STEP_PASSED : RD_STEP_FAILED;
        if (!is_passed && outcome == 0 && err)
            *err = found;
        if (!is_passed)
            outcome = -1;
    }
    if (steps)
        memcpy(steps, results, sizeof results);
    return outcome < 0 ? rd_err_wrap(err, "receipt") : 0;
}
