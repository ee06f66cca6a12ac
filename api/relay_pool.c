#include "api/relay_pool.h"

#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define PIPE_MAGIC 0x70697065u

struct api_pipe {
    uint32_t magic;
    api_pipe_pool *pool; /* NULL: orphaned, closing */
    rd_link_stream *stream;
    api_pipe_user *user;
    bool is_open; /* the agent said 200 */
    int refused;  /* its status otherwise */
    int64_t idle_since_us;
    api_pipe *next, *previous; /* of all */
    api_pipe *next_idle;       /* stack: the warmest first */
};

struct api_pipe_pool {
    api_pools *pools;
    api_target *target;
    api_pipe *pipes;
    api_pipe *idle;
    size_t count;
    api_pipe_user *first, *last; /* waiting */
    size_t waiting;
    api_pipe_pool *next, *previous;
};

struct api_pools {
    api_pipe_pool *first;
    api_pools_stats stats;
    api_targets *targets;
};

void api_pools_set_targets(api_pools *pools, api_targets *targets)
{
    pools->targets = targets;
}

api_pools *api_pools_new(void)
{
    return rd_alloc(sizeof(api_pools));
}

api_pools *api_pools_free(api_pools *pools)
{
    free(pools);
    return NULL;
}

api_pools_stats api_pools_statistics(const api_pools *pools)
{
    return pools->stats;
}

rd_link_stream *api_pipe_stream(const api_pipe *pipe)
{
    return pipe->stream;
}

bool api_pipe_is_open(const api_pipe *pipe)
{
    return pipe->is_open;
}

static api_pipe_pool *pool_of(api_pools *pools, api_target *target)
{
    api_pipe_pool *pool = target->pool;
    if (pool)
        return pool;
    pool = rd_alloc(sizeof *pool);
    pool->pools = pools;
    pool->target = target;
    pool->next = pools->first;
    if (pool->next)
        pool->next->previous = pool;
    pools->first = pool;
    target->pool = pool;
    return pool;
}

static void unlink_pipe(api_pipe *pipe)
{
    api_pipe_pool *pool = pipe->pool;
    if (pipe->next)
        pipe->next->previous = pipe->previous;
    *(pipe->previous ? &pipe->previous->next : &pool->pipes) = pipe->next;
    pool->count--;
    pool->pools->stats.open--;
    for (api_pipe **at = &pool->idle; *at; at = &(*at)->next_idle)
        if (*at == pipe) {
            *at = pipe->next_idle;
            pool->pools->stats.idle--;
            break;
        }
    pipe->pool = NULL;
}

static void unlink_user(api_pipe_user *user)
{
    api_pipe_pool *pool = user->waiting_in;
    *(user->previous ? &user->previous->next : &pool->first) = user->next;
    *(user->next ? &user->next->previous : &pool->last) = user->previous;
    user->next = user->previous = NULL;
    user->waiting_in = NULL;
    pool->waiting--;
    pool->pools->stats.waiting--;
}

/* A pipe has gone: a waiter may have to look elsewhere; all of them when none is left that could come back. */
static void wake_waiters(api_pipe_pool *pool)
{
    size_t count = pool->count == 0 ? pool->waiting : RD_MIN(pool->waiting, 1);
    while (count-- > 0 && pool->first) {
        api_pipe_user *user = pool->first;
        unlink_user(user);
        user->on_lost(user, API_PIPE_LOST, false);
    }
}

/* The other half of api_target_hold around callbacks, which may drop the last holder. */
static void pool_let_go(api_pipe_pool *pool)
{
    wake_waiters(pool);
    api_target_release(pool->pools->targets, pool->target);
}

/* Forgets the pipe and its stream without a further callback. */
static void pipe_drop(api_pipe *pipe)
{
    rd_link_stream *stream = pipe->stream;
    unlink_pipe(pipe);
    pipe->magic = 0;
    free(pipe);
    rd_link_stream_reset(stream, true);
}

void api_pools_leave(api_pipe_user *user)
{
    if (user->waiting_in)
        unlink_user(user);
}

static void on_response(rd_link_stream *stream, void *context, int status)
{
    (void)stream;
    api_pipe *pipe = context;
    if (status != 200) {
        pipe->refused = status;
        return;
    }
    pipe->is_open = true;
    if (pipe->user && pipe->user->on_open)
        pipe->user->on_open(pipe->user);
}

static size_t on_data(rd_link_stream *stream, void *context, rd_bytes bytes)
{
    (void)stream;
    api_pipe *pipe = context;
    if (pipe->refused)
        return bytes.size; /* the body of the refusal */
    if (pipe->user)
        return pipe->user->on_data(pipe->user, bytes);
    pipe_drop(pipe); /* nobody asked anything */
    return bytes.size;
}

static void on_room(rd_link_stream *stream, void *context)
{
    (void)stream;
    api_pipe *pipe = context;
    if (pipe->user && pipe->user->on_room)
        pipe->user->on_room(pipe->user);
}

