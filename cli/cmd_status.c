#include "cli/cmd.h"

#include "cli/client.h"
#include "cli/instances.h"
#include "common/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Two requests whatever is asked, so that it stays quick over a slow line: one page each, and it says when there is
 * more. */
static int get(cli_client *client, const char *path, json_t **ret, rd_err *err)
{
    return cli_client_json(client, "GET", path, NULL, ret, err);
}

static const char *state_of(const json_t *app)
{
    const char *deployment = cli_text(json_object_get(app, "deployment"), "state");
    if (json_is_true(json_object_get(app, "paused")))
        return "paused";
    return deployment ? deployment : "never deployed";
}

static void fill_row(const json_t *app, char serving[32], const char **cells)
{
    const json_t *instances = json_object_get(app, "instances");
    (void)snprintf(serving, 32, "%lld of %lld", (long long)json_integer_value(json_object_get(instances, "serving")),
                   (long long)json_integer_value(json_object_get(instances, "wanted")));
    cells[0] = cli_text(app, "name");
    cells[1] = state_of(app);
    cells[2] = serving;
    cells[3] = cli_text(app, "class");
}

static int print_apps(cli_context *context, const json_t *page, rd_err *err)
{
    static const char *const header[] = { "APP", "STATE", "SERVING", "CLASS" };
    const json_t *items = json_object_get(page, "items");
    size_t count = json_array_size(items);
    if (count == 0 && context->out.form == CLI_TABLE) {
        cli_note(&context->out, "No apps yet. Deploy one: redoubt deploy examples/echo");
        return 0;
    }
    RD_CLEANUP(rd_free_p) const char **cells = rd_alloc_array(count * 4 + 1, sizeof *cells);
    RD_CLEANUP(rd_free_p) char(*serving)[32] = rd_alloc_array(count + 1, sizeof *serving);
    for (size_t i = 0; i < count; i++)
        fill_row(json_array_get(items, i), serving[i], cells + i * 4);
    if (cli_print_table(&context->out, header, 4, cells, count, err) < 0)
        return -1;
    if (json_is_string(json_object_get(page, "next")))
        cli_note(&context->out, "There are more: redoubt apps list");
    return 0;
}

static void note_hosts(cli_context *context, const json_t *page)
{
    const json_t *items = json_object_get(page, "items");
    size_t ready = 0, simulated = 0, i;
    json_t *host;
    json_array_foreach(items, i, host)
    {
        const char *state = cli_text(host, "state");
        const char *link = cli_text(host, "link");
        ready += state && link && strcmp(state, "ready") == 0 && strcmp(link, "up") == 0;
        simulated += json_is_true(json_object_get(host, "simulated"));
    }
    size_t count = json_array_size(items);
    bool is_cut = json_is_string(json_object_get(page, "next"));
    cli_note(&context->out, "%s%zu host%s: %zu ready, %zu SIMULATED. All of this is reported by %s.",
             is_cut ? "first " : "", count, count == 1 ? "" : "s", ready, simulated,
             cli_profile_get(context->profile, CLI_SET_API));
}

static int status_of_all(cli_context *context, cli_client *client, rd_err *err)
{
    json_t *apps = NULL;
    json_t *hosts = NULL;
    int status = get(client, "/v1/apps?limit=200", &apps, err);
    if (status == 0)
        status = get(client, "/v1/hosts?limit=200", &hosts, err);
    if (status == 0 && context->out.form == CLI_JSON) {
        json_t *document =
            json_pack("{s:O, s:O}", "apps", json_object_get(apps, "items"), "hosts", json_object_get(hosts, "items"));
        cli_print_json(&context->out, document);
        json_decref(document);
    } else if (status == 0) {
        status = print_apps(context, apps, err);
        if (status == 0 && context->out.form == CLI_TABLE)
            note_hosts(context, hosts);
    }
    json_decref(hosts);
    json_decref(apps);
    return status;
}

/* The deployment carries both: its instances, and the reason why some are missing. */
static int print_app(cli_context *context, const json_t *app, const json_t *deployment, const json_t *instances,
                     rd_err *err)
{
    const json_t *counts = json_object_get(app, "instances");
    cli_print(&context->out, "%s   %s   %lld of %lld serving   %s", cli_text(app, "name"), state_of(app),
              (long long)json_integer_value(json_object_get(counts, "serving")),
              (long long)json_integer_value(json_object_get(counts, "wanted")), cli_text(app, "class"));
    cli_print(&context->out, "  %s", cli_text(app, "url"));
    cli_reason_print(&context->out, json_object_get(deployment, "reason"));
    return json_array_size(instances) ? cli_instances_print(context, instances, err) : 0;
}

static int status_of_app(cli_context *context, cli_client *client, const char *name, rd_err *err)
{
    json_t *app = NULL;
    json_t *deployment = NULL;
    if (cli_client_find_app(client, name, &app, err) < 0)
        return -1;
    const char *id = cli_text(json_object_get(app, "deployment"), "id");
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/deployments/%s", id ? id : "");
    int status = id ? get(client, path, &deployment, err) : 0;
    const json_t *instances = json_object_get(deployment, "instances");
    if (status == 0 && context->out.form == CLI_JSON) {
        json_t *document = json_pack("{s:O, s:O*}", "app", app, "deployment", deployment);
        cli_print_json(&context->out, document);
        json_decref(document);
    } else if (status == 0 && context->out.form == CLI_NAME) {
        status = cli_instances_print(context, instances, err);
    } else if (status == 0) {
        status = print_app(context, app, deployment, instances, err);
    }
    json_decref(deployment);
    json_decref(app);
    return status;
}

static int run_status(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 0, 1, "[APP]", err) < 0)
        return -1;
    cli_client *client = cli_context_client(context, err);
    if (!client)
        return -1;
    if (args->positional_count)
        return status_of_app(context, client, args->positional[0], err);
    return status_of_all(context, client, err);
}

const cli_command cli_status_commands[] = {
    { .name = "status",
      .purpose = "what runs, and what keeps the rest from running",
      .arguments = "[APP]",
      .examples = "redoubt status\nredoubt status private-score\nredoubt status --json | jq '.apps[].name'",
      .run = run_status },
    { .name = NULL },
};
