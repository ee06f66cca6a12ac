/* machine: the JavaScript virtual machine behind the engine. One header and two implementations, of which a program
 * links one: quickjs (enclave/engine/quickjs) and, where the library is there, jsc (enclave/engine/jsc).
 * Used by engine alone, which keeps limits, wire format and the arena of a request.
 * What comes out of a machine was written by a hostile script: the engine checks it. */
#ifndef ENCL_MACHINE_H
#define ENCL_MACHINE_H

#include "enclave/engine/engine.h"
#include "enclave/engine/guest/guest_abi.h"

typedef struct encl_machine encl_machine;

/* What the machine asks of the engine (take is the question ENCL_ASK_REPLY). They return. */
typedef struct encl_machine_host {
    uint64_t (*clock)(void *context, uint32_t kind); /* ENCL_CLOCK_…; microseconds */
    bool (*interrupt)(void *context);                /* true: the time is up */
    void (*log)(void *context, uint32_t level, rd_bytes line);
    int (*random)(void *context, uint8_t *out, size_t size);        /* -1 traps */
    uint32_t (*ask)(void *context, uint32_t op, rd_bytes question); /* size of the answer */
    int (*take)(void *context, uint8_t *out, size_t size);          /* the answer, all of it; -1 traps */
    void *context;
} encl_machine_host;

/* Where it stands after load, start and run. out is borrowed until the machine runs again or is reset. */
typedef struct encl_machine_result {
    uint32_t state; /* enum encl_guest_state */
    uint32_t kind;  /* enum encl_guest_kind, of ENCL_GUEST_FAILED */
    rd_bytes out;   /* the response (wire.h), or the sentence of a failure; no data when it lies outside the machine */
    int64_t due_us; /* when the next timer is, -1: never; of ENCL_GUEST_WAITING */
    uint32_t background;
} encl_machine_result;

/* "quickjs" or "jsc", as a release's member engine has it. */
const char *encl_machine_name(void);
/* How many threads it may need beside the caller's; 0: it stays on that one, and makes no memory executable. */
uint32_t encl_machine_threads(void);
/* Whether a reset can keep compiled code. */
bool encl_machine_can_keep(void);
/* Runs what the process does once it is confined and its engine may work, on a stack that the machine can use; returns
 * what run returned. */
int encl_machine_host_run(int (*run)(void *context), void *context);
/* Ahead of forks, and of load: keeps once for all of them what each would keep. Errors: NO_MEMORY, ENGINE_STATE. */
int encl_machine_share(encl_machine *machine, rd_err *err) RD_NODISCARD;
/* After a fork of what is shared: uses the memory and the code that a start and a first call will use, by a start and a
 * call of its own, before anybody waits. They draw nothing and leave nothing. A failure harms nothing. */
int encl_machine_unshare(encl_machine *machine, rd_err *err) RD_NODISCARD;

/* Makes the machine with the platform loaded into it, or all of that which survives a fork. One a process at a time.
 * Errors: ENGINE_STATE, NO_MEMORY, ENGINE_MEMORY_LIMIT, ENGINE_TRAP. */
int encl_machine_new(const encl_machine_host *host, size_t heap_size, encl_machine **ret, rd_err *err) RD_NODISCARD;
encl_machine *encl_machine_free(encl_machine *machine);
/* Another size of the heap, before load. */
int encl_machine_set_heap(encl_machine *machine, size_t heap_size, rd_err *err) RD_NODISCARD;

/* The calls below fail with ENGINE_TIME_LIMIT (the alarm went off), ENGINE_TRAP or ENGINE_MEMORY_LIMIT; that a script
 * failed is a result. */

/* Evaluates the main module, with those it imports out of the table. */
int encl_machine_load(encl_machine *machine, const encl_module *modules, size_t count, const char *main,
                      rd_bytes env_json, encl_machine_result *ret, rd_err *err) RD_NODISCARD;
/* Keeps what load made: each reset returns to it. From here on there are time and randomness. */
int encl_machine_seal(encl_machine *machine, rd_err *err) RD_NODISCARD;
/* Gives the request, of size bytes on the wire, to the handler; its response may not be larger than output_max. */
int encl_machine_start(encl_machine *machine, const encl_request *request, size_t size, size_t output_max,
                       encl_machine_result *ret, rd_err *err) RD_NODISCARD;
/* Runs jobs and due timers until the response, or the background work, is there, or nothing is left to do now. */
int encl_machine_run(encl_machine *machine, bool wants_background, encl_machine_result *ret, rd_err *err) RD_NODISCARD;
/* Back to what seal kept; also after a failure. may_keep: compiled code may stay where the request went well. */
void encl_machine_reset(encl_machine *machine, bool may_keep);
/* In place of a reset: the next request finds the globals as this one left them. False, and nothing is changed, where
 * it did not go well, left something that is still to come, or has filled the machine. */
bool encl_machine_stay(encl_machine *machine);
/* Ends whatever runs delay_us from now, for loops that poll nothing; 0 disarms. */
void encl_machine_alarm(encl_machine *machine, int64_t delay_us);

/* What seal kept: its size in bytes, and SHA-256 of it. */
size_t encl_machine_image_size(const encl_machine *machine);
void encl_machine_image_digest(const encl_machine *machine, uint8_t ret_digest[32]);
/* All that a script of this machine can reach, where that is one piece; borrowed. */
rd_bytes encl_machine_memory(const encl_machine *machine);

#endif
