#include "scheduler/lease.h"

#include <assert.h>

#define SLOT_BITS 25

int64_t sched_epoch(int64_t era, int64_t plan_no)
{
    assert(era > 0 && era < 8192 && plan_no >= 0 && plan_no < INT64_C(1) << SCHED_ERA_SHIFT);
    return sched_job_base(era) + plan_no;
}

int64_t sched_job_base(int64_t era)
{
    return (int64_t)((uint64_t)era << SCHED_ERA_SHIFT);
}

int32_t sched_slot(int shard, int n)
{
    assert(shard >= 0 && shard < 64 && n >= 0 && n < 1 << SLOT_BITS);
    return (int32_t)((uint32_t)shard << SLOT_BITS | (uint32_t)n);
}

int sched_slot_number(int32_t slot)
{
    return (int)((uint32_t)slot & ((1u << SLOT_BITS) - 1));
}
