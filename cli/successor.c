#include "cli/successor.h"

#include "common/base/mem.h"
#include "common/model/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INSTANCES_MAX 1000

typedef struct waiting {
    cli_successor *successor;
    cli_client *asker; /* requests while the stream is busy on its own client */
    rd_err *err;
    int result; /* 1: not decided yet */
} waiting;

/* 0: one serves, or none is left that should be replaced; 1: not yet. */
static int judge(cli_successor *successor, const json_t *instances)
{
    bool is_one_older = false, is_one_coming = false;
    size_t i;
    const json_t *instance;
    json_array_foreach(instances, i, instance)
    {
        const char *want = cli_text(instance, "want"), *id = cli_text(instance, "id");
        if (!json_is_true(json_object_get(instance, "live")) || !want || strcmp(want, "run") != 0)
            continue;
        bool is_newer = json_integer_value(json_object_get(instance, "head")) >= (json_int_t)successor->head_seq;
        if (is_newer && id && json_is_true(json_object_get(instance, "serving"))) {
            (void)snprintf(successor->instance, sizeof successor->instance, "%s", id);
            return 0;
        }
        is_one_coming |= is_newer;
        is_one_older |= !is_newer;
    }
    return is_one_older || is_one_coming;
}

/* A plane that is away for a moment says nothing: the stream, when it is back, has it looked at again. */
static bool may_come_back(rd_code code)
{
    return code == RD_E_CLI_UNREACHABLE || code == RD_E_UNAVAILABLE || code == RD_E_TIMEOUT;
}

static int look(waiting *at)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s/instances", at->successor->app);
    RD_CLEANUP(rd_json_free_p) json_t *instances = NULL;
    rd_err err = RD_ERR_INIT;
    if (cli_client_list(at->asker, path, INSTANCES_MAX, &instances, &err) == 0)
        return judge(at->successor, instances);
    if (may_come_back(err.code))
        return 1;
    *at->err = err;
    return -1;
}

static int on_open(void *context, rd_err *err RD_UNUSED)
{
    waiting *at = context;
    at->result = look(at);
    return at->result == 1 ? 0 : at->result == 0 ? 1 : -1;
}

static bool on_event(void *context, const char *event RD_UNUSED, const char *data RD_UNUSED)
{
    waiting *at = context;
    if (at->result == 1)
        at->result = look(at);
    return at->result == 1;
}

/* Why there is none yet, where the plane knows. */
static void note_reason(waiting *at)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s/deployments?limit=1", at->successor->app);
    RD_CLEANUP(rd_json_free_p) json_t *page = NULL;
    rd_err unsaid = RD_ERR_INIT;
    if (cli_client_json(at->asker, "GET", path, NULL, &page, &unsaid) < 0)
        return;
    const json_t *newest = json_array_get(json_object_get(page, "items"), 0);
    const char *summary = cli_text(json_object_get(newest, "reason"), "summary");
    if (summary)
        (void)rd_err_set(at->err, RD_E_TIMEOUT, "no instance has it yet: %s", summary);
}

int cli_successor_await(cli_successor *successor, int64_t timeout_us, rd_err *err)
{
    cli_context *context = successor->context;
    waiting at = { .successor = successor, .asker = cli_context_client(context, err), .err = err, .result = 1 };
    if (!at.asker)
        return -1;
    at.result = look(&at); /* mostly nothing runs, and no stream is needed */
    if (at.result != 1)
        return at.result;
    cli_client *stream = cli_client_new(context, err);
    if (!stream)
        return -1;
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/events?app=%s", successor->app);
    const cli_event_handlers handlers = { on_open, on_event, &at };
    int status = cli_client_events(stream, path, &handlers, rd_clock_boot_us(context->clock) + timeout_us, err);
    cli_client_free(stream);
    if (at.result != 1)
        return at.result;
    if (status < 0 && err->code == RD_E_TIMEOUT)
        note_reason(&at);
    return status;
}
