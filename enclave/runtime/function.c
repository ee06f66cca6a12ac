#include "enclave/runtime/function.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/mem.h"
#include "enclave/engine/guest/guest_abi.h"
#include "enclave/world/reserved.h"

#define HEAP_PRELOADED ((size_t)64 << 20)

struct encl_function {
    uint64_t calls;
    encl_engine *engine;
    encl_world *world;
    encl_function_host host;
    int caller_fd;
    const encl_function_sink *sink; /* while an answer's stream runs */
    bool is_caller_gone;            /* of it */
    bool has_background;
    rd_buf url;
    encl_header headers[RD_HTTP_COUNT_MAX + 1];
};

/* --- the engine's callbacks ------------------------------------------------------------------------------------- */

static int64_t host_wall_us(void *context)
{
    encl_function *function = context;
    return function->host.time_us(function->host.context);
}

static int64_t host_monotonic_us(void *context)
{
    (void)context;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int host_random(void *context, uint8_t *out, size_t size)
{
    encl_function *function = context;
    return function->host.random(function->host.context, out, size);
}

static void host_log(void *context, encl_log_level level, rd_bytes line)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };
    encl_function *function = context;
    function->host.log(function->host.context, names[RD_MIN((unsigned)level, 3u)], line);
}

/* Outgoing requests go on as far as they can; true when one of them has news. */
static bool turn_egress(encl_function *function, bool *ret_goes_on)
{
    encl_egress *egress = encl_world_egress(function->world);
    if (!encl_egress_is_busy(egress))
        return false;
    function->host.turn(function->host.context, egress);
    *ret_goes_on = encl_egress_turn(egress);
    return encl_egress_has_news(egress);
}

static int host_room(void *context)
{
    const encl_function *function = context;
    return function->is_caller_gone ? ENCL_ROOM_GONE : ENCL_ROOM_SOME;
}

/* What poll waits for beside the end of the caller. */
static short flush_sink(encl_function *function)
{
    int outcome = function->is_caller_gone ? 0 : function->sink->flush(function->sink->context);
    function->is_caller_gone |= outcome < 0;
    return outcome > 0 ? (short)outcome : 0;
}

static bool host_write(void *context, rd_bytes piece)
{
    encl_function *function = context;
    if (!function->sink->write(function->sink->context, piece))
        return false;
    (void)flush_sink(function);
    return true;
}

/* A handler's timer or request: sleep until it is due or there is an answer, but notice a caller who left, and send him
 * what he takes. */
static int host_wait(void *context, int64_t until_us)
{
    encl_function *function = context;
    encl_egress *egress = encl_world_egress(function->world);
    bool was_gone = function->is_caller_gone;
    for (;;) {
        bool goes_on = false;
        short events = function->sink != NULL ? flush_sink(function) : 0;
        int64_t left_us = until_us - host_monotonic_us(NULL);
        if (turn_egress(function, &goes_on) || left_us <= 0 || function->is_caller_gone != was_gone)
            return 0;
        struct pollfd fds[1 + ENCL_FUNCTION_WATCHED + ENCL_EGRESS_AT_ONCE] = {
            { .fd = function->is_caller_gone ? -1 : function->caller_fd, .events = (short)(POLLRDHUP | events) }
        };
        nfds_t count = 1;
        if (encl_egress_is_busy(egress)) {
            count += function->host.watch(function->host.context, fds + count);
            count += encl_egress_watch(egress, fds + count);
        }
        int ready = poll(fds, count, goes_on ? 0 : (int)RD_MIN((left_us + 999) / 1000, 60000));
        if (ready <= 0 || (fds[0].revents & (POLLHUP | POLLERR | POLLRDHUP)) == 0)
            continue;
        if (function->sink == NULL)
            return -1;
        function->is_caller_gone = true;
    }
}

static void host_ask(void *context, uint32_t op, rd_bytes question, rd_buf *reply)
{
    encl_world_ask(((encl_function *)context)->world, op, question, reply);
}

static bool host_is_pending(void *context)
{
    return encl_world_is_pending(((encl_function *)context)->world);
}

static void host_forget(void *context)
{
    encl_world_forget(((encl_function *)context)->world);
}

/* --- the world's callbacks -------------------------------------------------------------------------------------- */

static int world_dial(void *context, uint64_t id, const rd_egress_entry *entry, rd_err *err)
{
    encl_function *function = context;
    if (function->host.dial == NULL)
        return rd_err_set(err, RD_E_UNSUPPORTED, "there is no way out of here");
    return function->host.dial(function->host.context, id, entry, err);
}

