#include "api/relay.h"

#include "api/relay_pool.h"
#include "common/base/mem.h"
#include "common/http/field.h"
#include "common/http/head.h"
#include "common/model/ohttp_chunks.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CALL_MAGIC      0x63616c6cu
#define TIME_MARGIN_US  2000000 /* beyond the release's own limit: queue, link, start */
#define SWEEP_US        250000
#define HEAD_MAX        ((size_t)48 << 10)
#define LINES_MAX       ((size_t)32 << 10)
#define METHOD_MAX      32
#define FIXED_SIZE      96 /* of a head: what is the same in all */
#define WRITE_PIECE     ((size_t)128 << 10)
#define EARLY_MAX       ((size_t)16 << 10) /* of a call to an instance that starts, before it takes it */
#define LATENCY_BUCKETS 14

static const int64_t latency_bounds_us[LATENCY_BUCKETS] = { 250,   500,   1000,   2000,   4000,    8000,    16000,
                                                            32000, 64000, 128000, 512000, 1000000, 5000000, 30000000 };

struct api_call {
    uint32_t magic;
    api_relay *relay;
    api_pipe_user user; /* of the pool */
    api_seek seek;      /* for an instance */
    api_call_events events;
    void *context;
    rd_buf head; /* request line and headers, ready to send */
    rd_bytes body;
    size_t body_sent;
    bool is_safe, is_head_request, is_sealed, is_anonymous;
    bool is_for_runtime; /* evidence, documents, keys: no function sees it */
    api_target *target;  /* held */
    api_pipe *pipe;
    api_http_response response;
    bool has_head; /* of an answer: on_head was called */
    bool has_bytes;
    bool awaits_start; /* it was led to an instance that does not serve yet */
    bool has_begun;    /* to be sent */
    bool has_failed;   /* on_done is due with err */
    rd_err err;
    int64_t started_us;
    int64_t ready_us; /* the release's time counts from here: waking is not the function's */
    int64_t deadline_us;
    api_call *next, *previous;
};

struct api_relay {
    api_relay_options options;
    api_targets *targets;
    api_pools *pools;
    api_seekers *seekers;
    rd_timer *timer;
    api_call *first;
    size_t count;
    uint64_t started, answered, failed, retried, timed_out;
    uint64_t latency[LATENCY_BUCKETS + 1];
    uint64_t latency_sum_us;
    unsigned sweeps;
};

static void on_granted(api_pipe_user *user, api_pipe *pipe);
static size_t on_data(api_pipe_user *user, rd_bytes bytes);
static void on_open(api_pipe_user *user);
static void on_room(api_pipe_user *user);
static void on_lost(api_pipe_user *user, api_pipe_loss loss, bool was_open);

static int64_t boot_us(const api_relay *relay)
{
    return rd_clock_boot_us(relay->options.clock);
}

/* ---- calls: life ---- */

static void target_leave(api_call *call)
{
    if (!call->target)
        return;
    call->target->in_flight--;
    api_target_release(call->relay->targets, call->target);
    call->target = NULL;
}

static void link_call(api_call *call)
{
    api_relay *relay = call->relay;
    call->previous = NULL;
    call->next = relay->first;
    if (call->next)
        call->next->previous = call;
    relay->first = call;
}

static void unlink_call(api_call *call)
{
    if (call->next)
        call->next->previous = call->previous;
    *(call->previous ? &call->previous->next : &call->relay->first) = call->next;
}

static void call_free(api_call *call)
{
    api_relay *relay = call->relay;
    api_pools_leave(&call->user);
    api_seek_leave(relay->seekers, &call->seek);
    if (call->pipe)
        api_pipe_return(call->pipe, false, boot_us(relay));
    target_leave(call);
    unlink_call(call);
    relay->count--;
    rd_buf_done(&call->head);
    api_http_response_done(&call->response);
    call->magic = 0;
    free(call);
}

