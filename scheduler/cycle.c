#include "scheduler/cycle.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "scheduler/evaluate.h"
#include "scheduler/hosts.h"

#define EVALUATIONS_MAX 1000
#define APPS_MAX        64
#define ROWS_MAX        1000
#define REPLICAS_MAX    4096
#define RETRY_US        1000000

struct sched_cycle {
    sched_cycle_options options;
    sched_lead lead;
    sched_fleet *fleet;
    sched_apps *apps;
    sched_watch *watch;
    sched_plan plan;
    bool must_load;
    bool must_look_at_hosts;
    int64_t load_after_us;
    sched_evaluation evaluations[EVALUATIONS_MAX];
    sched_lag *lags; /* of the last tick, to see who has not moved */
    size_t lag_count;
};

static int64_t now_of(const sched_cycle *cycle)
{
    return rd_clock_boot_us(cycle->options.clock);
}

sched_cycle *sched_cycle_new(const sched_cycle_options *options, const sched_lead *lead)
{
    sched_cycle *cycle = rd_alloc(sizeof *cycle);
    cycle->options = *options;
    cycle->lead = *lead;
    cycle->must_load = true;
    cycle->watch = sched_watch_new(now_of(cycle));
    return cycle;
}

static void drop_copy(sched_cycle *cycle)
{
    sched_plan_clear(&cycle->plan);
    sched_apps_free(cycle->apps);
    sched_fleet_free(cycle->fleet);
    cycle->apps = NULL;
    cycle->fleet = NULL;
}

void sched_cycle_free(sched_cycle *cycle)
{
    if (!cycle)
        return;
    drop_copy(cycle);
    sched_plan_done(&cycle->plan);
    sched_watch_free(cycle->watch);
    free(cycle->lags);
    free(cycle);
}

/* --- what PostgreSQL says --- */

static int read_beats(sched_cycle *cycle, rd_err *err)
{
    RD_CLEANUP(rd_free_p) sched_beat *beats = rd_alloc_array(REPLICAS_MAX, sizeof *beats);
    int count = sched_store_replicas(cycle->options.pg, beats, REPLICAS_MAX, err);
    if (count < 0)
        return -1;
    sched_watch_beats(cycle->watch, beats, count, now_of(cycle));
    sched_watch_hosts(cycle->watch, cycle->fleet, now_of(cycle));
    return 0;
}

static void enqueue_all(sched_cycle *cycle)
{
    size_t iterator = 0;
    sched_app *app;
    while (sched_apps_next(cycle->apps, &iterator, &app))
        sched_apps_enqueue(cycle->apps, app);
}

static void plan_host(sched_cycle *cycle, uint32_t index)
{
    sched_hosts_plan(&cycle->plan, cycle->fleet, cycle->apps, cycle->watch, index, now_of(cycle));
}

static void plan_hosts(sched_cycle *cycle)
{
    for (uint32_t i = 0; i < sched_fleet_count(cycle->fleet); i++)
        plan_host(cycle, i);
}

static int load(sched_cycle *cycle, rd_err *err)
{
    rd_pg *pg = cycle->options.pg;
    int shard = cycle->lead.shard;
    drop_copy(cycle);
    cycle->fleet = sched_fleet_new();
    cycle->apps = sched_apps_new();
    if (sched_store_hosts(pg, shard, NULL, 0, cycle->fleet, err) < 0 ||
        sched_store_leases(pg, shard, cycle->fleet, cycle->apps, err) < 0 ||
        sched_store_unsettled(pg, shard, cycle->apps, err) < 0 || read_beats(cycle, err) < 0)
        return -1;
    enqueue_all(cycle);
    plan_hosts(cycle);
    cycle->must_load = false;
    rd_log(RD_INFO, "fleet_loaded", RD_U64("hosts", sched_fleet_count(cycle->fleet)),
           RD_U64("apps", sched_apps_count(cycle->apps)), RD_I64("epoch", cycle->lead.epoch));
    return 0;
}

/* New evaluations: apps into the queue, hosts read again and looked at. */
static int take_evaluations(sched_cycle *cycle, rd_err *err)
{
    rd_pg *pg = cycle->options.pg;
    int count = sched_store_evaluations(pg, cycle->lead.shard, cycle->evaluations, EVALUATIONS_MAX, err);
    if (count < 0)
        return -1;
    RD_CLEANUP(rd_free_p) rd_id *hosts = rd_alloc_array((size_t)count + 1, sizeof *hosts);
    size_t host_count = 0;
    for (int i = 0; i < count; i++) {
        const sched_evaluation *evaluation = &cycle->evaluations[i];
        sched_plan_seen(&cycle->plan, evaluation->id);
        if (evaluation->kind == 2) {
            memcpy(hosts[host_count++].b, evaluation->subject, sizeof hosts[0].b);
            continue;
        }
        rd_app_id app;
        memcpy(app.b, evaluation->subject, sizeof app.b);
        sched_apps_enqueue(cycle->apps, sched_apps_get(cycle->apps, &app));
    }
    if (host_count == 0)
        return 0;
    if (sched_store_hosts(pg, cycle->lead.shard, hosts, host_count, cycle->fleet, err) < 0 ||
        read_beats(cycle, err) < 0)
        return -1;
    for (size_t i = 0; i < host_count; i++) {
        uint32_t index = sched_fleet_find(cycle->fleet, &hosts[i]);
        if (index != SCHED_HOST_NONE)
            plan_host(cycle, index);
    }
    return 0;
}

