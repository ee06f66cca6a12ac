#include "enclave/engine/engine.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"
#include "common/crypto/hash.h"
#include "enclave/engine/guest/guest_abi.h"
#include "enclave/engine/guest_link.h"
#include "enclave/engine/platform_source.h"
#include "enclave/engine/wire.h"

#define STACK_SIZE       ((uint32_t)256 << 10)
#define HEAP_MAX         ((size_t)192 << 20)
#define HEAP_MIN         ((size_t)2 << 20)
#define SENTENCE_MAX     400
#define MODULES_MAX      1024
#define MODULES_SIZE_MAX ((size_t)32 << 20)
#define NAME_MAX_SIZE    255
#define KEEP_OUTPUT      ((size_t)256 << 10)
/* How long after the time limit the guest may still end by itself before SIGALRM ends it. */
#define ALARM_GRACE_US 50000

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

typedef enum engine_state {
    ENGINE_BLANK,    /* the platform is loaded */
    ENGINE_PRISTINE, /* exactly the snapshot */
    ENGINE_USED,     /* a request ran; it may have background work */
    ENGINE_DEAD,     /* a load failed or a trap came before the snapshot */
} engine_state;

struct encl_engine {
    encl_engine_host host;
    encl_engine_limits limits;
    encl_guest *guest;
    uint32_t result_address;
    engine_state state;
    int64_t deadline_us;
    uint32_t lines_left;
    uint64_t generation;
    /* The arena of a request: everything of it that the host holds. */
    rd_buf output;
    encl_header *headers;
    bool has_background;
};

/* ---- imports ---- */