static void note_latency(api_relay *relay, int64_t duration_us)
{
    size_t i = 0;
    while (i < LATENCY_BUCKETS && duration_us > latency_bounds_us[i])
        i++;
    relay->latency[i]++;
    relay->latency_sum_us += (uint64_t)duration_us;
}

static void call_end(api_call *call, const rd_err *err)
{
    api_relay *relay = call->relay;
    api_call_events events = call->events;
    void *context = call->context;
    if (err)
        relay->failed++;
    else
        relay->answered++;
    note_latency(relay, boot_us(relay) - call->started_us);
    rd_err copy = RD_ERR_INIT;
    if (err)
        copy = *err;
    call_free(call);
    events.on_done(context, err ? &copy : NULL);
}

/* Its end is told at the next turn of the timer: now the lines, or the list of calls, must not change. */
static void fail_later(api_call *call, const rd_err *err)
{
    call->has_failed = true;
    call->err = *err;
}

void api_call_cancel(api_call *call)
{
    call->relay->failed++;
    call_free(call);
}

/* ---- sending ---- */

/* As much of the body as the pipe takes; the rest goes when there is room. */
static void send_body(api_call *call)
{
    rd_link_stream *stream = api_pipe_stream(call->pipe);
    while (call->body_sent < call->body.size) {
        size_t size = RD_MIN(call->body.size - call->body_sent, RD_MIN(rd_link_stream_room(stream), WRITE_PIECE));
        rd_err err = RD_ERR_INIT;
        if (size == 0 || rd_link_stream_write(stream, rd_bytes_of(call->body.data + call->body_sent, size), &err) < 0)
            return;
        call->body_sent += size;
    }
}

/* The enclave holds what is sealed to the release's limits; the relay sees its padded size, and of chunks nothing more.
 */
static uint64_t request_bound(const api_call *call, const api_target *target)
{
    uint64_t limit = target->limits.request_bytes;
    return call->is_sealed ? rd_ohttp_chunked_max(limit) : limit;
}

static uint64_t answer_bound(const api_call *call, bool is_chunked)
{
    uint64_t limit = call->target->limits.response_bytes;
    if (!call->is_sealed)
        return limit;
    return is_chunked ? rd_ohttp_chunked_answer_max(limit) : rd_ohttp_sealed_max(limit);
}

static void begin_to_send(api_call *call)
{
    rd_err err = RD_ERR_INIT;
    call->has_begun = true;
    if (rd_link_stream_write(api_pipe_stream(call->pipe), rd_buf_bytes(&call->head), &err) < 0) {
        fail_later(call, &err); /* an empty queue has room for a head; whoever says no is closing */
        return;
    }
    send_body(call);
}

/* The release's time counts from here: starting is not the function's, either. */
static void note_start(api_call *call)
{
    if (!call->awaits_start)
        return;
    call->awaits_start = false;
    call->ready_us = boot_us(call->relay);
    call->deadline_us = call->ready_us + call->target->limits.time_us + TIME_MARGIN_US;
}

/* What is large waits here and not on the link until the instance takes it. */
static void begin_on_pipe(api_call *call, api_pipe *pipe)
{
    call->pipe = pipe;
    call->body_sent = 0;
    call->has_bytes = call->has_begun = false;
    api_http_response_begin(&call->response, call->is_head_request, answer_bound(call, false));
    if (api_pipe_is_open(pipe))
        note_start(call);
    if (!call->awaits_start || call->head.size + call->body.size <= EARLY_MAX)
        begin_to_send(call);
}

