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

/* Runs the machine until the response, or its background work, is done. */
static int run(encl_engine *engine, bool wants_background, rd_err *err)
{
    for (;;) {
        if (encl_machine_run(engine->machine, wants_background, &engine->result, err) < 0)
            return -1;
        if (engine->result.state == ENCL_GUEST_DONE)
            return 0;
        if (engine->result.state != ENCL_GUEST_WAITING)
            return encl_engine_machine_error(engine, err);
        int64_t due_us = engine->result.due_us;
        bool is_pending = engine->host.is_pending && engine->host.is_pending(engine->host.context);
        if (is_pending && (due_us < 0 || due_us > engine->deadline_us))
            due_us = engine->deadline_us;
        else if (due_us < 0)
            return rd_err_set(err, RD_E_ENGINE_STALLED,
                              wants_background ? "waitUntil waits for something that cannot happen"
                                               : "the handler's promise is pending and nothing is left to settle it");
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
    if (outcome < 0)
        encl_engine_reset(engine);
    return outcome;
}

int encl_engine_finish(encl_engine *engine, rd_err *err)
{
    int64_t left_us;

    if (engine->state != ENCL_ENGINE_USED || !engine->has_background)
        return 0;
    engine->has_background = false;
    left_us = engine->deadline_us - engine->host.monotonic_us(engine->host.context);
    if (left_us <= 0)
        return rd_err_set(err, RD_E_ENGINE_TIME_LIMIT, "the time limit was reached before the background work");
    encl_engine_arm(engine, left_us);
    int outcome = run(engine, true, err);
    encl_machine_alarm(engine->machine, 0);
    return outcome;
}
