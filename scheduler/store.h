/* store: what the scheduler reads from PostgreSQL, as structs.
 * Used by the cycle and the leader; writes go through commit. Every function is one round trip. */
#ifndef SCHED_STORE_H
#define SCHED_STORE_H

#include "common/data/pg.h"
#include "scheduler/apps.h"

/* Hosts into the fleet: all of a shard, or the ids given (those that are not there are left alone). */
int sched_store_hosts(rd_pg *pg, int shard, const rd_id *ids, size_t count, sched_fleet *fleet,
                      rd_err *err) RD_NODISCARD;
/* All held leases of a shard into apps, and their hosts' counts. A lease on a host that the fleet lacks is an error. */
int sched_store_leases(rd_pg *pg, int shard, sched_fleet *fleet, sched_apps *apps, rd_err *err) RD_NODISCARD;
/* Queues the apps whose newest deployment is not settled. */
int sched_store_unsettled(rd_pg *pg, int shard, sched_apps *apps, rd_err *err) RD_NODISCARD;

typedef struct sched_evaluation {
    int64_t id;
    int kind; /* 1 app, 2 host */
    uint8_t subject[32];
} sched_evaluation;
/* The oldest ones, at most max; returns their number or -1. */
int sched_store_evaluations(rd_pg *pg, int shard, sched_evaluation *ret, int max, rd_err *err) RD_NODISCARD;

/* Wishes of the apps (ret[i] has deployment gen 0 where there is none) and fresh reports of their leases, which are
 * written into them. The caller ends each wish with sched_wish_done. */
int sched_store_wishes(rd_pg *pg, sched_apps *apps, sched_app *const *list, size_t count, sched_wish *ret,
                       rd_err *err) RD_NODISCARD;

typedef struct sched_beat {
    rd_id replica;
    int64_t beat;
} sched_beat;
/* At most max; returns their number or -1. */
int sched_store_replicas(rd_pg *pg, sched_beat *ret, int max, rd_err *err) RD_NODISCARD;

typedef struct sched_lag {
    rd_id host;
    rd_id replica;
    int64_t acked_seq;
} sched_lag;
/* Hosts with a link that have not acknowledged all their jobs; *ret is the caller's to free. Returns their number. */
ssize_t sched_store_lagging(rd_pg *pg, int shard, sched_lag **ret, rd_err *err) RD_NODISCARD;

#endif