/* One try after another until a pipe is had or waited for, or the call waits for the app to wake. */
static int attempt(api_call *call, rd_err *err)
{
    api_relay *relay = call->relay;
    for (;;) {
        api_target *target;
        int outcome = api_seek_next(relay->seekers, &call->seek, &target, err);
        if (outcome < 0)
            return -1;
        if (outcome == API_SEEK_WAITS) {
            call->deadline_us = call->started_us + API_RELAY_WAKE_US;
            return 0;
        }
        if (call->is_anonymous && !target->limits.is_open)
            return rd_err_set(err, RD_E_CLI_NO_TOKEN, "the app takes callers with a token of its organisation");
        if (!call->is_sealed && !call->is_for_runtime && !target->limits.is_plain)
            return rd_err_set(err, RD_E_PLAIN_REFUSED, "this release takes sealed requests alone");
        uint64_t bound = request_bound(call, target);
        if (call->body.size > bound)
            return rd_err_set(err, RD_E_REQUEST_TOO_LARGE, "request body of %zu bytes, at most %" PRIu64,
                              call->body.size, bound);
        call->target = target;
        api_target_hold(target);
        target->in_flight++;
        target->app->was_used = true;
        call->awaits_start = target->is_starting;
        call->deadline_us = call->awaits_start ? call->started_us + API_RELAY_WAKE_US
                                               : call->ready_us + target->limits.time_us + TIME_MARGIN_US;
        rd_link *link = api_seekers_link(relay->seekers, target);
        api_pipe *pipe = NULL;
        rd_err reason = RD_ERR_INIT;
        if (link && api_pools_take(relay->pools, target, link, &call->user, boot_us(relay), &pipe, &reason) == 0) {
            if (pipe)
                begin_on_pipe(call, pipe);
            return 0;
        }
        target_leave(call);
    }
}

static bool on_woken(api_seek *seek)
{
    api_call *call = RD_CONTAINER_OF(seek, api_call, seek);
    rd_err err = RD_ERR_INIT;
    call->ready_us = boot_us(call->relay);
    if (attempt(call, &err) < 0)
        fail_later(call, &err);
    return !call->has_failed && !call->seek.held.hold;
}

static void avoid_target(api_call *call)
{
    api_seekers_avoid(call->relay->seekers, call->target);
}

static void retry(api_call *call)
{
    call->relay->retried++;
    target_leave(call);
    rd_err err = RD_ERR_INIT;
    if (attempt(call, &err) < 0)
        call_end(call, &err);
}

/* ---- events of the pipe ---- */

static api_call *call_of(api_pipe_user *user)
{
    api_call *call = RD_CONTAINER_OF(user, api_call, user);
    return call->magic == CALL_MAGIC ? call : NULL;
}

static void on_granted(api_pipe_user *user, api_pipe *pipe)
{
    begin_on_pipe(call_of(user), pipe);
}

static void on_open(api_pipe_user *user)
{
    api_call *call = call_of(user);
    note_start(call);
    if (!call->has_begun)
        begin_to_send(call);
}

static void on_room(api_pipe_user *user)
{
    api_call *call = call_of(user);
    if (call->has_begun)
        send_body(call);
}

static void on_lost(api_pipe_user *user, api_pipe_loss loss, bool was_open)
{
    api_call *call = call_of(user);
    api_relay *relay = call->relay;
    call->pipe = NULL;
    if (loss != API_PIPE_LOST) {
        avoid_target(call);
        api_seekers_note_stale(relay->seekers, &call->seek.app);
    }
    /* Nothing reached the instance, or repeating is harmless (RFC 9110, 9.2.1). */
    if (!was_open || (call->is_safe && !call->has_bytes)) {
        retry(call);
        return;
    }
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, RD_E_INSTANCE_GONE, "the instance ended %s",
                     call->has_bytes ? "while it answered" : "before it answered");
    call_end(call, &err);
}

/* The enclave refused before it ran anything (enclave.md: 8 DRAIN): another one may take the call. */
static bool is_refusal_of_draining(const api_call *call)
{
    const char *code = api_http_response_header(&call->response, "redoubt-error");
    return call->response.status == 503 && code && strcmp(code, "draining") == 0;
}

static void give_pipe_back(api_call *call, bool is_reusable)
{
    api_pipe *pipe = RD_TAKE(call->pipe);
    api_pipe_return(pipe, is_reusable, boot_us(call->relay));
}

static void complete(api_call *call, bool is_clean)
{
    give_pipe_back(call, is_clean && call->response.keeps_alive && call->body_sent == call->body.size);
    call_end(call, NULL);
}

