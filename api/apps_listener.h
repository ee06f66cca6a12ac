/* apps_listener: the applications' origin: app-<52>.<domain>, every method and path to the function (rest.md, Apps).
 * Used by links.c. Never sets a cookie of ours, never speaks for the API's origin; its own errors are problem
 * documents. Checks the caller's token unless the release is open to all. Loop thread. */
#ifndef API_APPS_LISTENER_H
#define API_APPS_LISTENER_H

#include "api/relay.h"
#include "api/server.h"

typedef struct api_apps api_apps;

/* Listens on config->apps_listen. */
int api_apps_start(api_context *context, api_relay *relay, api_apps **ret, rd_err *err) RD_NODISCARD;
api_server *api_apps_server(api_apps *apps);
/* After api_server_stop of its server was run by the loop. */
api_apps *api_apps_free(api_apps *apps);
void api_apps_stop(api_apps *apps);

/* "app-<52>.<domain>[:port]" as app; false for anything else. Case of the host does not count. */
bool api_apps_parse_host(const char *host, const char *domain, rd_app_id *ret);
/* Whether a request header of a caller goes on to the function. */
bool api_apps_passes_header(const char *name, const char *connection);

#endif
