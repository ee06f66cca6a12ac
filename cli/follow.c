#include "cli/follow.h"

#include "common/base/mem.h"

#include <stdlib.h>

typedef struct following {
    cli_look_fn look;
    void *look_context;
    cli_client *asker;
    rd_err *err;
    int result; /* of the last look */
} following;

static int look(following *f)
{
    f->result = f->look(f->look_context, f->asker, f->err);
    return f->result;
}

static int on_open(void *context, rd_err *err RD_UNUSED)
{
    int result = look(context);
    return result == 1 ? 0 : result == 0 ? 1 : -1;
}

static bool on_event(void *context, const char *event RD_UNUSED, const char *data RD_UNUSED)
{
    return look(context) == 1;
}

int cli_follow(cli_context *context, const char *app, cli_look_fn look_at, void *look_context, int64_t deadline_us,
               rd_err *err)
{
    cli_client *asker = cli_context_client(context, err);
    cli_client *stream = asker ? cli_client_new(context, err) : NULL;
    if (!stream)
        return -1;
    following f = { .look = look_at, .look_context = look_context, .asker = asker, .err = err, .result = 1 };
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/events?app=%s", app);
    const cli_event_handlers handlers = { on_open, on_event, &f };
    int status = cli_client_events(stream, path, &handlers, deadline_us, err);
    cli_client_free(stream);
    return f.result == 1 ? status : f.result;
}
