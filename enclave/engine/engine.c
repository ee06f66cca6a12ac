#include "enclave/engine/engine.h"

#include <stdlib.h>
#include <string.h>

#include "enclave/engine/engine_priv.h"

#define HEAP_MAX    ((size_t)192 << 20)
#define HEAP_MIN    ((size_t)2 << 20)
#define KEEP_OUTPUT ((size_t)256 << 10)
#define REPLY_MAX   ((size_t)64 << 20)

static const encl_engine_limits default_limits = {
    .load_time_us = 5000000,
    .time_us = 10000000,
    .heap_size = (size_t)64 << 20,
    .request_size = (size_t)16 << 20,
    .output_size = (size_t)8 << 20,
    .log_line_size = 8192,
    .log_lines = 256,
    .response_header_count = 128,
};

static int set_heap(encl_engine *engine, size_t size, rd_err *err)
{
    if (engine->state != ENCL_ENGINE_BLANK)
        return rd_err_set(err, RD_E_ENGINE_LIMITS, "the heap's size is part of the snapshot");
    return encl_machine_set_heap(engine->machine, size, err);
}

static int set_limits(encl_engine *engine, const encl_engine_limits *given, rd_err *err)
{
    encl_engine_limits limits = *given;
    const encl_engine_limits *d = &default_limits;

#define DEFAULT(field) limits.field = limits.field ? limits.field : d->field
    DEFAULT(load_time_us);
    DEFAULT(time_us);
    DEFAULT(heap_size);
    DEFAULT(request_size);
    DEFAULT(output_size);
    DEFAULT(log_line_size);
    DEFAULT(log_lines);
    DEFAULT(response_header_count);
#undef DEFAULT
    if (limits.heap_size < HEAP_MIN || limits.heap_size > HEAP_MAX)
        return rd_err_set(err, RD_E_ENGINE_LIMITS, "heap of %zu bytes, from %zu to %zu", limits.heap_size, HEAP_MIN,
                          HEAP_MAX);
    if (limits.time_us < 0 || limits.load_time_us < 0 || limits.time_us > (int64_t)3600 * 1000000 ||
        limits.load_time_us > (int64_t)3600 * 1000000)
        return rd_err_set(err, RD_E_ENGINE_LIMITS, "a time limit is not within an hour");
    if (limits.request_size > ((size_t)64 << 20) || limits.output_size > ((size_t)64 << 20) ||
        limits.log_line_size > ((size_t)1 << 20) || limits.response_header_count > 10000)
        return rd_err_set(err, RD_E_ENGINE_LIMITS, "a size limit is above 64 MiB, 1 MiB a line or 10000 headers");
    if (limits.keeps != ENCL_KEEPS_NOTHING && !encl_machine_can_keep())
        return rd_err_set(err, RD_E_ENGINE_LIMITS, "engine %s keeps no machine", encl_machine_name());
    if (engine->machine && limits.heap_size != engine->limits.heap_size && set_heap(engine, limits.heap_size, err) < 0)
        return -1;
    engine->limits = limits;
    free(engine->headers);
    engine->headers = rd_alloc_array(limits.response_header_count, sizeof(*engine->headers));
    return 0;
}

int encl_engine_new(const encl_engine_host *host, const encl_engine_limits *limits, encl_engine **ret, rd_err *err)
{
    RD_CLEANUP(encl_engine_free_p) encl_engine *engine = rd_alloc(sizeof(*engine));
    encl_machine_host host_of_machine = encl_engine_host_of(engine);

    engine->host = *host;
    engine->subtle = encl_subtle_new(encl_engine_draw, engine);
    rd_buf_init(&engine->reply, REPLY_MAX);
    if (set_limits(engine, limits ? limits : &default_limits, err) < 0)
        return -1;
    rd_buf_init(&engine->output, engine->limits.output_size + 4096);
    if (encl_subtle_warm_up(err) < 0)
        return -1;
    /* No alarm: this is our own code. */
    engine->deadline_us = engine->host.monotonic_us(engine->host.context) + engine->limits.load_time_us;
    if (encl_machine_new(&host_of_machine, engine->limits.heap_size, &engine->machine, err) < 0)
        return -1;
    *ret = RD_TAKE(engine);
    return 0;
}

encl_engine *encl_engine_free(encl_engine *engine)
{
    if (!engine)
        return NULL;
    rd_buf_wipe(&engine->output);
    rd_buf_wipe(&engine->reply);
    encl_subtle_free(engine->subtle);
    free(engine->headers);
    encl_machine_free(engine->machine);
    free(engine);
    return NULL;
}

