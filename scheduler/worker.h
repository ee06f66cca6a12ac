/* worker: the thread that leads and plans, with the committer's connection; everybody else only wakes it.
 * Used by main. Blocking PostgreSQL calls stay off the loop that way. */
#ifndef SCHED_WORKER_H
#define SCHED_WORKER_H

#include "common/base/clock.h"
#include "scheduler/publish.h"

typedef struct sched_worker sched_worker;

typedef struct sched_worker_options {
    const char *database; /* borrowed */
    int shard;
    rd_id holder; /* of this process */
    const rd_clock *clock;
    sched_publish *publish;
} sched_worker_options;

int sched_worker_start(const sched_worker_options *options, sched_worker **ret, rd_err *err) RD_NODISCARD;
/* Something was written for the scheduler: look now. From any thread. */
void sched_worker_wake(sched_worker *worker);
/* A call waits for this app: look now, at it first. From any thread; bounded, who asks asks again. */
void sched_worker_called(sched_worker *worker, const rd_app_id *app);
/* Ends the thread after the plan under way, resigns, frees. */
void sched_worker_stop(sched_worker *worker);

#endif
