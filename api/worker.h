/* worker: what a straight-line handler has on its thread: a PostgreSQL connection and a Redis connection of its own.
 * Used by handlers and stores. Connections are made on first use and again after they broke. */
#ifndef API_WORKER_H
#define API_WORKER_H

#include "api/context.h"

struct rd_pg;
struct rd_redis;

typedef struct api_worker {
    api_context *context;
    struct rd_pg *pg;
    struct rd_redis *redis;
} api_worker;

api_worker *api_worker_new(api_context *context);
api_worker *api_worker_free(api_worker *worker);

#endif
