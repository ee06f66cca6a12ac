/* cycle: evaluate, plan, commit, apply: the scheduler's work while it leads.
 * Used by main's worker thread; the memory it plans on is a copy that it drops whenever PostgreSQL disagrees.
 * Touches no Redis: jobs to publish are handed to a callback after the commit. */
#ifndef SCHED_CYCLE_H
#define SCHED_CYCLE_H

#include "common/base/clock.h"
#include "scheduler/commit.h"
#include "scheduler/watch.h"

typedef struct sched_cycle sched_cycle;

typedef struct sched_cycle_options {
    rd_pg *pg; /* the committer's connection */
    const rd_clock *clock;
    /* After a commit, in plan order. job NULL-ended by count. */
    void (*publish)(void *context, const sched_job *jobs, size_t count);
    /* A host that lags behind its jobs: tell its replica to look. */
    void (*resync)(void *context, const rd_id *host, const rd_id *replica);
    void *context;
} sched_cycle_options;

sched_cycle *sched_cycle_new(const sched_cycle_options *options, const sched_lead *lead);
void sched_cycle_free(sched_cycle *cycle);

typedef enum sched_turn {
    SCHED_TURN_IDLE,  /* nothing waits */
    SCHED_TURN_MORE,  /* call again */
    SCHED_TURN_FENCED /* another leads */
} sched_turn;

/* A call waits for this app, and PostgreSQL may not know yet: it is planned for with the next turn as used now. What is
 * dropped, past some or by a failure, is asked for again. */
void sched_cycle_called(sched_cycle *cycle, const rd_app_id *app);

/* One plan. Errors are logged and lead to a fresh load at the next turn. */
sched_turn sched_cycle_turn(sched_cycle *cycle);

/* Each second: replicas' beats, lost hosts, retries that are due, hosts that lag. */
void sched_cycle_tick(sched_cycle *cycle);

/* Boot time of the next thing that is due by itself, 0: none. */
int64_t sched_cycle_due_us(const sched_cycle *cycle);

#endif
