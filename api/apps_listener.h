/* apps_listener: the applications' origin: app-<52>.<domain>, every method and path to the function (rest.md, Apps).
 * Used by links.c. Never sets a cookie of ours, never speaks for the API's origin; its own errors are problem
 * documents. Checks the caller's token unless the release is open to all. Loop thread. */
#ifndef API_APPS_LISTENER_H
#define API_APPS_LISTENER_H

#include "api/front.h"
#include "api/relay.h"

typedef struct api_apps api_apps;

/* Listens on config->apps_listen. */
int api_apps_start(api_context *context, api_relay *relay, api_apps **ret, rd_err *err) RD_NODISCARD;
api_front *api_apps_front(api_apps *apps);
/* Answers or cuts what is in flight and closes all connections. Accepts NULL. */
void api_apps_stop(api_apps *apps);
/* After the stop. Accepts NULL. */
api_apps *api_apps_free(api_apps *apps);

/* "app-<52>.<domain>[:port]" as app; false for anything else. Case of the host does not count. */
bool api_apps_parse_host(rd_bytes host, const char *domain, rd_app_id *ret);
/* Whether a request header of a caller goes on to the function; connection: the value of Connection, empty for none. */
bool api_apps_passes_header(rd_bytes name, rd_bytes connection);

#endif
