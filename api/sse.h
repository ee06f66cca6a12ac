/* sse: streams of events and log lines to readers, each with a bounded buffer of its own.
 * Used by the REST handlers of GET /v1/events and GET /v1/apps/{app}/logs, which check who may read what.
 * A reader that is too slow is cut with an explicit event; nobody else waits for it (WHATWG HTML, 9.2). */
#ifndef API_SSE_H
#define API_SSE_H

#include "api/links.h"

#define API_SSE_BUFFER_MAX  ((size_t)256 << 10) /* bytes that wait for one reader */
#define API_SSE_READERS_MAX 10000               /* of one replica */
#define API_SSE_BEAT_US     10000000            /* comment line when nothing else was sent */

typedef enum api_sse_kind { API_SSE_EVENTS, API_SSE_LOGS } api_sse_kind;

typedef struct api_sse_scope {
    api_sse_kind kind;
    rd_id org;            /* events of this organisation only */
    const rd_app_id *app; /* only of this app; NULL: all (required for logs) */
    bool is_operator;     /* sees host events of its organisation too */
    const char *last_event_id; /* of the request, NULL: from now on */
} api_sse_scope;

typedef struct api_sse_reader api_sse_reader;

/* Called (from the loop's thread) when bytes have come after api_sse_read returned 0; must be short, e.g. resume the
 * connection. Never called after api_sse_close returned. */
typedef void (*api_sse_wake_fn)(void *context);

/* Any thread. UNAVAILABLE when there are too many readers. */
int api_sse_open(api_links *links, const api_sse_scope *scope, api_sse_wake_fn wake, void *context,
                 api_sse_reader **ret, rd_err *err) RD_NODISCARD;
/* Any thread, one at a time a reader. Copies at most size bytes of text/event-stream. 0: nothing now, wake will be called
 * once; -1: the stream has ended (after everything, the cut event included, was read). */
ssize_t api_sse_read(api_sse_reader *reader, void *out, size_t size);
/* Any thread. Returns NULL. */
api_sse_reader *api_sse_close(api_sse_reader *reader);

#endif
