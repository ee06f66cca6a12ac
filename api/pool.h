/* pool: a few threads for straight-line handlers, each with its own PostgreSQL and Redis connection, and a bounded
 * queue. Used by server.c alone. Results come back on the loop by one uv_async, folded. Runs nothing after
 * api_pool_stop; what was queued then is handed back undone. */
#ifndef API_POOL_H
#define API_POOL_H

#include "api/context.h"
#include "api/server.h"

typedef struct api_pool api_pool;

/* run on a worker; done on the loop, also when run was not (is_cancelled: the pool was stopped first). */
typedef struct api_job {
    void (*run)(api_worker *worker, void *arg);
    void (*done)(void *arg, bool is_cancelled);
    void *arg;
    struct api_job *next; /* the pool's while queued */
} api_job;

int api_pool_new(api_context *context, size_t threads, size_t queue_max, api_pool **ret, rd_err *err) RD_NODISCARD;
/* False when the queue is full or the pool stopped. The job must live until done. Loop thread. */
bool api_pool_submit(api_pool *pool, api_job *job);
/* Waits for what runs, gives back what waits (is_cancelled), closes the handle. Loop thread. */
void api_pool_stop(api_pool *pool);
/* After the loop ran once more. Accepts NULL. */
api_pool *api_pool_free(api_pool *pool);
size_t api_pool_depth(const api_pool *pool);
size_t api_pool_threads(const api_pool *pool);

#endif
