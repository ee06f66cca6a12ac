/* relay: one call to an application: choice of the instance, pipe, request, answer, limits, time, safe retries.
 * Used by the applications' listener and by REST routes of the link side. No thread hop and no SQL for a call.
 * Passes bytes on as they come; the slower side stops the other through the windows. Loop thread. */
#ifndef API_RELAY_H
#define API_RELAY_H

#include "api/http_response.h"
#include "api/seek.h"
#include "common/base/clock.h"
#include "common/io/link.h"

#define API_RELAY_CALLS_MAX 20000    /* in flight in one replica */
#define API_RELAY_WAKE_US   20000000 /* how long a call waits for a sleeping app */

typedef struct api_relay api_relay;
typedef struct api_call api_call;

typedef struct api_relay_options {
    rd_loop *loop;
    const rd_clock *clock;
    /* The open link to a target: of its host, or of the replica that has it; NULL: none. */
    rd_link *(*find_link)(void *context, const api_target *target, api_reach *ret_reach);
    /* An agent or another replica said 421 or 503 for an instance of this app, or none could be reached: what is known
     * of the app may be old. May be NULL. */
    void (*on_stale)(void *context, const rd_app_id *app);
    /* Calls wait for an instance of this app, which runs only when called: one is wanted. Said again while they wait.
     * May be NULL: such calls are refused. */
    void (*on_asked)(void *context, const rd_app_id *app, bool is_again);
    void *context;
} api_relay_options;

api_relay *api_relay_new(const api_relay_options *options);
/* Ends all calls with CANCELLED, closes all pipes. */
api_relay *api_relay_free(api_relay *relay);
api_targets *api_relay_targets(api_relay *relay);
/* For callers of another kind, which wait in the same lines. */
api_seekers *api_relay_seekers(api_relay *relay);

/* The lines of an end-to-end header are collected by this; false past 32 KiB or for what HTTP does not allow. */
bool api_relay_add_header(rd_buf *lines, rd_bytes name, rd_bytes value);

typedef struct api_call_spec {
    const rd_app_id *app;
    const rd_id *instance; /* NULL: any */
    rd_bytes method;       /* borrowed for the call, as the target */
    rd_bytes target;       /* in origin form */
    rd_buf *lines;         /* headers; borrowed for the call; NULL: none */
    rd_bytes body;         /* borrowed until on_done, or until api_call_has_sent */
    bool is_anonymous;     /* without a token: for releases that are open alone, also when they change while it waits */
} api_call_spec;

typedef struct api_call_events {
    /* Status and headers; response and target are borrowed for the call. */
    void (*on_head)(void *context, const api_http_response *response, const api_target *target);
    /* A piece of the body; returns how much was taken. Less pauses until api_call_resume. */
    size_t (*on_body)(void *context, rd_bytes piece);
    /* The receipt that came behind a body in chunks; before on_done, and not when there is none. */
    void (*on_receipt)(void *context, const char *receipt);
    /* The last call. NULL: the answer is complete. After on_head an error means that it was cut. */
    void (*on_done)(void *context, const rd_err *err);
} api_call_events;

/* -1: nothing was started: APP_UNKNOWN, APP_PAUSED, NO_INSTANCE, INSTANCE_ELSEWHERE, REQUEST_TOO_LARGE, PLAIN_REFUSED,
 * CLI_NO_TOKEN, UNAVAILABLE.
 * Otherwise on_done follows, never before it returns. */
int api_relay_call(api_relay *relay, const api_call_spec *spec, const api_call_events *events, void *context,
                   api_call **ret, rd_err *err) RD_NODISCARD;
/* The instance answers and has all of the request: nothing reads the body again. */
bool api_call_has_sent(const api_call *call);
void api_call_resume(api_call *call);
/* Without on_done. */
void api_call_cancel(api_call *call);

/* Prometheus text of calls, latency and pipes. */
void api_relay_metrics(void *relay, rd_buf *out);

#endif
