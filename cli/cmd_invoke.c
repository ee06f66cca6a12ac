#include "cli/cmd.h"

#include "cli/demands.h"
#include "cli/exchange.h"
#include "cli/steps.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* --data: text, @file, or @- for stdin. */
static int read_data(const char *data, rd_buf *into, rd_err *err)
{
    if (!data)
        return 0;
    if (data[0] != '@')
        return rd_buf_append_str(into, data) ? 0 : rd_err_set(err, RD_E_TOO_LARGE, "the request is too large");
    uint8_t *content = NULL;
    size_t size;
    if (cli_read_file(data + 1, CLI_ANSWER_MAX, &content, &size, err) < 0)
        return -1;
    (void)rd_buf_append(into, content, size);
    rd_wipe(content, size);
    free(content);
    return 0;
}

static void fill_request(const cli_args *args, cli_exchange *exchange)
{
    const char *method = cli_args_value(args, "method");
    const char *path = cli_args_value(args, "path");
    const char *type = cli_args_value(args, "content-type");
    bool has_body = exchange->request_body.size > 0;
    exchange->method = rd_strdup(method ? method : has_body ? "POST" : "GET");
    exchange->target = rd_asprintf("%s%s", path && path[0] == '/' ? "" : "/", path ? path : "");
    exchange->request_type = rd_strdup(type ? type : has_body ? "application/json" : "");
}

static void print_piece(void *context RD_UNUSED, rd_bytes piece)
{
    (void)fwrite(piece.data, 1, piece.size, stdout);
    (void)fflush(stdout);
}

static void end_line(const cli_exchange *exchange)
{
    bool ends_line =
        exchange->response_body.size && exchange->response_body.data[exchange->response_body.size - 1] == '\n';
    if (isatty(STDOUT_FILENO) && !ends_line)
        (void)putchar('\n');
    (void)fflush(stdout);
}

static void print_body(const cli_exchange *exchange)
{
    (void)fwrite(exchange->response_body.data, 1, exchange->response_body.size, stdout);
    end_line(exchange);
}

static json_t *body_to_json(const cli_exchange *exchange)
{
    json_t *value = NULL;
    if (strncasecmp(exchange->response_type, "application/json", 16) == 0)
        value =
            json_loadb((const char *)exchange->response_body.data, exchange->response_body.size, JSON_DECODE_ANY, NULL);
    if (!value)
        value = json_stringn((const char *)exchange->response_body.data, exchange->response_body.size);
    return value ? value : json_null();
}

/* What is known of an answer. */
typedef struct findings {
    json_t *steps;
    bool is_verified, is_simulated;
} findings;

static void print_json(const cli_out *out, const cli_exchange *exchange, const findings *found)
{
    json_t *document =
        json_pack("{s:i, s:o, s:s, s:s, s:I, s:s}", "status", (int)exchange->status, "body", body_to_json(exchange),
                  "content_type", exchange->response_type, "instance", exchange->instance, "elapsed_us",
                  (json_int_t)exchange->elapsed_us, "receipt", exchange->receipt);
    (void)json_object_set_new(document, "sealed", json_boolean(exchange->is_sealed));
    if (exchange->is_sealed)
        (void)json_object_set_new(document, "verify_us", json_integer((json_int_t)exchange->verify_us));
    (void)json_object_set_new(document, "verified", json_boolean(found->is_verified));
    (void)json_object_set_new(document, "simulated", json_boolean(found->is_simulated));
    (void)json_object_set_new(document, "steps", json_incref(found->steps));
    cli_print_json(out, document);
    json_decref(document);
}

static int call_plain(cli_context *context, cli_client *client, const char *url, cli_exchange *exchange,
                      findings *found, rd_err *err)
{
    if (cli_exchange_ask_plain(context, client, url, &exchange->app, found->steps, err) < 0 ||
        cli_exchange_send(client, url, exchange, context->timeout_us, err) < 0)
        return -1;
    if (!found->is_verified)
        return 0;
    if (cli_exchange_fetch_proof(context, client, exchange, err) < 0)
        return -1;
    int64_t now_us = rd_clock_wall_us(context->clock);
    return cli_exchange_verify(context, exchange, now_us, found->steps, &found->is_simulated, err);
}

