#include "common/data/redis.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/jitter.h"
#include "common/data/redis_priv.h"
#include "common/data/redis_uv.h"

#define PENDING_MAX_STANDARD   10000
#define REPLY_TIMEOUT_STANDARD 5000000
#define BACKOFF_FIRST_MS       50
#define BACKOFF_MAX_MS         2000
#define TICK_MS                500
#define ARGS_MAX               64

struct rd_redis {
    uv_loop_t *loop;
    char *address;
    size_t pending_max;
    uint64_t reply_timeout_ms;
    void (*on_state)(void *context, bool is_connected);
    void *context;
    redisAsyncContext *ac;
    bool is_connected;
    bool is_closing;
    uv_timer_t timer; /* reconnects while away, watches for silence while connected */
    uint64_t backoff_ms;
    size_t pending;
    uint64_t progress_ms; /* last answer, or when the first of the pending ones was sent */
    void (*on_closed)(void *context);
    void *closed_context;
};

typedef struct call {
    rd_redis *redis;
    rd_redis_fn done;
    void *context;
    bool is_lasting;
} call;

rd_redis_kind rd_redis_reply_kind(const rd_redis_reply *reply)
{
    const redisReply *raw = (const redisReply *)reply;
    switch (raw ? raw->type : REDIS_REPLY_NIL) {
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
        return RD_REDIS_STRING;
    case REDIS_REPLY_INTEGER:
        return RD_REDIS_INTEGER;
    case REDIS_REPLY_ARRAY:
        return RD_REDIS_ARRAY;
    case REDIS_REPLY_ERROR:
        return RD_REDIS_ERROR;
    default:
        return RD_REDIS_NIL;
    }
}

rd_bytes rd_redis_reply_bytes(const rd_redis_reply *reply)
{
    const redisReply *raw = (const redisReply *)reply;
    rd_redis_kind kind = rd_redis_reply_kind(reply);
    return kind == RD_REDIS_STRING || kind == RD_REDIS_ERROR ? rd_bytes_of(raw->str, raw->len) : RD_BYTES_NULL;
}

int64_t rd_redis_reply_i64(const rd_redis_reply *reply)
{
    return rd_redis_reply_kind(reply) == RD_REDIS_INTEGER ? ((const redisReply *)reply)->integer : 0;
}

size_t rd_redis_reply_count(const rd_redis_reply *reply)
{
    return rd_redis_reply_kind(reply) == RD_REDIS_ARRAY ? ((const redisReply *)reply)->elements : 0;
}

const rd_redis_reply *rd_redis_reply_at(const rd_redis_reply *reply, size_t index)
{
    if (index >= rd_redis_reply_count(reply))
        return NULL;
    return (const rd_redis_reply *)((const redisReply *)reply)->element[index];
}

static void on_timer(uv_timer_t *timer);

static void set_connected(rd_redis *redis, bool is_connected)
{
    if (redis->is_connected == is_connected)
        return;
    redis->is_connected = is_connected;
    if (redis->on_state)
        redis->on_state(redis->context, is_connected);
}

static void on_timer_closed(uv_handle_t *handle)
{
    rd_redis *redis = handle->data;
    void (*on_closed)(void *) = redis->on_closed;
    void *context = redis->closed_context;
    free(redis->address);
    free(redis);
    if (on_closed)
        on_closed(context);
}

/* The connection is gone, with all its callbacks made. */
static void on_gone(rd_redis *redis)
{
    redis->ac = NULL;
    set_connected(redis, false);
    if (redis->is_closing) {
        uv_close((uv_handle_t *)&redis->timer, on_timer_closed);
        return;
    }
    uint64_t wait_ms = redis->backoff_ms / 2 + rd_jitter_below((uint32_t)redis->backoff_ms);
    redis->backoff_ms = RD_MIN(redis->backoff_ms * 2, BACKOFF_MAX_MS);
    (void)uv_timer_start(&redis->timer, on_timer, wait_ms, 0);
}

static void on_connect(const redisAsyncContext *ac, int status)
{
    rd_redis *redis = ac->data;
    if (status != REDIS_OK) {
        on_gone(redis); /* hiredis frees the context after this */
        return;
    }
    redis->backoff_ms = BACKOFF_FIRST_MS;
    redis->progress_ms = uv_now(redis->loop);
    (void)uv_timer_start(&redis->timer, on_timer, TICK_MS, TICK_MS);
    set_connected(redis, true);
}

static void on_disconnect(const redisAsyncContext *ac, int status RD_UNUSED)
{
    on_gone(ac->data);
}

static redisAsyncContext *dial(const char *address)
{
    if (rd_starts_with(address, "unix:"))
        return redisAsyncConnectUnix(address + 5);
    if (address[0] == '/')
        return redisAsyncConnectUnix(address);
    const char *colon = strrchr(address, ':');
    uint64_t port = 0;
    if (!colon || rd_parse_u64(colon + 1, strlen(colon + 1), 65535, &port) < 0)
        return NULL;
    RD_CLEANUP(rd_free_p) char *host = rd_strndup(address, (size_t)(colon - address));
    return redisAsyncConnect(host, (int)port);
}

