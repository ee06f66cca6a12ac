#include "cli/cmd.h"

#include "cli/client.h"
#include "cli/keys.h"
#include "cli/steps.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdlib.h>
#include <string.h>

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
    if (context->out.form == CLI_JSON)
        cli_print_json(&context->out, document);
    else
        cli_print_table(&context->out, header, 3, cells, rows);
    json_decref(document);
    if (rows == 0)
        return rd_err_set(err, RD_E_CLI_NOT_FOUND, "no such key: %s", args->positional[0]);
    cli_note(&context->out, "profile: %s; trusts %zu simulation root%s and %zu runtime measurement%s",
             profile->path ? profile->path : "none", profile->simulation_root_count,
             profile->simulation_root_count == 1 ? "" : "s", profile->measurement_count,
             profile->measurement_count == 1 ? "" : "s");
    return 0;
}

static void check_plane(cli_context *context, json_t *steps)
{
    rd_err err = RD_ERR_INIT;
    cli_client *client = cli_context_client(context, &err);
    cli_answer answer = { .status = 0 };
    const cli_request request = { .method = "GET", .path = "/readyz", .is_anonymous = true, .accept_any_status = true };
    if (!client || cli_client_send(client, &request, &answer, &err) < 0) {
        (void)cli_step_failed(steps, "network", &err);
        if (client)
            cli_answer_done(&answer);
        return;
    }
    cli_step(steps, "network", true, "%s answers in %.1f ms", cli_profile_get(context->profile, CLI_SET_API),
             (double)answer.elapsed_us / 1000);
    cli_step(steps, "ready", answer.status == 200, "/readyz says %d%s", answer.status,
             answer.status == 200 ? "" : "; look at its body with: redoubt api GET /readyz");
    cli_answer_done(&answer);
    json_t *session = NULL;
    if (cli_client_json(client, "GET", "/v1/session", NULL, &session, &err) < 0) {
        (void)cli_step_failed(steps, "token", &err);
        return;
    }
    const char *role = json_string_value(json_object_get(session, "role"));
    cli_step(steps, "token", true, "accepted, role %s", role ? role : "?");
    json_decref(session);
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
    size_t count = context->profile->measurement_count;
    cli_step(steps, "measurements", count > 0,
             count ? "%zu runtime image%s accepted here" : "the profile lists none; deploys cannot be verified", count,
             count == 1 ? "" : "s");
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
      .purpose = "check network, control plane, token, key and trust settings",
      .arguments = "",
      .examples = "redoubt doctor\nredoubt doctor --json",
      .run = run_doctor },
    { .name = NULL },
};