static void fail_with(api_call *call, const rd_err *err)
{
    give_pipe_back(call, false);
    call_end(call, err);
}

static size_t on_data(api_pipe_user *user, rd_bytes bytes)
{
    api_call *call = call_of(user);
    rd_bytes input = bytes;
    call->has_bytes = true;
    for (;;) {
        rd_bytes piece = RD_BYTES_NULL;
        rd_err err = RD_ERR_INIT;
        int step = api_http_response_step(&call->response, &input, &piece, &err);
        if (step < 0) {
            fail_with(call, &err);
            return bytes.size;
        }
        if (step == API_HTTP_MORE)
            return bytes.size;
        if (step == API_HTTP_DONE) {
            const char *receipt = api_http_response_trailer(&call->response);
            if (receipt)
                call->events.on_receipt(call->context, receipt);
            complete(call, input.size == 0);
            return bytes.size;
        }
        if (step == API_HTTP_HEAD) {
            if (is_refusal_of_draining(call) && !call->seek.has_instance) {
                avoid_target(call);
                give_pipe_back(call, false);
                retry(call);
                return bytes.size;
            }
            call->has_head = true;
            call->response.body_max = answer_bound(call, call->response.is_chunked);
            call->events.on_head(call->context, &call->response, call->target);
            continue;
        }
        size_t taken = call->events.on_body(call->context, piece);
        if (taken < piece.size) {
            api_http_response_unread(&call->response, piece.size - taken);
            return bytes.size - input.size - (piece.size - taken);
        }
    }
}

bool api_call_has_sent(const api_call *call)
{
    return call->has_head && call->body_sent == call->body.size;
}

void api_call_resume(api_call *call)
{
    if (call->pipe)
        rd_link_stream_resume(api_pipe_stream(call->pipe));
}

/* ---- starting ---- */

bool api_relay_add_header(rd_buf *lines, rd_bytes name, rd_bytes value)
{
    if (lines->size_max == 0)
        rd_buf_init(lines, LINES_MAX);
    if (!rd_http_is_token(name) || !rd_http_is_text(value))
        return false;
    return rd_buf_append_bytes(lines, name) && rd_buf_append(lines, ": ", 2) && rd_buf_append_bytes(lines, value) &&
           rd_buf_append(lines, "\r\n", 2);
}

static int build_head(api_call *call, const api_call_spec *spec, rd_err *err)
{
    rd_buf *head = &call->head;
    size_t lines = spec->lines ? spec->lines->size : 0;
    rd_buf_init(head, HEAD_MAX);
    if (!rd_http_is_token(spec->method) || spec->method.size > METHOD_MAX)
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "method");
    if (!rd_http_is_target(spec->target))
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "request target");
    (void)rd_buf_reserve(head, spec->method.size + spec->target.size + lines + FIXED_SIZE);
    (void)rd_buf_append_bytes(head, spec->method);
    (void)rd_buf_append_u8(head, ' ');
    (void)rd_buf_append_bytes(head, spec->target);
    (void)rd_buf_append_str(head, " HTTP/1.1\r\nhost: instance\r\n");
    if (spec->lines)
        (void)rd_buf_append_bytes(head, rd_buf_bytes(spec->lines));
    (void)rd_buf_printf(head, "content-length: %zu\r\n\r\n", spec->body.size);
    if (head->has_failed || (spec->lines && spec->lines->has_failed))
        return rd_err_set(err, RD_E_HTTP_HEADERS_TOO_LARGE, "headers above %zu bytes", LINES_MAX);
    return 0;
}

static bool begins_with(rd_bytes text, rd_bytes prefix)
{
    return text.size >= prefix.size && memcmp(text.data, prefix.data, prefix.size) == 0;
}

