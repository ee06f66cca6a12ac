#include "cli/exchange.h"

#include "cli/steps.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/random.h"
#include "common/model/evidence.h"
#include "common/model/ohttp.h"
#include "common/model/receipt.h"

#include <stdlib.h>
#include <string.h>

void cli_exchange_init(cli_exchange *exchange)
{
    *exchange = (cli_exchange){ .status = 0 };
    rd_buf_init(&exchange->request_body, CLI_ANSWER_MAX);
    rd_buf_init(&exchange->response_body, CLI_ANSWER_MAX);
    rd_buf_init(&exchange->evidence, CLI_EVIDENCE_MAX);
    cli_collateral_init(&exchange->collateral);
}

void cli_exchange_done(cli_exchange *exchange)
{
    free(exchange->method);
    free(exchange->target);
    free(exchange->request_type);
    free(exchange->response_type);
    free(exchange->receipt);
    free(exchange->instance);
    rd_wipe(exchange->salt, sizeof exchange->salt);
    rd_buf_wipe(&exchange->request_body);
    rd_buf_wipe(&exchange->response_body);
    rd_buf_done(&exchange->evidence);
    cli_collateral_done(&exchange->collateral);
    json_decref(exchange->docs);
}

static char *copy_header(const cli_answer *answer, const char *name)
{
    const char *value = cli_answer_header(answer, name);
    return rd_strdup(value ? value : "");
}

int cli_exchange_refused(rd_bytes body, const char *fallback, rd_err *err)
{
    json_t *problem = json_loadb((const char *)body.data, body.size, 0, NULL);
    const char *name = json_string_value(json_object_get(problem, "code"));
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    rd_code code = name ? rd_code_by_name(name) : RD_OK;
    (void)rd_err_set(err, code ? code : RD_E_UNAVAILABLE, "%s", detail ? detail : fallback);
    json_decref(problem);
    return -1;
}

static int take_answer(cli_exchange *exchange, cli_answer *answer, rd_err *err)
{
    const char *receipt = cli_answer_header(answer, "redoubt-receipt");
    const char *instance = cli_answer_header(answer, "redoubt-instance");
    if (!receipt || !instance)
        return cli_exchange_refused(rd_buf_bytes(&answer->body), "an answer without a receipt: no enclave signed it",
                                    err);
    exchange->receipt = rd_strdup(receipt);
    exchange->instance = rd_strdup(instance);
    exchange->response_type = copy_header(answer, "content-type");
    exchange->status = (uint32_t)answer->status;
    exchange->elapsed_us = answer->elapsed_us;
    (void)rd_buf_append_bytes(&exchange->response_body, rd_buf_bytes(&answer->body));
    return 0;
}

static char *b64_header(const char *name, const uint8_t bytes[32])
{
    char text[44];
    rd_base64url_encode(rd_bytes_of(bytes, 32), text);
    return rd_asprintf("%s: %s", name, text);
}

/* Whoever asked for it sees a body whose receipt is to follow at once; any other waits for its receipt to be verified.
 */
static bool on_piece(void *context, const cli_answer *answer, rd_bytes piece)
{
    cli_exchange *exchange = context;
    if (exchange->on_piece && cli_answer_header(answer, "trailer")) {
        exchange->is_streamed = true;
        exchange->on_piece(exchange->context, piece);
    }
    return true;
}

