/* hosts: what a host's state should be now, and what its change means for its leases.
 * Used by the cycle. Fills a plan; PostgreSQL and the fleet's copy change when it is committed. */
#ifndef SCHED_HOSTS_H
#define SCHED_HOSTS_H

#include "scheduler/apps.h"
#include "scheduler/plan.h"
#include "scheduler/watch.h"

/* The state that identity, wishes, link and contact call for. Pure. is_lost: sched_watch gave it up. */
rd_host_state sched_host_next(const sched_host *host, bool is_lost);

/* Looks at one host; appends its change, and the end of its leases when it is lost. Apps to look at again are queued.
 */
void sched_hosts_plan(sched_plan *plan, sched_fleet *fleet, sched_apps *apps, sched_watch *watch, uint32_t host,
                      int64_t now_us);

#endif
