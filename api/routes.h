/* routes: the one table of the REST listener, and every handler it names.
 * Used by main (the table) and by the files that own handlers.
 * A handler not listed here does not exist for callers. */
#ifndef API_ROUTES_H
#define API_ROUTES_H

#include "api/router.h"

extern const api_route api_routes[];
extern const size_t api_route_count;

/* Loop routes of the link side: relay.c, tail.c, agents.c. */
void api_invoke(struct api_request *request);            /* POST /v1/apps/{app}/invoke */
void api_events(struct api_request *request);            /* GET /v1/events */
void api_logs(struct api_request *request);              /* GET /v1/apps/{app}/logs */
void api_instance_evidence(struct api_request *request); /* GET /v1/instances/{ins}/evidence */
void api_instance_docs(struct api_request *request);     /* GET /v1/instances/{ins}/docs */

#endif
