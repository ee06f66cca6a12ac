#include "enclave/engine/engine.h"

#include <stdlib.h>
#include <string.h>

#include "common/crypto/hash.h"
#include "enclave/engine/engine_priv.h"
#include "enclave/engine/platform_source.h"

#define STACK_SIZE  ((uint32_t)256 << 10)
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
    uint32_t ret;

    if (engine->state != ENCL_ENGINE_BLANK)
        return rd_err_set(err, RD_E_ENGINE_LIMITS, "the heap's size is part of the snapshot");
    return encl_engine_enter(engine, ENCL_FN_HEAP, (uint32_t)size, 0, 0, &ret, err);
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
    if (engine->guest && limits.heap_size != engine->limits.heap_size && set_heap(engine, limits.heap_size, err) < 0)
        return -1;
    engine->limits = limits;
    free(engine->headers);
    engine->headers = rd_alloc_array(limits.response_header_count, sizeof(*engine->headers));
    return 0;
}

static int load_platform(encl_engine *engine, rd_err *err)
{
    uint32_t state;

    encl_engine_start_limits(engine, engine->limits.load_time_us);
    if (encl_engine_enter(engine, ENCL_FN_INIT, (uint32_t)engine->limits.heap_size, STACK_SIZE, 0,
                          &engine->result_address, err) < 0)
        return -1;
    if (!engine->result_address)
        return rd_err_set(err, RD_E_ENGINE_MEMORY_LIMIT, "no room for the virtual machine");
    for (const encl_platform_file *file = encl_platform_files; file->name; file++) {
        if (encl_engine_give(engine, ENCL_FN_PLATFORM, file->name, file->source, &state, err) < 0)
            return rd_err_wrap(err, "platform %s", file->name);
        if (state == ENCL_GUEST_FAILED) {
            (void)encl_engine_guest_error(engine, err);
            return rd_err_wrap(err, "platform %s", file->name);
        }
    }
    return 0;
}

int encl_engine_new(const encl_engine_host *host, const encl_engine_limits *limits, encl_engine **ret, rd_err *err)
{
    RD_CLEANUP(encl_engine_free_p) encl_engine *engine = rd_alloc(sizeof(*engine));
    encl_guest_imports imports = encl_engine_imports(engine);

    engine->host = *host;
    engine->subtle = encl_subtle_new(encl_engine_draw, engine);
    rd_buf_init(&engine->reply, REPLY_MAX);
    if (set_limits(engine, limits ? limits : &default_limits, err) < 0)
        return -1;
    rd_buf_init(&engine->output, engine->limits.output_size + 4096);
    if (encl_guest_new(&imports, &engine->guest, err) < 0)
        return -1;
    int outcome = encl_subtle_warm_up(err);
    if (outcome == 0)
        outcome = load_platform(engine, err);
    encl_guest_alarm(engine->guest, 0);
    if (outcome < 0)
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
    encl_guest_free(engine->guest);
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

void encl_engine_reset(encl_engine *engine)
{
    if (engine->state != ENCL_ENGINE_USED)
        return;
    encl_guest_restore(engine->guest);
    empty(&engine->output, engine->limits.output_size + 4096);
    empty(&engine->reply, REPLY_MAX);
    encl_subtle_reset(engine->subtle);
    if (engine->host.forget)
        engine->host.forget(engine->host.context);
    engine->has_background = false;
    engine->generation++;
    engine->state = ENCL_ENGINE_PRISTINE;
}

int encl_engine_image_digest(const encl_engine *engine, uint8_t ret_digest[32], rd_err *err)
{
    rd_hasher hasher;
    uint8_t global[4];
    uint32_t value;

    if (engine->state != ENCL_ENGINE_PRISTINE && engine->state != ENCL_ENGINE_USED)
        return rd_err_set(err, RD_E_ENGINE_STATE, "no handler is loaded");
    value = encl_guest_image_global(engine->guest);
    for (int i = 0; i < 4; i++)
        global[i] = (uint8_t)(value >> 8 * i);
    rd_hasher_init(&hasher, RD_SHA256);
    rd_hasher_update(&hasher, RD_BYTES_ARRAY(global));
    rd_hasher_update(&hasher, encl_guest_image(engine->guest));
    rd_hasher_final(&hasher, ret_digest);
    return 0;
}

size_t encl_engine_image_size(const encl_engine *engine)
{
    return encl_guest_image(engine->guest).size;
}

uint64_t encl_engine_generation(const encl_engine *engine)
{
    return engine->generation;
}

rd_bytes encl_engine_memory(const encl_engine *engine)
{
    return encl_guest_memory(engine->guest);
}
