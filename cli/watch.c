#include "cli/watch.h"

#include "cli/follow.h"
#include "cli/instances.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t stage_time(const json_t *stage)
{
    const char *text = json_string_value(json_object_get(stage, "at"));
    int64_t time_us;
    return text && rd_time_parse(text, strlen(text), &time_us) == 0 ? time_us : -1;
}

/* Stages that were reached since the last look, in order, each with the time since the one before. */
static void show_stages(cli_watch *watch)
{
    const json_t *stages = json_object_get(watch->last, "stages");
    int64_t before_us = watch->shown ? stage_time(json_array_get(stages, watch->shown - 1)) : -1;
    for (size_t count = json_array_size(stages); watch->shown < count; watch->shown++) {
        const json_t *stage = json_array_get(stages, watch->shown);
        int64_t at_us = stage_time(stage);
        if (at_us < 0)
            return;
        const char *name = json_string_value(json_object_get(stage, "name"));
        if (before_us < 0)
            cli_note(&watch->context->out, "  %-12s  %s", name ? name : "?", watch->deployment_id);
        else
            cli_note(&watch->context->out, "  %-12s  %.1f ms", name ? name : "?",
                     (double)RD_MAX(at_us - before_us, 0) / 1000);
        before_us = at_us;
    }
}

/* 0 serving, -1 failed, 1 still on its way. */
static int judge(cli_watch *watch, rd_err *err)
{
    const char *state = json_string_value(json_object_get(watch->last, "state"));
    const json_t *reason = json_object_get(watch->last, "reason");
    const char *summary = json_string_value(json_object_get(reason, "summary"));
    if (!state)
        return rd_err_set(err, RD_E_JSON_MISSING, "the deployment has no state");
    if (strcmp(state, "healthy") == 0 || strcmp(state, "ended") == 0)
        return 0;
    if (strcmp(state, "failed") == 0 || strcmp(state, "reverted") == 0)
        return rd_err_set(err, RD_E_CLI_DEPLOY_FAILED, "%s", summary ? summary : "the deployment failed");
    if (strcmp(state, "superseded") == 0)
        return rd_err_set(err, RD_E_CLI_CONFLICT, "a newer deployment took over");
    return 1;
}

/* The first time it is made, if it is not there yet: the stream is open by then. */
static int look(void *context, cli_client *asker, rd_err *err)
{
    cli_watch *watch = context;
    if (watch->deployment_id[0] == '\0') {
        watch->start_us = rd_clock_boot_us(watch->context->clock);
        if (watch->start(watch, watch->start_context, err) < 0)
            return -1;
    }
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/deployments/%s", watch->deployment_id);
    json_t *now = NULL;
    if (cli_client_json(asker, "GET", path, NULL, &now, err) < 0)
        return -1;
    bool was_pending = json_is_object(json_object_get(watch->last, "reason"));
    json_decref(watch->last);
    watch->last = now;
    show_stages(watch);
    int verdict = judge(watch, err);
    const json_t *reason = json_object_get(now, "reason");
    if (verdict == 1 && json_is_object(reason) && !was_pending)
        cli_reason_note(&watch->context->out, reason);
    return verdict;
}

int cli_watch_run(cli_watch *watch, int64_t timeout_us, rd_err *err)
{
    int64_t deadline_us = timeout_us ? rd_clock_boot_us(watch->context->clock) + timeout_us : 0;
    return cli_follow(watch->context, watch->app, look, watch, deadline_us, err);
}
