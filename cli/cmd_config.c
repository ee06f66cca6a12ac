#include "cli/cmd.h"

#include "cli/client.h"
#include "cli/keys.h"
#include "cli/policy_words.h"
#include "cli/steps.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *shown_value(const cli_setting *setting)
{
    if (!setting->value)
        return "-";
    return strcmp(setting->key, "token") == 0 ? "(set)" : setting->value;
}

static int run_explain(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 0, 1, "[KEY]", err) < 0)
        return -1;
    const cli_profile *profile = context->profile;
    const char *cells[CLI_SET_COUNT * 3];
    size_t rows = 0;
    json_t *document = json_object();
    for (size_t key = 0; key < CLI_SET_COUNT; key++) {
        const cli_setting *setting = &profile->settings[key];
        if (args->positional_count && strcmp(args->positional[0], setting->key) != 0)
            continue;
        cells[rows * 3] = setting->key;
        cells[rows * 3 + 1] = shown_value(setting);
        cells[rows * 3 + 2] = setting->value ? setting->origin : "not set";
        (void)json_object_set_new(document, setting->key,
                                  json_pack("{s:s, s:s}", "value", cells[rows * 3 + 1], "origin", cells[rows * 3 + 2]));
        rows++;
    }
    static const char *const header[] = { "KEY", "VALUE", "FROM" };
    int status = 0;
    if (rows == 0)
        status = rd_err_set(err, RD_E_CLI_NOT_FOUND, "no such key: %s", args->positional[0]);
    else if (context->out.form == CLI_JSON)
        cli_print_json(&context->out, document);
    else
        status = cli_print_table(&context->out, header, 3, cells, rows, err);
    json_decref(document);
    if (status < 0)
        return -1;
    cli_note(&context->out, "profile: %s; trusts %zu simulation root%s and %zu runtime measurement%s",
             profile->path ? profile->path : "none", profile->simulation_root_count,
             profile->simulation_root_count == 1 ? "" : "s", profile->measurement_count,
             profile->measurement_count == 1 ? "" : "s");
    return 0;
}

/* Past this, evidence and heads look too old or too new. */
#define SKEW_MAX_US 30000000

static void check_clock(cli_context *context, const json_t *version, json_t *steps)
{
    const char *text = cli_text(version, "time");
    int64_t theirs_us;
    if (!text || rd_time_parse(text, strlen(text), &theirs_us) < 0) {
        cli_step(steps, "clock", true, "the control plane does not say its time");
        return;
    }
    int64_t skew_us = rd_clock_wall_us(context->clock) - theirs_us;
    bool is_ok = skew_us < SKEW_MAX_US && skew_us > -SKEW_MAX_US;
    cli_step(steps, "clock", is_ok, "%.1f s %s the control plane's%s", (double)(skew_us < 0 ? -skew_us : skew_us) / 1e6,
             skew_us < 0 ? "behind" : "ahead of",
             is_ok ? ""
                   : "; one of the two is wrong: set it by NTP, for example systemctl enable --now systemd-timesyncd");
}

/* The path names the version of the interface: v1 answers every client that speaks v1. */
static void check_version(const json_t *version, json_t *steps)
{
    const char *api = cli_text(version, "api");
    const char *theirs = cli_text(version, "version");
    bool is_ok = api && strcmp(api, "v1") == 0;
    bool is_same = theirs && strcmp(theirs, REDOUBT_VERSION) == 0;
    cli_step(steps, "version", is_ok, "control plane %s, interface %s; this is %s%s", theirs ? theirs : "?",
             api ? api : "?", REDOUBT_VERSION,
             !is_ok    ? ", which speaks v1 alone: install the redoubt that came with the control plane"
             : is_same ? ""
                       : "; they differ and understand each other");
}

static void check_token(cli_client *client, json_t *steps)
{
    rd_err err = RD_ERR_INIT;
    json_t *session = NULL;
    if (cli_client_json(client, "GET", "/v1/session", NULL, &session, &err) < 0) {
        (void)cli_step_failed(steps, "token", &err);
        return;
    }
    const char *role = cli_text(session, "role");
    const char *expires = cli_text(session, "expires");
    cli_step(steps, "token", true, "accepted, role %s, %s%s", role ? role : "?",
             expires ? "expires " : "does not expire", expires ? expires : "");
    json_decref(session);
}