static int world_evidence(void *context, const uint8_t user[32], rd_buf *ret, rd_err *err)
{
    encl_function *function = context;
    return function->host.evidence(function->host.context, user, ret, err);
}

static void open_world(encl_function *function, const rd_release *release, const encl_app_keys *keys)
{
    const encl_world_host host = {
        .egress = { .dial = world_dial, .time_us = host_wall_us, .context = function },
        .random = host_random,
        .evidence = function->host.evidence == NULL ? NULL : world_evidence,
        .context = function,
    };
    function->world = encl_world_new(&release->egress, &host);
    encl_world_set_keys(function->world, keys);
}

/* Before an instance has taken the engine over there is nothing to tell and nothing to draw. */
static int64_t preload_zero(void *context)
{
    (void)context;
    return 0;
}

static int preload_random(void *context, uint8_t *out, size_t size)
{
    (void)context, (void)out, (void)size;
    return -1;
}

int encl_function_preload(encl_engine **ret, rd_err *err)
{
    const encl_engine_host host = { .wall_us = preload_zero,
                                    .monotonic_us = host_monotonic_us,
                                    .random = preload_random };
    const encl_engine_limits limits = { .heap_size = HEAP_PRELOADED };
    RD_CLEANUP(encl_engine_free_p) encl_engine *engine = NULL;
    if (encl_engine_new(&host, &limits, &engine, err) < 0 || encl_engine_share(engine, err) < 0)
        return -1;
    *ret = RD_TAKE(engine);
    return 0;
}

/* --- loading ---------------------------------------------------------------------------------------------------- */

static int configure(encl_function *function, encl_engine *engine, const rd_release *release, rd_err *err)
{
    const encl_engine_host host = { .wall_us = host_wall_us,
                                    .monotonic_us = host_monotonic_us,
                                    .random = host_random,
                                    .log = host_log,
                                    .wait = host_wait,
                                    .ask = host_ask,
                                    .is_pending = host_is_pending,
                                    .write = host_write,
                                    .room = host_room,
                                    .forget = host_forget,
                                    .context = function };
    const encl_engine_limits limits = encl_world_limits(release);
    return encl_engine_configure(engine, &host, &limits, err);
}

static int load(encl_engine *engine, const rd_release *release, const rd_code_bundle *code, const encl_app_keys *keys,
                rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf env = { 0 };
    encl_world_env(release, keys, &env);
    RD_CLEANUP(rd_free_p) encl_module *modules = rd_alloc_array(code->modules_count, sizeof(*modules));
    for (size_t i = 0; i < code->modules_count; i++)
        modules[i] = (encl_module){ .name = code->modules[i].name,
                                    .source = rd_bytes_of(code->modules[i].source, code->modules[i].source_size) };
    return encl_engine_load(engine, modules, code->modules_count, code->main, rd_buf_bytes(&env), err);
}

int encl_function_load(encl_engine *engine, const encl_function_host *host, const rd_release *release,
                       const rd_code_bundle *code, const encl_app_keys *keys, encl_function **ret, rd_err *err)
{
    encl_function *function = rd_alloc(sizeof(*function));
    function->host = *host;
    function->caller_fd = -1;
    open_world(function, release, keys);
    int outcome = configure(function, engine, release, err);
    if (outcome == 0)
        outcome = load(engine, release, code, keys, err);
    function->engine = engine;
    if (outcome < 0) {
        encl_function_free(function);
        return -1;
    }
    *ret = function;
    return 0;
}

encl_function *encl_function_free(encl_function *function)
{
    if (function != NULL) {
        encl_engine_free(function->engine);
        encl_world_free(function->world);
        rd_buf_done(&function->url);
        free(function);
    }
    return NULL;
}

void encl_function_free_p(encl_function **function)
{
    *function = encl_function_free(*function);
}

/* --- calls ------------------------------------------------------------------------------------------------------ */

