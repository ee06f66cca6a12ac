#include "cli/successor.h"

#include "cli/follow.h"
#include "common/base/mem.h"
#include "common/model/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INSTANCES_MAX 1000

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

static int look(void *context, cli_client *asker, rd_err *err)
{
    cli_successor *successor = context;
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s/instances", successor->app);
    RD_CLEANUP(rd_json_free_p) json_t *instances = NULL;
    rd_err why = RD_ERR_INIT;
    if (cli_client_list(asker, path, INSTANCES_MAX, &instances, &why) == 0)
        return judge(successor, instances);
    if (may_come_back(why.code))
        return 1;
    *err = why;
    return -1;
}

/* Why there is none yet, where the plane knows. */
static void note_reason(const cli_successor *successor, cli_client *asker, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s/deployments?limit=1", successor->app);
    RD_CLEANUP(rd_json_free_p) json_t *page = NULL;
    rd_err unsaid = RD_ERR_INIT;
    if (cli_client_json(asker, "GET", path, NULL, &page, &unsaid) < 0)
        return;
    const json_t *newest = json_array_get(json_object_get(page, "items"), 0);
    const char *summary = cli_text(json_object_get(newest, "reason"), "summary");
    if (summary)
        (void)rd_err_set(err, RD_E_TIMEOUT, "no instance has it yet: %s", summary);
}

int cli_successor_await(cli_successor *successor, int64_t timeout_us, rd_err *err)
{
    cli_context *context = successor->context;
    cli_client *asker = cli_context_client(context, err);
    if (!asker)
        return -1;
    int status = look(successor, asker, err); /* mostly nothing runs, and no stream is needed */
    if (status != 1)
        return status;
    status = cli_follow(context, successor->app, look, successor, rd_clock_boot_us(context->clock) + timeout_us, err);
    if (status < 0 && err->code == RD_E_TIMEOUT)
        note_reason(successor, asker, err);
    return status;
}