static api_call *call_new(api_relay *relay, const api_call_spec *spec, const api_call_events *events, void *context)
{
    api_call *call = rd_alloc(sizeof *call);
    call->magic = CALL_MAGIC;
    call->relay = relay;
    call->user = (api_pipe_user){
        .on_granted = on_granted, .on_open = on_open, .on_data = on_data, .on_room = on_room, .on_lost = on_lost
    };
    call->events = *events;
    call->context = context;
    call->seek = (api_seek){ .app = *spec->app, .has_instance = spec->instance != NULL, .on_woken = on_woken };
    if (spec->instance)
        call->seek.instance = *spec->instance;
    call->body = spec->body;
    call->is_anonymous = spec->is_anonymous;
    call->is_sealed = rd_bytes_equal(spec->target, RD_BYTES_LIT(RD_OHTTP_PATH));
    call->is_for_runtime = begins_with(spec->target, RD_BYTES_LIT(RD_RUNTIME_PREFIX));
    call->is_head_request = rd_bytes_equal(spec->method, RD_BYTES_LIT("HEAD"));
    call->is_safe = call->is_head_request || rd_bytes_equal(spec->method, RD_BYTES_LIT("GET")) ||
                    rd_bytes_equal(spec->method, RD_BYTES_LIT("OPTIONS"));
    call->started_us = call->ready_us = boot_us(relay);
    link_call(call);
    relay->count++;
    return call;
}

int api_relay_call(api_relay *relay, const api_call_spec *spec, const api_call_events *events, void *context,
                   api_call **ret, rd_err *err)
{
    if (relay->count >= API_RELAY_CALLS_MAX)
        return rd_err_set(err, RD_E_UNAVAILABLE, "%d calls are in flight in this replica", API_RELAY_CALLS_MAX);
    api_call *call = call_new(relay, spec, events, context);
    if (build_head(call, spec, err) < 0 || attempt(call, err) < 0) {
        relay->failed++;
        call_free(call);
        return -1;
    }
    relay->started++;
    *ret = call;
    return 0;
}

/* ---- time ---- */

static void fail_when_late(api_call *call, int64_t now_us)
{
    rd_err err = RD_ERR_INIT;
    if (call->has_failed || now_us < call->deadline_us)
        return;
    call->relay->timed_out++;
    if (call->seek.held.hold || call->awaits_start)
        (void)rd_err_set(&err, RD_E_NO_INSTANCE, "no instance of the app came up within %d s",
                         API_RELAY_WAKE_US / 1000000);
    else
        (void)rd_err_set(&err, RD_E_TIMEOUT, "no whole answer within the release's time limit");
    fail_later(call, &err);
}

/* What an end calls may change the list: those that failed come to its front first. One that begins meanwhile hides
 * the rest until the next turn. */
static void end_failed(api_relay *relay, int64_t now_us)
{
    for (api_call *call = relay->first, *next; call; call = next) {
        next = call->next;
        fail_when_late(call, now_us);
        if (!call->has_failed || call == relay->first)
            continue;
        unlink_call(call);
        link_call(call);
    }
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): call_end takes it off the list. */
    while (relay->first && relay->first->has_failed) {
        rd_err err = relay->first->err;
        call_end(relay->first, &err);
    }
}

static void on_timer(void *context)
{
    api_relay *relay = context;
    int64_t now_us = boot_us(relay);
    end_failed(relay, now_us);
    api_seekers_again(relay->seekers, now_us);
    if (++relay->sweeps % 16 == 0)
        api_pools_sweep(relay->pools, now_us);
}

api_relay *api_relay_new(const api_relay_options *options)
{
    api_relay *relay = rd_alloc(sizeof *relay);
    relay->options = *options;
    relay->pools = api_pools_new();
    relay->targets = api_targets_new(api_pools_target_gone, relay->pools);
    api_pools_set_targets(relay->pools, relay->targets);
    const api_seek_options seeking = { .clock = options->clock,
                                       .find_link = options->find_link,
                                       .on_stale = options->on_stale,
                                       .on_asked = options->on_asked,
                                       .context = options->context };
    relay->seekers = api_seekers_new(&seeking, relay->targets);
    relay->timer = rd_timer_new(options->loop, on_timer, relay);
    rd_timer_start(relay->timer, SWEEP_US, SWEEP_US);
    return relay;
}

