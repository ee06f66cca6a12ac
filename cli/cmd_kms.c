#include "cli/cmd_kms.h"

#include "cli/demands.h"
#include "cli/kms.h"
#include "cli/steps.h"
#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

int cli_kms_parse_id(const char *text, rd_kms_id *ret, rd_err *err)
{
    if (rd_kms_id_parse(text, strlen(text), ret, err) < 0)
        return rd_err_set(err, RD_E_USAGE, "%s is no id of a key service (kms_ and 52 characters)", text);
    return 0;
}

static int run_list(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 0, 0, "", err) < 0)
        return -1;
    cli_client *client = cli_context_client(context, err);
    RD_CLEANUP(rd_json_free_p) json_t *items = NULL;
    RD_CLEANUP(rd_json_free_p) json_t *trusted = NULL;
    if (!client || cli_kms_trusted(context, &trusted, err) < 0 ||
        cli_client_list(client, "/v1/kms", 1000, &items, err) < 0)
        return -1;
    size_t count = json_array_size(items);
    RD_CLEANUP(rd_free_p) const char **cells = rd_alloc_array(count * 4 + 1, sizeof *cells);
    RD_CLEANUP(rd_free_p) char(*numbers)[24] = rd_alloc_array(count + 1, sizeof *numbers);
    for (size_t i = 0; i < count; i++) {
        json_t *item = json_array_get(items, i);
        const char *id = cli_text(item, "id");
        rd_kms_id kms;
        rd_err ignored = RD_ERR_INIT;
        bool is_trusted = id && rd_kms_id_parse(id, strlen(id), &kms, &ignored) == 0 && cli_kms_is_in(trusted, &kms);
        (void)json_object_set_new(item, "trusted", json_boolean(is_trusted));
        (void)snprintf(numbers[i], sizeof numbers[i], "%lld",
                       (long long)json_integer_value(json_object_get(item, "linked")));
        cells[i * 4] = id;
        cells[i * 4 + 1] = cli_text(item, "class");
        cells[i * 4 + 2] = numbers[i];
        cells[i * 4 + 3] = is_trusted ? "yes" : "no";
    }
    if (context->out.form == CLI_JSON) {
        cli_print_json(&context->out, items);
        return 0;
    }
    static const char *const header[] = { "KMS", "CLASS", "LINKED", "TRUSTED" };
    return cli_print_table(&context->out, header, 4, cells, count, err);
}

/* Fetched and attested now; printed whatever the outcome. */
static int show(cli_context *context, const rd_kms_id *id, cli_kms *kms, bool *ret_trusted, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *steps = json_array();
    RD_CLEANUP(rd_json_free_p) json_t *trusted = NULL;
    cli_client *client = cli_context_client(context, err);
    if (!client || cli_kms_trusted(context, &trusted, err) < 0 || cli_kms_fetch(client, id, kms, err) < 0)
        return -1;
    int status = cli_kms_attest(context, client, kms, steps, err);
    bool is_trusted = cli_kms_is_in(trusted, id);
    *ret_trusted = is_trusted;
    if (context->out.form == CLI_JSON) {
        RD_CLEANUP(rd_json_free_p)
        json_t *document =
            json_pack("{s:s, s:s, s:b, s:b, s:i, s:i, s:i, s:O}", "id", kms->text, "class",
                      rd_class_name(kms->genesis.class), "verified", status == 0, "trusted", is_trusted, "machines",
                      (int)kms->genesis.platforms_count, "recovery_holders", (int)kms->genesis.recovery_count,
                      "recovery_threshold", (int)kms->genesis.recovery_threshold, "steps", steps);
        cli_print_json(&context->out, document);
    } else {
        cli_kms_note(&context->out, kms);
        cli_note(&context->out, "  trusted    %s", is_trusted ? "yes" : "no");
        cli_steps_print(&context->out, steps);
    }
    return status;
}

static int run_show(cli_context *context, const cli_args *args, rd_err *err)
{
    rd_kms_id id;
    cli_kms kms;
    bool is_trusted;
    if (cli_args_expect(args, 1, 1, "ID", err) < 0 || cli_kms_parse_id(args->positional[0], &id, err) < 0 ||
        cli_demands_take(context, args, err) < 0)
        return -1;
    return show(context, &id, &kms, &is_trusted, err);
}

static int run_trust(cli_context *context, const cli_args *args, rd_err *err)
{
    rd_kms_id id;
    cli_kms kms;
    bool is_yes = context->out.assume_yes, is_trusted = false;
    if (cli_args_expect(args, 1, 1, "ID", err) < 0 || cli_kms_parse_id(args->positional[0], &id, err) < 0 ||
        cli_demands_take(context, args, err) < 0 || show(context, &id, &kms, &is_trusted, err) < 0)
        return -1;
    if (is_trusted)
        return 0;
    if (!is_yes && cli_confirm(&context->out, "Trust it with the secrets of your apps?", false, &is_yes, err) < 0)
        return -1;
    if (!is_yes)
        return rd_err_set(err, RD_E_CANCELLED, "not trusted");
    if (cli_kms_trust(context, &id, err) < 0)
        return -1;
    cli_note(&context->out, "Trusted. Apps deployed from here seal their code and take their secrets from it.");
    return 0;
}

static const cli_flag join_flags[] = {
    { "socket", 0, "PATH", "kms_socket of redoubt-agent status; default /var/lib/redoubt-agent/run/kms.sock" },
    { .name = NULL },
};

static const cli_flag collateral_flags[] = {
    CLI_COLLATERAL_FLAGS,
    { .name = NULL },
};

static const cli_flag recover_flags[] = {
    { "shares", 0, "FILE", "the sealed shares: recovery.json of a kms-dir, or a copy of it" },
    { "key", 'k', "FILE", "the holder's key, of redoubt kms recovery-key" },
    { "socket", 0, "PATH", "kms_socket of redoubt-agent status; default /var/lib/redoubt-agent/run/kms.sock" },
    { .name = NULL },
};

const cli_command cli_kms_commands[] = {
    { .name = "kms join",
      .purpose = "bring the root of a key service to this host's replica, which waits for it (kms-join)",
      .arguments = "ID",
      .examples = "redoubt kms join kms_…",
      .flags = join_flags,
      .run = cli_kms_run_join },
    { .name = "kms list",
      .purpose = "key services that hosts of the plane carry, and which are trusted here",
      .arguments = "",
      .examples = "redoubt kms list\nredoubt kms list --json",
      .run = run_list },
    { .name = "kms show",
      .purpose = "whose a key service is; checks its evidence here",
      .arguments = "ID",
      .examples = "redoubt kms show kms_…",
      .flags = collateral_flags,
      .run = run_show },
    { .name = "kms recovery-key",
      .purpose = "make the key of a holder of a recovery share; prints its public half (kms-recovery-keys)",
      .arguments = "FILE",
      .examples = "redoubt kms recovery-key holder.json",
      .run = cli_kms_run_recovery_key },
    { .name = "kms recover",
      .purpose = "give one holder's share to this host's replica, which waits for its root, after checking it",
      .arguments = "ID",
      .examples = "redoubt kms recover kms_… --shares recovery.json --key holder.json",
      .flags = recover_flags,
      .run = cli_kms_run_recover },
    { .name = "kms trust",
      .purpose = "trust a key service with secrets and code, after checking it",
      .arguments = "ID",
      .examples = "redoubt kms trust kms_…",
      .flags = collateral_flags,
      .run = run_trust },
    { .name = NULL },
};
