/* routes_load: keeps the relay's targets equal to PostgreSQL: all apps at the start, later those that were touched.
 * Used by links.c; told by ingest (own commits), the event tail (everybody's) and the relay (stale targets).
 * Loads levels, never applies single changes, so that a lost or doubled hint does no harm. Loop thread. */
#ifndef API_ROUTES_LOAD_H
#define API_ROUTES_LOAD_H

#include "api/targets.h"
#include "common/data/pg_async.h"
#include "common/io/loop.h"

typedef struct api_routes_load api_routes_load;
extern const rd_pg_stmts api_routes_stmts;

/* Begins to load every app, in pages. pg: with api_routes_stmts prepared; batches of one connection run in order, which
 * makes versions true. */
api_routes_load *api_routes_load_new(rd_loop *loop, rd_pg_async *pg, api_targets *targets);
api_routes_load *api_routes_load_free(api_routes_load *load);
/* Loads this app soon: with all others named in the same turn. */
void api_routes_load_app(api_routes_load *load, const rd_app_id *app);
/* Loads the apps that have instances on this host: its link moved. */
void api_routes_load_host(api_routes_load *load, const rd_id *host);
/* The first full load is done. */
bool api_routes_load_is_ready(const api_routes_load *load);

#endif
