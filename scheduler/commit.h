/* commit: one plan as one transaction behind the fence, and what came of it.
 * Used by the cycle, on the committer's own connection. Sends the whole transaction in one write.
 * Changes nothing in memory: the cycle applies what was committed. */
#ifndef SCHED_COMMIT_H
#define SCHED_COMMIT_H

#include "scheduler/plan.h"

/* Who leads a shard, as PostgreSQL said at the takeover. plan_no moves with each commit. */
typedef struct sched_lead {
    int shard;
    int64_t epoch;
    int64_t plan_no;
    int64_t era;
} sched_lead;

/* A job to tell a host about: the level of one of its leases. */
typedef struct sched_job {
    rd_id host;
    rd_id replica;
    bool has_replica; /* false: no link now, the attach will bring it */
    int64_t job_seq;
    int64_t prev; /* the host's job before this one */
    int64_t era;
    rd_id instance;
    int64_t epoch;
    rd_want want;
    rd_id org;
    rd_app_id app;
    rd_digest release;
    int class;
    sched_size size;
    int64_t gen;
} sched_job;

typedef struct sched_committed {
    sched_job *jobs; /* by host, then job_seq */
    size_t job_count;
    bool *placed;        /* for each placement of the plan: whether it stands */
    int64_t epoch;       /* of the placements */
    bool *ended;         /* for each ending */
    int64_t *state_gens; /* for each host change */
} sched_committed;

void sched_committed_done(sched_committed *committed);

/* SOME: committed, lead->plan_no moved on. FAILED with FENCED: another leads. UNKNOWN: read the fence and load anew.
 * FAILED or RETRY otherwise: nothing was written (retryable failures were tried 5 times). */
rd_pg_outcome sched_commit(rd_pg *pg, sched_lead *lead, const sched_plan *plan, const sched_fleet *fleet,
                           sched_committed *ret, rd_err *err) RD_NODISCARD;

/* Gives quota back behind the fence, in a transaction of its own: lowers the app's hold to size × count. */
rd_pg_outcome sched_commit_quota(rd_pg *pg, sched_lead *lead, const rd_app_id *app, int64_t gen, int64_t count,
                                 const sched_size *size, rd_err *err) RD_NODISCARD;

#endif