/* The instance closes its side: no further answer can come over this pipe. */
static void on_end(rd_link_stream *stream, void *context)
{
    (void)stream;
    api_pipe *pipe = context;
    if (pipe->refused)
        return;
    api_pipe_user *user = pipe->user;
    pipe->pool->pools->stats.lost += user != NULL;
    bool was_open = pipe->is_open;
    api_pipe_pool *pool = pipe->pool;
    api_target_hold(pool->target);
    pipe_drop(pipe);
    if (user)
        user->on_lost(user, API_PIPE_LOST, was_open);
    pool_let_go(pool);
}

static void on_closed(rd_link_stream *stream, void *context, const rd_err *error)
{
    (void)stream;
    (void)error;
    api_pipe *pipe = context;
    api_pipe_user *user = pipe->user;
    api_pools *pools = pipe->pool->pools;
    api_pipe_loss loss = pipe->refused == 421   ? API_PIPE_STALE
                         : pipe->refused == 503 ? API_PIPE_DRAINING
                                                : API_PIPE_LOST;
    *(pipe->refused ? &pools->stats.refused : &pools->stats.lost) += 1;
    bool was_open = pipe->is_open;
    api_pipe_pool *pool = pipe->pool;
    api_target_hold(pool->target);
    unlink_pipe(pipe);
    pipe->magic = 0;
    free(pipe);
    if (user)
        user->on_lost(user, loss, was_open);
    pool_let_go(pool);
}

static const rd_link_stream_events pipe_events = {
    .on_response = on_response,
    .on_data = on_data,
    .on_room = on_room,
    .on_end = on_end,
    .on_closed = on_closed,
};

static int pipe_open(api_pipe_pool *pool, rd_link *link, api_pipe **ret, rd_err *err)
{
    api_pipe *pipe = rd_alloc(sizeof *pipe);
    pipe->magic = PIPE_MAGIC;
    if (rd_link_connect(link, pool->target->authority, &pipe_events, pipe, &pipe->stream, err) < 0) {
        free(pipe);
        return -1;
    }
    pipe->pool = pool;
    pipe->next = pool->pipes;
    if (pipe->next)
        pipe->next->previous = pipe;
    pool->pipes = pipe;
    pool->count++;
    pool->pools->stats.open++;
    pool->pools->stats.opened++;
    *ret = pipe;
    return 0;
}

static api_pipe *pop_idle(api_pipe_pool *pool, const rd_link *link)
{
    while (pool->idle) {
        api_pipe *pipe = pool->idle;
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): pipe_drop takes it off the list. */
        if (rd_link_stream_link(pipe->stream) != link) {
            pipe_drop(pipe); /* of the host's link before */
            continue;
        }
        pool->idle = pipe->next_idle;
        pipe->next_idle = NULL;
        pool->pools->stats.idle--;
        return pipe;
    }
    return NULL;
}

int api_pools_take(api_pools *pools, api_target *target, rd_link *link, api_pipe_user *user, int64_t now_us,
                   api_pipe **ret, rd_err *err)
{
    (void)now_us;
    api_pipe_pool *pool = pool_of(pools, target);
    *ret = pop_idle(pool, link);
    if (!*ret && pool->count < API_PIPES_MAX && pipe_open(pool, link, ret, err) < 0)
        return -1;
    if (*ret) {
        (*ret)->user = user;
        return 0;
    }
    if (pool->waiting >= API_PIPE_WAITERS_MAX)
        return rd_err_set(err, RD_E_UNAVAILABLE, "%u calls wait for this instance already", API_PIPE_WAITERS_MAX);
    user->waiting_in = pool;
    user->previous = pool->last;
    *(pool->last ? &pool->last->next : &pool->first) = user;
    pool->last = user;
    pool->waiting++;
    pools->stats.waiting++;
    return 0;
}

void api_pipe_return(api_pipe *pipe, bool is_reusable, int64_t now_us)
{
    api_pipe_pool *pool = pipe->pool;
    pipe->user = NULL;
    if (!is_reusable || pool->target->is_gone) {
        api_target_hold(pool->target);
        pipe_drop(pipe);
        pool_let_go(pool);
        return;
    }
    api_pipe_user *user = pool->first;
    if (user) {
        unlink_user(user);
        pipe->user = user;
        user->on_granted(user, pipe);
        return;
    }
    pipe->idle_since_us = now_us;
    pipe->next_idle = pool->idle;
    pool->idle = pipe;
    pool->pools->stats.idle++;
}

void api_pools_sweep(api_pools *pools, int64_t now_us)
{
    for (api_pipe_pool *pool = pools->first; pool; pool = pool->next) {
        /* The stack's top is kept: it is the one used last. */
        api_pipe *pipe = pool->idle ? pool->idle->next_idle : NULL;
        while (pipe) {
            api_pipe *next = pipe->next_idle;
            if (now_us - pipe->idle_since_us > API_PIPE_IDLE_US)
                pipe_drop(pipe);
            pipe = next;
        }
    }
}

void api_pools_target_gone(void *context, api_target *target)
{
    (void)context;
    api_pipe_pool *pool = target->pool;
    if (!pool)
        return;
    target->pool = NULL;
    while (pool->pipes)
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): pipe_drop takes it off the list. */
        pipe_drop(pool->pipes);
    if (pool->next)
        pool->next->previous = pool->previous;
    *(pool->previous ? &pool->previous->next : &pool->pools->first) = pool->next;
    free(pool);
}