static void connect_now(rd_redis *redis)
{
    redisAsyncContext *ac = dial(redis->address);
    if (!ac || ac->err || !rd_redis_attach(ac, redis->loop)) {
        if (ac)
            redisAsyncFree(ac);
        on_gone(redis);
        return;
    }
    ac->data = redis;
    redis->ac = ac;
    redis->progress_ms = uv_now(redis->loop);
    (void)redisAsyncSetConnectCallback(ac, on_connect);
    (void)redisAsyncSetDisconnectCallback(ac, on_disconnect);
    /* A connect that hangs is ended by the tick. */
    (void)uv_timer_start(&redis->timer, on_timer, TICK_MS, TICK_MS);
}

void rd_redis_drop(rd_redis *redis)
{
    redisAsyncContext *ac = redis->ac;
    if (!ac)
        return;
    /* For a context that never connected hiredis calls no callback, so on_gone is ours to call. */
    bool was_connected = redis->is_connected;
    if (!was_connected)
        redis->ac = NULL;
    redisAsyncFree(ac);
    if (!was_connected)
        on_gone(redis);
}

static void on_timer(uv_timer_t *timer)
{
    rd_redis *redis = timer->data;
    if (!redis->ac) {
        connect_now(redis);
        return;
    }
    bool is_waiting = redis->pending > 0 || !redis->is_connected;
    if (is_waiting && uv_now(redis->loop) - redis->progress_ms > redis->reply_timeout_ms)
        rd_redis_drop(redis);
}

rd_redis *rd_redis_new(uv_loop_t *loop, const rd_redis_options *options)
{
    rd_redis *redis = rd_alloc(sizeof *redis);
    redis->loop = loop;
    redis->address = rd_strdup(options->address);
    redis->pending_max = options->pending_max ? options->pending_max : PENDING_MAX_STANDARD;
    redis->reply_timeout_ms =
        (uint64_t)(options->reply_timeout_us > 0 ? options->reply_timeout_us : REPLY_TIMEOUT_STANDARD) / 1000;
    redis->on_state = options->on_state;
    redis->context = options->context;
    redis->backoff_ms = BACKOFF_FIRST_MS;
    (void)uv_timer_init(loop, &redis->timer);
    redis->timer.data = redis;
    (void)uv_timer_start(&redis->timer, on_timer, 0, 0);
    return redis;
}

void rd_redis_close(rd_redis *redis, void (*on_closed)(void *context), void *context)
{
    assert(!redis->is_closing);
    redis->is_closing = true;
    redis->on_closed = on_closed;
    redis->closed_context = context;
    redis->on_state = NULL;
    if (redis->ac)
        rd_redis_drop(redis);
    else
        uv_close((uv_handle_t *)&redis->timer, on_timer_closed);
}

bool rd_redis_is_connected(const rd_redis *redis)
{
    return redis->is_connected;
}

size_t rd_redis_pending(const rd_redis *redis)
{
    return redis->pending;
}

static void on_reply(redisAsyncContext *ac RD_UNUSED, void *reply, void *data)
{
    call *c = data;
    rd_redis *redis = c->redis;
    rd_redis_fn done = c->done;
    void *context = c->context;
    redis->progress_ms = uv_now(redis->loop);
    if (!c->is_lasting)
        redis->pending--;
    if (!c->is_lasting || !reply)
        free(c);
    if (done)
        done(context, reply);
}

static int send_call(rd_redis *redis, const rd_bytes *args, size_t arg_count, call c, rd_err *err)
{
    assert(arg_count > 0 && arg_count <= ARGS_MAX);
    if (!redis->is_connected || redis->is_closing)
        return rd_err_set(err, RD_E_UNAVAILABLE, "redis: not connected");
    if (redis->pending >= redis->pending_max)
        return rd_err_set(err, RD_E_UNAVAILABLE, "redis: %zu commands under way", redis->pending);
    const char *texts[ARGS_MAX];
    size_t sizes[ARGS_MAX];
    for (size_t i = 0; i < arg_count; i++) {
        texts[i] = args[i].size ? (const char *)args[i].data : "";
        sizes[i] = args[i].size;
    }
    call *kept = rd_alloc(sizeof *kept);
    *kept = c;
    if (redisAsyncCommandArgv(redis->ac, on_reply, kept, (int)arg_count, texts, sizes) != REDIS_OK) {
        free(kept);
        return rd_err_set(err, RD_E_UNAVAILABLE, "redis: closing");
    }
    if (!c.is_lasting && redis->pending++ == 0)
        redis->progress_ms = uv_now(redis->loop);
    return 0;
}

int rd_redis_send(rd_redis *redis, const rd_bytes *args, size_t arg_count, rd_redis_fn done, void *context, rd_err *err)
{
    return send_call(redis, args, arg_count, (call){ redis, done, context, false }, err);
}

int rd_redis_subscribe(rd_redis *redis, rd_bytes channel, rd_redis_fn done, void *context, rd_err *err)
{
    const rd_bytes args[] = { RD_BYTES_LIT("SUBSCRIBE"), channel };
    return send_call(redis, args, 2, (call){ redis, done, context, true }, err);
}
