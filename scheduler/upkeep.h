/* upkeep: what the leader of shard 0 tidies: partitions ahead, ended leases, old keys, sessions and tokens.
 * Used by the worker between plans; each call does one bounded piece. */
#ifndef SCHED_UPKEEP_H
#define SCHED_UPKEEP_H

#include "common/data/pg.h"

/* One round; errors are logged, the next round tries again. */
void sched_upkeep_run(rd_pg *pg, int shard);

#endif
