#include "scheduler/commit.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/failpoint.h"
#include "common/base/mem.h"
#include "common/data/jitter.h"
#include "scheduler/commit_rows.h"
#include "scheduler/lease.h"

#define TRIES_MAX 5

void sched_committed_done(sched_committed *committed)
{
    free(committed->jobs);
    free(committed->placed);
    free(committed->ended);
    free(committed->state_gens);
    *committed = (sched_committed){ 0 };
}

/* Which answer belongs to which statement; 0 stands for "not sent", as BEGIN has number 0. */
typedef struct layout {
    size_t locked, links, hosts, ends, wants, places, count;
} layout;

static int push_fence(rd_pg *pg, const sched_lead *lead, rd_err *err)
{
    if (rd_pg_push(pg, RD_PG_BEGIN, err) < 0)
        return -1;
    return rd_pg_push(pg, "sched_fence", err, rd_pg_i64(lead->shard), rd_pg_i64(lead->epoch), rd_pg_i64(lead->plan_no),
                      rd_pg_i64(lead->plan_no + 1));
}

/* Order of locks: fence, hosts, leases; appends last. */
static int push_plan(rd_pg *pg, const sched_lead *lead, const sched_plan *plan, sched_rows *rows, layout *at,
                     rd_err *err)
{
    *at = (layout){ .count = 2 };
    if (push_fence(pg, lead, err) < 0)
        return -1;
    if (sched_plan_rows(plan) > 0) {
        at->locked = at->count++;
        at->links = at->count++;
        if (rd_pg_push(pg, "sched_hosts_lock", err, rd_pg_array_value(&rows->touched)) < 0 ||
            rd_pg_push(pg, "sched_links", err, rd_pg_array_value(&rows->touched)) < 0)
            return -1;
    }
    if (plan->host_count > 0) {
        at->hosts = at->count++;
        if (sched_rows_push_hosts(pg, rows, lead, err) < 0)
            return -1;
    }
    if (plan->ending_count > 0) {
        at->ends = at->count++;
        if (sched_rows_push_ends(pg, rows, lead, err) < 0)
            return -1;
    }
    if (plan->change_count > 0) {
        at->wants = at->count++;
        if (sched_rows_push_wants(pg, rows, lead, err) < 0)
            return -1;
    }
    if (plan->placement_count > 0) {
        at->places = at->count++;
        if (sched_rows_push_places(pg, rows, lead, err) < 0)
            return -1;
    }
    if (plan->seen_count > 0 && (at->count++, rd_pg_push(pg, "sched_seen", err, rd_pg_array_value(&rows->seen)) < 0))
        return -1;
    if (plan->rollout_count > 0 && (at->count++, sched_rows_push_rollouts(pg, rows, err) < 0))
        return -1;
    return 0;
}

static void drop_results(rd_pg_result **results, size_t count)
{
    for (size_t i = 0; i < count; i++)
        rd_pg_result_free_p(&results[i]);
}

static rd_pg_outcome try_commit(rd_pg *pg, const sched_lead *lead, const sched_plan *plan, sched_rows *rows, layout *at,
                                rd_pg_result **results, rd_err *err)
{
    if (push_plan(pg, lead, plan, rows, at, err) < 0)
        return RD_PG_RETRY;
#ifdef REDOUBT_FAILPOINTS
    /* Only here does the COMMIT travel apart, so that a test can stand between. */
    rd_pg_outcome before = rd_pg_flush(pg, results, at->count, err);
    if (before != RD_PG_SOME)
        return before;
    if (RD_FP(PLAN_BEFORE_COMMIT)) {
        (void)!rd_pg_call(pg, RD_PG_ROLLBACK, NULL, err);
        (void)rd_err_set(err, RD_E_INTERNAL, "fail point");
        drop_results(results, at->count);
        return RD_PG_FAILED;
    }
    rd_pg_result *commit = NULL;
    if (rd_pg_push(pg, RD_PG_COMMIT, err) < 0)
        return RD_PG_RETRY;
    rd_pg_outcome outcome = rd_pg_flush(pg, &commit, 1, err);
    rd_pg_result_free(commit);
    if (outcome != RD_PG_SOME)
        drop_results(results, at->count);
    return outcome;
#else
    if (rd_pg_push(pg, RD_PG_COMMIT, err) < 0)
        return RD_PG_RETRY;
    rd_pg_outcome outcome = rd_pg_flush(pg, results, at->count + 1, err);
    if (outcome == RD_PG_SOME)
        rd_pg_result_free_p(&results[at->count]);
    return outcome;
#endif
}

static void pause_us(int64_t us)
{
    struct timespec wait = { us / 1000000, us % 1000000 * 1000 };
    (void)nanosleep(&wait, NULL);
}

rd_pg_outcome sched_commit(rd_pg *pg, sched_lead *lead, const sched_plan *plan, const sched_fleet *fleet,
                           sched_committed *ret, rd_err *err)
{
    rd_pg_result *results[16] = { NULL };
    layout at = { 0 };
    RD_CLEANUP(sched_rows_done) sched_rows rows;
    sched_rows_init(&rows, plan, fleet);
    rd_pg_outcome outcome = RD_PG_RETRY;
    for (int tries = 1; outcome == RD_PG_RETRY && tries <= TRIES_MAX; tries++) {
        if (tries > 1)
            pause_us((int64_t)tries * rd_jitter_below(4000));
        outcome = try_commit(pg, lead, plan, &rows, &at, results, err);
    }
    if (outcome != RD_PG_SOME)
        return outcome;
    lead->plan_no++;
    *ret = (sched_committed){ .epoch = sched_epoch(lead->era, lead->plan_no) };
    sched_rows_read(plan, fleet, lead,
                    &(sched_answers){ .locked = results[at.locked],
                                      .links = results[at.links],
                                      .hosts = at.hosts ? results[at.hosts] : NULL,
                                      .ends = at.ends ? results[at.ends] : NULL,
                                      .wants = at.wants ? results[at.wants] : NULL,
                                      .places = at.places ? results[at.places] : NULL },
                    ret);
    drop_results(results, at.count);
    return RD_PG_SOME;
}

rd_pg_outcome sched_commit_quota(rd_pg *pg, sched_lead *lead, const rd_app_id *app, int64_t gen, int64_t count,
                                 const sched_size *size, rd_err *err)
{
    if (push_fence(pg, lead, err) < 0 ||
        rd_pg_push(pg, "sched_quota_give", err, rd_pg_bytes(RD_BYTES_ARRAY(app->b)), rd_pg_i64(gen), rd_pg_i64(count),
                   rd_pg_i64(count * size->cpu_m), rd_pg_i64(count * size->mem)) < 0 ||
        rd_pg_push(pg, RD_PG_COMMIT, err) < 0)
        return RD_PG_RETRY;
    rd_pg_outcome outcome = rd_pg_flush(pg, NULL, 0, err);
    if (outcome == RD_PG_SOME)
        lead->plan_no++;
    return outcome;
}
