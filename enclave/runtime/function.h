/* function: the tenant's handler behind the engine: loaded once, called for a request, its failures given public names.
 * Used by the server. The engine's side of an instance: includes neither identity nor receipts.
 * What a handler threw goes to the log callback alone, never into an answer.
 */
#ifndef ENCL_FUNCTION_H
#define ENCL_FUNCTION_H

#include "common/model/code_bundle.h"
#include "common/model/release.h"
#include "enclave/engine/engine.h"
#include "common/http/head.h"
#include "enclave/world/world.h"

#define ENCL_FUNCTION_WATCHED 16

typedef struct encl_function encl_function;

/* What a function reaches of its host. */
typedef struct encl_function_host {
    int64_t (*time_us)(void *context); /* the platform's floored time */
    int (*random)(void *context, uint8_t *out, size_t size);
    void (*log)(void *context, const char *level, rd_bytes line);
    /* The way out: asks for a connection; descriptors to wait for until it is there (at most ENCL_FUNCTION_WATCHED);
     * and what to do when one has news. As encl_lines_…; NULL: there is no way out. */
    int (*dial)(void *context, uint64_t id, const rd_egress_entry *entry, rd_err *err);
    size_t (*watch)(void *context, struct pollfd *ret);
    void (*turn)(void *context, encl_egress *egress);
    /* Evidence of purpose app over 32 bytes. NULL: none. */
    int (*evidence)(void *context, const uint8_t user[32], rd_buf *ret, rd_err *err);
    void *context;
} encl_function_host;

/* Where the body of an answer goes that leaves while it is made. All of it is kept until its end for the receipt, so
 * that nothing is saved by holding the function up for a caller who is slow. */
typedef struct encl_function_sink {
    bool (*write)(void *context, rd_bytes piece); /* takes a piece whole; false: it cannot */
    /* Sends what can be sent now: what poll waits for on caller_fd before there is more to do, 0 nothing; -1 the caller
     * is gone. */
    int (*flush)(void *context);
    void *context;
} encl_function_sink;

/* The engine of a zygote, with limits of its own until encl_function_load; log lines before that are dropped. */
int encl_function_preload(encl_engine **ret, rd_err *err) RD_NODISCARD;

/* Loads the handler and takes its snapshot; keys are what a grant brought (borrowed), or NULL. release outlives the
 * function; takes the engine over, also on failure. Errors: those of encl_engine_load
 * (their sentences are for the app's owner). */
int encl_function_load(encl_engine *engine, const encl_function_host *host, const rd_release *release,
                       const rd_code_bundle *code, const encl_app_keys *keys, encl_function **ret,
                       rd_err *err) RD_NODISCARD;
encl_function *encl_function_free(encl_function *function);
void encl_function_free_p(encl_function **function);

/* Calls the handler. caller_fd is watched while it sleeps in a timer; -1: nothing is. ret is borrowed until the next
 * call or encl_function_reset. Errors: FUNCTION_ERROR, FUNCTION_TIMEOUT, FUNCTION_MEMORY, FUNCTION_OUTPUT,
 * FUNCTION_BAD_RESPONSE, HTTP_SYNTAX (the engine does not take this URL), CANCELLED (the caller is gone). */
int encl_function_call(encl_function *function, const rd_http_head *request, rd_bytes body, int caller_fd,
                       encl_response *ret, rd_err *err) RD_NODISCARD;
/* Calls the handler with an event of a WebSocket (docs/protocol/websocket.md) that request opened; request's headers
 * are shown with its opening alone. Errors as above. */
int encl_function_event(encl_function *function, const rd_http_head *request, rd_bytes event, int caller_fd,
                        encl_response *ret, rd_err *err) RD_NODISCARD;
/* Brings the body of an answer with has_stream; caller_fd as above. -1: the body is not whole, for the reasons of
 * encl_function_call. */
int encl_function_stream(encl_function *function, const encl_function_sink *sink, int caller_fd,
                         rd_err *err) RD_NODISCARD;
/* Calls of the handler so far, by requests and events, however they ended. */
uint64_t encl_function_calls(const encl_function *function);
/* Requests that the last call sent before its answer was whole, and those of them that failed. */
void encl_function_egress(const encl_function *function, uint32_t *ret_asked, uint32_t *ret_failed);
/* The last call left waitUntil work, which encl_function_finish runs. */
bool encl_function_has_background(const encl_function *function);
/* After the answer was copied: runs what waitUntil left, then puts the pristine machine back. */
void encl_function_finish(encl_function *function);

#endif