void encl_engine_free_p(encl_engine **engine)
{
    *engine = encl_engine_free(*engine);
}

int encl_engine_configure(encl_engine *engine, const encl_engine_host *host, const encl_engine_limits *limits,
                          rd_err *err)
{
    if (engine->state == ENCL_ENGINE_USED)
        encl_engine_reset(engine);
    if (limits) {
        encl_engine_limits wanted = *limits;
        if (wanted.heap_size == 0)
            wanted.heap_size = engine->limits.heap_size;
        if (set_limits(engine, &wanted, err) < 0)
            return -1;
        rd_buf_done(&engine->output);
        rd_buf_init(&engine->output, engine->limits.output_size + 4096);
    }
    if (host)
        engine->host = *host;
    return 0;
}

/* Wipes the content; keeps the memory of small ones. */
static void empty(rd_buf *buf, size_t size_max)
{
    if (buf->capacity > KEEP_OUTPUT) {
        rd_buf_wipe(buf);
        rd_buf_init(buf, size_max);
        return;
    }
    rd_wipe(buf->data, buf->size);
    rd_buf_clear(buf);
}

/* A machine that loads the handler again finds what it found the first time, and its keys are the handler's own. */
static void start_over(encl_engine *engine)
{
    bool may_keep = engine->limits.keeps == ENCL_KEEPS_MACHINE && !engine->has_failed;
    bool is_shared = engine->limits.keeps == ENCL_KEEPS_GLOBALS;

    engine->state = ENCL_ENGINE_BLANK;
    engine->lines_left = 0;
    engine->deadline_us = engine->host.monotonic_us(engine->host.context) + engine->limits.load_time_us;
    if (is_shared)
        encl_subtle_unseal(engine->subtle);
    encl_machine_reset(engine->machine, may_keep);
    if (is_shared)
        encl_subtle_seal(engine->subtle);
}

void encl_engine_reset(encl_engine *engine)
{
    if (engine->state != ENCL_ENGINE_USED)
        return;
    empty(&engine->output, engine->limits.output_size + 4096);
    empty(&engine->reply, REPLY_MAX);
    encl_subtle_reset(engine->subtle);
    if (engine->host.forget)
        engine->host.forget(engine->host.context);
    engine->has_background = false;
    engine->stream = ENCL_STREAM_NONE;
    engine->streamed = 0;
    engine->generation++;
    if (engine->limits.keeps != ENCL_KEEPS_GLOBALS || engine->has_failed || !encl_machine_stay(engine->machine))
        start_over(engine);
    engine->has_failed = false;
    engine->state = ENCL_ENGINE_PRISTINE;
}

static bool has_image(const encl_engine *engine)
{
    return engine->state == ENCL_ENGINE_PRISTINE || engine->state == ENCL_ENGINE_USED;
}

int encl_engine_image_digest(const encl_engine *engine, uint8_t ret_digest[32], rd_err *err)
{
    if (!has_image(engine))
        return rd_err_set(err, RD_E_ENGINE_STATE, "no handler is loaded");
    encl_machine_image_digest(engine->machine, ret_digest);
    return 0;
}

size_t encl_engine_image_size(const encl_engine *engine)
{
    return has_image(engine) ? encl_machine_image_size(engine->machine) : 0;
}

const char *encl_engine_name(void)
{
    return encl_machine_name();
}

uint32_t encl_engine_threads(void)
{
    return encl_machine_threads();
}

int encl_engine_host_run(int (*run)(void *context), void *context)
{
    return encl_machine_host_run(run, context);
}

int encl_engine_share(encl_engine *engine, rd_err *err)
{
    if (engine->state != ENCL_ENGINE_BLANK)
        return rd_err_set(err, RD_E_ENGINE_STATE, "this engine has loaded a handler already");
    return encl_machine_share(engine->machine, err);
}

int encl_engine_unshare(encl_engine *engine, rd_err *err)
{
    if (engine->state != ENCL_ENGINE_BLANK)
        return rd_err_set(err, RD_E_ENGINE_STATE, "this engine has loaded a handler already");
    return encl_machine_unshare(engine->machine, err);
}

uint64_t encl_engine_generation(const encl_engine *engine)
{
    return engine->generation;
}

rd_bytes encl_engine_memory(const encl_engine *engine)
{
    return encl_machine_memory(engine->machine);
}