/* --- planning --- */

typedef struct pending_hold {
    rd_app_id app;
    int64_t gen;
    int64_t count;
    sched_size size;
} pending_hold;

static int plan_apps(sched_cycle *cycle, pending_hold *holds, size_t *hold_count, rd_err *err)
{
    sched_app *list[APPS_MAX];
    size_t count = 0;
    while (count < APPS_MAX && sched_plan_rows(&cycle->plan) < ROWS_MAX &&
           (list[count] = sched_apps_dequeue(cycle->apps)) != NULL)
        count++;
    if (count == 0)
        return 0;
    RD_CLEANUP(rd_free_p) sched_wish *wishes = rd_alloc_array(count, sizeof *wishes);
    if (sched_store_wishes(cycle->options.pg, cycle->apps, list, count, wishes, err) < 0)
        return -1;
    const sched_evaluate context = {
        .shard = cycle->lead.shard, .now_us = now_of(cycle), .fleet = cycle->fleet, .plan = &cycle->plan
    };
    for (size_t i = 0; i < count; i++) {
        sched_hold hold;
        sched_evaluate_app(&context, list[i], &wishes[i], &hold);
        if (hold.is_due)
            holds[(*hold_count)++] = (pending_hold){ list[i]->id, wishes[i].hold_gen, hold.count, wishes[i].size };
        sched_wish_done(&wishes[i]);
    }
    return 0;
}

/* --- after the commit --- */

static void wake_blocked(sched_cycle *cycle)
{
    size_t iterator = 0;
    sched_app *app;
    while (sched_apps_next(cycle->apps, &iterator, &app))
        if (app->is_blocked)
            sched_apps_enqueue(cycle->apps, app);
}

/* True when capacity came free or a host opened. */
static bool apply_hosts(sched_cycle *cycle, const sched_committed *done)
{
    bool has_room = false;
    for (size_t i = 0; i < cycle->plan.host_count; i++) {
        const sched_host_change *change = &cycle->plan.hosts[i];
        sched_host *host = sched_fleet_host(cycle->fleet, change->host);
        host->is_known = true;
        host->state = change->state;
        host->granted = change->granted;
        host->lost_session = RD_MAX(host->lost_session, change->lost_session);
        if (done->state_gens[i])
            host->state_gen = done->state_gens[i];
        sched_fleet_refresh(cycle->fleet, change->host);
        has_room |= sched_host_is_open(host);
        rd_log(RD_INFO, "host_state", RD_STR("state", rd_host_state_name(change->state)),
               RD_U64("index", change->host));
    }
    return has_room;
}

static void apply_endings(sched_cycle *cycle, const sched_committed *done)
{
    for (size_t i = 0; i < cycle->plan.ending_count; i++) {
        sched_lease *lease = cycle->plan.endings[i].lease;
        sched_host *host = sched_fleet_host(cycle->fleet, lease->host);
        if (!done->ended[i])
            cycle->must_load = true; /* somebody gave its capacity back already: our copy is wrong */
        host->lease_count--;
        cycle->must_look_at_hosts |= host->wants_drain && host->lease_count == 0;
        sched_fleet_take(cycle->fleet, lease->host, &lease->size, -1);
        sched_apps_enqueue(cycle->apps, lease->app);
        sched_apps_remove(cycle->apps, lease);
    }
}

static void apply_wants(sched_cycle *cycle)
{
    for (size_t i = 0; i < cycle->plan.change_count; i++) {
        sched_lease *lease = cycle->plan.changes[i].lease;
        if (lease->want == RD_WANT_RUN)
            lease->drain_since_us = now_of(cycle);
        lease->want = cycle->plan.changes[i].want;
    }
}

static void apply_placements(sched_cycle *cycle, const sched_committed *done)
{
    for (size_t i = 0; i < cycle->plan.placement_count; i++) {
        sched_lease lease = cycle->plan.placements[i].lease;
        if (!done->placed[i]) {
            sched_fleet_take(cycle->fleet, lease.host, &lease.size, -1);
            sched_apps_enqueue(cycle->apps, lease.app);
            cycle->must_load = true;
            continue;
        }
        lease.epoch = done->epoch;
        (void)sched_apps_add(cycle->apps, &lease);
        sched_fleet_host(cycle->fleet, lease.host)->lease_count++;
    }
}

/* The plan's rows are taken over into the copy; what follows from them is planned in the next turn. */
static void apply(sched_cycle *cycle, const sched_committed *done)
{
    bool has_room = apply_hosts(cycle, done) || cycle->plan.ending_count > 0;
    apply_wants(cycle);
    apply_placements(cycle, done);
    apply_endings(cycle, done);
    sched_plan_clear(&cycle->plan);
    if (has_room)
        wake_blocked(cycle);
}