/* The public name of a failure, and a sentence that tells nothing of what the handler threw. */
static int rename_failure(const rd_err *cause, rd_err *err)
{
    static const struct {
        rd_code from, to;
        const char *sentence;
    } rows[] = {
        { RD_E_ENGINE_TIME_LIMIT, RD_E_FUNCTION_TIMEOUT, "the function ran longer than its release allows" },
        { RD_E_ENGINE_MEMORY_LIMIT, RD_E_FUNCTION_MEMORY, "the function used more memory than its release allows" },
        { RD_E_ENGINE_OUTPUT_LIMIT, RD_E_FUNCTION_OUTPUT, "the function's answer is larger than its release allows" },
        { RD_E_ENGINE_BAD_RESPONSE, RD_E_FUNCTION_BAD_RESPONSE, "the function did not return a response" },
        { RD_E_ENGINE_REQUEST, RD_E_HTTP_SYNTAX, "the function's engine does not take this request" },
        { RD_E_ENGINE_CANCELLED, RD_E_CANCELLED, "the caller left" },
        { RD_E_ENGINE_STALLED, RD_E_FUNCTION_ERROR, "the function waits for something that cannot happen" },
        { RD_E_ENGINE_TRAP, RD_E_FUNCTION_ERROR, "the function's machine failed and was reset" },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        if (rows[i].from == cause->code)
            return rd_err_set(err, rows[i].to, "%s", rows[i].sentence);
    }
    return rd_err_set(err, RD_E_FUNCTION_ERROR, "the function threw");
}

static size_t copy_headers(encl_function *function, const rd_http_head *request)
{
    size_t count = 0;
    for (size_t i = 0; i < request->headers_count; i++) {
        const rd_http_header *header = &request->headers[i];
        if (!encl_http_is_reserved(header->name))
            function->headers[count++] = (encl_header){ .name = header->name, .value = header->value };
    }
    return count;
}

static int call(encl_function *function, const rd_http_head *request, size_t header_count, rd_bytes body, int caller_fd,
                encl_response *ret, rd_err *err)
{
    rd_buf_clear(&function->url);
    rd_buf_append_str(&function->url, "https://");
    rd_buf_append_bytes(&function->url, request->host.size > 0 ? request->host : RD_BYTES_LIT("app.invalid"));
    rd_buf_append_bytes(&function->url, request->target);
    encl_request call = { .method = request->method,
                          .url = rd_buf_bytes(&function->url),
                          .headers = function->headers,
                          .header_count = header_count,
                          .body = body };
    function->caller_fd = caller_fd;
    function->is_caller_gone = false;
    function->has_background = false;
    function->calls++;
    encl_world_begin(function->world);
    rd_err cause = RD_ERR_INIT;
    int outcome = encl_engine_call(function->engine, &call, ret, &cause);
    function->caller_fd = -1;
    if (outcome == 0) {
        function->has_background = ret->has_background;
        return 0;
    }
    function->host.log(function->host.context, "error", rd_bytes_str(cause.text));
    return rename_failure(&cause, err);
}

int encl_function_call(encl_function *function, const rd_http_head *request, rd_bytes body, int caller_fd,
                       encl_response *ret, rd_err *err)
{
    return call(function, request, copy_headers(function, request), body, caller_fd, ret, err);
}

int encl_function_event(encl_function *function, const rd_http_head *request, rd_bytes event, int caller_fd,
                        encl_response *ret, rd_err *err)
{
    /* Of a name that no caller can send (encl_http_is_reserved): it tells an event from a request. */
    size_t count = copy_headers(function, request);
    function->headers[count++] = (encl_header){ .name = RD_BYTES_LIT("redoubt-event"), .value = RD_BYTES_LIT("1") };
    return call(function, request, count, event, caller_fd, ret, err);
}

uint64_t encl_function_calls(const encl_function *function)
{
    return function->calls;
}

int encl_function_stream(encl_function *function, const encl_function_sink *sink, int caller_fd, rd_err *err)
{
    rd_err cause = RD_ERR_INIT;
    function->caller_fd = caller_fd;
    function->sink = sink;
    int outcome = encl_engine_stream(function->engine, &function->has_background, &cause);
    function->caller_fd = -1;
    function->sink = NULL;
    if (outcome == 0)
        return 0;
    function->host.log(function->host.context, "error", rd_bytes_str(cause.text));
    return rename_failure(&cause, err);
}

void encl_function_egress(const encl_function *function, uint32_t *ret_asked, uint32_t *ret_failed)
{
    encl_world_counts(function->world, ret_asked, ret_failed);
}

bool encl_function_has_background(const encl_function *function)
{
    return function->has_background;
}

void encl_function_finish(encl_function *function)
{
    rd_err err = RD_ERR_INIT;
    if (function->has_background && encl_engine_finish(function->engine, &err) < 0)
        function->host.log(function->host.context, "error", rd_bytes_str(err.text));
    function->has_background = false;
    encl_engine_reset(function->engine);
}
