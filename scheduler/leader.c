#include "scheduler/leader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/data/jitter.h"
#include "scheduler/store_sql.h"

#define STILL_US   2000000
#define BEAT_US    1000000
#define JITTER_US  200000
#define TAKE_TRIES 3

struct sched_leader {
    const char *conninfo;
    int shard;
    rd_id holder;
    const rd_clock *clock;
    /* As a candidate. */
    int64_t seen_epoch, seen_beat, seen_at_us;
    /* As the leader. */
    int64_t epoch;
    bool is_beating;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool must_end;
    atomic_int_fast64_t beat_at_us;
    atomic_bool is_deposed;
};

sched_leader *sched_leader_new(const char *conninfo, int shard, const rd_id *holder, const rd_clock *clock)
{
    sched_leader *leader = rd_alloc(sizeof *leader);
    leader->conninfo = conninfo;
    leader->shard = shard;
    leader->holder = *holder;
    leader->clock = clock;
    leader->seen_beat = -1;
    (void)pthread_mutex_init(&leader->lock, NULL);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&leader->wake, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return leader;
}

void sched_leader_free(sched_leader *leader)
{
    if (!leader)
        return;
    sched_leader_resign(leader, NULL);
    (void)pthread_mutex_destroy(&leader->lock);
    (void)pthread_cond_destroy(&leader->wake);
    free(leader);
}

static int take(sched_leader *leader, rd_pg *pg, int64_t epoch, int64_t era, sched_lead *ret, rd_err *err)
{
    rd_pg_result *results[5] = { NULL };
    if (rd_pg_push(pg, RD_PG_BEGIN, err) < 0 || rd_pg_push(pg, "sched_lead_short", err) < 0 ||
        rd_pg_push(pg, "sched_lead_take", err, rd_pg_i64(leader->shard), rd_pg_i64(epoch),
                   rd_pg_uuid(leader->holder.b)) < 0 ||
        rd_pg_push(pg, "sched_lead_beats", err, rd_pg_i64(leader->shard)) < 0 || rd_pg_push(pg, RD_PG_COMMIT, err) < 0)
        return -1;
    if (rd_pg_flush(pg, results, 5, err) != RD_PG_SOME)
        return -1;
    int taken = rd_pg_rows(results[2]) == 1;
    if (taken)
        *ret = (sched_lead){ .shard = leader->shard,
                             .epoch = rd_pg_get_i64(results[2], 0, 0),
                             .plan_no = rd_pg_get_i64(results[2], 0, 1),
                             .era = era };
    for (size_t i = 0; i < RD_ARRAY_LEN(results); i++)
        rd_pg_result_free(results[i]);
    return taken;
}

/* The old leader's backend may hold the fence in an open transaction, without anybody behind it: end it. */
static int take_firmly(sched_leader *leader, rd_pg *pg, int64_t epoch, int64_t era, sched_lead *ret, rd_err *err)
{
    for (int tries = 0; tries < TAKE_TRIES; tries++) {
        int taken = take(leader, pg, epoch, era, ret, err);
        if (taken >= 0)
            return taken;
        rd_err ignored = RD_ERR_INIT;
        (void)!rd_pg_call(pg, "sched_lead_end_other", NULL, &ignored, rd_pg_i64(leader->shard), rd_pg_i64(epoch));
    }
    return -1;
}

int sched_leader_try(sched_leader *leader, rd_pg *pg, sched_lead *ret, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *res = NULL;
    if (rd_pg_call(pg, "sched_lead_read", &res, err, rd_pg_i64(leader->shard)) != RD_PG_SOME)
        return -1;
    int64_t epoch = rd_pg_get_i64(res, 0, 0);
    bool is_free = rd_pg_get_bool(res, 0, 2);
    int64_t beat = rd_pg_get_i64(res, 0, 3);
    int64_t era = rd_pg_get_i64(res, 0, 4);
    int64_t now_us = rd_clock_boot_us(leader->clock);
    if (epoch != leader->seen_epoch || beat != leader->seen_beat) {
        leader->seen_epoch = epoch;
        leader->seen_beat = beat;
        /* Two candidates that saw the same last beat do not reach for the fence in the same moment. */
        leader->seen_at_us = now_us + rd_jitter_below(JITTER_US);
    }
    if (!is_free && now_us - leader->seen_at_us < STILL_US)
        return 0;
    return take_firmly(leader, pg, epoch, era, ret, err);
}

static void beat_once(sched_leader *leader, rd_pg *pg)
{
    rd_err err = RD_ERR_INIT;
    rd_pg_outcome outcome =
        rd_pg_call(pg, "sched_lead_beat", NULL, &err, rd_pg_i64(leader->shard), rd_pg_i64(leader->epoch));
    if (outcome == RD_PG_SOME)
        atomic_store(&leader->beat_at_us, rd_clock_boot_us(leader->clock));
    else if (outcome == RD_PG_NONE)
        atomic_store(&leader->is_deposed, true);
    else
        rd_log(RD_WARN, "beat_failed", RD_ERR(&err));
}

/* Waits for the next beat, or for the end; true at the end. */
static bool wait_for_end(sched_leader *leader)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += BEAT_US / 1000000;
    (void)pthread_mutex_lock(&leader->lock);
    int status = 0;
    while (!leader->must_end && status == 0)
        status = pthread_cond_timedwait(&leader->wake, &leader->lock, &until);
    bool must_end = leader->must_end;
    (void)pthread_mutex_unlock(&leader->lock);
    return must_end;
}

static void *run_beats(void *context)
{
    sched_leader *leader = context;
    const rd_pg_stmts tables[] = { sched_store_leads };
    rd_pg *pg = rd_pg_new(&(rd_pg_options){ .conninfo = leader->conninfo,
                                            .role = "rd_sched",
                                            .application_name = "redoubt-scheduler-beat",
                                            .tables = tables,
                                            .table_count = 1,
                                            .statement_timeout_ms = 1500,
                                            .lock_timeout_ms = 1000 });
    do
        beat_once(leader, pg);
    while (!wait_for_end(leader));
    rd_pg_free(pg);
    return NULL;
}

int sched_leader_start_beats(sched_leader *leader, int64_t epoch, rd_err *err)
{
    leader->epoch = epoch;
    leader->must_end = false;
    atomic_store(&leader->is_deposed, false);
    atomic_store(&leader->beat_at_us, rd_clock_boot_us(leader->clock));
    int status = pthread_create(&leader->thread, NULL, run_beats, leader);
    if (status != 0)
        return rd_err_set_errno(err, RD_E_INTERNAL, status, "thread of the beats");
    leader->is_beating = true;
    return 0;
}

bool sched_leader_is_stale(const sched_leader *leader)
{
    return atomic_load(&leader->is_deposed) ||
           rd_clock_boot_us(leader->clock) - atomic_load(&leader->beat_at_us) > STILL_US;
}

void sched_leader_resign(sched_leader *leader, rd_pg *pg)
{
    if (!leader->is_beating)
        return;
    (void)pthread_mutex_lock(&leader->lock);
    leader->must_end = true;
    (void)pthread_cond_signal(&leader->wake);
    (void)pthread_mutex_unlock(&leader->lock);
    (void)pthread_join(leader->thread, NULL);
    leader->is_beating = false;
    leader->seen_beat = -1;
    rd_err err = RD_ERR_INIT;
    if (pg && rd_pg_call(pg, "sched_lead_resign", NULL, &err, rd_pg_i64(leader->shard), rd_pg_i64(leader->epoch)) ==
                  RD_PG_FAILED)
        rd_log(RD_WARN, "resign_failed", RD_ERR(&err));
}
