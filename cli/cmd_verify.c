#include "cli/cmd.h"

#include "cli/demands.h"
#include "cli/docs.h"
#include "cli/exchange.h"
#include "cli/live.h"
#include "cli/proof.h"
#include "cli/steps.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print_mark(const cli_out *out, const char *title, bool is_simulated)
{
    cli_print(out, "%s%s%s%s%s", title, is_simulated ? "   " : "", cli_style_code(out, CLI_MAGENTA),
              is_simulated ? "SIMULATED: not confidential" : "", cli_style_code(out, CLI_PLAIN));
}

static int read_instant(cli_context *context, const cli_args *args, int64_t *ret_us, rd_err *err)
{
    const char *at = cli_args_value(args, "at");
    *ret_us = rd_clock_wall_us(context->clock);
    context->demands.is_of_then = at != NULL;
    if (at && rd_time_parse(at, strlen(at), ret_us) < 0)
        return rd_err_set(err, RD_E_USAGE, "--at takes a time like 2026-11-22T20:00:00Z, not %s", at);
    return 0;
}

static int verify_file(cli_context *context, const cli_args *args, const char *path, rd_err *err)
{
    cli_exchange exchange;
    json_t *steps = json_array();
    bool is_simulated = false;
    int64_t now_us;
    int status = cli_exchange_load(path, &exchange, err);
    if (status == 0)
        status = read_instant(context, args, &now_us, err);
    if (status == 0)
        status = cli_collateral_replace(context, cli_context_client(context, NULL), rd_buf_bytes(&exchange.evidence),
                                        &exchange.collateral, err);
    if (status == 0) {
        status = cli_exchange_verify(context, &exchange, now_us, steps, &is_simulated, err);
        if (context->out.form == CLI_JSON) {
            json_t *document =
                json_pack("{s:b, s:b, s:O}", "verified", status == 0, "simulated", is_simulated, "steps", steps);
            cli_print_json(&context->out, document);
            json_decref(document);
        } else {
            print_mark(&context->out, path, is_simulated);
            cli_steps_print(&context->out, steps);
        }
        if (status < 0)
            err->code = RD_E_CLI_VERIFY;
    }
    json_decref(steps);
    cli_exchange_done(&exchange);
    return status;
}

typedef struct verify_run {
    cli_context *context;
    cli_client *client;
    rd_app_id app;
    cli_collateral collateral;
    json_t *results;
    size_t verified;
    rd_err first_failure;
} verify_run;

/* Fresh evidence over a nonce drawn here, and everything that it names. */
static int verify_instance(verify_run *run, const char *instance, json_t *steps, bool *ret_simulated, rd_err *err)
{
    uint8_t nonce[32];
    char nonce_text[44];
    rd_random_bytes(nonce, sizeof nonce);
    rd_base64url_encode(RD_BYTES_ARRAY(nonce), nonce_text);
    RD_CLEANUP(rd_free_p) char *escaped = cli_url_escape(instance);
    RD_CLEANUP(rd_free_p) char *docs_path = rd_asprintf("/v1/instances/%s/docs", escaped);
    RD_CLEANUP(rd_free_p) char *evidence_path = rd_asprintf("/v1/instances/%s/evidence?nonce=%s", escaped, nonce_text);
    const char *state_dir = cli_profile_get(run->context->profile, CLI_SET_STATE_DIR);
    int64_t start_us = rd_clock_boot_us(run->context->clock);
    int64_t now_us = rd_clock_wall_us(run->context->clock);
    rd_buf evidence = { .size_max = CLI_EVIDENCE_MAX };
    json_t *docs_json = NULL;
    if (cli_client_json(run->client, "GET", docs_path, NULL, &docs_json, err) < 0 ||
        cli_client_fetch(run->client, evidence_path, NULL, &evidence, err) < 0) {
        json_decref(docs_json);
        rd_buf_done(&evidence);
        return cli_step_failed(steps, "answer", err);
    }
    int64_t waited_us = rd_clock_boot_us(run->context->clock) - start_us;
    if (cli_collateral_get(run->context, run->client, rd_buf_bytes(&evidence), &run->collateral, err) < 0) {
        json_decref(docs_json);
        rd_buf_done(&evidence);
        return cli_step_failed(steps, "collateral", err);
    }
    cli_docs docs;
    cli_proof proof = { .is_simulated = false };
    int status = cli_docs_open(docs_json, &run->app, state_dir, &now_us, &docs, steps, err);
    if (status == 0)
        status = cli_docs_check_pin(run->context, &docs, steps, err);
    const cli_proof_request wanted = {
        .evidence = rd_buf_bytes(&evidence),
        .collateral = &run->collateral,
        .docs = &docs,
        .purpose = RD_PURPOSE_CLIENT,
        .nonce = nonce,
        .now_us = now_us,
    };
    if (status == 0)
        status = cli_proof_check(run->context, &wanted, &proof, steps, err);
    if (status == 0)
        cli_step(steps, "freshness", true, "answered this nonce in %.1f ms", (double)waited_us / 1000);
    *ret_simulated = proof.is_simulated;
    cli_proof_done(&proof);
    cli_docs_done(&docs);
    json_decref(docs_json);
    rd_buf_done(&evidence);
    return status;
}