/* Before the answer, so that the answer stands last and alone; one that was streamed has been seen by then. */
static void report(cli_context *context, const cli_exchange *exchange, const findings *found)
{
    const cli_out *out = &context->out;
    char id[32];
    RD_CLEANUP(rd_free_p) char *instance = rd_strdup(exchange->instance);
    instance[strcspn(instance, ".")] = '\0';
    const char *name = cli_short_id(instance, id, sizeof id);
    if (exchange->is_sealed)
        cli_note(out, "  evidence   %-52s  %8.1f ms", "verified before sending, over a nonce of ours",
                 (double)exchange->verify_us / 1000);
    cli_note(out, "  invoke     HTTP %u%s %-*s  %8.1f ms", exchange->status,
             exchange->is_sealed ? ", sealed to the enclave of" : " from", exchange->is_sealed ? 17 : 38, name,
             (double)exchange->elapsed_us / 1000);
    if (!exchange->is_sealed)
        cli_note(out, "  plain      not sealed: the relay and the host's owner could read both ways");
    if (found->is_verified)
        cli_note(out, "  receipt    verified in %zu steps: owner, evidence, enclave key, request, answer",
                 json_array_size(found->steps));
    else
        cli_note(out, "  receipt    UNVERIFIED, as asked: anyone on the way may have made this answer");
    if (context->demands.any_runtime && found->is_verified)
        cli_note(out, "  loosened   --any-runtime: which runtime it is, the owner alone vouches for");
    if (found->is_simulated)
        cli_note(out, "  %snote       SIMULATED: everything was checked, nothing is confidential%s",
                 cli_style_code(out, CLI_MAGENTA), cli_style_code(out, CLI_PLAIN));
}

static void show(cli_context *context, const cli_exchange *exchange, const findings *found)
{
    if (context->out.form == CLI_JSON) {
        print_json(&context->out, exchange, found);
        return;
    }
    if (exchange->is_streamed)
        end_line(exchange);
    report(context, exchange, found);
    if (!exchange->is_streamed)
        print_body(exchange);
}

/* Of what was on its way to an answer: what the reader may think of what he has seen. */
static void show_failed(cli_context *context, const char *app, const cli_exchange *exchange, const json_t *steps)
{
    bool is_unverified = json_array_size(steps) && !cli_steps_are_ok(steps);
    if (exchange->is_streamed && isatty(STDOUT_FILENO))
        (void)putchar('\n');
    (void)fflush(stdout);
    if (is_unverified)
        cli_steps_note_failed(&context->out, steps);
    if (exchange->is_streamed)
        cli_note(&context->out, exchange->is_sealed
                                    ? "PARTIAL: what was printed is the enclave's, but no receipt says that it is all."
                                    : "PARTIAL or forged: no receipt vouches for what was printed.");
    else if (is_unverified && !exchange->is_sealed && !exchange->is_sent)
        cli_note(&context->out, "Nothing was sent: the owner's documents were read first, and do not allow it.");
    else if (is_unverified)
        cli_note(&context->out, "%s Look: redoubt verify %s",
                 exchange->is_sent ? "It was sent and may have run; the answer is withheld: it does not verify."
                                   : "Nothing was sent: the enclave does not verify.",
                 app);
}

