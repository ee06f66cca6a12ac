/* sleep: apps that run only when called (min = 0), towards PostgreSQL: called for now, and used of late.
 * Used by links.c for the relay. Writes app_use and asks the scheduler to look; the scheduler decides alone from it
 * (data-model.md, T11; docs/decisions/0010). Loop thread. */
#ifndef API_SLEEP_H
#define API_SLEEP_H

#include "api/targets.h"
#include "common/data/pg_async.h"
#include "common/data/redis.h"
#include "common/io/loop.h"

typedef struct api_sleep api_sleep;
extern const rd_pg_stmts api_sleep_stmts;

/* pg: with api_sleep_stmts prepared. redis may be NULL: the scheduler then looks within a quarter of a second. */
api_sleep *api_sleep_new(rd_loop *loop, rd_pg_async *pg, rd_redis *redis, api_targets *targets);
/* Accepts NULL. */
api_sleep *api_sleep_free(api_sleep *sleep);
/* An instance of this app is wanted at once. The first time the scheduler is told directly, and PostgreSQL that the app
 * is used; is_again: PostgreSQL is told that it is wanted. Together with all others named in the same turn. */
void api_sleep_wake(api_sleep *sleep, const rd_app_id *app, bool is_again);

#endif
