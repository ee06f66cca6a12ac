/* sse: server-sent events (WHATWG HTML, 9.2.6), bytes in, events out.
 * Used by client for the plane's streams. Hostile input: lines and events are bounded; what is longer is refused. */
#ifndef CLI_SSE_H
#define CLI_SSE_H

#include "common/base/bytes.h"
#include "common/base/err.h"

#define CLI_SSE_EVENT_MAX ((size_t)1 << 20) /* of one line, and of one event's data */

typedef struct cli_sse {
    rd_buf line, data;
    char event[64];    /* "" : message */
    char last_id[128]; /* of the last whole event; printable ASCII, fit for the header Last-Event-ID; "": none came */
    char next_id[128]; /* of the event that is coming */
} cli_sse;

/* False ends the stream. */
typedef bool (*cli_sse_fn)(void *context, const char *event, const char *data);

void cli_sse_init(cli_sse *sse);
void cli_sse_done(cli_sse *sse);
/* A connection was lost: forgets the half of an event that came, keeps last_id. */
void cli_sse_restart(cli_sse *sse);
/* Bytes in pieces of any size. 1: go on; 0: on_event ended it; -1: a line or an event above CLI_SSE_EVENT_MAX
 * (TOO_LARGE). */
int cli_sse_feed(cli_sse *sse, rd_bytes bytes, cli_sse_fn on_event, void *context, rd_err *err) RD_NODISCARD;

#endif
