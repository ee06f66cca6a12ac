#include "cli/cmd.h"

#include "cli/apps.h"
#include "cli/client.h"
#include "cli/docs.h"
#include "cli/instances.h"
#include "cli/keys.h"
#include "cli/steps.h"
#include "common/base/mem.h"
#include "common/model/release.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "-";
}

static int run_create(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 1, 1, "NAME", err) < 0)
        return -1;
    cli_client *client = cli_context_client(context, err);
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *key = NULL;
    json_t *app = NULL;
    if (!client || cli_keys_load(context->profile, &key, err) < 0 ||
        cli_app_create(client, args->positional[0], key, &app, err) < 0)
        return -1;
    if (context->out.form == CLI_JSON)
        cli_print_json(&context->out, app);
    else
        cli_print(&context->out, "%s", text_of(app, "id"));
    json_decref(app);
    return 0;
}

/* It runs only when called, and nothing is wanted of it now. */
static bool is_asleep(const json_t *app)
{
    const json_t *deployment = json_object_get(app, "deployment");
    const json_t *instances = json_object_get(app, "instances");
    return json_is_object(deployment) && json_integer_value(json_object_get(deployment, "min")) == 0 &&
           strcmp(text_of(deployment, "kind"), "stop") != 0 &&
           json_integer_value(json_object_get(instances, "wanted")) == 0;
}

static void fill_row(const json_t *app, const char **cells, char *serving, size_t serving_size, char *id,
                     size_t id_size)
{
    const json_t *instances = json_object_get(app, "instances");
    (void)snprintf(serving, serving_size, "%lld of %lld",
                   (long long)json_integer_value(json_object_get(instances, "serving")),
                   (long long)json_integer_value(json_object_get(instances, "wanted")));
    if (is_asleep(app))
        (void)snprintf(serving, serving_size, "asleep");
    const json_t *head = json_object_get(app, "head");
    cells[0] = text_of(app, "name");
    cells[1] = cli_short_id(text_of(app, "id"), id, id_size);
    cells[2] = json_is_object(head) ? text_of(head, "class") : "-";
    cells[3] = serving;
    cells[4] = text_of(app, "url");
}

static int run_list(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 0, 0, "", err) < 0)
        return -1;
    cli_client *client = cli_context_client(context, err);
    json_t *items = NULL;
    if (!client || cli_client_list(client, "/v1/apps", 10000, &items, err) < 0)
        return -1;
    size_t count = json_array_size(items);
    int status = 0;
    if (context->out.form == CLI_JSON) {
        cli_print_json(&context->out, items);
    } else if (count == 0 && context->out.form == CLI_TABLE) {
        cli_note(&context->out, "No apps yet. Deploy one: redoubt deploy examples/echo");
    } else {
        RD_CLEANUP(rd_free_p) const char **cells = rd_alloc_array(count * 5, sizeof *cells);
        RD_CLEANUP(rd_free_p) char(*texts)[2][32] = rd_alloc_array(count, sizeof *texts);
        for (size_t i = 0; i < count; i++)
            fill_row(json_array_get(items, i), cells + i * 5, texts[i][0], 32, texts[i][1], 32);
        static const char *const header[] = { "NAME", "ID", "CLASS", "SERVING", "URL" };
        status = cli_print_table(&context->out, header, 5, cells, count, err);
    }
    json_decref(items);
    return status;
}

static const char *where_logs_go(const rd_release *release, const char *class)
{
    if (release->logs == RD_LOGS_SEALED)
        return "sealed to the owner's log key";
    bool is_kept = release->logs == RD_LOGS_UNSAID && class && strcmp(class, "hardware") == 0;
    return is_kept ? "kept in the enclave" : "clear";
}

