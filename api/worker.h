/* worker: what a straight-line handler has on its thread: a PostgreSQL connection of its own (role rd_api).
 * Used by handlers and stores. The pool makes the connection before it hands out work, as long as the server lets it.
 */
#ifndef API_WORKER_H
#define API_WORKER_H

#include "api/context.h"
#include "common/data/pg.h"

typedef struct api_worker {
    api_context *context;
    rd_pg *pg;
} api_worker;

api_worker *api_worker_new(api_context *context);
api_worker *api_worker_free(api_worker *worker);

#endif
