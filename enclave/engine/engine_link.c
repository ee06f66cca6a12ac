#include "enclave/engine/engine_priv.h"

#include <string.h>

#include "common/base/text.h"

#define SENTENCE_MAX 400
/* How long after the time limit the script may still end by itself before SIGALRM ends it. */
#define ALARM_GRACE_US 50000

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

/* The machine's sentence as an error: printable UTF-8 of bounded size, whatever it wrote. */
int encl_engine_machine_error(encl_engine *engine, rd_err *err)
{
    uint32_t kind = engine->result.kind;
    bool is_loading = engine->state == ENCL_ENGINE_BLANK;
    rd_bytes sentence = engine->result.out;
    char text[SENTENCE_MAX + 1];

    sentence.size = encl_text_cut(sentence, SENTENCE_MAX);
    for (size_t i = 0; i < sentence.size; i++)
        text[i] = (char)(sentence.data[i] < 0x20 || sentence.data[i] == 0x7f ? ' ' : sentence.data[i]);
    if (sentence.size == 0 || !rd_is_utf8(rd_bytes_of(text, sentence.size)))
        return rd_err_set(err, code_of(kind, is_loading), "an error without a text");
    return rd_err_set(err, code_of(kind, is_loading), "%.*s", (int)sentence.size, text);
}

void encl_engine_start_limits(encl_engine *engine, int64_t time_us)
{
    engine->deadline_us = engine->host.monotonic_us(engine->host.context) + time_us;
    engine->lines_left = engine->limits.log_lines + 1;
    encl_engine_arm(engine, time_us);
}

void encl_engine_arm(encl_engine *engine, int64_t time_us)
{
    encl_machine_alarm(engine->machine, time_us + ALARM_GRACE_US);
}
