#include "cli/cmd.h"

#include "cli/apps.h"
#include "cli/client.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdlib.h>
#include <string.h>

static int run_list(cli_context *context, const cli_args *args, rd_err *err)
{
    static const char *const header[] = { "TOKEN", "NAME", "ROLE", "EXPIRES", "LAST USED" };
    if (cli_args_expect(args, 0, 0, "", err) < 0)
        return -1;
    cli_client *client = cli_context_client(context, err);
    json_t *items = NULL;
    if (!client || cli_client_list(client, "/v1/tokens", 10000, &items, err) < 0)
        return -1;
    size_t count = json_array_size(items);
    RD_CLEANUP(rd_free_p) const char **cells = rd_alloc_array(count * 5 + 1, sizeof *cells);
    RD_CLEANUP(rd_free_p) char(*ages)[24] = rd_alloc_array(count + 1, sizeof *ages);
    int64_t now_us = rd_clock_wall_us(context->clock);
    for (size_t i = 0; i < count; i++) {
        const json_t *token = json_array_get(items, i);
        cells[i * 5] = cli_text(token, "id");
        cells[i * 5 + 1] = cli_text(token, "name");
        cells[i * 5 + 2] = cli_text(token, "role");
        cells[i * 5 + 3] = cli_text(token, "expires");
        cells[i * 5 + 4] = cli_age(cli_text(token, "last_used_at"), now_us, ages[i], sizeof ages[i]);
    }
    int status = 0;
    if (context->out.form == CLI_JSON)
        cli_print_json(&context->out, items);
    else
        status = cli_print_table(&context->out, header, 5, cells, count, err);
    json_decref(items);
    return status;
}

static int run_create(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 1, 1, "NAME", err) < 0)
        return -1;
    const char *role = cli_args_value(args, "role");
    const char *expires = cli_args_value(args, "expires");
    uint64_t seconds = 0;
    if (expires && cli_args_duration("expires", expires, &seconds, err) < 0)
        return -1;
    json_t *body = json_pack("{s:s, s:s}", "name", args->positional[0], "role", role ? role : "developer");
    if (expires)
        (void)json_object_set_new(body, "expires_in_s", json_integer((json_int_t)seconds));
    RD_CLEANUP(rd_free_p) char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    cli_client *client = cli_context_client(context, err);
    json_t *token = NULL;
    if (!client || cli_post_once(client, "/v1/tokens", rd_bytes_str(text ? text : "{}"), &token, err) < 0)
        return -1;
    if (context->out.form == CLI_JSON) {
        cli_print_json(&context->out, token);
    } else {
        cli_note(&context->out, "Token %s, shown this once:", cli_text(token, "id"));
        cli_print(&context->out, "%s", cli_text(token, context->out.form == CLI_NAME ? "id" : "token"));
    }
    json_decref(token);
    return 0;
}

static int run_delete(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 1, 1, "TOKEN", err) < 0)
        return -1;
    const char *id = args->positional[0];
    if (rd_starts_with(id, "rdt_"))
        return rd_err_set(err, RD_E_USAGE, "name a token by its id (tok_…, see: redoubt tokens list), never by itself");
    RD_CLEANUP(rd_free_p) char *escaped = cli_url_escape(id);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/tokens/%s", escaped);
    cli_client *client = cli_context_client(context, err);
    if (!client || cli_confirm_name(&context->out, "Whoever uses this token is shut out at once.", id, err) < 0 ||
        cli_client_delete_any(client, path, err) < 0)
        return -1;
    if (context->out.form == CLI_JSON) {
        json_t *document = json_pack("{s:s, s:b}", "id", id, "revoked", true);
        cli_print_json(&context->out, document);
        json_decref(document);
    } else {
        cli_note(&context->out, "%s is revoked.", id);
    }
    return 0;
}

static const cli_flag create_flags[] = {
    { "role", 0, "ROLE", "owner, developer (the default), viewer, operator or auditor" },
    { "expires", 0, "DURATION", "such as 12h or 30d; default: the control plane's" },
    { NULL, 0, NULL, NULL },
};

const cli_command cli_tokens_commands[] = {
    { .name = "tokens create",
      .purpose = "a token for a program or a colleague, printed once",
      .arguments = "NAME",
      .examples = "redoubt tokens create ci --role developer --expires 30d > ci-token",
      .flags = create_flags,
      .run = run_create },
    { .name = "tokens list",
      .purpose = "the organisation's tokens",
      .arguments = "",
      .examples = "redoubt tokens list",
      .run = run_list },
    { .name = "tokens delete",
      .purpose = "revoke a token",
      .arguments = "TOKEN",
      .examples = "redoubt tokens delete tok_01jd…",
      .run = run_delete },
    { .name = NULL },
};
