/* refresh: the plane fetches its collateral by itself, from the services that the configuration names.
 * Started by main.c where one is named. A thread of its own with its own connection: it waits until the next fetch is
 * due, or until it is told that the set or the last fetch is another; one replica at a time fetches, under the advisory
 * lock 'collateral_refresh'. What comes is verified and taken into use as an import is; how it went stands in
 * collateral_refresh. Killed at any moment, the plane has the old set or the new one. */
#ifndef API_REFRESH_H
#define API_REFRESH_H

#include "api/context.h"
#include "common/base/bytes.h"
#include "common/data/pg.h"

typedef struct api_refresh api_refresh;

/* *ret is NULL when no service is named. After the collateral is there. */
int api_refresh_start(const api_context *context, api_refresh **ret, rd_err *err) RD_NODISCARD;
/* Any thread: the set in use, or the last fetch, is another. Accepts NULL. */
void api_refresh_wake(api_refresh *refresh);
/* Ends a fetch under way and waits for it: at most about a second. Accepts NULL, returns NULL. */
api_refresh *api_refresh_stop(api_refresh *refresh);
void api_refresh_metrics(void *refresh, rd_buf *out);

#endif