static uint64_t on_clock(void *context, uint32_t kind)
{
    encl_engine *engine = context;
    int64_t now;

    /* Before the snapshot the clock stands: what a module reads of it would be every request's. */
    if (engine->state == ENGINE_BLANK)
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

static int on_random(void *context, uint8_t *out, size_t size)
{
    encl_engine *engine = context;

    if (engine->state == ENGINE_BLANK)
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
static size_t cut_at(rd_bytes line, size_t size_max)
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
    line.size = cut_at(line, engine->limits.log_line_size);
    if (--engine->lines_left == 0) {
        level = ENCL_LOG_WARN;
        line = RD_BYTES_LIT("too many log lines: later ones of this request are dropped");
    }
    engine->host.log(engine->host.context, (encl_log_level)RD_MIN(level, (uint32_t)ENCL_LOG_ERROR), line);
}

/* ---- talking to the guest ---- */

static int trap_error(encl_engine *engine, int outcome, rd_err *err)
{
    if (outcome == ENCL_GUEST_EXPIRED)
        return rd_err_set(err, RD_E_ENGINE_TIME_LIMIT, "the time limit was reached");
    return rd_err_set(err, RD_E_ENGINE_TRAP, "the engine trapped: %s", encl_guest_trap_text(engine->guest));
}

static int enter(encl_engine *engine, encl_guest_fn fn, uint32_t a, uint32_t b, uint32_t c, uint32_t *ret, rd_err *err)
{
    int outcome = encl_guest_call(engine->guest, fn, a, b, c, ret);

    return outcome == 0 ? 0 : trap_error(engine, outcome, err);
}

/* Room for size bytes inside the guest. */
static int guest_room(encl_engine *engine, size_t size, uint32_t *ret_address, uint8_t **ret, rd_err *err)
{
    uint32_t address;

    if (enter(engine, ENCL_FN_ALLOC, (uint32_t)size, 0, 0, &address, err) < 0)
        return -1;
    *ret = address ? encl_guest_at(engine->guest, address, size) : NULL;
    if (!*ret)
        return rd_err_set(err, RD_E_ENGINE_MEMORY_LIMIT, "no room for %zu bytes in the engine's memory", size);
    *ret_address = address;
    return 0;
}

/* Hands "name NUL text NUL" to an export that takes it. */
static int give_texts(encl_engine *engine, encl_guest_fn fn, const char *name, rd_bytes text, uint32_t *ret,
                      rd_err *err)
{
    size_t name_size = strlen(name) + 1, size = name_size + text.size + 1;
    uint32_t address;
    uint8_t *room;

    if (guest_room(engine, size, &address, &room, err) < 0)
        return -1;
    memcpy(room, name, name_size);
    if (text.size > 0)
        memcpy(room + name_size, text.data, text.size);
    room[size - 1] = 0;
    return enter(engine, fn, address, (uint32_t)size, 0, ret, err);
}

static encl_guest_result result_of(encl_engine *engine)
{
    encl_guest_result result = { .state = ENCL_GUEST_FAILED };
    const uint8_t *at = encl_guest_at(engine->guest, engine->result_address, sizeof(result));

    if (at)
        memcpy(&result, at, sizeof(result));
    return result;
}

static rd_code code_of(uint32_t kind, bool is_loading)
{
    switch ((enum encl_guest_kind)kind) {
    case ENCL_KIND_REJECTED:
        return RD_E_ENGINE_REJECTED;
    case ENCL_KIND_BAD_RESPONSE:
        return RD_E_ENGINE_BAD_RESPONSE;
    case ENCL_KIND_TIME:
        return RD_E_ENGINE_TIME_LIMIT;
    case ENCL_KIND_MEMORY:
        return RD_E_ENGINE_MEMORY_LIMIT;
    case ENCL_KIND_OUTPUT:
        return RD_E_ENGINE_OUTPUT_LIMIT;
    case ENCL_KIND_NO_HANDLER:
        return RD_E_ENGINE_NO_HANDLER;
    case ENCL_KIND_ENTROPY:
        return is_loading ? RD_E_ENGINE_ENTROPY_BEFORE_SNAPSHOT : RD_E_ENGINE_EXCEPTION;
    case ENCL_KIND_MODULE:
        return is_loading ? RD_E_ENGINE_MODULE : RD_E_ENGINE_EXCEPTION;
    case ENCL_KIND_REQUEST:
        return RD_E_ENGINE_REQUEST;
    case ENCL_KIND_NONE:
    case ENCL_KIND_EXCEPTION:
        break;
    }
    return is_loading ? RD_E_ENGINE_LOAD : RD_E_ENGINE_EXCEPTION;
}

/* The guest's sentence as an error: printable UTF-8 of bounded size, whatever it wrote. */
static int guest_error(encl_engine *engine, rd_err *err)
{
    encl_guest_result result = result_of(engine);
    const uint8_t *from = encl_guest_at(engine->guest, result.out, result.out_size);
    char text[SENTENCE_MAX + 1];
    rd_bytes sentence = rd_bytes_of(from, from ? result.out_size : 0);

    sentence.size = cut_at(sentence, SENTENCE_MAX);
    for (size_t i = 0; i < sentence.size; i++)
        text[i] = (char)(from[i] < 0x20 || from[i] == 0x7f ? ' ' : from[i]);
    if (sentence.size == 0 || !rd_is_utf8(rd_bytes_of(text, sentence.size)))
        return rd_err_set(err, code_of(result.kind, engine->state == ENGINE_BLANK), "an error without a text");
    return rd_err_set(err, code_of(result.kind, engine->state == ENGINE_BLANK), "%.*s", (int)sentence.size, text);
}

static void start_limits(encl_engine *engine, int64_t time_us)
{
    engine->deadline_us = engine->host.monotonic_us(engine->host.context) + time_us;
    engine->lines_left = engine->limits.log_lines + 1;
    encl_guest_alarm(engine->guest, time_us + ALARM_GRACE_US);
}

/* ---- life ---- */

static int set_heap(encl_engine *engine, size_t size, rd_err *err)
{
    uint32_t ret;

    if (engine->state != ENGINE_BLANK)
        return rd_err_set(err, RD_E_ENGINE_LIMITS, "the heap's size is part of the snapshot");
    return enter(engine, ENCL_FN_HEAP, (uint32_t)size, 0, 0, &ret, err);
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

    start_limits(engine, engine->limits.load_time_us);
    if (enter(engine, ENCL_FN_INIT, (uint32_t)engine->limits.heap_size, STACK_SIZE, 0, &engine->result_address, err) <
        0)
        return -1;
    if (!engine->result_address)
        return rd_err_set(err, RD_E_ENGINE_MEMORY_LIMIT, "no room for the virtual machine");
    for (const encl_platform_file *file = encl_platform_files; file->name; file++) {
        if (give_texts(engine, ENCL_FN_PLATFORM, file->name, file->source, &state, err) < 0)
            return rd_err_wrap(err, "platform %s", file->name);
        if (state == ENCL_GUEST_FAILED) {
            (void)guest_error(engine, err);
            return rd_err_wrap(err, "platform %s", file->name);
        }
    }
    return 0;
}

int encl_engine_new(const encl_engine_host *host, const encl_engine_limits *limits, encl_engine **ret, rd_err *err)
{
    RD_CLEANUP(encl_engine_free_p) encl_engine *engine = rd_alloc(sizeof(*engine));
    encl_guest_imports imports = { on_clock, on_interrupt, on_log, on_random, engine };

    engine->host = *host;
    if (set_limits(engine, limits ? limits : &default_limits, err) < 0)
        return -1;
    rd_buf_init(&engine->output, engine->limits.output_size + 4096);
    if (encl_guest_new(&imports, &engine->guest, err) < 0)
        return -1;
    int outcome = load_platform(engine, err);
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
    if (engine->state == ENGINE_USED)
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

/* ---- load ---- */

/* "a/b.js": relative, without empty, "." and ".." components. */
static bool is_module_name(const char *name)
{
    size_t size = strlen(name), from = 0;

    if (size == 0 || size > NAME_MAX_SIZE || !rd_is_utf8(rd_bytes_str(name)))
        return false;
    for (size_t i = 0; i <= size; i++) {
        if ((uint8_t)name[i] < 0x20 && i < size)
            return false;
        if (i < size && name[i] != '/')
            continue;
        size_t part = i - from;
        if (part == 0 || (part == 1 && name[from] == '.') || (part == 2 && memcmp(name + from, "..", 2) == 0))
            return false;
        from = i + 1;
    }
    return !rd_starts_with(name, "redoubt:");
}

static int check_modules(const encl_module *modules, size_t count, rd_err *err)
{
    size_t size = 0;

    if (count == 0 || count > MODULES_MAX)
        return rd_err_set(err, RD_E_ENGINE_MODULE, "%zu modules, from 1 to %d", count, MODULES_MAX);
    for (size_t i = 0; i < count; i++) {
        if (!is_module_name(modules[i].name))
            return rd_err_set(err, RD_E_ENGINE_MODULE, "module %zu has no relative name without \"..\"", i);
        if (!rd_is_utf8(modules[i].source))
            return rd_err_set(err, RD_E_ENGINE_MODULE, "module \"%s\" is not UTF-8", modules[i].name);
        if (modules[i].source.size > MODULES_SIZE_MAX - size)
            return rd_err_set(err, RD_E_ENGINE_MODULE, "the modules are larger than %zu bytes", MODULES_SIZE_MAX);
        size += modules[i].source.size;
        for (size_t j = 0; j < i; j++) {
            if (strcmp(modules[i].name, modules[j].name) == 0)
                return rd_err_set(err, RD_E_ENGINE_MODULE, "module \"%s\" is there twice", modules[i].name);
        }
    }
    return 0;
}

static int evaluate(encl_engine *engine, const encl_module *modules, size_t count, const char *main, rd_bytes env_json,
                    rd_err *err)
{
    uint32_t ret;

    for (size_t i = 0; i < count; i++) {
        if (give_texts(engine, ENCL_FN_MODULE, modules[i].name, modules[i].source, &ret, err) < 0)
            return -1;
    }
    if (give_texts(engine, ENCL_FN_LOAD, main, env_json, &ret, err) < 0)
        return -1;
    if (ret == ENCL_GUEST_FAILED)
        return guest_error(engine, err);
    if (enter(engine, ENCL_FN_SEAL, 0, 0, 0, &ret, err) < 0)
        return -1;
    return encl_guest_snapshot(engine->guest, err);
}

int encl_engine_load(encl_engine *engine, const encl_module *modules, size_t module_count, const char *main,
                     rd_bytes env_json, rd_err *err)
{
    if (engine->state != ENGINE_BLANK)
        return rd_err_set(err, RD_E_ENGINE_STATE, "this engine has loaded a handler already");
    if (check_modules(modules, module_count, err) < 0)
        return -1;
    if (!rd_is_utf8(env_json) || memchr(env_json.size ? (const char *)env_json.data : "", 0, env_json.size))
        return rd_err_set(err, RD_E_ENGINE_MODULE, "the env is no JSON text");
    start_limits(engine, engine->limits.load_time_us);
    int outcome = evaluate(engine, modules, module_count, main, env_json, err);
    encl_guest_alarm(engine->guest, 0);
    engine->state = outcome < 0 ? ENGINE_DEAD : ENGINE_PRISTINE;
    return outcome;
}

/* ---- call ---- */

static int sleep_until(encl_engine *engine, int64_t until_us)
{
    if (engine->host.wait)
        return engine->host.wait(engine->host.context, until_us);
    for (;;) {
        int64_t left_us = until_us - engine->host.monotonic_us(engine->host.context);
        if (left_us <= 0)
            return 0;
        (void)poll(NULL, 0, (int)RD_MIN(left_us / 1000 + 1, (int64_t)60000));
    }
}

/* Runs the guest until the response, or its background work, is done. */
static int run(encl_engine *engine, bool wants_background, rd_err *err)
{
    uint32_t state;

    for (;;) {
        if (enter(engine, ENCL_FN_RUN, wants_background, 0, 0, &state, err) < 0)
            return -1;
        if (state == ENCL_GUEST_DONE)
            return 0;
        if (state != ENCL_GUEST_WAITING)
            return guest_error(engine, err);
        int64_t due_us = result_of(engine).due_us;
        if (due_us < 0)
            return rd_err_set(err, RD_E_ENGINE_STALLED,
                              wants_background ? "waitUntil waits for something that cannot happen"
                                               : "the handler's promise is pending and nothing is left to settle it");
        if (due_us >= engine->deadline_us)
            return rd_err_set(err, RD_E_ENGINE_TIME_LIMIT, "the next timer is due after the time limit");
        if (sleep_until(engine, due_us) < 0)
            return rd_err_set(err, RD_E_ENGINE_CANCELLED, "the caller is gone");
    }
}

/* Copies the output out of the guest, so that later guest code cannot change what was checked. */
static int take_response(encl_engine *engine, encl_response *ret, rd_err *err)
{
    encl_guest_result result = result_of(engine);
    const uint8_t *from = encl_guest_at(engine->guest, result.out, result.out_size);

    if (!from)
        return rd_err_set(err, RD_E_ENGINE_BAD_RESPONSE, "the response lies outside the engine's memory");
    if (result.out_size > engine->limits.output_size || !rd_buf_append(&engine->output, from, result.out_size))
        return rd_err_set(err, RD_E_ENGINE_OUTPUT_LIMIT, "the response is larger than %zu bytes",
                          engine->limits.output_size);
    if (encl_wire_response_read(rd_buf_bytes(&engine->output), engine->headers, engine->limits.response_header_count,
                                ret, err) < 0)
        return -1;
    engine->has_background = result.background > 0;
    ret->has_background = engine->has_background;
    ret->generation = engine->generation;
    return 0;
}

static int call(encl_engine *engine, const encl_request *request, size_t size, encl_response *ret, rd_err *err)
{
    uint32_t address, state;
    uint8_t *room;

    if (guest_room(engine, size, &address, &room, err) < 0)
        return -1;
    encl_wire_request_write(request, room);
    if (enter(engine, ENCL_FN_START, address, (uint32_t)size, (uint32_t)engine->limits.output_size, &state, err) < 0)
        return -1;
    if (state == ENCL_GUEST_FAILED)
        return guest_error(engine, err);
    if (run(engine, false, err) < 0)
        return -1;
    return take_response(engine, ret, err);
}

int encl_engine_call(encl_engine *engine, const encl_request *request, encl_response *ret, rd_err *err)
{
    size_t size;

    if (engine->state == ENGINE_BLANK || engine->state == ENGINE_DEAD)
        return rd_err_set(err, RD_E_ENGINE_STATE, "no handler is loaded");
    if (engine->state == ENGINE_USED)
        encl_engine_reset(engine);
    if (encl_wire_request_size(request, engine->limits.request_size, &size, err) < 0)
        return -1;
    engine->state = ENGINE_USED;
    start_limits(engine, engine->limits.time_us);
    int outcome = call(engine, request, size, ret, err);
    encl_guest_alarm(engine->guest, 0);
    if (outcome < 0)
        encl_engine_reset(engine);
    return outcome;
}

int encl_engine_finish(encl_engine *engine, rd_err *err)
{
    int64_t left_us;

    if (engine->state != ENGINE_USED || !engine->has_background)
        return 0;
    engine->has_background = false;
    left_us = engine->deadline_us - engine->host.monotonic_us(engine->host.context);
    if (left_us <= 0)
        return rd_err_set(err, RD_E_ENGINE_TIME_LIMIT, "the time limit was reached before the background work");
    encl_guest_alarm(engine->guest, left_us + ALARM_GRACE_US);
    int outcome = run(engine, true, err);
    encl_guest_alarm(engine->guest, 0);
    return outcome;
}

void encl_engine_reset(encl_engine *engine)
{
    if (engine->state != ENGINE_USED)
        return;
    encl_guest_restore(engine->guest);
    if (engine->output.capacity > KEEP_OUTPUT) {
        rd_buf_wipe(&engine->output);
        rd_buf_init(&engine->output, engine->limits.output_size + 4096);
    } else {
        rd_wipe(engine->output.data, engine->output.size);
        rd_buf_clear(&engine->output);
    }
    engine->has_background = false;
    engine->generation++;
    engine->state = ENGINE_PRISTINE;
}

int encl_engine_image_digest(const encl_engine *engine, uint8_t ret_digest[32], rd_err *err)
{
    rd_hasher hasher;
    uint8_t global[4];
    uint32_t value;

    if (engine->state != ENGINE_PRISTINE && engine->state != ENGINE_USED)
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
