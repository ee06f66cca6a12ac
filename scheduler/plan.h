/* plan: what one transaction of the scheduler will write, gathered row by row as statement parameters.
 * Used by the cycle, which fills it, and by the committer, which sends it. Decides nothing. */
#ifndef SCHED_PLAN_H
#define SCHED_PLAN_H

#include "common/data/pg.h"
#include "scheduler/apps.h"

#define SCHED_PLAN_ROWS_MAX 1000

/* A new lease, in memory only once it is committed; its epoch is filled then. */
typedef struct sched_placement {
    sched_lease lease;
    int64_t state_gen; /* of the host, as the planner saw it */
} sched_placement;

/* Ends and changes refer to held leases. */
typedef struct sched_ending {
    sched_lease *lease;
    const char *reason; /* stopped, failed, refused, lost */
    bool send_stop;     /* the host must learn it when it comes back */
} sched_ending;

typedef struct sched_change {
    sched_lease *lease;
    rd_want want;
} sched_change;

typedef struct sched_host_change {
    uint32_t host;
    rd_host_state state;
    sched_size granted; /* what is reported; the statement keeps it above what is used */
    int64_t lost_session;
} sched_host_change;

typedef struct sched_rollout_row {
    rd_app_id app;
    rd_id org;
    rd_id deployment;
    int64_t gen;
    int state;
    int wanted;
    int placed;
    int healthy;
    char *reason;    /* JSON or NULL; owned */
    bool is_changed; /* state or reason differ: an event is due */
} sched_rollout_row;

typedef struct sched_plan {
    sched_placement *placements;
    size_t placement_count, placement_capacity;
    sched_ending *endings;
    size_t ending_count, ending_capacity;
    sched_change *changes;
    size_t change_count, change_capacity;
    sched_host_change *hosts;
    size_t host_count, host_capacity;
    sched_rollout_row *rollouts;
    size_t rollout_count, rollout_capacity;
    int64_t *seen; /* evaluation ids */
    size_t seen_count, seen_capacity;
} sched_plan;

void sched_plan_clear(sched_plan *plan);
void sched_plan_done(sched_plan *plan);
bool sched_plan_is_empty(const sched_plan *plan);
/* Leases and hosts that the plan touches. */
size_t sched_plan_rows(const sched_plan *plan);

void sched_plan_place(sched_plan *plan, const sched_placement *placement);
void sched_plan_end(sched_plan *plan, sched_lease *lease, const char *reason, bool send_stop);
void sched_plan_want(sched_plan *plan, sched_lease *lease, rd_want want);
void sched_plan_host(sched_plan *plan, const sched_host_change *change);
/* Takes row->reason. */
void sched_plan_rollout(sched_plan *plan, const sched_rollout_row *row);
void sched_plan_seen(sched_plan *plan, int64_t evaluation);

#endif
