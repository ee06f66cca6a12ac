/* engine: one JavaScript virtual machine that runs one tenant's handler, pristine for every request unless its owner
 * chose otherwise.
 * Used by the runtime: the zygote calls new, forks, and the child loads one handler and serves calls.
 * Gives the handler no files, sockets, threads, processes or executable memory: only clock, randomness, log lines,
 * crypto.subtle and the host's answers to what it asks.
 */
#ifndef ENCL_ENGINE_H
#define ENCL_ENGINE_H

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/mem.h"

/* One live engine a process and thread: traps and the time limit use process-wide signals (SIGSEGV, SIGBUS, SIGALRM
 * with setitimer(ITIMER_REAL)), so a process that runs an engine must not use these for anything else. Wants the
 * usual 8 MiB of C stack (on less, deep recursion is ENGINE_TRAP instead of an error of the script) and needs 8 GiB of
 * address space (not memory): set no RLIMIT_AS. System calls after new: mprotect (never PROT_EXEC), madvise, setitimer,
 * rt_sigreturn, brk and mmap of malloc, what the host's callbacks need, and poll only when .wait is NULL. */
typedef struct encl_engine encl_engine;

/* Exit statuses of a process whose script is beyond a limit that only the end of the process holds (machine jsc): it
 * grew more than its heap allows; a native call of the engine went on long after the time limit. */
enum { ENCL_EXIT_MEMORY = 86, ENCL_EXIT_TIME = 87 };

typedef enum encl_log_level { ENCL_LOG_DEBUG, ENCL_LOG_INFO, ENCL_LOG_WARN, ENCL_LOG_ERROR } encl_log_level;

/* What the engine asks of its host. The callbacks must return (no longjmp) and must not call the engine. */
typedef struct encl_engine_host {
    /* Wall time in microseconds since the epoch: what Date shows (the host's claim, no proof). Required. */
    int64_t (*wall_us)(void *context);
    /* A clock that never goes back, in microseconds: limits, timers, performance.now. Required. */
    int64_t (*monotonic_us)(void *context);
    /* Fills out with size random bytes; size is at most 65,536. Returns 0, or -1, which traps the request. Required. */
    int (*random)(void *context, uint8_t *out, size_t size);
    /* One line of the handler's console output, or of an uncaught error with its stack. Not NUL-terminated, UTF-8 as
     * far as the handler wrote it, at most log_line_size bytes. It is tenant data: never put it in a clear log of the
     * platform. NULL drops lines. */
    void (*log)(void *context, encl_log_level level, rd_bytes line);
    /* Sleeps until monotonic_us() reaches until_us (a timer of the handler, never later than the time limit), serving
     * the host's own descriptors meanwhile. 0: go on; -1: the caller is gone, end the request with ENGINE_CANCELLED.
     * NULL: the engine sleeps in poll(2) without descriptors. Required with .is_pending. */
    int (*wait)(void *context, int64_t until_us);
    /* Answers what the handler asks of the world (op is ENCL_ASK_OF_HOST or above, guest/guest_abi.h): appends the
     * whole answer to an empty reply. Never called before the snapshot. NULL: everything is NotSupportedError. */
    void (*ask)(void *context, uint32_t op, rd_bytes question, rd_buf *reply);
    /* Something that was asked for is still to come: wait is called although no timer is due, and may return 0 as soon
     * as there is news. NULL: never. */
    bool (*is_pending)(void *context);
    /* The body of a response with has_stream, piece by piece; only called within encl_engine_stream. write takes a
     * piece, false: it cannot. room says whether another is wanted now (enum encl_ask_room of guest/guest_abi.h: none,
     * some, or that the caller is gone); while a stream runs, wait returns 0 as soon as that changes, and never -1.
     * Both NULL: no response has a stream. */
    bool (*write)(void *context, rd_bytes piece);
    int (*room)(void *context);
    /* The request is over: whatever it asked for ends now. NULL: nothing is kept. */
    void (*forget)(void *context);
    void *context;
} encl_engine_host;

