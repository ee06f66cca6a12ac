#include "enclave/engine/engine_priv.h"

#include <string.h>

#include "common/base/text.h"

#define SENTENCE_MAX 400
/* How long after the time limit the guest may still end by itself before SIGALRM ends it. */
#define ALARM_GRACE_US 50000

static int trap_error(encl_engine *engine, int outcome, rd_err *err)
{
    if (outcome == ENCL_GUEST_EXPIRED)
        return rd_err_set(err, RD_E_ENGINE_TIME_LIMIT, "the time limit was reached");
    return rd_err_set(err, RD_E_ENGINE_TRAP, "the engine trapped: %s", encl_guest_trap_text(engine->guest));
}

int encl_engine_enter(encl_engine *engine, encl_guest_fn fn, uint32_t a, uint32_t b, uint32_t c, uint32_t *ret,
                      rd_err *err)
{
    int outcome = encl_guest_call(engine->guest, fn, a, b, c, ret);

    return outcome == 0 ? 0 : trap_error(engine, outcome, err);
}

int encl_engine_room(encl_engine *engine, size_t size, uint32_t *ret_address, uint8_t **ret, rd_err *err)
{
    uint32_t address;

    if (encl_engine_enter(engine, ENCL_FN_ALLOC, (uint32_t)size, 0, 0, &address, err) < 0)
        return -1;
    *ret = address ? encl_guest_at(engine->guest, address, size) : NULL;
    if (!*ret)
        return rd_err_set(err, RD_E_ENGINE_MEMORY_LIMIT, "no room for %zu bytes in the engine's memory", size);
    *ret_address = address;
    return 0;
}

int encl_engine_give(encl_engine *engine, encl_guest_fn fn, const char *name, rd_bytes text, uint32_t *ret, rd_err *err)
{
    size_t name_size = strlen(name) + 1, size = name_size + text.size + 1;
    uint32_t address;
    uint8_t *room;

    if (encl_engine_room(engine, size, &address, &room, err) < 0)
        return -1;
    memcpy(room, name, name_size);
    if (text.size > 0)
        memcpy(room + name_size, text.data, text.size);
    room[size - 1] = 0;
    return encl_engine_enter(engine, fn, address, (uint32_t)size, 0, ret, err);
}

encl_guest_result encl_engine_result(encl_engine *engine)
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
int encl_engine_guest_error(encl_engine *engine, rd_err *err)
{
    encl_guest_result result = encl_engine_result(engine);
    const uint8_t *from = encl_guest_at(engine->guest, result.out, result.out_size);
    char text[SENTENCE_MAX + 1];
    rd_bytes sentence = rd_bytes_of(from, from ? result.out_size : 0);

    sentence.size = encl_text_cut(sentence, SENTENCE_MAX);
    for (size_t i = 0; from && i < sentence.size; i++)
        text[i] = (char)(from[i] < 0x20 || from[i] == 0x7f ? ' ' : from[i]);
    if (sentence.size == 0 || !rd_is_utf8(rd_bytes_of(text, sentence.size)))
        return rd_err_set(err, code_of(result.kind, engine->state == ENCL_ENGINE_BLANK), "an error without a text");
    return rd_err_set(err, code_of(result.kind, engine->state == ENCL_ENGINE_BLANK), "%.*s", (int)sentence.size, text);
}

void encl_engine_start_limits(encl_engine *engine, int64_t time_us)
{
    engine->deadline_us = engine->host.monotonic_us(engine->host.context) + time_us;
    engine->lines_left = engine->limits.log_lines + 1;
    encl_engine_arm(engine, time_us);
}

void encl_engine_arm(encl_engine *engine, int64_t time_us)
{
    encl_guest_alarm(engine->guest, time_us + ALARM_GRACE_US);
}
