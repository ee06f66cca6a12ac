#include "cli/cmd.h"

#include "cli/apps.h"
#include "cli/client.h"
#include "common/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Under the table, as its columns have no room for reasons. */
static void note_quarantines(cli_context *context, const json_t *hosts)
{
    for (size_t i = 0; context->out.form == CLI_TABLE && i < json_array_size(hosts); i++) {
        const json_t *host = json_array_get(hosts, i);
        const json_t *quarantine = json_object_get(host, "quarantine");
        if (json_is_object(quarantine))
            cli_note(&context->out, "%s: %s (%s). When that is mended: redoubt hosts release %s",
                     cli_text(host, "name"), cli_text(quarantine, "detail"), cli_text(quarantine, "code"),
                     cli_text(host, "id"));
    }
}

static int run_list(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 0, 0, "", err) < 0)
        return -1;
    cli_client *client = cli_context_client(context, err);
    json_t *items = NULL;
    if (!client || cli_client_list(client, "/v1/hosts", 100000, &items, err) < 0)
        return -1;
    size_t count = json_array_size(items);
    int status = 0;
    if (context->out.form == CLI_JSON) {
        cli_print_json(&context->out, items);
    } else if (count == 0 && context->out.form == CLI_TABLE) {
        cli_note(&context->out, "No hosts yet. Enrol one: redoubt enroll-token");
    } else {
        RD_CLEANUP(rd_free_p) const char **cells = rd_alloc_array(count * 6, sizeof *cells);
        RD_CLEANUP(rd_free_p) char(*slots)[32] = rd_alloc_array(count, sizeof *slots);
        for (size_t i = 0; i < count; i++) {
            const json_t *host = json_array_get(items, i);
            (void)snprintf(slots[i], sizeof slots[i], "%lld of %lld",
                           (long long)json_integer_value(json_object_get(json_object_get(host, "used"), "slots")),
                           (long long)json_integer_value(json_object_get(json_object_get(host, "capacity"), "slots")));
            cells[i * 6] = cli_text(host, "id");
            cells[i * 6 + 1] = cli_text(host, "name");
            bool is_marked = json_is_object(json_object_get(host, "quarantine"));
            cells[i * 6 + 2] = is_marked ? "quarantined" : cli_text(host, "state");
            cells[i * 6 + 3] = cli_text(host, "link");
            cells[i * 6 + 4] = slots[i];
            cells[i * 6 + 5] = json_is_true(json_object_get(host, "simulated")) ? "SIMULATED" : cli_text(host, "tee");
        }
        static const char *const header[] = { "HOST", "NAME", "STATE", "LINK", "SLOTS", "TEE" };
        status = cli_print_table(&context->out, header, 6, cells, count, err);
        note_quarantines(context, items);
    }
    json_decref(items);
    return status;
}

static int run_show(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 1, 1, "HOST", err) < 0)
        return -1;
    cli_client *client = cli_context_client(context, err);
    RD_CLEANUP(rd_free_p) char *escaped = cli_url_escape(args->positional[0]);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/hosts/%s", escaped);
    json_t *host = NULL;
    if (!client || cli_client_json(client, "GET", path, NULL, &host, err) < 0)
        return -1;
    const json_t *quarantine = json_object_get(host, "quarantine");
    if (context->out.form == CLI_TABLE && json_is_object(quarantine))
        cli_note(&context->out, "QUARANTINED: %s (%s). When that is mended: redoubt hosts release %s",
                 cli_text(quarantine, "detail"), cli_text(quarantine, "code"), args->positional[0]);
    if (context->out.form == CLI_TABLE)
        (void)json_object_del(host, "verdict"); /* long; with --json it is there */
    cli_print_object(&context->out, host);
    json_decref(host);
    return 0;
}

static int post_host(cli_context *context, const cli_args *args, const char *action, const char *note, rd_err *err)
{
    if (cli_args_expect(args, 1, 1, "HOST", err) < 0)
        return -1;
    cli_client *client = cli_context_client(context, err);
    RD_CLEANUP(rd_free_p) char *escaped = cli_url_escape(args->positional[0]);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/hosts/%s/%s", escaped, action);
    json_t *host = NULL;
    if (!client || cli_post_once(client, path, RD_BYTES_LIT("{}"), &host, err) < 0)
        return -1;
    if (context->out.form == CLI_JSON)
        cli_print_json(&context->out, host);
    else
        cli_note(&context->out, "%s %s", args->positional[0], note);
    json_decref(host);
    return 0;
}

static int run_drain(cli_context *context, const cli_args *args, rd_err *err)
{
    return post_host(context, args, "drain", "is draining: its instances move elsewhere and no request is lost.", err);
}

static int run_cordon(cli_context *context, const cli_args *args, rd_err *err)
{
    return post_host(context, args, "cordon", "takes no new work; what runs there stays.", err);
}

