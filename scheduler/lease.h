/* lease: the numbers of leases: epochs, job numbers, slots and instance ids.
 * Used by the planner and the committer. Pure: everything comes in as arguments. */
#ifndef SCHED_LEASE_H
#define SCHED_LEASE_H

#include "common/model/ids.h"

/* An era's worth of plans and jobs; values stay below 2^53 and survive JSON. */
#define SCHED_ERA_SHIFT 40

/* era × 2^40 + plan_no: grows for every later grant of the shard without looking at old rows. */
int64_t sched_epoch(int64_t era, int64_t plan_no);
/* The first number of an era; job numbers of the era lie above it. */
int64_t sched_job_base(int64_t era);
/* Slot number n (below 2^25) of a shard (below 64); the shard in the top 7 bits. */
int32_t sched_slot(int shard, int n);
int sched_slot_number(int32_t slot);

#endif
