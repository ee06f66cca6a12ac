#include "cli/exchange.h"

#include "cli/sealed_stream.h"
#include "cli/steps.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/hash.h"
#include "common/crypto/random.h"

#include <stdlib.h>
#include <string.h>

#define TRIES      2
#define TRIES_HEAD 4 /* while instances are being replaced, the relay leads to older ones, too */

/* One try: the instance that answered first, and what it was sealed to. */
typedef struct sealed_try {
    cli_client *client;
    cli_exchange *exchange;
    const char *url; /* the app's origin, without a slash at its end */
    int url_size;
    char *pin; /* header line that keeps the relay at one instance */
    rd_buf keys;
    cli_docs docs;
    cli_proof proof;
    rd_ohttp ohttp;
} sealed_try;

static char *url_of(const sealed_try *try, const char *path)
{
    return rd_asprintf("%.*s%s", try->url_size, try->url, path);
}

/* ---- what the instance shows ---- */

static int ask_evidence(sealed_try *try, rd_err *err)
{
    cli_exchange *exchange = try->exchange;
    char nonce[44];
    rd_random_bytes(exchange->evidence_nonce, sizeof exchange->evidence_nonce);
    rd_base64url_encode(RD_BYTES_ARRAY(exchange->evidence_nonce), nonce);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf(RD_RUNTIME_PREFIX "evidence?nonce=%s", nonce);
    RD_CLEANUP(rd_free_p) char *url = url_of(try, path);
    cli_answer answer;
    int status = cli_client_send(try->client, &(cli_request){ .method = "GET", .path = url }, &answer, err);
    const char *instance = status == 0 ? cli_answer_header(&answer, "redoubt-instance") : NULL;
    if (status == 0 && !instance)
        status = rd_err_set(err, RD_E_UNAVAILABLE, "the relay does not say which instance answered");
    if (status == 0 && !rd_buf_append_bytes(&exchange->evidence, rd_buf_bytes(&answer.body)))
        status = rd_err_set(err, RD_E_TOO_LARGE, "the evidence is too large");
    if (status == 0) {
        exchange->instance = rd_strdup(instance);
        try->pin = rd_asprintf("Redoubt-Instance: %.*s", (int)strcspn(instance, "."), instance);
    }
    cli_answer_done(&answer);
    return status;
}

static int ask(cli_context *context, sealed_try *try, rd_err *err)
{
    if (ask_evidence(try, err) < 0)
        return -1;
    RD_CLEANUP(rd_free_p) char *url = url_of(try, RD_RUNTIME_PREFIX "ohttp-keys");
    const char *const headers[] = { try->pin, NULL };
    if (cli_exchange_fetch_docs(try->client, try->url, headers, &try->exchange->docs, err) < 0 ||
        cli_client_fetch(try->client, url, headers, &try->keys, err) < 0)
        return -1;
    return cli_collateral_get(context, try->client, rd_buf_bytes(&try->exchange->evidence), &try->exchange->collateral,
                              err);
}

/* The evidence is believed by now; the relay's word for where it led, and the keys that it passed on, are not yet. */
static int check_keys(sealed_try *try, rd_ohttp_key *ret, json_t *steps, rd_err *err)
{
    char named[RD_ID_TEXT_SIZE];
    uint8_t digest[RD_SHA256_SIZE];
    rd_id_format(RD_PREFIX_INSTANCE, &try->proof.instance, named);
    if (strncmp(try->exchange->instance, named, strlen(named)) != 0) {
        (void)rd_err_set(err, RD_E_STATEMENT, "the evidence is of %s, the relay led to %.40s", named,
                         try->exchange->instance);
        return cli_step_failed(steps, "instance", err);
    }
    rd_sha256(rd_buf_bytes(&try->keys), digest);
    if (!try->proof.has_ohttp || memcmp(digest, try->proof.ohttp, sizeof digest) != 0) {
        (void)rd_err_set(err, RD_E_OHTTP_KEYS, "the keys for sealed requests are not those that the evidence names");
        return cli_step_failed(steps, "keys", err);
    }
    if (rd_ohttp_keys_read(rd_buf_bytes(&try->keys), ret, err) < 0)
        return cli_step_failed(steps, "keys", err);
    char hex[2 * sizeof digest + 1];
    rd_hex_encode(RD_BYTES_ARRAY(digest), hex);
    cli_step(steps, "keys", true, "%.12s…, named by the evidence: X25519, HKDF-SHA256, AES-128-GCM", hex);
    return 0;
}

/* ---- the request ---- */

static rd_bytes host_of(const sealed_try *try)
{
    const char *host = strstr(try->url, "://");
    host = host ? host + 3 : try->url;
    return rd_bytes_of(host, (size_t)(try->url + try->url_size - host));
}