/* Out of the release as the plane has it: what is shown here is proved by `redoubt verify` alone. */
static void print_release(cli_context *context, cli_client *client, const json_t *app, const json_t *deployment)
{
    const char *release = deployment ? json_string_value(json_object_get(deployment, "release")) : NULL;
    RD_CLEANUP(rd_free_p)
    char *path = rd_asprintf("/v1/apps/%s/releases/%s", text_of(app, "id"), release ? release : "");
    RD_CLEANUP(rd_json_free_p) json_t *answer = NULL;
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    rd_release parsed = { 0 };
    rd_err ignored = RD_ERR_INIT;
    if (!release || cli_client_json(client, "GET", path, NULL, &answer, &ignored) < 0)
        return;
    if (cli_json_b64(answer, "document", RD_DOCUMENT_SIZE_MAX, &document, &ignored) == 0 &&
        rd_release_parse(rd_buf_bytes(&document), &parsed, &ignored) == 0) {
        cli_print(&context->out, "release %u   engine %s%s   logs %s", parsed.number, rd_engine_names[parsed.engine],
                  cli_docs_machine(parsed.machine),
                  where_logs_go(&parsed, json_string_value(json_object_get(app, "class"))));
        rd_release_done(&parsed);
    }
}

static int run_show(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 1, 1, "APP", err) < 0)
        return -1;
    cli_client *client = cli_context_client(context, err);
    json_t *app = NULL;
    json_t *instances = NULL;
    if (!client || cli_client_find_app(client, args->positional[0], &app, err) < 0)
        return -1;
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s/instances", text_of(app, "id"));
    int status = cli_client_list(client, path, 1000, &instances, err);
    if (status == 0 && context->out.form == CLI_JSON) {
        (void)json_object_set(app, "instance_list", instances);
        cli_print_json(&context->out, app);
    } else if (status == 0) {
        cli_print(&context->out, "%s   %s   %s", text_of(app, "name"), text_of(app, "id"), text_of(app, "url"));
        if (json_is_string(json_object_get(app, "tls_url")))
            cli_print(&context->out, "TLS that ends inside %s   check it: redoubt verify URL", text_of(app, "tls_url"));
        const json_t *deployment = json_object_get(app, "deployment");
        if (json_is_object(deployment))
            cli_print(&context->out, "deployment %s   %s", text_of(deployment, "id"), text_of(deployment, "state"));
        print_release(context, client, app, deployment);
        if (json_array_size(instances))
            status = cli_instances_print(context, instances, err);
        else if (is_asleep(app))
            cli_note(&context->out, "Asleep: no instance runs. The first call wakes it: redoubt invoke %s",
                     text_of(app, "name"));
        else
            cli_note(&context->out, "No instances. Deploy: redoubt deploy");
    }
    json_decref(instances);
    json_decref(app);
    return status;
}

static int run_delete(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 1, 1, "APP", err) < 0)
        return -1;
    cli_client *client = cli_context_client(context, err);
    json_t *app = NULL;
    if (!client || cli_client_find_app(client, args->positional[0], &app, err) < 0)
        return -1;
    int status =
        cli_confirm_name(&context->out, "This stops all instances and deletes the app.", text_of(app, "name"), err);
    if (status == 0) {
        RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s", text_of(app, "id"));
        status = cli_client_delete(client, path, err);
    }
    if (status == 0 && context->out.form == CLI_JSON) {
        (void)json_object_set_new(app, "state", json_string("deleting"));
        cli_print_json(&context->out, app);
    } else if (status == 0) {
        cli_note(&context->out, "Deleting %s; its instances are being stopped.", text_of(app, "name"));
    }
    json_decref(app);
    return status;
}

const cli_command cli_apps_commands[] = {
    { .name = "apps create",
      .purpose = "register an app that your owner key owns",
      .arguments = "NAME",
      .examples = "redoubt apps create private-score",
      .run = run_create },
    { .name = "apps list",
      .purpose = "list the organisation's apps",
      .arguments = "",
      .examples = "redoubt apps list\nredoubt apps list -o name\nredoubt apps list --json | jq '.[].id'",
      .run = run_list },
    { .name = "apps show",
      .purpose = "one app with its instances",
      .arguments = "APP",
      .examples = "redoubt apps show private-score\nredoubt apps show private-score --json",
      .run = run_show },
    { .name = "apps delete",
      .purpose = "stop all instances and delete the app",
      .arguments = "APP",
      .examples = "redoubt apps delete private-score\nredoubt apps delete private-score --yes",
      .run = run_delete },
    { .name = NULL },
};
