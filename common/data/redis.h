/* redis: a Redis client on a libuv loop: commands, scripts, streams, pub/sub, with reconnect.
 * Used by the API and the scheduler for hints and caches: everything in Redis can be rebuilt, nobody waits for it.
 * Keeps at most a set number of commands under way; past it, or while away, commands are refused at once. */
#ifndef RD_DATA_REDIS_H
#define RD_DATA_REDIS_H

#include <uv.h>

#include "common/base/bytes.h"
#include "common/base/err.h"

typedef struct rd_redis rd_redis;

typedef enum rd_redis_kind {
    RD_REDIS_NIL,
    RD_REDIS_STRING, /* bulk or status */
    RD_REDIS_INTEGER,
    RD_REDIS_ARRAY,
    RD_REDIS_ERROR
} rd_redis_kind;

/* A reply, borrowed until the callback returns. */
typedef struct rd_redis_reply rd_redis_reply;
rd_redis_kind rd_redis_reply_kind(const rd_redis_reply *reply);
/* STRING and ERROR. */
rd_bytes rd_redis_reply_bytes(const rd_redis_reply *reply);
int64_t rd_redis_reply_i64(const rd_redis_reply *reply);
size_t rd_redis_reply_count(const rd_redis_reply *reply);
/* Element of an array; NULL past its end. */
const rd_redis_reply *rd_redis_reply_at(const rd_redis_reply *reply, size_t index);

/* reply NULL: the connection went before an answer came. */
typedef void (*rd_redis_fn)(void *context, const rd_redis_reply *reply);

typedef struct rd_redis_options {
    const char *address;      /* "unix:/path" or "/path", or "host:port" with a numeric host */
    size_t pending_max;       /* 0: 10000 */
    int64_t reply_timeout_us; /* a command unanswered for so long ends the connection; 0: 5 s. Not for blocking reads */
    void (*on_state)(void *context, bool is_connected); /* may be NULL */
    void *context;
} rd_redis_options;

/* Starts to connect at once; reconnects with a back-off of 50 ms doubling to 2 s with jitter. */
rd_redis *rd_redis_new(uv_loop_t *loop, const rd_redis_options *options);
/* Every callback still due comes with NULL before on_closed. The memory goes after on_closed (may be NULL). */
void rd_redis_close(rd_redis *redis, void (*on_closed)(void *context), void *context);
bool rd_redis_is_connected(const rd_redis *redis);
size_t rd_redis_pending(const rd_redis *redis);

/* One command of byte arguments. done may be NULL. -1 with UNAVAILABLE when away or at the bound; done is not called.
 */
int rd_redis_send(rd_redis *redis, const rd_bytes *args, size_t arg_count, rd_redis_fn done, void *context,
                  rd_err *err) RD_NODISCARD;
/* rd_redis_command(r, done, ctx, err, RD_BYTES_LIT("GET"), key) */
#define rd_redis_command(redis, done, context, err, ...)                                                               \
    rd_redis_send((redis), (const rd_bytes[]){ __VA_ARGS__ },                                                          \
                  sizeof((const rd_bytes[]){ __VA_ARGS__ }) / sizeof(rd_bytes), (done), (context), (err))

/* A Lua script, run by EVALSHA, and by EVAL when the server does not know it yet. Static storage, zero sha. */
typedef struct rd_redis_script {
    const char *text;
    char sha[41]; /* filled at first use */
} rd_redis_script;
int rd_redis_eval(rd_redis *redis, rd_redis_script *script, const rd_bytes *keys, size_t key_count,
                  const rd_bytes *args, size_t arg_count, rd_redis_fn done, void *context, rd_err *err) RD_NODISCARD;

/* Stream entry: field and value pairs, borrowed until the callback returns. */
typedef struct rd_redis_entry {
    rd_bytes id;
    const rd_redis_reply *fields; /* array: name, value, name, value, … */
} rd_redis_entry;
/* The value of a field, or empty bytes with data NULL. */
rd_bytes rd_redis_entry_get(const rd_redis_entry *entry, const char *field);

/* Called for each entry; entry NULL: the reader (re)started at the stream's end, and what came in between is to be had
 * from PostgreSQL. */
typedef void (*rd_redis_entry_fn)(void *context, const rd_redis_entry *entry);

typedef struct rd_redis_reader rd_redis_reader;
/* XREAD BLOCK in a loop, on a connection of its own. Starts at `$` (entries from now on); keeps its place over
 * reconnects, and says restart (entry NULL) when the place may be gone. */
rd_redis_reader *rd_redis_reader_new(uv_loop_t *loop, const rd_redis_options *options, rd_bytes stream,
                                     rd_redis_entry_fn on_entry, void *context);
void rd_redis_reader_close(rd_redis_reader *reader, void (*on_closed)(void *context), void *context);

typedef struct rd_redis_listener rd_redis_listener;
/* SUBSCRIBE on a connection of its own; payload NULL data: (re)subscribed, look for yourself what was missed. */
typedef void (*rd_redis_message_fn)(void *context, rd_bytes payload);
rd_redis_listener *rd_redis_listener_new(uv_loop_t *loop, const rd_redis_options *options, rd_bytes channel,
                                         rd_redis_message_fn on_message, void *context);
void rd_redis_listener_close(rd_redis_listener *listener, void (*on_closed)(void *context), void *context);

#endif
