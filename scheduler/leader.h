/* leader: who leads a shard: the fence row with its epoch, beats on a connection and thread of their own, takeover.
 * Used by main's worker thread. Leadership is a courtesy; what protects is the fence in every plan (data-model, T10).
 * Compares no wall clocks: a beat counts as still by this process's own boot time. */
#ifndef SCHED_LEADER_H
#define SCHED_LEADER_H

#include "common/base/clock.h"
#include "scheduler/commit.h"

typedef struct sched_leader sched_leader;

/* conninfo is borrowed for its life. */
sched_leader *sched_leader_new(const char *conninfo, int shard, const rd_id *holder, const rd_clock *clock);
void sched_leader_free(sched_leader *leader);

/* One look as a candidate. 1: taken, *ret is filled; 0: another leads; -1: error. pg is the committer's connection,
 * whose application name is SCHED_COMMITTER_NAME. */
#define SCHED_COMMITTER_NAME "redoubt-scheduler-committer"
int sched_leader_try(sched_leader *leader, rd_pg *pg, sched_lead *ret, rd_err *err) RD_NODISCARD;

/* Beats each second from a thread of its own until it is resigned. */
int sched_leader_start_beats(sched_leader *leader, int64_t epoch, rd_err *err) RD_NODISCARD;
/* No beat committed for 2 s of this process's time, or another epoch leads: stop planning. */
bool sched_leader_is_stale(const sched_leader *leader);
/* Stops beating; with pg, leaves the fence without a holder so that the next one need not wait. pg may be NULL. */
void sched_leader_resign(sched_leader *leader, rd_pg *pg);

#endif