/* What a reset may leave to the next request, behind one that went well: machine jsc alone keeps anything. */
typedef enum encl_engine_keeps {
    ENCL_KEEPS_NOTHING,
    ENCL_KEEPS_MACHINE, /* compiled code, never a global object */
    ENCL_KEEPS_GLOBALS, /* all that the script holds; what the host holds for it (keys, requests) goes all the same */
} encl_engine_keeps;

/* Zero in a field means its default. */
typedef struct encl_engine_limits {
    int64_t load_time_us;           /* loading a handler; default 5 s */
    int64_t time_us;                /* one call, wall time incl. timers; default 10 s */
    size_t heap_size;               /* the script's heap in bytes; default 64 MiB, at most 192 MiB */
    size_t request_size;            /* encoded request; default 16 MiB */
    size_t output_size;             /* headers and body of a response, or all of a stream; default 8 MiB */
    size_t log_line_size;           /* longer lines are cut; default 8 KiB */
    uint32_t log_lines;             /* per load or call, later ones are dropped and one line says so; default 256 */
    uint32_t response_header_count; /* default 128 */
    encl_engine_keeps keeps;
} encl_engine_limits;

typedef struct encl_module {
    const char
        *name;       /* "index.js", "lib/score.js": relative, no "..", at most 255 bytes; ".json" makes a JSON module */
    rd_bytes source; /* UTF-8 */
} encl_module;

typedef struct encl_header {
    rd_bytes name;
    rd_bytes value;
} encl_header;

typedef struct encl_request {
    rd_bytes method;            /* a token (RFC 9110, 5.6.2) */
    rd_bytes url;               /* absolute: "https://app-….example/path?query" */
    const encl_header *headers; /* borrowed for the call */
    size_t header_count;
    rd_bytes body; /* any bytes; empty means no body */
} encl_request;

/* Borrowed from the engine until its next call, load, reset or free. Names are lower-case tokens, values hold no CR, LF
 * or NUL (checked on the host's side: the guest is not believed). */
typedef struct encl_response {
    uint16_t status; /* 200 … 599 */
    const encl_header *headers;
    size_t header_count;
    rd_bytes body;
    bool has_stream;     /* no body yet: encl_engine_stream brings it. To HEAD: none comes, and its length is unknown */
    bool has_background; /* ctx.waitUntil work is left: encl_engine_finish may run it */
    uint64_t generation; /* of the reset arena it lives in */
} encl_response;

/* Makes the virtual machine and loads the platform (Request, Response, URL, …) into it. Single-threaded and fork-safe
 * afterwards: a zygote calls this once and forks. host's callbacks and context are copied; limits may be NULL.
 * Errors: ENGINE_LIMITS (a limit out of range), ENGINE_TRAP, NO_MEMORY. */
int encl_engine_new(const encl_engine_host *host, const encl_engine_limits *limits, encl_engine **ret,
                    rd_err *err) RD_NODISCARD;
encl_engine *encl_engine_free(encl_engine *engine);
void encl_engine_free_p(encl_engine **engine);

/* Replaces host or limits, e.g. in the child after a fork; heap_size only before load (0 keeps it). NULL keeps what was
 * set. Errors: ENGINE_LIMITS. */
int encl_engine_configure(encl_engine *engine, const encl_engine_host *host, const encl_engine_limits *limits,
                          rd_err *err) RD_NODISCARD;

/* Evaluates the handler and takes the snapshot to which every later reset returns. Once per engine. While it runs the
 * clock stands at zero, and randomness, timers and fetch throw ENTROPY_BEFORE_SNAPSHOT or TIMER_BEFORE_SNAPSHOT.
 * `main` names the module whose default export is the handler (a function, or an object with fetch). env_json is the
 * JSON object given as `env`, may be empty.
 * Errors: ENGINE_MODULE (a bad or doubled name, too many or too large, an import that is not in the table),
 * ENGINE_LOAD (syntax error or exception: "index.js:3:7: SyntaxError: …"), ENGINE_NO_HANDLER,
 * ENGINE_ENTROPY_BEFORE_SNAPSHOT, ENGINE_TIME_LIMIT, ENGINE_MEMORY_LIMIT, ENGINE_TRAP, ENGINE_STATE.
 * After an error the engine can only be freed (the process, ended). */
