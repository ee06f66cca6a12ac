/* evaluate: one app's wish and its leases in, rows of the plan out: ends, drains, new leases, the rollout's row.
 * Used by the cycle. Takes capacity from the fleet's copy for what it places; the cycle gives it back when the commit
 * left a placement out. */
#ifndef SCHED_EVALUATE_H
#define SCHED_EVALUATE_H

#include "scheduler/apps.h"
#include "scheduler/plan.h"

typedef struct sched_evaluate {
    int shard;
    int64_t now_us; /* boot time */
    sched_fleet *fleet;
    sched_plan *plan;
} sched_evaluate;

/* What the quota hold may come down to, when nothing needs more any longer. */
typedef struct sched_hold {
    bool is_due;
    int64_t count;
} sched_hold;

void sched_evaluate_app(const sched_evaluate *context, sched_app *app, const sched_wish *wish, sched_hold *ret_hold);

#endif