static void verify_one(verify_run *run, const json_t *instance)
{
    const char *id = json_string_value(json_object_get(instance, "id"));
    const char *host = json_string_value(json_object_get(instance, "host"));
    json_t *steps = json_array();
    bool is_simulated = false;
    rd_err err = RD_ERR_INIT;
    int status = id ? verify_instance(run, id, steps, &is_simulated, &err) : -1;
    run->verified += status == 0;
    if (status < 0 && run->first_failure.code == RD_OK)
        run->first_failure = err;
    if (run->context->out.form != CLI_JSON) {
        RD_CLEANUP(rd_free_p) char *title = rd_asprintf("%s   %s", id ? id : "?", host ? host : "");
        print_mark(&run->context->out, title, is_simulated);
        cli_steps_print(&run->context->out, steps);
    }
    (void)json_array_append_new(run->results, json_pack("{s:s, s:b, s:b, s:o}", "instance", id ? id : "?", "verified",
                                                        status == 0, "simulated", is_simulated, "steps", steps));
}

static int verify_all(verify_run *run, const json_t *app, rd_err *err)
{
    const char *id = json_string_value(json_object_get(app, "id"));
    const char *name = json_string_value(json_object_get(app, "name"));
    if (!id || rd_app_id_parse(id, strlen(id), &run->app, err) < 0)
        return rd_err_set(err, RD_E_ID_FORMAT, "the control plane answered without a proper app id");
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s/instances", id);
    json_t *instances = NULL;
    if (cli_client_list(run->client, path, 1000, &instances, err) < 0)
        return -1;
    if (run->context->out.form != CLI_JSON)
        cli_print(&run->context->out, "%s   %s", name ? name : "?", id);
    size_t i, asked = 0;
    json_t *instance;
    json_array_foreach(instances, i, instance)
    {
        if (!json_is_true(json_object_get(instance, "serving")))
            continue;
        verify_one(run, instance);
        asked++;
    }
    json_decref(instances);
    if (run->context->out.form == CLI_JSON)
        cli_print_json(&run->context->out, run->results);
    else
        cli_print(&run->context->out, "%zu of %zu verified.", run->verified, asked);
    if (asked == 0)
        return rd_err_set(err, RD_E_CLI_VERIFY, "no instance serves, so there is nothing to verify");
    if (run->verified < asked)
        return rd_err_set(err, RD_E_CLI_VERIFY, "%zu of %zu instances did not verify: %s", asked - run->verified, asked,
                          run->first_failure.text);
    return 0;
}

/* ---- a live endpoint ---- */

#define LIVE_TIMEOUT_US 30000000

/* Evidence, documents and the exporter all of one connection. */
static int prove_live(cli_context *context, const cli_live_address *address, cli_live *live, cli_collateral *collateral,
                      cli_proof *proof, json_t *steps, rd_err *err)
{
    uint8_t nonce[32];
    char nonce_text[44];
    rd_buf evidence, docs_text;
    json_t *docs_json = NULL;
    cli_docs docs;
    int64_t now_us = rd_clock_wall_us(context->clock), start_us = rd_clock_boot_us(context->clock);
    rd_random_bytes(nonce, sizeof nonce);
    rd_base64url_encode(RD_BYTES_ARRAY(nonce), nonce_text);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/.well-known/redoubt/evidence?nonce=%s", nonce_text);
    rd_buf_init(&evidence, CLI_EVIDENCE_MAX);
    rd_buf_init(&docs_text, CLI_DOCS_MAX);
    int status = cli_live_get(live, path, CLI_EVIDENCE_MAX, &evidence, err);
    int64_t waited_us = rd_clock_boot_us(context->clock) - start_us;
    if (status == 0)
        status = cli_live_get(live, "/.well-known/redoubt/docs", CLI_DOCS_MAX, &docs_text, err);
    if (status == 0)
        status = cli_docs_parse(rd_buf_bytes(&docs_text), &docs_json, err);
    if (status == 0)
        status =
            cli_collateral_get(context, cli_context_client(context, NULL), rd_buf_bytes(&evidence), collateral, err);
    if (status < 0) {
        rd_buf_done(&evidence);
        rd_buf_done(&docs_text);
        return cli_step_failed(steps, "answer", err);
    }
    status = cli_docs_open(docs_json, &address->app, cli_profile_get(context->profile, CLI_SET_STATE_DIR), &now_us,
                           &docs, steps, err);
    const cli_proof_request wanted = { .evidence = rd_buf_bytes(&evidence),
                                       .collateral = collateral,
                                       .docs = &docs,
                                       .purpose = RD_PURPOSE_CHANNEL,
                                       .nonce = nonce,
                                       .channel = cli_live_exporter(live),
                                       .tls = cli_live_key(live),
                                       .now_us = now_us };
    if (status == 0)
        status = cli_docs_check_pin(context, &docs, steps, err);
    if (status == 0)
        status = cli_proof_check(context, &wanted, proof, steps, err);
    if (status == 0) {
        cli_step(steps, "channel", true, "bound to this connection and the key of its certificate (RFC 9266)");
        status = cli_live_check_certificate(live, now_us, steps, err);
    }
    if (status == 0)
        cli_step(steps, "freshness", true, "answered this nonce in %.1f ms", (double)waited_us / 1000);
    cli_docs_done(&docs);
    json_decref(docs_json);
    rd_buf_done(&evidence);
    rd_buf_done(&docs_text);
    return status;
}