int encl_engine_load(encl_engine *engine, const encl_module *modules, size_t module_count, const char *main,
                     rd_bytes env_json, rd_err *err) RD_NODISCARD;

/* Runs the handler until its response is settled, incl. timers and microtasks. Resets first when the machine is not
 * pristine. The sentence of an error is for the caller of the app's owner: it may quote what the handler threw; the
 * stack goes to the log callback alone.
 * Errors: ENGINE_EXCEPTION, ENGINE_REJECTED, ENGINE_BAD_RESPONSE (not a Response, or headers that cannot be sent),
 * ENGINE_STALLED (pending, with no timer left to wake it), ENGINE_TIME_LIMIT, ENGINE_MEMORY_LIMIT, ENGINE_OUTPUT_LIMIT,
 * ENGINE_REQUEST (over request_size, or no valid URL or method), ENGINE_CANCELLED, ENGINE_TRAP, ENGINE_STATE. None of
 * them harms the next call. */
int encl_engine_call(encl_engine *engine, const encl_request *request, encl_response *ret, rd_err *err) RD_NODISCARD;

/* Runs the handler until the body of its response is whole, which leaves through the host's write; once, after a call
 * whose response has a stream, within what remains of time_us. ret_background: as has_background of the response.
 * Errors as in encl_engine_call; the body is not whole then. After ENGINE_CANCELLED (the caller left, and the handler's
 * stream was told) background work may still be finished; after any other error the machine is pristine. */
int encl_engine_stream(encl_engine *engine, bool *ret_background, rd_err *err) RD_NODISCARD;

/* Runs what ctx.waitUntil left, within what remains of time_us; call after the response was sent. The response stays
 * valid. Without has_background it does nothing. Errors as in encl_engine_call. */
int encl_engine_finish(encl_engine *engine, rd_err *err) RD_NODISCARD;

/* Puts back the pristine machine: memory image, size (the grown tail is given back and reads as zeros), globals, table,
 * and the arena of host objects. Cheap and idempotent. Call it after each answer, so that nothing of a request stays in
 * memory while the instance idles; the jsc machine is a new one, but what the one before freed is not wiped
 * (SECURITY.md). Where limits.keeps says so, and the request went well, it keeps that. Does nothing before load. */
void encl_engine_reset(encl_engine *engine);

/* SHA-256 over the snapshot: the same platform, handler and env give the same digest on every machine. Needs load. */
int encl_engine_image_digest(const encl_engine *engine, uint8_t ret_digest[32], rd_err *err) RD_NODISCARD;
/* Size of the snapshot in bytes; 0 before load. */
size_t encl_engine_image_size(const encl_engine *engine);
/* The machine that this program was linked with, as a release's member engine names it: "quickjs" or "jsc". */
const char *encl_engine_name(void);
/* How many threads an engine of this machine may need beside its own; 0: none, and no executable memory either. */
uint32_t encl_engine_threads(void);
/* Calls run on a stack that the machine can work on, and returns what it returned: the process's own one, or that of a
 * thread. For what a process does with an engine after a fork; all of it, as an engine belongs to one thread. */
int encl_engine_host_run(int (*run)(void *context), void *context);
/* In a zygote, ahead of its forks and of load: what every fork would keep is kept once. Errors: NO_MEMORY,
 * ENGINE_STATE. */
int encl_engine_share(encl_engine *engine, rd_err *err) RD_NODISCARD;
/* After a fork, before anybody waits: the memory that it will write to becomes its own, and a start and a call are
 * rehearsed; the engine is then as it was. A failure, as of encl_engine_call, harms nothing. */
int encl_engine_unshare(encl_engine *engine, rd_err *err) RD_NODISCARD;
/* Counts resets; a value kept from an older generation is stale. */
uint64_t encl_engine_generation(const encl_engine *engine);
/* The guest's linear memory as it is now, for tests and forensic dumps; borrowed until the next call of any kind. */
rd_bytes encl_engine_memory(const encl_engine *engine);

#endif
