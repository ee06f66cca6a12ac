#include "agent/scheduling.h"

#include <sched.h>

static void change(int from, int to)
{
    const struct sched_param none = { .sched_priority = 0 };
    if (sched_getscheduler(0) == from)
        (void)sched_setscheduler(0, to, &none); /* refused: slower, not wrong */
}

void agent_scheduling_patient(void)
{
    change(SCHED_OTHER, SCHED_BATCH);
}

void agent_scheduling_plain(void)
{
    change(SCHED_BATCH, SCHED_OTHER);
}
