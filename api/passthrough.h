/* passthrough: TLS connections to applications that nobody here ends: the name is read out of the first bytes, and all
 * of them go to an instance (docs/protocol/passthrough.md).
 * Used by links.c. Follows the rules of calls: placement, limits, apps that sleep; open apps alone, since no token can
 * be seen. Reads nothing after the name. Loop thread. */
#ifndef API_PASSTHROUGH_H
#define API_PASSTHROUGH_H

#include "api/seek.h"
#include "common/io/loop.h"

#define API_PASSTHROUGH_MAX        4096     /* connections of a replica */
#define API_PASSTHROUGH_TARGET_MAX 64       /* to one instance from here; it takes 128 in all */
#define API_PASSTHROUGH_HELLO_US   10000000 /* for a whole hello, and for the instance to take the connection */
#define API_PASSTHROUGH_IDLE_US    90000000 /* without a byte; the instance's own limit is a minute */

typedef struct api_passthrough api_passthrough;

typedef struct api_passthrough_options {
    rd_loop *loop;
    const rd_clock *clock;
    const char *listen; /* "host:port" */
    const char *domain; /* names are app-….domain */
    api_seekers *seekers;
    api_targets *targets;
} api_passthrough_options;

/* CONFIG when the address cannot be listened on. Strings are borrowed for the call, all else until it is freed. */
int api_passthrough_new(const api_passthrough_options *options, api_passthrough **ret, rd_err *err) RD_NODISCARD;
/* Cuts all connections now, frees on later turns of the loop. Accepts NULL. */
api_passthrough *api_passthrough_free(api_passthrough *passthrough);

/* Prometheus text. */
void api_passthrough_metrics(void *passthrough, rd_buf *out);

#endif
