/* local_proxy: a request of the local dashboard, passed on to the control plane with this profile's token.
 * Used by cmd_dashboard.c. The page never sees the token. Streams what comes back as it comes; refuses redirects. */
#ifndef CLI_LOCAL_PROXY_H
#define CLI_LOCAL_PROXY_H

#include "cli/local_http.h"

/* Answers x with what the plane says to it, or 502; one that is cut is cut here as well. The caller has seen to it that
 * the target is a plain path of the plane. Thread-safe. */
void cli_local_proxy(const char *api, const char *token, cli_exchange_http *x);

#endif
