#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/redis_priv.h"

#define BLOCK_MS        "5000"
#define READ_TIMEOUT_US 8000000
#define ID_SIZE         44 /* two 64-bit numbers and a dash */

struct rd_redis_reader {
    rd_redis *redis;
    char *stream;
    rd_redis_entry_fn on_entry;
    void *context;
    uint64_t ms, seq; /* our place */
    bool is_placed;
    bool is_closing;
};

rd_bytes rd_redis_entry_get(const rd_redis_entry *entry, const char *field)
{
    rd_bytes name = rd_bytes_str(field);
    for (size_t i = 0; i + 1 < rd_redis_reply_count(entry->fields); i += 2)
        if (rd_bytes_equal(rd_redis_reply_bytes(rd_redis_reply_at(entry->fields, i)), name))
            return rd_redis_reply_bytes(rd_redis_reply_at(entry->fields, i + 1));
    return RD_BYTES_NULL;
}

/* "ms-seq" */
static bool parse_id(rd_bytes id, uint64_t *ret_ms, uint64_t *ret_seq)
{
    const char *text = (const char *)id.data;
    const char *dash = id.size ? memchr(text, '-', id.size) : NULL;
    return dash && rd_parse_u64(text, (size_t)(dash - text), UINT64_MAX, ret_ms) == 0 &&
           rd_parse_u64(dash + 1, id.size - (size_t)(dash - text) - 1, UINT64_MAX, ret_seq) == 0;
}

static void read_on(rd_redis_reader *reader);

static void hand_out(rd_redis_reader *reader, const rd_redis_reply *entries)
{
    for (size_t i = 0; i < rd_redis_reply_count(entries) && !reader->is_closing; i++) {
        const rd_redis_reply *raw = rd_redis_reply_at(entries, i);
        rd_redis_entry entry = { .id = rd_redis_reply_bytes(rd_redis_reply_at(raw, 0)),
                                 .fields = rd_redis_reply_at(raw, 1) };
        if (!parse_id(entry.id, &reader->ms, &reader->seq))
            continue;
        reader->on_entry(reader->context, &entry);
    }
}

static void on_read(void *context, const rd_redis_reply *reply)
{
    rd_redis_reader *reader = context;
    if (!reply || reader->is_closing)
        return; /* on_state starts again */
    if (rd_redis_reply_kind(reply) == RD_REDIS_ERROR) {
        rd_redis_drop(reader->redis);
        return;
    }
    /* [[stream, [[id, [field, value, …]], …]]], or nil after BLOCK */
    hand_out(reader, rd_redis_reply_at(rd_redis_reply_at(reply, 0), 1));
    if (!reader->is_closing)
        read_on(reader);
}

static void read_on(rd_redis_reader *reader)
{
    char id[ID_SIZE];
    (void)snprintf(id, sizeof id, "%llu-%llu", (unsigned long long)reader->ms, (unsigned long long)reader->seq);
    rd_err ignored = RD_ERR_INIT;
    (void)!rd_redis_command(reader->redis, on_read, reader, &ignored, RD_BYTES_LIT("XREAD"), RD_BYTES_LIT("COUNT"),
                            RD_BYTES_LIT("500"), RD_BYTES_LIT("BLOCK"), RD_BYTES_LIT(BLOCK_MS), RD_BYTES_LIT("STREAMS"),
                            rd_bytes_str(reader->stream), rd_bytes_str(id));
}

static void on_last(void *context, const rd_redis_reply *reply)
{
    rd_redis_reader *reader = context;
    if (!reply || reader->is_closing)
        return;
    uint64_t ms = 0, seq = 0;
    bool has_last = parse_id(rd_redis_reply_bytes(rd_redis_reply_at(rd_redis_reply_at(reply, 0), 0)), &ms, &seq);
    bool is_behind = !has_last || ms < reader->ms || (ms == reader->ms && seq < reader->seq);
    if (!reader->is_placed || is_behind) {
        reader->ms = ms;
        reader->seq = seq;
        reader->is_placed = true;
        reader->on_entry(reader->context, NULL);
    }
    if (!reader->is_closing)
        read_on(reader);
}