static int call(cli_context *context, const cli_args *args, const json_t *app, cli_exchange *exchange, rd_err *err)
{
    cli_client *client = cli_context_client(context, err);
    const char *id = json_string_value(json_object_get(app, "id"));
    const char *url = json_string_value(json_object_get(app, "url"));
    if (!client || !id || !url || rd_app_id_parse(id, strlen(id), &exchange->app, err) < 0)
        return rd_err_set(err, RD_E_UNAVAILABLE, "the control plane names no address for this app");
    findings found = { .steps = json_array(), .is_verified = !cli_args_has(args, "unverified") };
    const char *save = cli_args_value(args, "save");
    if (context->out.form != CLI_JSON && cli_args_has(args, "stream"))
        exchange->on_piece = print_piece;
    exchange->is_chunked = cli_args_has(args, "stream") && !cli_args_has(args, "plain");
    int status = cli_args_has(args, "plain")
                     ? call_plain(context, client, url, exchange, &found, err)
                     : cli_exchange_sealed(context, client, url, exchange, found.steps, &found.is_simulated, err);
    if (status == 0 && save && found.is_verified)
        status = cli_exchange_save(exchange, save, err);
    if (status == 0)
        show(context, exchange, &found);
    else
        show_failed(context, args->positional[0], exchange, found.steps);
    json_decref(found.steps);
    return status == 0 && exchange->status >= 400 ? 1 : status;
}

static int check_flags(const cli_args *args, rd_err *err)
{
    if (cli_args_has(args, "unverified") && !cli_args_has(args, "plain"))
        return rd_err_set(err, RD_E_USAGE,
                          "a request is sealed to a verified enclave alone; --unverified needs --plain");
    if (cli_args_has(args, "unverified") && cli_args_has(args, "release"))
        return rd_err_set(err, RD_E_USAGE, "which release answered is not known unverified: leave out --unverified");
    if (cli_args_has(args, "stream") && cli_args_has(args, "plain") && cli_args_has(args, "release"))
        return rd_err_set(err, RD_E_USAGE,
                          "which release answers a plain request is known at its end: leave out --stream or --plain");
    return cli_args_expect(args, 1, 1, "APP", err);
}

static int run_invoke(cli_context *context, const cli_args *args, rd_err *err)
{
    if (check_flags(args, err) < 0 || cli_docs_take_pin(context, args, err) < 0 ||
        cli_demands_take(context, args, err) < 0)
        return -1;
    cli_exchange exchange;
    cli_exchange_init(&exchange);
    json_t *app = NULL;
    cli_client *client = cli_context_client(context, err);
    int status = client ? read_data(cli_args_value(args, "data"), &exchange.request_body, err) : -1;
    if (status == 0) {
        fill_request(args, &exchange);
        status = cli_client_find_app(client, args->positional[0], &app, err);
    }
    if (status == 0)
        status = call(context, args, app, &exchange, err);
    json_decref(app);
    cli_exchange_done(&exchange);
    return status;
}

static const cli_flag invoke_flags[] = {
    { "data", 'd', "TEXT|@FILE|@-", "the request body" },
    { "method", 'X', "METHOD", "default: POST with a body, else GET" },
    { "path", 0, "PATH", "path and query as the function sees them (default /)" },
    { "content-type", 0, "TYPE", "default: application/json with a body" },
    { "save", 0, "FILE", "keep receipt, evidence and exchange for redoubt verify FILE" },
    { "release", 0, "DIGEST",
      "take an answer of this release alone, not of what the owner makes of the app later; a sealed request is not "
      "even "
      "sent to another" },
    { "plain", 0, NULL, "unsealed: the relay can read it; the release must allow it" },
    { "stream", 0, NULL,
      "print a streamed answer as it comes; its receipt verifies it at its end. Sealed: in chunks that only the "
      "enclave "
      "can have made. With --plain: anyone on the way may have made what is printed before that" },
    { "unverified", 0, NULL, "with --plain: do not verify evidence and receipt" },
    CLI_DEMANDS_FLAGS,
    { NULL, 0, NULL, NULL },
};

const cli_command cli_invoke_commands[] = {
    { .name = "invoke",
      .purpose = "verify an enclave, send it a sealed request, verify the receipt of the answer",
      .arguments = "APP",
      .examples = "redoubt invoke private-score --data @examples/private-score/request.json\n"
                  "redoubt invoke echo --path /hello --save answer.json\n"
                  "redoubt invoke hello --stream\n"
                  "redoubt invoke hello --plain",
      .flags = invoke_flags,
      .run = run_invoke },
    { .name = NULL },
};
