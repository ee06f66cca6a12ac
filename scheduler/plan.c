#include "scheduler/plan.h"

#include <stdlib.h>

#include "common/base/mem.h"

/* Room for one more in a growing array. */
#define GROW(array, count, capacity)                                                                                   \
    do {                                                                                                               \
        if ((count) == (capacity)) {                                                                                   \
            (capacity) = (capacity) ? (capacity)*2 : 64;                                                               \
            (array) = rd_realloc((array), (capacity) * sizeof *(array));                                               \
        }                                                                                                              \
    } while (0)

static void free_reasons(sched_plan *plan)
{
    for (size_t i = 0; i < plan->rollout_count; i++)
        free(plan->rollouts[i].reason);
}

void sched_plan_clear(sched_plan *plan)
{
    free_reasons(plan);
    plan->placement_count = plan->ending_count = plan->change_count = 0;
    plan->host_count = plan->rollout_count = plan->seen_count = 0;
}

void sched_plan_done(sched_plan *plan)
{
    free_reasons(plan);
    free(plan->placements);
    free(plan->endings);
    free(plan->changes);
    free(plan->hosts);
    free(plan->rollouts);
    free(plan->seen);
    *plan = (sched_plan){ 0 };
}

size_t sched_plan_rows(const sched_plan *plan)
{
    return plan->placement_count + plan->ending_count + plan->change_count + plan->host_count;
}

bool sched_plan_is_empty(const sched_plan *plan)
{
    return sched_plan_rows(plan) + plan->rollout_count + plan->seen_count == 0;
}

void sched_plan_place(sched_plan *plan, const sched_placement *placement)
{
    GROW(plan->placements, plan->placement_count, plan->placement_capacity);
    plan->placements[plan->placement_count++] = *placement;
}

void sched_plan_end(sched_plan *plan, sched_lease *lease, const char *reason, bool send_stop)
{
    GROW(plan->endings, plan->ending_count, plan->ending_capacity);
    plan->endings[plan->ending_count++] = (sched_ending){ lease, reason, send_stop };
    lease->is_ended = true;
}

void sched_plan_want(sched_plan *plan, sched_lease *lease, rd_want want)
{
    GROW(plan->changes, plan->change_count, plan->change_capacity);
    plan->changes[plan->change_count++] = (sched_change){ lease, want };
}

/* One row a host: with two, the statement would refuse or drop one. */
void sched_plan_host(sched_plan *plan, const sched_host_change *change)
{
    for (size_t i = 0; i < plan->host_count; i++) {
        if (plan->hosts[i].host == change->host) {
            plan->hosts[i] = *change;
            return;
        }
    }
    GROW(plan->hosts, plan->host_count, plan->host_capacity);
    plan->hosts[plan->host_count++] = *change;
}

void sched_plan_rollout(sched_plan *plan, const sched_rollout_row *row)
{
    GROW(plan->rollouts, plan->rollout_count, plan->rollout_capacity);
    plan->rollouts[plan->rollout_count++] = *row;
}

void sched_plan_seen(sched_plan *plan, int64_t evaluation)
{
    GROW(plan->seen, plan->seen_count, plan->seen_capacity);
    plan->seen[plan->seen_count++] = evaluation;
}