static int ask(cli_client *client, const char *path, cli_answer *answer, rd_err *err)
{
    const cli_request request = { .method = "GET", .path = path, .is_anonymous = true, .accept_any_status = true };
    return cli_client_send(client, &request, answer, err);
}

static void check_ready(cli_client *client, json_t *steps)
{
    rd_err err = RD_ERR_INIT;
    cli_answer answer;
    if (ask(client, "/readyz", &answer, &err) < 0)
        (void)cli_step_failed(steps, "ready", &err);
    else
        cli_step(steps, "ready", answer.status == 200, "/readyz says %d%s", answer.status,
                 answer.status == 200 ? "" : "; which part is missing: redoubt api GET /readyz");
    cli_answer_done(&answer);
}

static void check_plane(cli_context *context, json_t *steps)
{
    rd_err err = RD_ERR_INIT;
    cli_client *client = cli_context_client(context, &err);
    if (!client) {
        (void)cli_step_failed(steps, "network", &err);
        return;
    }
    const char *api = cli_profile_get(context->profile, CLI_SET_API);
    cli_answer answer;
    if (ask(client, "/v1/version", &answer, &err) < 0) {
        cli_step(steps, "network", false, "%s; is it the right address? It comes from: redoubt config explain api",
                 err.text);
        cli_answer_done(&answer);
        return;
    }
    json_t *version = json_loadb((const char *)answer.body.data, answer.body.size, 0, NULL);
    cli_step(steps, "network", json_is_object(version), "%s answers in %.1f ms%s", api,
             (double)answer.elapsed_us / 1000, json_is_object(version) ? "" : ", but not as a Redoubt control plane");
    cli_answer_done(&answer);
    if (json_is_object(version)) {
        check_version(version, steps);
        check_clock(context, version, steps);
        check_ready(client, steps);
        check_token(client, steps);
    }
    json_decref(version);
}

static void check_policy(const char *path, json_t *steps)
{
    RD_CLEANUP(rd_free_p) rd_policy *policy = NULL;
    rd_err err = RD_ERR_INIT;
    if (path && cli_policy_load(path, &policy, &err) < 0)
        (void)cli_step_failed(steps, "caller policy", &err);
    else
        cli_step(steps, "caller policy", true, "%s", path ? path : "none of your own: the safe defaults");
}

static void check_machine(cli_context *context, json_t *steps)
{
    rd_err err = RD_ERR_INIT;
    rd_signing_key *key = NULL;
    if (cli_keys_load(context->profile, &key, &err) < 0)
        (void)cli_step_failed(steps, "owner key", &err);
    else
        cli_step(steps, "owner key", true, "readable by you alone");
    rd_signing_key_free(key);
    const char *state_dir = cli_profile_get(context->profile, CLI_SET_STATE_DIR);
    err = (rd_err)RD_ERR_INIT;
    if (cli_make_dirs(state_dir, &err) < 0 || access(state_dir, W_OK) < 0)
        cli_step(steps, "state", false, "%s cannot be written, so older heads could not be refused; see state_dir",
                 state_dir);
    else
        cli_step(steps, "state", true, "%s remembers the newest head of each app", state_dir);
    size_t count = context->profile->measurement_count;
    cli_step(steps, "measurements", count > 0,
             count ? "%zu runtime image%s accepted here"
                   : "the profile accepts no runtime image (%zu%s): add measurements, from: redoubt-agent measure",
             count, count == 1 ? "" : "s");
    check_policy(cli_profile_get(context->profile, CLI_SET_CALLER_POLICY), steps);
}

static int run_doctor(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 0, 0, "", err) < 0)
        return -1;
    json_t *steps = json_array();
    check_plane(context, steps);
    check_machine(context, steps);
    bool is_ok = cli_steps_are_ok(steps);
    if (context->out.form == CLI_JSON)
        cli_print_json(&context->out, steps);
    else
        cli_steps_print(&context->out, steps);
    json_decref(steps);
    return is_ok ? 0 : 1;
}

const cli_command cli_config_commands[] = {
    { .name = "config explain",
      .purpose = "each setting, its value and where it came from",
      .arguments = "[KEY]",
      .examples = "redoubt config explain\nredoubt config explain api",
      .run = run_explain },
    { .name = "doctor",
      .purpose = "check network, version, clock, token, key and trust",
      .arguments = "",
      .examples = "redoubt doctor\nredoubt doctor --json",
      .run = run_doctor },
    { .name = NULL },
};