static void on_reader_state(void *context, bool is_connected)
{
    rd_redis_reader *reader = context;
    rd_err ignored = RD_ERR_INIT;
    if (is_connected)
        (void)!rd_redis_command(reader->redis, on_last, reader, &ignored, RD_BYTES_LIT("XREVRANGE"),
                                rd_bytes_str(reader->stream), RD_BYTES_LIT("+"), RD_BYTES_LIT("-"),
                                RD_BYTES_LIT("COUNT"), RD_BYTES_LIT("1"));
}

rd_redis_reader *rd_redis_reader_new(uv_loop_t *loop, const rd_redis_options *options, rd_bytes stream,
                                     rd_redis_entry_fn on_entry, void *context)
{
    rd_redis_reader *reader = rd_alloc(sizeof *reader);
    reader->stream = rd_strndup((const char *)stream.data, stream.size);
    reader->on_entry = on_entry;
    reader->context = context;
    rd_redis_options own = *options;
    own.reply_timeout_us = READ_TIMEOUT_US;
    own.on_state = on_reader_state;
    own.context = reader;
    reader->redis = rd_redis_new(loop, &own);
    return reader;
}

typedef struct closing {
    void *memory;
    char *name;
    void (*on_closed)(void *context);
    void *context;
} closing;

static void on_client_closed(void *context)
{
    closing *c = context;
    free(c->name);
    free(c->memory);
    if (c->on_closed)
        c->on_closed(c->context);
    free(c);
}

static void close_client(rd_redis *redis, closing c)
{
    closing *kept = rd_alloc(sizeof *kept);
    *kept = c;
    rd_redis_close(redis, on_client_closed, kept);
}

void rd_redis_reader_close(rd_redis_reader *reader, void (*on_closed)(void *context), void *context)
{
    reader->is_closing = true;
    close_client(reader->redis, (closing){ reader, reader->stream, on_closed, context });
}

struct rd_redis_listener {
    rd_redis *redis;
    char *channel;
    rd_redis_message_fn on_message;
    void *context;
    bool is_closing;
};

static void on_message(void *context, const rd_redis_reply *reply)
{
    rd_redis_listener *listener = context;
    if (!reply || listener->is_closing)
        return;
    rd_bytes kind = rd_redis_reply_bytes(rd_redis_reply_at(reply, 0));
    if (rd_bytes_equal(kind, RD_BYTES_LIT("subscribe")))
        listener->on_message(listener->context, RD_BYTES_NULL);
    else if (rd_bytes_equal(kind, RD_BYTES_LIT("message")))
        listener->on_message(listener->context, rd_redis_reply_bytes(rd_redis_reply_at(reply, 2)));
}

static void on_listener_state(void *context, bool is_connected)
{
    rd_redis_listener *listener = context;
    rd_err ignored = RD_ERR_INIT;
    if (is_connected)
        (void)!rd_redis_subscribe(listener->redis, rd_bytes_str(listener->channel), on_message, listener, &ignored);
}

rd_redis_listener *rd_redis_listener_new(uv_loop_t *loop, const rd_redis_options *options, rd_bytes channel,
                                         rd_redis_message_fn fn, void *context)
{
    rd_redis_listener *listener = rd_alloc(sizeof *listener);
    listener->channel = rd_strndup((const char *)channel.data, channel.size);
    listener->on_message = fn;
    listener->context = context;
    rd_redis_options own = *options;
    own.on_state = on_listener_state;
    own.context = listener;
    listener->redis = rd_redis_new(loop, &own);
    return listener;
}

void rd_redis_listener_close(rd_redis_listener *listener, void (*on_closed)(void *context), void *context)
{
    listener->is_closing = true;
    close_client(listener->redis, (closing){ listener, listener->channel, on_closed, context });
}
