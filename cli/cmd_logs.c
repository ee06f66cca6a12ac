#include "cli/cmd.h"

#include "cli/client.h"
#include "common/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct log_view {
    cli_context *context;
    bool follow;
} log_view;

static bool on_line(void *view_pointer, const char *event, const char *data)
{
    log_view *view = view_pointer;
    if (strcmp(event, "end") == 0 || strcmp(event, "caught-up") == 0)
        return view->follow;
    json_t *line = json_loads(data, 0, NULL);
    if (view->context->out.form == CLI_JSON && line) {
        cli_print_json(&view->context->out, line);
    } else if (line) {
        const char *at = json_string_value(json_object_get(line, "at"));
        const char *level = json_string_value(json_object_get(line, "level"));
        const char *text = json_string_value(json_object_get(line, "text"));
        cli_print(&view->context->out, "%s  %-5s %s", at ? at : "", level ? level : "", text ? text : data);
    }
    json_decref(line);
    return true;
}

static int run_logs(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 1, 1, "APP", err) < 0)
        return -1;
    cli_client *client = cli_context_client(context, err);
    json_t *app = NULL;
    if (!client || cli_client_find_app(client, args->positional[0], &app, err) < 0)
        return -1;
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s/logs", json_string_value(json_object_get(app, "id")));
    json_decref(app);
    log_view view = { .context = context, .follow = cli_args_has(args, "follow") };
    const cli_event_handlers handlers = { .on_event = on_line, .context = &view };
    int64_t wait_us = context->timeout_us ? context->timeout_us : view.follow ? 0 : 2000000;
    int64_t deadline_us = wait_us ? rd_clock_boot_us(context->clock) + wait_us : 0;
    int status = cli_client_events(client, path, &handlers, deadline_us, err);
    return status < 0 && err->code == RD_E_TIMEOUT ? 0 : status;
}

static const cli_flag logs_flags[] = {
    { "follow", 'f', NULL, "go on with new lines; reconnects without a gap" },
    { NULL, 0, NULL, NULL },
};

const cli_command cli_logs_commands[] = {
    { .name = "logs",
      .purpose = "what a function wrote with console",
      .arguments = "APP",
      .examples =
          "redoubt logs private-score\nredoubt logs private-score -f\nredoubt logs private-score --json | jq .text",
      .flags = logs_flags,
      .run = run_logs },
    { .name = NULL },
};
