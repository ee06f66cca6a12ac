#include "cli/cmd.h"

#include "cli/client.h"
#include "cli/sealed_logs.h"
#include "common/base/mem.h"
#include "common/model/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAVED_SIZE_MAX ((size_t)16 << 20)

typedef struct log_view {
    cli_context *context;
    cli_sealed_logs *sealed;
    bool follow;
    bool has_told_why; /* that lines stay shut */
    size_t shown;
} log_view;

/* Lines that nobody can show any more: between the function and the plane, or before this reader came back. */
static void note_loss(log_view *view, const json_t *event)
{
    const json_t *count = json_object_get(event, "dropped");
    if (!count)
        count = json_object_get(event, "lost");
    if (json_is_integer(count))
        cli_note(&view->context->out, "-- %lld lines were lost here --", (long long)json_integer_value(count));
    else
        cli_note(&view->context->out, "-- lines may be missing here: the stream goes on at another place --");
}

static void show_line(log_view *view, const json_t *line)
{
    const char *at = json_string_value(json_object_get(line, "at"));
    const char *level = json_string_value(json_object_get(line, "level"));
    const char *text = json_string_value(json_object_get(line, "text"));
    cli_print(&view->context->out, "%s  %-5s %s", at ? at : "", level ? level : "", text ? text : "");
}

/* What the plane cannot hide, and what this machine cannot open. */
static void open_line(log_view *view, json_t *line)
{
    rd_err err = RD_ERR_INIT;
    cli_opened_line opened = cli_sealed_logs_open(view->sealed, line, &err);
    if (opened.missing > 0)
        cli_note(&view->context->out, "-- %llu lines of %s never came here --", (unsigned long long)opened.missing,
                 cli_text(line, "instance"));
    if (opened.is_again)
        cli_note(&view->context->out, "-- a line of %s that came before, or out of order --",
                 cli_text(line, "instance"));
    if (!opened.is_sealed || opened.is_opened)
        return;
    if (!view->has_told_why)
        cli_note(&view->context->out, "Sealed lines stay shut: %s (log_key_file names the key)", err.text);
    view->has_told_why = true;
    if (view->context->out.form != CLI_JSON)
        (void)json_object_set_new(line, "text", json_string("(sealed)"));
}

static void take_line(log_view *view, json_t *line, bool is_loss)
{
    if (!is_loss)
        open_line(view, line);
    if (view->context->out.form == CLI_JSON)
        cli_print_json(&view->context->out, line);
    else if (is_loss)
        note_loss(view, line);
    else
        show_line(view, line);
    view->shown++;
}

static bool on_line(void *view_pointer, const char *event, const char *data)
{
    log_view *view = view_pointer;
    if (strcmp(event, "end") == 0 || strcmp(event, "caught-up") == 0)
        return view->follow;
    bool is_loss = strcmp(event, "gap") == 0 || strcmp(event, "dropped") == 0;
    if (!is_loss && strcmp(event, "log") != 0)
        return true;
    json_t *line = json_loads(data, 0, NULL);
    if (line)
        take_line(view, line, is_loss);
    json_decref(line);
    return true;
}

/* What --json printed before, of this machine or of one without the key. */
static int show_saved(log_view *view, const char *path, rd_err *err)
{
    RD_CLEANUP(rd_free_p) uint8_t *data = NULL;
    size_t size, number = 0;
    if (cli_read_file(path, SAVED_SIZE_MAX, &data, &size, err) < 0)
        return -1;
    for (char *at = (char *)data, *end; *at; at = end + (*end == '\n')) {
        end = at + strcspn(at, "\n");
        number++;
        RD_CLEANUP(rd_json_free_p) json_t *line = NULL;
        rd_err why = RD_ERR_INIT;
        if (end > at && rd_json_parse(rd_bytes_of(at, (size_t)(end - at)), NULL, &line, &why) < 0)
            return rd_err_set(err, why.code, "%s:%zu: %s", path, number, why.text);
        if (line)
            take_line(view, line, !json_object_get(line, "text"));
    }
    return 0;
}

static int follow_lines(log_view *view, cli_client *client, const char *app, rd_err *err)
{
    cli_context *context = view->context;
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s/logs", app);
    const cli_event_handlers handlers = { .on_event = on_line, .context = view };
    int64_t wait_us = context->timeout_us ? context->timeout_us : view->follow ? 0 : 2000000;
    int64_t deadline_us = wait_us ? rd_clock_boot_us(context->clock) + wait_us : 0;
    int status = cli_client_events(client, path, &handlers, deadline_us, err);
    return status < 0 && err->code == RD_E_TIMEOUT ? 0 : status;
}

static int run_logs(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 1, 1, "APP", err) < 0)
        return -1;
    cli_client *client = cli_context_client(context, err);
    json_t *app = NULL;
    if (!client || cli_client_find_app(client, args->positional[0], &app, err) < 0)
        return -1;
    const char *id = json_string_value(json_object_get(app, "id"));
    rd_app_id app_id;
    int status = rd_app_id_parse(id ? id : "", id ? strlen(id) : 0, &app_id, err);
    log_view view = { .context = context, .follow = cli_args_has(args, "follow") };
    view.sealed = cli_sealed_logs_new(context->profile, &app_id);
    const char *saved = cli_args_value(args, "from");
    if (status == 0)
        status = saved ? show_saved(&view, saved, err) : follow_lines(&view, client, id, err);
    cli_sealed_logs_free(view.sealed);
    json_decref(app);
    if (status == 0 && view.shown == 0 && !saved)
        cli_note(&context->out, "No lines of %s are kept. To see what it writes from now on: redoubt logs %s -f",
                 args->positional[0], args->positional[0]);
    return status;
}

static const cli_flag logs_flags[] = {
    { "follow", 'f', NULL, "go on with new lines; reconnects where it was and says what was lost" },
    { "from", 0, "FILE", "lines that --json printed, - for standard input, in place of the plane's" },
    { NULL, 0, NULL, NULL },
};

const cli_command cli_logs_commands[] = {
    { .name = "logs",
      .purpose = "what a function wrote with console; opens sealed lines with the log key",
      .arguments = "APP",
      .examples =
          "redoubt logs private-score\nredoubt logs private-score -f\nredoubt logs private-score --json | jq .text\n"
          "redoubt logs private-score --from lines.json",
      .flags = logs_flags,
      .run = run_logs },
    { .name = NULL },
};
