/* publish: from the worker's thread to Redis on the loop: job hints in plan order, and the tick of the event tail.
 * Used by main. Hints may be lost at any time: PostgreSQL heals. The queue is bounded; past it hints are dropped. */
#ifndef SCHED_PUBLISH_H
#define SCHED_PUBLISH_H

#include "common/data/redis.h"
#include "common/io/loop.h"
#include "scheduler/commit.h"

typedef struct sched_publish sched_publish;

sched_publish *sched_publish_new(rd_loop *loop, rd_redis *redis);
/* After the worker has ended. */
void sched_publish_free(sched_publish *publish);

/* From any thread. */
void sched_publish_jobs(sched_publish *publish, const sched_job *jobs, size_t count);
void sched_publish_resync(sched_publish *publish, const rd_id *host, const rd_id *replica);

#endif
