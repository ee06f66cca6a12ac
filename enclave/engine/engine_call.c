#include "enclave/engine/engine_priv.h"

#include <poll.h>

#include "enclave/engine/wire.h"

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

static const char *stalled(const encl_engine *engine, bool wants_background)
{
    if (!wants_background)
        return "the handler's promise is pending and nothing is left to settle it";
    return engine->stream == ENCL_STREAM_RUNS ? "the answer's stream waits for something that cannot happen"
                                              : "waitUntil waits for something that cannot happen";
}

/* A stream that has ended, or never can: 1, -1. */
static int look_at_stream(encl_engine *engine, rd_err *err)
{
    bool has_failed = engine->result.state != ENCL_GUEST_DONE && engine->result.state != ENCL_GUEST_WAITING;
    if (engine->stream == ENCL_STREAM_TOO_LARGE)
        return rd_err_set(err, RD_E_ENGINE_OUTPUT_LIMIT, "the response is larger than %zu bytes",
                          engine->limits.output_size);
    if (engine->stream == ENCL_STREAM_BROKEN)
        return rd_err_set(err, RD_E_ENGINE_REJECTED, "the answer's stream failed; the log has the stack");
    if (engine->stream == ENCL_STREAM_ENDED)
        return 1; /* whatever goes wrong behind it */
    if (has_failed)
        return 0;
    return engine->result.state == ENCL_GUEST_DONE
               ? rd_err_set(err, RD_E_ENGINE_BAD_RESPONSE, "the answer's stream has no end")
               : 0;
}

/* Runs the machine until the response, its stream, or the background work, is done. */
static int run(encl_engine *engine, bool wants_background, rd_err *err)
{
    bool is_stream = engine->stream == ENCL_STREAM_RUNS;

    for (;;) {
        if (encl_machine_run(engine->machine, wants_background, &engine->result, err) < 0)
            return -1;
        int outcome = is_stream ? look_at_stream(engine, err) : 0;
        if (outcome != 0)
            return outcome < 0 ? -1 : 0;
        if (engine->result.state == ENCL_GUEST_DONE)
            return 0;
        if (engine->result.state != ENCL_GUEST_WAITING)
            return encl_engine_machine_error(engine, err);
        int64_t due_us = engine->result.due_us;
        bool is_pending = (engine->host.is_pending && engine->host.is_pending(engine->host.context)) ||
                          encl_engine_stream_waits(engine);
        if (is_pending && (due_us < 0 || due_us > engine->deadline_us))
            due_us = engine->deadline_us;
        else if (due_us < 0)
            return rd_err_set(err, RD_E_ENGINE_STALLED, "%s", stalled(engine, wants_background));
        else if (due_us >= engine->deadline_us)
            return rd_err_set(err, RD_E_ENGINE_TIME_LIMIT, "the next timer is due after the time limit");
        if (sleep_until(engine, due_us) < 0)
            return rd_err_set(err, RD_E_ENGINE_CANCELLED, "the caller is gone");
        if (engine->host.monotonic_us(engine->host.context) >= engine->deadline_us)
            return rd_err_set(err, RD_E_ENGINE_TIME_LIMIT, "the time limit was reached");
    }
}

/* Copies the output out of the machine, so that later code of the script cannot change what was checked. */
static int take_response(encl_engine *engine, encl_response *ret, rd_err *err)
{
    rd_bytes out = engine->result.out;

    if (!out.data)
        return rd_err_set(err, RD_E_ENGINE_BAD_RESPONSE, "the response lies outside the engine's memory");
    if (out.size > engine->limits.output_size || !rd_buf_append(&engine->output, out.data, out.size))
        return rd_err_set(err, RD_E_ENGINE_OUTPUT_LIMIT, "the response is larger than %zu bytes",
                          engine->limits.output_size);
    if (encl_wire_response_read(rd_buf_bytes(&engine->output), engine->headers, engine->limits.response_header_count,
                                ret, err) < 0)
        return -1;
    engine->has_background = engine->result.background > 0;
    ret->has_background = engine->has_background;
    ret->has_stream = engine->stream == ENCL_STREAM_OPEN;
    ret->generation = engine->generation;
    return 0;
}

static int call(encl_engine *engine, const encl_request *request, size_t size, encl_response *ret, rd_err *err)
{
    if (encl_machine_start(engine->machine, request, size, engine->limits.output_size, &engine->result, err) < 0)
        return -1;
    if (engine->result.state == ENCL_GUEST_FAILED)
        return encl_engine_machine_error(engine, err);
    if (run(engine, false, err) < 0)
        return -1;
    return take_response(engine, ret, err);
}

int encl_engine_call(encl_engine *engine, const encl_request *request, encl_response *ret, rd_err *err)
{
    size_t size;

    if (engine->state == ENCL_ENGINE_BLANK || engine->state == ENCL_ENGINE_DEAD)
        return rd_err_set(err, RD_E_ENGINE_STATE, "no handler is loaded");
    if (engine->state == ENCL_ENGINE_USED)
        encl_engine_reset(engine);
    if (encl_wire_request_size(request, engine->limits.request_size, &size, err) < 0)
        return -1;
    engine->state = ENCL_ENGINE_USED;
    encl_engine_start_limits(engine, engine->limits.time_us);
    int outcome = call(engine, request, size, ret, err);
    encl_machine_alarm(engine->machine, 0);
    engine->has_failed = outcome < 0;
    if (outcome < 0)
        encl_engine_reset(engine);
    return outcome;
}

/* Arms the alarm for what is left of the call's time; false when nothing is. */
static bool go_on(encl_engine *engine)
{
    int64_t left_us = engine->deadline_us - engine->host.monotonic_us(engine->host.context);
    if (left_us > 0)
        encl_engine_arm(engine, left_us);
    return left_us > 0;
}

static int run_stream(encl_engine *engine, rd_err *err)
{
    if (!go_on(engine))
        return rd_err_set(err, RD_E_ENGINE_TIME_LIMIT, "the time limit was reached before the answer's stream");
    int outcome = run(engine, true, err);
    encl_machine_alarm(engine->machine, 0);
    return outcome;
}

int encl_engine_stream(encl_engine *engine, bool *ret_background, rd_err *err)
{
    *ret_background = false;
    if (engine->state != ENCL_ENGINE_USED || engine->stream != ENCL_STREAM_OPEN)
        return rd_err_set(err, RD_E_ENGINE_STATE, "no answer is to be sent");
    engine->stream = ENCL_STREAM_RUNS;
    engine->has_failed = run_stream(engine, err) < 0;
    if (engine->has_failed) {
        encl_engine_reset(engine);
        return -1;
    }
    *ret_background = engine->has_background = engine->result.background > 0;
    engine->has_failed = engine->host.room(engine->host.context) == ENCL_ROOM_GONE;
    return engine->has_failed ? rd_err_set(err, RD_E_ENGINE_CANCELLED, "the caller is gone") : 0;
}

int encl_engine_finish(encl_engine *engine, rd_err *err)
{
    if (engine->state != ENCL_ENGINE_USED || !engine->has_background)
        return 0;
    engine->has_background = false;
    bool has_failed = engine->has_failed;
    engine->has_failed = true;
    if (!go_on(engine))
        return rd_err_set(err, RD_E_ENGINE_TIME_LIMIT, "the time limit was reached before the background work");
    int outcome = run(engine, true, err);
    encl_machine_alarm(engine->machine, 0);
    engine->has_failed = has_failed || outcome < 0;
    return outcome;
}