static void give_quota(sched_cycle *cycle, const pending_hold *holds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        rd_err err = RD_ERR_INIT;
        rd_pg_outcome outcome = sched_commit_quota(cycle->options.pg, &cycle->lead, &holds[i].app, holds[i].gen,
                                                   holds[i].count, &holds[i].size, &err);
        if (outcome != RD_PG_SOME) {
            rd_log(RD_WARN, "quota_not_given", RD_ERR(&err));
            cycle->must_load = true;
        }
    }
}

static sched_turn failed(sched_cycle *cycle, const rd_err *err)
{
    cycle->must_load = true;
    if (err->code == RD_E_FENCED)
        return SCHED_TURN_FENCED;
    rd_log(RD_WARN, "plan_failed", RD_ERR(err));
    cycle->load_after_us = now_of(cycle) + RETRY_US;
    return SCHED_TURN_IDLE;
}

static sched_turn commit(sched_cycle *cycle, const pending_hold *holds, size_t hold_count, rd_err *err)
{
    if (!sched_plan_is_empty(&cycle->plan)) {
        (void)RD_FP(PLAN_EVALUATED);
        sched_committed done = { 0 };
        rd_pg_outcome outcome = sched_commit(cycle->options.pg, &cycle->lead, &cycle->plan, cycle->fleet, &done, err);
        if (outcome == RD_PG_UNKNOWN)
            (void)rd_err_set(err, RD_E_FENCED, "the outcome of a plan is unknown: the fence is read again");
        if (outcome != RD_PG_SOME)
            return failed(cycle, err);
        (void)RD_FP(PLAN_AFTER_COMMIT);
        cycle->options.publish(cycle->options.context, done.jobs, done.job_count);
        apply(cycle, &done);
        sched_committed_done(&done);
    }
    give_quota(cycle, holds, hold_count);
    return sched_apps_waiting(cycle->apps) > 0 || cycle->must_look_at_hosts || cycle->must_load ? SCHED_TURN_MORE
                                                                                                : SCHED_TURN_IDLE;
}

sched_turn sched_cycle_turn(sched_cycle *cycle)
{
    rd_err err = RD_ERR_INIT;
    if (cycle->must_load) {
        if (now_of(cycle) < cycle->load_after_us)
            return SCHED_TURN_IDLE;
        if (load(cycle, &err) < 0)
            return failed(cycle, &err);
    }
    if (cycle->must_look_at_hosts)
        plan_hosts(cycle);
    cycle->must_look_at_hosts = false;
    pending_hold holds[APPS_MAX];
    size_t hold_count = 0;
    if (take_evaluations(cycle, &err) < 0 || plan_apps(cycle, holds, &hold_count, &err) < 0)
        return failed(cycle, &err);
    return commit(cycle, holds, hold_count, &err);
}

/* --- each second --- */

static void wake_due(sched_cycle *cycle)
{
    size_t iterator = 0;
    sched_app *app;
    while (sched_apps_next(cycle->apps, &iterator, &app)) {
        if (app->retry_at_us == 0 || app->retry_at_us > now_of(cycle))
            continue;
        app->retry_at_us = 0;
        sched_apps_enqueue(cycle->apps, app);
    }
}

static bool has_not_moved(const sched_cycle *cycle, const sched_lag *lag)
{
    for (size_t i = 0; i < cycle->lag_count; i++)
        if (rd_id_equal(&cycle->lags[i].host, &lag->host))
            return cycle->lags[i].acked_seq == lag->acked_seq;
    return false;
}

/* A hint may have been lost: who lags since the last tick without a step is told again (T3). */
static int heal(sched_cycle *cycle, rd_err *err)
{
    sched_lag *lags = NULL;
    ssize_t count = sched_store_lagging(cycle->options.pg, cycle->lead.shard, &lags, err);
    if (count < 0)
        return -1;
    for (ssize_t i = 0; i < count; i++)
        if (has_not_moved(cycle, &lags[i]))
            cycle->options.resync(cycle->options.context, &lags[i].host, &lags[i].replica);
    free(cycle->lags);
    cycle->lags = lags;
    cycle->lag_count = (size_t)count;
    return 0;
}

void sched_cycle_tick(sched_cycle *cycle)
{
    rd_err err = RD_ERR_INIT;
    if (cycle->must_load || !cycle->fleet)
        return;
    wake_due(cycle);
    if (read_beats(cycle, &err) < 0 || heal(cycle, &err) < 0) {
        (void)failed(cycle, &err);
        return;
    }
    plan_hosts(cycle);
}

int64_t sched_cycle_due_us(const sched_cycle *cycle)
{
    size_t iterator = 0;
    sched_app *app;
    int64_t due_us = 0;
    while (cycle->apps && sched_apps_next(cycle->apps, &iterator, &app))
        if (app->retry_at_us && (due_us == 0 || app->retry_at_us < due_us))
            due_us = app->retry_at_us;
    return due_us;
}
