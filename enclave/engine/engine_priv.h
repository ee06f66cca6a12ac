/* engine_priv: what the files of the engine share.
 * Used by engine.c, engine_imports.c, engine_link.c, engine_load.c and engine_call.c alone.
 * Nothing outside this folder includes it. */
#ifndef ENCL_ENGINE_PRIV_H
#define ENCL_ENGINE_PRIV_H

#include "enclave/engine/engine.h"
#include "enclave/engine/guest/guest_abi.h"
#include "enclave/engine/guest_link.h"
#include "enclave/engine/subtle.h"

typedef enum encl_engine_state {
    ENCL_ENGINE_BLANK,    /* the platform is loaded */
    ENCL_ENGINE_PRISTINE, /* exactly the snapshot */
    ENCL_ENGINE_USED,     /* a request ran; it may have background work */
    ENCL_ENGINE_DEAD,     /* a load failed or a trap came before the snapshot */
} encl_engine_state;

struct encl_engine {
    encl_engine_host host;
    encl_engine_limits limits;
    encl_guest *guest;
    uint32_t result_address;
    encl_engine_state state;
    int64_t deadline_us;
    uint32_t lines_left;
    uint64_t generation;
    /* The arena of a request: everything of it that the host holds. */
    rd_buf output;
    encl_header *headers;
    rd_buf reply; /* of the last question, until the guest takes it */
    bool has_background;
    encl_subtle *subtle;
};

/* engine_imports.c: the imports, for the engine as context. */
encl_guest_imports encl_engine_imports(encl_engine *engine);
/* Random bytes of the host, for the engine as context; -1 before the snapshot. */
int encl_engine_draw(void *context, uint8_t *out, size_t size);
/* At most size_max bytes of the line, cut at the start of a character. */
size_t encl_text_cut(rd_bytes line, size_t size_max);

/* engine_link.c: each call enters the guest, with traps and the time limit as errors. */
int encl_engine_enter(encl_engine *engine, encl_guest_fn fn, uint32_t a, uint32_t b, uint32_t c, uint32_t *ret,
                      rd_err *err) RD_NODISCARD;
/* Room for size bytes inside the guest. */
int encl_engine_room(encl_engine *engine, size_t size, uint32_t *ret_address, uint8_t **ret, rd_err *err) RD_NODISCARD;
/* Hands "name NUL text NUL" to an export that takes it. */
int encl_engine_give(encl_engine *engine, encl_guest_fn fn, const char *name, rd_bytes text, uint32_t *ret,
                     rd_err *err) RD_NODISCARD;
/* The result block as the guest left it: not to be believed. */
encl_guest_result encl_engine_result(encl_engine *engine);
/* The guest's failure as an error; returns -1. */
int encl_engine_guest_error(encl_engine *engine, rd_err *err);
/* Starts deadline, alarm and log allowance of a load or a call. */
void encl_engine_start_limits(encl_engine *engine, int64_t time_us);
/* The alarm alone, a little after time_us from now, for what is left of a call. */
void encl_engine_arm(encl_engine *engine, int64_t time_us);

#endif