static int seal(sealed_try *try, const rd_ohttp_key *key, rd_buf *ret, rd_err *err)
{
    cli_exchange *exchange = try->exchange;
    char salt[44], nonce[44];
    rd_random_bytes(exchange->salt, sizeof exchange->salt);
    rd_random_bytes(exchange->nonce, sizeof exchange->nonce);
    exchange->has_nonce = true;
    rd_base64url_encode(RD_BYTES_ARRAY(exchange->salt), salt);
    rd_base64url_encode(RD_BYTES_ARRAY(exchange->nonce), nonce);
    rd_bhttp_message message = {
        .is_request = true,
        .method = rd_bytes_str(exchange->method),
        .scheme = RD_BYTES_LIT("https"),
        .authority = host_of(try),
        .path = rd_bytes_str(exchange->target),
        .fields = { { RD_BYTES_LIT("redoubt-salt"), rd_bytes_str(salt) },
                    { RD_BYTES_LIT("redoubt-nonce"), rd_bytes_str(nonce) } },
        .field_count = 2,
        .content = rd_buf_bytes(&exchange->request_body),
    };
    if (exchange->request_type[0])
        message.fields[message.field_count++] =
            (rd_bhttp_field){ RD_BYTES_LIT("content-type"), rd_bytes_str(exchange->request_type) };
    if (exchange->is_chunked)
        message.fields[message.field_count++] =
            (rd_bhttp_field){ RD_BYTES_LIT(RD_PADDING_FIELD), RD_BYTES_LIT(RD_PADDING_VALUE) };
    rd_buf text;
    rd_buf_init(&text, 2 * CLI_ANSWER_MAX);
    int status = rd_bhttp_write(&message, &text, err);
    int (*seal_it)(const rd_ohttp_key *key, rd_bytes message, const rd_random *random, rd_ohttp *ret, rd_buf *sealed,
                   rd_err *err) = exchange->is_chunked ? rd_ohttp_seal_chunked : rd_ohttp_seal_request;
    if (status == 0)
        status = seal_it(key, rd_buf_bytes(&text), rd_random_system(), &try->ohttp, ret, err);
    rd_buf_wipe(&text);
    rd_wipe(salt, sizeof salt);
    return status;
}

/* stream takes an answer in chunks; NULL: it comes whole. */
static int post(sealed_try *try, rd_bytes sealed, cli_sealed_stream *stream, int64_t timeout_us, cli_answer *ret,
                rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *url = url_of(try, RD_OHTTP_PATH);
    const char *const headers[] = { try->pin, stream ? "Incremental: ?1" : NULL, NULL };
    const char *wanted = stream ? RD_OHTTP_CHUNKED_RESPONSE_TYPE : RD_OHTTP_RESPONSE_TYPE;
    const cli_request request = {
        .method = "POST",
        .path = url,
        .body = sealed,
        .content_type = stream ? RD_OHTTP_CHUNKED_REQUEST_TYPE : RD_OHTTP_REQUEST_TYPE,
        .headers = headers,
        .accept_any_status = true,
        .timeout_us = timeout_us,
        .on_piece = stream ? cli_sealed_stream_take : NULL,
        .piece_type = stream ? wanted : NULL,
        .context = stream,
    };
    try->exchange->is_sent = true;
    if (cli_client_send(try->client, &request, ret, err) < 0)
        return -1;
    const char *type = cli_answer_header(ret, "content-type");
    if (ret->status == 200 && type && strcmp(type, wanted) == 0)
        return 0;
    (void)cli_exchange_refused(rd_buf_bytes(&ret->body), "an answer that is not sealed: no enclave gave it", err);
    if (stream && err->code == RD_E_CONTENT_TYPE)
        (void)rd_err_wrap(err, "no sealed streams are known there; leave out --stream");
    return -1;
}

/* ---- the answer ---- */

static int open_answer(sealed_try *try, const cli_answer *answer, rd_err *err)
{
    cli_exchange *exchange = try->exchange;
    rd_bhttp_message message;
    RD_CLEANUP(rd_buf_wipe) rd_buf text;
    rd_buf_init(&text, 2 * CLI_ANSWER_MAX);
    if (rd_ohttp_open_answer(&try->ohttp, rd_buf_bytes(&answer->body), &text, err) < 0)
        return rd_err_set(err, RD_E_SEAL, "the answer was changed or cut on its way: its seal does not open");
    if (rd_bhttp_read(rd_buf_bytes(&text), &message, err) < 0)
        return rd_err_wrap(err, "the answer inside the seal");
    if (message.is_request)
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "the seal holds a request where the answer should be");
    exchange->receipt = cli_sealed_field(&message, "redoubt-receipt");
    if (!exchange->receipt)
        return cli_exchange_refused(message.content, "the sealed answer has no receipt", err);
    char *type = cli_sealed_field(&message, "content-type");
    exchange->response_type = type ? type : rd_strdup("");
    exchange->status = message.status;
    return rd_buf_append_bytes(&exchange->response_body, message.content)
               ? 0
               : rd_err_set(err, RD_E_TOO_LARGE, "the answer is too large");
}

static int take_whole(sealed_try *try, rd_bytes sealed, int64_t timeout_us, cli_answer *answer, json_t *steps,
                      rd_err *err)
{
    if (post(try, sealed, NULL, timeout_us, answer, err) < 0)
        return -1;
    return open_answer(try, answer, err) < 0 ? cli_step_failed(steps, "seal", err) : 0;
}

