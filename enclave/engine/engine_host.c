#include "enclave/engine/engine_priv.h"

#include <string.h>

static uint64_t on_clock(void *context, uint32_t kind)
{
    encl_engine *engine = context;
    int64_t now;

    /* Before the snapshot the clock stands: what a module reads of it would be every request's. */
    if (engine->state == ENCL_ENGINE_BLANK)
        return 0;
    now = kind == ENCL_CLOCK_WALL ? engine->host.wall_us(engine->host.context)
                                  : engine->host.monotonic_us(engine->host.context);
    return now > 0 ? (uint64_t)now : 0;
}

static bool on_interrupt(void *context)
{
    encl_engine *engine = context;

    return engine->host.monotonic_us(engine->host.context) >= engine->deadline_us;
}

int encl_engine_draw(void *context, uint8_t *out, size_t size)
{
    encl_engine *engine = context;

    if (engine->state == ENCL_ENGINE_BLANK)
        return -1;
    while (size > 0) {
        size_t step = RD_MIN(size, (size_t)65536);
        if (engine->host.random(engine->host.context, out, step) < 0)
            return -1;
        out += step;
        size -= step;
    }
    return 0;
}

/* Backs up to the start of a character, so that a cut line stays UTF-8. */
size_t encl_text_cut(rd_bytes line, size_t size_max)
{
    size_t size = size_max;

    if (line.size <= size_max)
        return line.size;
    while (size > 0 && (line.data[size] & 0xc0) == 0x80)
        size--;
    return size;
}

static void on_log(void *context, uint32_t level, rd_bytes line)
{
    encl_engine *engine = context;

    if (!engine->host.log || engine->lines_left == 0)
        return;
    line.size = encl_text_cut(line, engine->limits.log_line_size);
    if (--engine->lines_left == 0) {
        level = ENCL_LOG_WARN;
        line = RD_BYTES_LIT("too many log lines: later ones of this request are dropped");
    }
    engine->host.log(engine->host.context, (encl_log_level)RD_MIN(level, (uint32_t)ENCL_LOG_ERROR), line);
}

static void ask_host(encl_engine *engine, uint32_t op, rd_bytes question)
{
    if (engine->state == ENCL_ENGINE_BLANK) {
        rd_buf_append_u8(&engine->reply, ENCL_ASK_ENTROPY);
    } else if (!engine->host.ask) {
        rd_buf_append_u8(&engine->reply, ENCL_ASK_NOT_SUPPORTED);
        rd_buf_append_str(&engine->reply, "there is nothing of the world here");
    } else {
        engine->host.ask(engine->host.context, op, question, &engine->reply);
    }
}

static uint32_t on_ask(void *context, uint32_t op, rd_bytes question)
{
    encl_engine *engine = context;

    rd_wipe(engine->reply.data, engine->reply.size);
    rd_buf_clear(&engine->reply);
    if (op >= ENCL_ASK_OF_HOST)
        ask_host(engine, op, question);
    else if (op >= ENCL_ASK_OPEN && op <= ENCL_ASK_BREAK)
        encl_engine_stream_ask(engine, op, question);
    else
        encl_subtle_ask(engine->subtle, op, question, &engine->reply);
    return (uint32_t)engine->reply.size;
}

static int on_take(void *context, uint8_t *out, size_t size)
{
    encl_engine *engine = context;

    if (size != engine->reply.size)
        return -1;
    if (size > 0)
        memcpy(out, engine->reply.data, size);
    return 0;
}

encl_machine_host encl_engine_host_of(encl_engine *engine)
{
    return (encl_machine_host){ on_clock, on_interrupt, on_log, encl_engine_draw, on_ask, on_take, engine };
}