static int run_release(cli_context *context, const cli_args *args, rd_err *err)
{
    return post_host(context, args, "release", "is released from quarantine; its next fault counts anew.", err);
}

static int run_undrain(cli_context *context, const cli_args *args, rd_err *err)
{
    return post_host(context, args, "undrain", "takes work again.", err);
}

static int run_delete(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 1, 1, "HOST", err) < 0)
        return -1;
    const char *id = args->positional[0];
    cli_client *client = cli_context_client(context, err);
    RD_CLEANUP(rd_free_p) char *escaped = cli_url_escape(id);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/hosts/%s", escaped);
    json_t *host = NULL;
    if (!client || cli_client_json(client, "GET", path, NULL, &host, err) < 0)
        return -1;
    int status = cli_confirm_name(
        &context->out, "This revokes the host: its certificate ends and its instances are placed elsewhere.", id, err);
    if (status == 0)
        status = cli_client_delete(client, path, err);
    if (status == 0 && context->out.form == CLI_JSON) {
        (void)json_object_set_new(host, "state", json_string("revoked"));
        cli_print_json(&context->out, host);
    } else if (status == 0) {
        cli_note(&context->out, "%s is revoked. To let the machine back in: redoubt enroll-token", id);
    }
    json_decref(host);
    return status;
}

static int run_token(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 0, 0, "", err) < 0)
        return -1;
    json_t *body = json_object();
    const char *region = cli_args_value(args, "region");
    const char *expires = cli_args_value(args, "expires");
    uint64_t seconds = 600;
    if (expires && cli_args_duration("expires", expires, &seconds, err) < 0) {
        json_decref(body);
        return -1;
    }
    if (region)
        (void)json_object_set_new(body, "region", json_string(region));
    (void)json_object_set_new(body, "expires_in_s", json_integer((json_int_t)seconds));
    RD_CLEANUP(rd_free_p) char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    cli_client *client = cli_context_client(context, err);
    json_t *answer = NULL;
    if (!client || cli_post_once(client, "/v1/enrol-tokens", rd_bytes_str(text ? text : "{}"), &answer, err) < 0)
        return -1;
    if (context->out.form == CLI_JSON) {
        cli_print_json(&context->out, answer);
    } else if (context->out.form == CLI_NAME) {
        cli_print(&context->out, "%s", cli_text(answer, "token"));
    } else {
        cli_note(&context->out, "Run on the machine, before %s, once:", cli_text(answer, "expires"));
        cli_print(&context->out, "  %s", cli_text(answer, "command"));
    }
    json_decref(answer);
    return 0;
}

static const cli_flag token_flags[] = {
    { "region", 0, "NAME", "the region that the host will belong to" },
    { "expires", 0, "DURATION", "10m by default" },
    { NULL, 0, NULL, NULL },
};

const cli_command cli_hosts_commands[] = {
    { .name = "hosts list",
      .purpose = "list the fleet's hosts",
      .arguments = "",
      .examples = "redoubt hosts list\nredoubt hosts list -o name",
      .run = run_list },
    { .name = "hosts show",
      .purpose = "one host with capacity, platform and verdict",
      .arguments = "HOST",
      .examples = "redoubt hosts show hst_01jd…",
      .run = run_show },
    { .name = "hosts drain",
      .purpose = "move everything off a host without losing a request",
      .arguments = "HOST",
      .examples = "redoubt hosts drain hst_01jd…",
      .run = run_drain },
    { .name = "hosts undrain",
      .purpose = "let a host take work again",
      .arguments = "HOST",
      .examples = "redoubt hosts undrain hst_01jd…",
      .run = run_undrain },
    { .name = "hosts cordon",
      .purpose = "place nothing new on a host; what runs there stays",
      .arguments = "HOST",
      .examples = "redoubt hosts cordon hst_01jd…",
      .run = run_cordon },
    { .name = "hosts uncordon",
      .purpose = "let a host take work again, after a cordon or a drain",
      .arguments = "HOST",
      .examples = "redoubt hosts uncordon hst_01jd…",
      .run = run_undrain },
    { .name = "hosts release",
      .purpose = "release a host from quarantine, once its fault is mended",
      .arguments = "HOST",
      .examples = "redoubt hosts show hst_01jd…\nredoubt hosts release hst_01jd…",
      .run = run_release },
    { .name = "hosts delete",
      .purpose = "revoke a host; its instances are placed elsewhere",
      .arguments = "HOST",
      .examples = "redoubt hosts delete hst_01jd…",
      .run = run_delete },
    { .name = "enroll-token",
      .purpose = "a one-time token that enrols one TEE machine",
      .arguments = "",
      .examples = "redoubt enroll-token\nredoubt enroll-token --region fra --expires 1h",
      .flags = token_flags,
      .run = run_token },
    { .name = NULL },
};
