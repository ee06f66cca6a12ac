/* pg_async: a PostgreSQL connection on a libuv loop, for batches of statements.
 * Used by ingest, links and the event tail in the API, whose loops must not wait.
 * Keeps at most a set number of batches; past it submit refuses. Belongs to its loop's thread. */
#ifndef RD_DATA_PG_ASYNC_H
#define RD_DATA_PG_ASYNC_H

#include <uv.h>

#include "common/data/pg.h"

typedef struct rd_pg_async rd_pg_async;
typedef struct rd_pg_batch rd_pg_batch;

/* Outcome SOME: results[0..count-1] are the answers in order, borrowed until the callback returns. FAILED: err says
 * what, failed is the index of the statement. RETRY: serialisation, deadlock or lock timeout after 5 tries, or the
 * connection was lost before the batch was sent. UNKNOWN: lost after it was sent. */
typedef void (*rd_pg_batch_fn)(void *context, rd_pg_outcome outcome, rd_pg_result **results, size_t count,
                               size_t failed, const rd_err *err);

typedef struct rd_pg_async_options {
    rd_pg_options pg;
    size_t batches_max;                                 /* waiting and under way; 0: 256 */
    void (*on_state)(void *context, bool is_connected); /* may be NULL */
    void *context;
} rd_pg_async_options;

/* Starts to connect at once and stays connected: back-off 50 ms doubling to 2 s with jitter. */
rd_pg_async *rd_pg_async_new(uv_loop_t *loop, const rd_pg_async_options *options);
/* Ends; batches still here get their callback with FAILED/CANCELLED before on_closed. The memory goes after on_closed.
 */
void rd_pg_async_close(rd_pg_async *pg, void (*on_closed)(void *context), void *context);
bool rd_pg_async_is_connected(const rd_pg_async *pg);
size_t rd_pg_async_pending(const rd_pg_async *pg);

/* A batch is one transaction, retried as a whole at most 5 times on serialisation failures; org NULL: none is set. */
rd_pg_batch *rd_pg_batch_new(const uint8_t org[16]);
void rd_pg_batch_free(rd_pg_batch *batch);
/* Copies the values. At most RD_PG_QUEUE_MAX statements. */
void rd_pg_batch_add(rd_pg_batch *batch, const char *stmt, const rd_pg_value *args, size_t arg_count);
#define rd_pg_batch_call(batch, stmt, ...)                                                                             \
    rd_pg_batch_add((batch), (stmt), (const rd_pg_value[]){ rd_pg_null(), ##__VA_ARGS__ } + 1,                         \
                    sizeof((const rd_pg_value[]){ rd_pg_null(), ##__VA_ARGS__ }) / sizeof(rd_pg_value) - 1)
size_t rd_pg_batch_count(const rd_pg_batch *batch);

/* Takes the batch (also on failure). -1 with UNAVAILABLE when the queue is full; then the callback is not called. */
int rd_pg_async_submit(rd_pg_async *pg, rd_pg_batch *batch, rd_pg_batch_fn done, void *context,
                       rd_err *err) RD_NODISCARD;

#endif