int cli_exchange_send(cli_client *client, const char *url, cli_exchange *exchange, int64_t timeout_us, rd_err *err)
{
    rd_random_bytes(exchange->salt, sizeof exchange->salt);
    rd_random_bytes(exchange->nonce, sizeof exchange->nonce);
    exchange->has_nonce = true;
    RD_CLEANUP(rd_free_p) char *salt = b64_header("Redoubt-Salt", exchange->salt);
    RD_CLEANUP(rd_free_p) char *nonce = b64_header("Redoubt-Nonce", exchange->nonce);
    size_t url_size = strlen(url);
    while (url_size && url[url_size - 1] == '/')
        url_size--;
    RD_CLEANUP(rd_free_p) char *full = rd_asprintf("%.*s%s", (int)url_size, url, exchange->target);
    const char *const headers[] = { salt, nonce, NULL };
    bool has_body = exchange->request_body.size > 0 || exchange->request_type[0];
    const cli_request request = {
        .method = exchange->method,
        .path = full,
        .body = rd_buf_bytes(&exchange->request_body),
        .content_type = has_body ? exchange->request_type : NULL,
        .headers = headers,
        .accept_any_status = true,
        .timeout_us = timeout_us,
        .on_piece = on_piece,
        .context = exchange,
    };
    cli_answer answer;
    exchange->is_sent = true;
    int status = cli_client_send(client, &request, &answer, err);
    if (status == 0)
        status = take_answer(exchange, &answer, err);
    rd_wipe(salt, strlen(salt));
    cli_answer_done(&answer);
    return status;
}

int cli_exchange_fetch_docs(cli_client *client, const char *url, const char *const *headers, json_t **ret, rd_err *err)
{
    size_t size = strlen(url);
    while (size && url[size - 1] == '/')
        size--;
    RD_CLEANUP(rd_free_p) char *full = rd_asprintf("%.*s" RD_RUNTIME_PREFIX "docs", (int)size, url);
    RD_CLEANUP(rd_buf_done) rd_buf text = { .size_max = CLI_DOCS_MAX };
    if (cli_client_fetch(client, full, headers, &text, err) < 0)
        return -1;
    return cli_docs_parse(rd_buf_bytes(&text), ret, err);
}

static int check_plain(cli_context *context, const json_t *shown, const rd_app_id *app, json_t *steps, rd_err *err)
{
    RD_CLEANUP(cli_docs_done) cli_docs docs;
    int64_t now_us = rd_clock_wall_us(context->clock);
    if (cli_docs_open(shown, app, cli_profile_get(context->profile, CLI_SET_STATE_DIR), &now_us, &docs, steps, err) <
            0 ||
        cli_docs_check_pin(context, &docs, steps, err) < 0)
        return -1;
    if (!docs.release.is_plain) {
        (void)rd_err_set(err, RD_E_PLAIN_REFUSED, "release %u takes sealed requests alone", docs.release.number);
        return cli_step_failed(steps, "plain", err);
    }
    (void)json_array_clear(steps);
    cli_step(steps, "plain", true, "release %u lets requests come unsealed, says its owner; read before sending",
             docs.release.number);
    return 0;
}

int cli_exchange_ask_plain(cli_context *context, cli_client *client, const char *url, const rd_app_id *app,
                           json_t *steps, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *shown = NULL;
    if (cli_exchange_fetch_docs(client, url, NULL, &shown, err) < 0)
        return cli_step_failed(steps, "answer", err);
    return check_plain(context, shown, app, steps, err);
}

static bool is_of_statement(rd_bytes bundle, const rd_digest *named)
{
    rd_evidence evidence = { 0 };
    rd_err ignored = RD_ERR_INIT;
    rd_digest digest = { { 0 } };
    if (rd_evidence_parse(bundle, &evidence, &ignored) == 0)
        rd_statement_digest(rd_buf_bytes(&evidence.statement_bytes), &digest);
    rd_evidence_done(&evidence);
    return rd_digest_equal(&digest, named);
}

/* The evidence that the receipt names: what its instance began with. False when the plane has it no more. */
static bool fetch_named(cli_client *client, cli_exchange *exchange)
{
    rd_receipt receipt = { .index = 0 };
    rd_err ignored = RD_ERR_INIT;
    bool is_read = rd_receipt_parse_header(exchange->receipt, strlen(exchange->receipt), &receipt, &ignored) == 0;
    rd_digest named = receipt.claims.evidence;
    rd_receipt_done(&receipt);
    if (!is_read)
        return false;
    char text[RD_DIGEST_TEXT_SIZE];
    rd_digest_format(&named, text);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/evidence/by-digest/%s", text);
    if (cli_client_fetch(client, path, NULL, &exchange->evidence, &ignored) == 0 &&
        is_of_statement(rd_buf_bytes(&exchange->evidence), &named))
        return true;
    rd_buf_clear(&exchange->evidence);
    return false;
}

