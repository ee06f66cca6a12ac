#include <stdlib.h>

#include "common/base/mem.h"
#include "common/data/redis_uv.h"

typedef struct watch {
    redisAsyncContext *ac; /* NULL: gone */
    uv_poll_t poll;
    int events;
} watch;

static void on_poll(uv_poll_t *poll, int status, int events);

static void apply(watch *w)
{
    if (w->events)
        (void)uv_poll_start(&w->poll, w->events, on_poll);
    else
        (void)uv_poll_stop(&w->poll);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    watch *w = poll->data;
    /* libuv has stopped watching a socket in error. Reading gives hiredis that error, and it ends the connection. */
    if (status != 0)
        events = UV_READABLE;
    if (w->ac && (events & UV_READABLE))
        redisAsyncHandleRead(w->ac);
    if (w->ac && (events & UV_WRITABLE))
        redisAsyncHandleWrite(w->ac);
    if (w->ac && status != 0)
        apply(w);
}

static void add_read(void *data)
{
    watch *w = data;
    w->events |= UV_READABLE;
    apply(w);
}

static void del_read(void *data)
{
    watch *w = data;
    w->events &= ~UV_READABLE;
    apply(w);
}

static void add_write(void *data)
{
    watch *w = data;
    w->events |= UV_WRITABLE;
    apply(w);
}

static void del_write(void *data)
{
    watch *w = data;
    w->events &= ~UV_WRITABLE;
    apply(w);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void clean_up(void *data)
{
    watch *w = data;
    w->ac = NULL;
    uv_close((uv_handle_t *)&w->poll, on_closed);
}

bool rd_redis_attach(redisAsyncContext *ac, uv_loop_t *loop)
{
    watch *w = rd_alloc(sizeof *w);
    if (uv_poll_init(loop, &w->poll, ac->c.fd) != 0) {
        free(w);
        return false;
    }
    w->ac = ac;
    w->poll.data = w;
    ac->ev.data = w;
    ac->ev.addRead = add_read;
    ac->ev.delRead = del_read;
    ac->ev.addWrite = add_write;
    ac->ev.delWrite = del_write;
    ac->ev.cleanup = clean_up;
    return true;
}