static void print_live(cli_context *context, const char *url, const cli_proof *proof, bool is_verified,
                       const json_t *steps)
{
    char id[RD_ID_TEXT_SIZE] = "";
    if (is_verified)
        rd_id_format(RD_PREFIX_INSTANCE, &proof->instance, id);
    if (context->out.form == CLI_JSON) {
        json_t *document = json_pack("{s:s, s:s?, s:b, s:b, s:O}", "endpoint", url, "instance", is_verified ? id : NULL,
                                     "verified", is_verified, "simulated", proof->is_simulated, "steps", steps);
        cli_print_json(&context->out, document);
        json_decref(document);
        return;
    }
    RD_CLEANUP(rd_free_p) char *title = rd_asprintf("%s   %s", url, id);
    print_mark(&context->out, title, proof->is_simulated);
    cli_steps_print(&context->out, steps);
}

static int verify_live(cli_context *context, const char *url, rd_err *err)
{
    cli_live_address address;
    cli_live *live = NULL;
    cli_proof proof = { .is_simulated = false };
    RD_CLEANUP(cli_collateral_done) cli_collateral collateral;
    cli_collateral_init(&collateral);
    if (cli_live_address_parse(url, &address, err) < 0)
        return -1;
    json_t *steps = json_array();
    int status = cli_live_open(&address, context->timeout_us ? context->timeout_us : LIVE_TIMEOUT_US, &live, err);
    if (status < 0)
        (void)cli_step_failed(steps, "connection", err);
    else
        status = prove_live(context, &address, live, &collateral, &proof, steps, err);
    print_live(context, url, &proof, status == 0, steps);
    cli_live_free(live);
    cli_proof_done(&proof);
    json_decref(steps);
    return status;
}

static int run_verify(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 1, 1, "APP|FILE|URL", err) < 0 || cli_docs_take_pin(context, args, err) < 0 ||
        cli_demands_take(context, args, err) < 0)
        return -1;
    const char *what = args->positional[0];
    if (strncmp(what, "https://", 8) == 0)
        return verify_live(context, what, err);
    bool looks_like_file = strchr(what, '/') || strchr(what, '.') || strcmp(what, "-") == 0;
    if (looks_like_file || access(what, R_OK) == 0)
        return verify_file(context, args, what, err);
    verify_run run = { .context = context, .results = json_array(), .first_failure = RD_ERR_INIT };
    json_t *app = NULL;
    cli_collateral_init(&run.collateral);
    run.client = cli_context_client(context, err);
    int status = run.client ? cli_client_find_app(run.client, what, &app, err) : -1;
    if (status == 0)
        status = verify_all(&run, app, err);
    json_decref(app);
    json_decref(run.results);
    cli_collateral_done(&run.collateral);
    return status;
}

static const cli_flag verify_flags[] = {
    { "at", 0, "RFC3339", "judge a saved receipt as of this instant (default: now)" },
    { "release", 0, "DIGEST", "accept this release of the app alone" },
    CLI_DEMANDS_FLAGS,
    { NULL, 0, NULL, NULL },
};

const cli_command cli_verify_commands[] = {
    { .name = "verify",
      .purpose = "check instances, a live endpoint or a saved receipt here, step by step",
      .arguments = "APP|URL|FILE",
      .examples =
          "redoubt verify private-score\nredoubt verify https://app-ID.apps.example\nredoubt verify answer.json "
          "--json\nredoubt verify answer.json --at 2026-12-01T00:00:00Z",
      .flags = verify_flags,
      .run = run_verify },
    { .name = NULL },
};