int cli_exchange_fetch_proof(cli_context *context, cli_client *client, cli_exchange *exchange, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *instance = rd_strdup(exchange->instance);
    instance[strcspn(instance, ".")] = '\0';
    RD_CLEANUP(rd_free_p) char *escaped = cli_url_escape(instance);
    RD_CLEANUP(rd_free_p) char *docs = rd_asprintf("/v1/instances/%s/docs", escaped);
    RD_CLEANUP(rd_free_p) char *evidence = rd_asprintf("/v1/instances/%s/evidence", escaped);
    if (cli_client_json(client, "GET", docs, NULL, &exchange->docs, err) < 0)
        return -1;
    /* Renewed evidence proves the same receipt key. */
    if (!fetch_named(client, exchange) && cli_client_fetch(client, evidence, NULL, &exchange->evidence, err) < 0)
        return -1;
    return cli_collateral_get(context, client, rd_buf_bytes(&exchange->evidence), &exchange->collateral, err);
}

int cli_exchange_prove(cli_context *context, const cli_exchange *exchange, int64_t now_us, cli_docs *docs,
                       cli_proof *proof, json_t *steps, rd_err *err)
{
    const char *state_dir = exchange->is_saved ? NULL : cli_profile_get(context->profile, CLI_SET_STATE_DIR);
    *proof = (cli_proof){ .is_simulated = false };
    if (cli_docs_open(exchange->docs, &exchange->app, state_dir, &now_us, docs, steps, err) < 0 ||
        cli_docs_check_pin(context, docs, steps, err) < 0)
        return -1;
    const cli_proof_request wanted = {
        .evidence = rd_buf_bytes(&exchange->evidence),
        .collateral = &exchange->collateral,
        .is_saved = exchange->is_saved,
        .docs = docs,
        .purpose = exchange->is_sealed ? RD_PURPOSE_CLIENT : RD_PURPOSE_STATUS,
        .nonce = exchange->is_sealed ? exchange->evidence_nonce : NULL,
        .now_us = now_us,
    };
    return cli_proof_check(context, &wanted, proof, steps, err);
}

int cli_exchange_check_receipt(const cli_exchange *exchange, const cli_docs *docs, const cli_proof *proof,
                               json_t *steps, rd_err *err)
{
    const cli_receipt_request receipt = {
        .receipt = exchange->receipt,
        .salt = exchange->salt,
        .nonce = exchange->has_nonce ? exchange->nonce : NULL,
        .method = rd_bytes_str(exchange->method),
        .target = rd_bytes_str(exchange->target),
        .request_type = rd_bytes_str(exchange->request_type),
        .request_body = rd_buf_bytes(&exchange->request_body),
        .status = exchange->status,
        .response_type = rd_bytes_str(exchange->response_type),
        .response_body = rd_buf_bytes(&exchange->response_body),
    };
    return cli_receipt_check(&receipt, docs, proof, steps, err);
}

int cli_exchange_verify(cli_context *context, const cli_exchange *exchange, int64_t now_us, json_t *steps,
                        bool *ret_simulated, rd_err *err)
{
    cli_docs docs;
    cli_proof proof;
    int status = cli_exchange_prove(context, exchange, now_us, &docs, &proof, steps, err);
    if (status == 0)
        status = cli_exchange_check_receipt(exchange, &docs, &proof, steps, err);
    *ret_simulated = proof.is_simulated;
    cli_proof_done(&proof);
    cli_docs_done(&docs);
    return status;
}
