/* engine_priv: what the files of the engine share.
 * Used by engine.c and the files engine_….c beside it alone.
 * Nothing outside this folder includes it. */
#ifndef ENCL_ENGINE_PRIV_H
#define ENCL_ENGINE_PRIV_H

#include "enclave/engine/engine.h"
#include "enclave/engine/machine.h"
#include "enclave/engine/subtle.h"

typedef enum encl_engine_state {
    ENCL_ENGINE_BLANK,    /* the platform is loaded */
    ENCL_ENGINE_PRISTINE, /* exactly the snapshot, or a machine that stayed for the next request */
    ENCL_ENGINE_USED,     /* a request ran; it may have background work */
    ENCL_ENGINE_DEAD,     /* a load failed or a trap came before the snapshot */
} encl_engine_state;

typedef enum encl_stream_state {
    ENCL_STREAM_NONE,
    ENCL_STREAM_OPEN, /* a response says that its body comes in pieces */
    ENCL_STREAM_RUNS, /* encl_engine_stream takes them */
    ENCL_STREAM_ENDED,
    ENCL_STREAM_TOO_LARGE,
    ENCL_STREAM_BROKEN,
} encl_stream_state;

struct encl_engine {
    encl_engine_host host;
    encl_engine_limits limits;
    encl_machine *machine;
    encl_machine_result result; /* after the machine ran last */
    encl_engine_state state;
    int64_t deadline_us;
    uint32_t lines_left;
    uint64_t generation;
    /* The arena of a request: everything of it that the host holds. */
    rd_buf output;
    encl_header *headers;
    rd_buf reply; /* of the last question, until the machine takes it */
    bool has_background, has_failed;
    encl_stream_state stream;
    size_t streamed; /* bytes of the body so far */
    encl_subtle *subtle;
};

/* engine_host.c: what the machine asks for, for the engine as context. */
encl_machine_host encl_engine_host_of(encl_engine *engine);
/* Random bytes of the host, for the engine as context; -1 before the snapshot. */
int encl_engine_draw(void *context, uint8_t *out, size_t size);
/* At most size_max bytes of the line, cut at the start of a character. */
size_t encl_text_cut(rd_bytes line, size_t size_max);

/* engine_stream.c: the questions ENCL_ASK_OPEN to ENCL_ASK_BREAK. */
void encl_engine_stream_ask(encl_engine *engine, uint32_t op, rd_bytes question);
/* The handler could give more, but there is no room. */
bool encl_engine_stream_waits(const encl_engine *engine);

/* engine_link.c: the machine's failure as an error; returns -1. */
int encl_engine_machine_error(encl_engine *engine, rd_err *err);
/* Starts deadline, alarm and log allowance of a load or a call. */
void encl_engine_start_limits(encl_engine *engine, int64_t time_us);
/* The alarm alone, a little after time_us from now, for what is left of a call. */
void encl_engine_arm(encl_engine *engine, int64_t time_us);

#endif