api_relay *api_relay_free(api_relay *relay)
{
    if (!relay)
        return NULL;
    rd_timer_free(relay->timer);
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, RD_E_CANCELLED, "this replica is stopping");
    while (relay->first)
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): call_end takes it off the list. */
        call_end(relay->first, &err);
    relay->targets = api_targets_free(relay->targets);
    api_pools_free(relay->pools);
    api_seekers_free(relay->seekers);
    free(relay);
    return NULL;
}

api_targets *api_relay_targets(api_relay *relay)
{
    return relay->targets;
}

api_seekers *api_relay_seekers(api_relay *relay)
{
    return relay->seekers;
}

void api_relay_metrics(void *context, rd_buf *out)
{
    api_relay *relay = context;
    (void)rd_buf_printf(out, "# HELP redoubt_relay_calls_total Calls to applications by outcome.\n"
                             "# TYPE redoubt_relay_calls_total counter\n");
    (void)rd_buf_printf(out, "redoubt_relay_calls_total{outcome=\"answered\"} %" PRIu64 "\n", relay->answered);
    (void)rd_buf_printf(out, "redoubt_relay_calls_total{outcome=\"failed\"} %" PRIu64 "\n", relay->failed);
    (void)rd_buf_printf(out, "redoubt_relay_calls_total{outcome=\"timeout\"} %" PRIu64 "\n", relay->timed_out);
    (void)rd_buf_printf(out, "# TYPE redoubt_relay_retries_total counter\nredoubt_relay_retries_total %" PRIu64 "\n",
                        relay->retried);
    (void)rd_buf_printf(out, "# TYPE redoubt_relay_calls_in_flight gauge\nredoubt_relay_calls_in_flight %zu\n",
                        relay->count);
    (void)rd_buf_printf(out, "# HELP redoubt_relay_duration_seconds Whole time of a call.\n"
                             "# TYPE redoubt_relay_duration_seconds histogram\n");
    uint64_t sum = 0;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        sum += relay->latency[i];
        (void)rd_buf_printf(out, "redoubt_relay_duration_seconds_bucket{le=\"%g\"} %" PRIu64 "\n",
                            (double)latency_bounds_us[i] / 1e6, sum);
    }
    sum += relay->latency[LATENCY_BUCKETS];
    (void)rd_buf_printf(out, "redoubt_relay_duration_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n", sum);
    (void)rd_buf_printf(out,
                        "redoubt_relay_duration_seconds_sum %.6f\nredoubt_relay_duration_seconds_count %" PRIu64 "\n",
                        (double)relay->latency_sum_us / 1e6, sum);
    api_pools_stats pools = api_pools_statistics(relay->pools);
    (void)rd_buf_printf(out,
                        "# TYPE redoubt_relay_pipes gauge\n"
                        "redoubt_relay_pipes{state=\"open\"} %zu\nredoubt_relay_pipes{state=\"idle\"} %zu\n"
                        "redoubt_relay_pipes{state=\"waited\"} %zu\n",
                        pools.open, pools.idle, pools.waiting);
    (void)rd_buf_printf(out,
                        "# TYPE redoubt_relay_pipes_opened_total counter\nredoubt_relay_pipes_opened_total %" PRIu64
                        "\n# TYPE redoubt_relay_pipes_refused_total counter\nredoubt_relay_pipes_refused_total %" PRIu64
                        "\n",
                        pools.opened, pools.refused);
    (void)rd_buf_printf(out,
                        "# HELP redoubt_relay_calls_held Calls that wait for an app to wake.\n"
                        "# TYPE redoubt_relay_calls_held gauge\nredoubt_relay_calls_held %zu\n"
                        "# TYPE redoubt_relay_calls_woken_total counter\nredoubt_relay_calls_woken_total %" PRIu64 "\n",
                        api_seekers_waiting(relay->seekers), api_seekers_woken(relay->seekers));
    (void)rd_buf_printf(out, "# TYPE redoubt_targets gauge\nredoubt_targets %zu\n", api_targets_count(relay->targets));
}