static int take_stream(sealed_try *try, rd_bytes sealed, int64_t timeout_us, cli_answer *answer, json_t *steps,
                       rd_err *err)
{
    cli_sealed_stream stream;
    cli_sealed_stream_init(&stream, try->exchange, &try->ohttp);
    int status = post(try, sealed, &stream, timeout_us, answer, err);
    if (stream.err.code != RD_OK)
        *err = stream.err; /* why the answer was not taken to its end */
    bool is_spoiled = stream.err.code != RD_OK || (status == 0 && cli_sealed_stream_end(&stream, err) < 0);
    cli_sealed_stream_done(&stream);
    return is_spoiled ? cli_step_failed(steps, "seal", err) : status;
}

static int send_sealed(cli_context *context, sealed_try *try, const rd_ohttp_key *key, json_t *steps, rd_err *err)
{
    cli_answer answer = { .status = 0 };
    RD_CLEANUP(rd_buf_done) rd_buf sealed;
    rd_buf_init(&sealed, 2 * CLI_ANSWER_MAX);
    if (seal(try, key, &sealed, err) < 0)
        return -1;
    int (*take)(sealed_try * try, rd_bytes sealed, int64_t timeout_us, cli_answer * answer, json_t * steps,
                rd_err * err) = try->exchange->is_chunked ? take_stream : take_whole;
    int status = take(try, rd_buf_bytes(&sealed), context->timeout_us, &answer, steps, err);
    if (status == 0) {
        cli_step(steps, "seal", true, "only this caller and that enclave could read request and answer");
        try->exchange->elapsed_us = answer.elapsed_us;
    }
    cli_answer_done(&answer);
    return status;
}

static int run_try(cli_context *context, sealed_try *try, json_t *steps, rd_err *err)
{
    int64_t start_us = rd_clock_boot_us(context->clock);
    rd_ohttp_key key;
    if (ask(context, try, err) < 0 ||
        cli_exchange_prove(context, try->exchange, rd_clock_wall_us(context->clock), &try->docs, &try->proof, steps,
                           err) < 0 ||
        check_keys(try, &key, steps, err) < 0)
        return -1;
    try->exchange->verify_us = rd_clock_boot_us(context->clock) - start_us;
    if (send_sealed(context, try, &key, steps, err) < 0)
        return -1;
    return cli_exchange_check_receipt(try->exchange, &try->docs, &try->proof, steps, err);
}

/* Nothing ran, says the relay; an honest one says so when the instance or its key has gone since it was verified. */
static bool is_gone(const rd_err *err, const json_t *steps)
{
    bool is_code = err->code == RD_E_SEAL || err->code == RD_E_DRAINING || err->code == RD_E_NO_INSTANCE ||
                   err->code == RD_E_OHTTP_KEYS;
    bool is_of_answer = err->code == RD_E_SEAL && !cli_steps_are_ok(steps);
    return is_code && !is_of_answer;
}

/* Its instance began under an older head than one seen here, so nothing was sealed to it; the next one may be newer. */
static bool is_older(const rd_err *err, const cli_exchange *exchange)
{
    return err->code == RD_E_HEAD_ROLLBACK && !exchange->is_sent;
}

int cli_exchange_sealed(cli_context *context, cli_client *client, const char *url, cli_exchange *exchange,
                        json_t *steps, bool *ret_simulated, rd_err *err)
{
    size_t url_size = strlen(url);
    while (url_size && url[url_size - 1] == '/')
        url_size--;
    exchange->is_sealed = true;
    for (int tries = 1;; tries++) {
        sealed_try try = { .client = client, .exchange = exchange, .url = url, .url_size = (int)url_size };
        rd_release_init(&try.docs.release);
        rd_buf_init(&try.keys, 4096);
        rd_err failure = RD_ERR_INIT;
        int status = run_try(context, &try, steps, &failure);
        *ret_simulated = try.proof.is_simulated;
        rd_ohttp_done(&try.ohttp);
        cli_proof_done(&try.proof);
        cli_docs_done(&try.docs);
        rd_buf_done(&try.keys);
        free(try.pin);
        if (status == 0)
            return 0;
        bool is_again = is_older(&failure, exchange) ? tries < TRIES_HEAD : tries < TRIES && is_gone(&failure, steps);
        if (exchange->is_streamed || !is_again) {
            *err = failure;
            return -1;
        }
        if (exchange->is_sent)
            cli_note(&context->out,
                     "  again      the relay says that nothing ran (%s); if that is untrue, it runs twice",
                     rd_code_describe(failure.code)->name);
        (void)json_array_clear(steps);
        free(RD_TAKE(exchange->instance));
        free(RD_TAKE(exchange->response_type));
        free(RD_TAKE(exchange->receipt));
        rd_buf_clear(&exchange->response_body);
        rd_buf_clear(&exchange->evidence);
        json_decref(RD_TAKE(exchange->docs));
    }
}
