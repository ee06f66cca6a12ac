#include "cli/cmd.h"

#include "cli/client.h"
#include "cli/instances.h"
#include "common/base/mem.h"

#include <stdlib.h>

enum { COLUMNS = 7 };

typedef char age_text[24];

static void fill_row(const json_t *instance, int64_t now_us, age_text since, const char **cells)
{
    const json_t *verdict = json_object_get(instance, "verdict");
    bool is_simulated = json_is_true(json_object_get(verdict, "simulated"));
    const char *result = cli_text(verdict, "result");
    cells[0] = cli_text(instance, "id");
    cells[1] = cli_text(instance, "phase");
    cells[2] = result ? result : "-";
    cells[3] = !result ? "-" : is_simulated ? "SIMULATED" : "hardware";
    cells[4] = cli_age(cli_text(instance, "granted_at"), now_us, since, sizeof(age_text));
    cells[5] = cli_text(instance, "host");
    cells[6] = cli_text(instance, "reason");
}

int cli_instances_print(const cli_context *context, const json_t *instances, rd_err *err)
{
    static const char *const header[COLUMNS] = { "INSTANCE", "PHASE", "VERDICT", "CLASS", "GRANTED", "HOST", "REASON" };
    static const char *const usual[] = { "INSTANCE,PHASE,VERDICT,CLASS,GRANTED" };
    size_t count = json_array_size(instances);
    RD_CLEANUP(rd_free_p) const char **cells = rd_alloc_array(count * COLUMNS + 1, sizeof *cells);
    RD_CLEANUP(rd_free_p) age_text *ages = rd_alloc_array(count + 1, sizeof *ages);
    int64_t now_us = rd_clock_wall_us(context->clock);
    for (size_t i = 0; i < count; i++)
        fill_row(json_array_get(instances, i), now_us, ages[i], cells + i * COLUMNS);
    cli_out out = context->out;
    if (!out.columns)
        out.columns = usual[0]; /* what fits 80 columns */
    return cli_print_table(&out, header, COLUMNS, cells, count, err);
}

typedef void write_line(const cli_out *out, const char *fmt, ...);

static void write_reason(const cli_out *out, write_line *line, const json_t *reason)
{
    const char *summary = cli_text(reason, "summary");
    if (!json_is_object(reason))
        return;
    line(out, "  %-12s  %s", "pending", summary ? summary : "no host fits yet");
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(reason, "counts"), i, row)
    {
        const char *constraint = cli_text(row, "constraint");
        line(out, "                %4lld  %s", (long long)json_integer_value(json_object_get(row, "hosts")),
             constraint ? constraint : "?");
    }
}

void cli_reason_print(const cli_out *out, const json_t *reason)
{
    write_reason(out, cli_print, reason);
}

void cli_reason_note(const cli_out *out, const json_t *reason)
{
    write_reason(out, cli_note, reason);
}

static int run_list(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 1, 1, "APP", err) < 0)
        return -1;
    cli_client *client = cli_context_client(context, err);
    json_t *app = NULL;
    json_t *items = NULL;
    if (!client || cli_client_find_app(client, args->positional[0], &app, err) < 0)
        return -1;
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s/instances", cli_text(app, "id"));
    json_decref(app);
    int status = cli_client_list(client, path, 10000, &items, err);
    if (status == 0 && context->out.form == CLI_JSON)
        cli_print_json(&context->out, items);
    else if (status == 0 && json_array_size(items) == 0 && context->out.form == CLI_TABLE)
        cli_note(&context->out, "No instances. Deploy: redoubt deploy");
    else if (status == 0)
        status = cli_instances_print(context, items, err);
    json_decref(items);
    return status;
}

static int run_show(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 1, 1, "INSTANCE", err) < 0)
        return -1;
    cli_client *client = cli_context_client(context, err);
    RD_CLEANUP(rd_free_p) char *escaped = cli_url_escape(args->positional[0]);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/instances/%s", escaped);
    json_t *instance = NULL;
    if (!client || cli_client_json(client, "GET", path, NULL, &instance, err) < 0)
        return -1;
    cli_print_object(&context->out, instance);
    json_decref(instance);
    return 0;
}

const cli_command cli_instances_commands[] = {
    { .name = "instances list",
      .purpose = "an app's instances, as the control plane reports them",
      .arguments = "APP",
      .examples = "redoubt instances list private-score\n"
                  "redoubt instances list private-score --columns INSTANCE,HOST,REASON",
      .run = run_list },
    { .name = "instances show",
      .purpose = "one instance with host, verdict and reason",
      .arguments = "INSTANCE",
      .examples = "redoubt instances show ins_01jd…",
      .run = run_show },
    { .name = NULL },
};
