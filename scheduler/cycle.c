#include "scheduler/cycle.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "scheduler/evaluate.h"
#include "scheduler/hosts.h"
#include "scheduler/parked.h"

#define EVALUATIONS_MAX 1000
#define APPS_MAX        64
#define REPLICAS_MAX    4096
#define CALLED_MAX      APPS_MAX
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
    rd_app_id called[CALLED_MAX]; /* since the last turn */
    size_t called_count;
    bool has_looked; /* the last turn took evaluations */
    sched_parked *parked;
    size_t apps_max; /* in one plan: halved when the database refuses one, until the culprit is alone */
    rd_app_id planned[APPS_MAX];
    size_t planned_count;
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
    cycle->parked = sched_parked_new();
    cycle->apps_max = APPS_MAX;
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
    sched_parked_free(cycle->parked);
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

static void wake_blocked(sched_cycle *cycle)
{
    size_t iterator = 0;
    sched_app *app;
    while (sched_apps_next(cycle->apps, &iterator, &app))
        if (app->is_blocked)
            sched_apps_enqueue(cycle->apps, app);
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
    bool has_room = false;
    for (size_t i = 0; i < host_count; i++) {
        uint32_t index = sched_fleet_find(cycle->fleet, &hosts[i]);
        if (index == SCHED_HOST_NONE)
            continue;
        plan_host(cycle, index);
        has_room |= sched_host_is_open(sched_fleet_host(cycle->fleet, index));
    }
    if (has_room) /* a ready host may be back without a change of its state */
        wake_blocked(cycle);
    return 0;
}

void sched_cycle_called(sched_cycle *cycle, const rd_app_id *app)
{
    if (cycle->called_count < CALLED_MAX)
        cycle->called[cycle->called_count++] = *app;
}

static void take_called(sched_cycle *cycle)
{
    for (size_t i = 0; i < cycle->called_count; i++) {
        sched_app *app = sched_apps_get(cycle->apps, &cycle->called[i]);
        app->called_us = now_of(cycle);
        sched_apps_enqueue(cycle->apps, app);
    }
    cycle->called_count = 0;
}

/* Who is called for is not kept waiting for the rest; but every second turn takes evaluations. */
static int take_work(sched_cycle *cycle, rd_err *err)
{
    bool is_called = cycle->called_count > 0;
    take_called(cycle);
    cycle->has_looked = !is_called || !cycle->has_looked;
    return cycle->has_looked ? take_evaluations(cycle, err) : 0;
}

/* --- planning --- */

typedef struct pending_hold {
    rd_app_id app;
    int64_t gen;
    int64_t count;
    sched_size size;
} pending_hold;

/* The next apps in line; parked ones are left out until their time. */
static size_t next_apps(sched_cycle *cycle, sched_app **list)
{
    size_t count = 0;
    sched_app *app;
    while (count < cycle->apps_max && (app = sched_apps_dequeue(cycle->apps)) != NULL) {
        int64_t until_us = sched_parked_until_us(cycle->parked, &app->id, now_of(cycle));
        if (until_us) {
            app->retry_at_us = until_us;
            continue;
        }
        cycle->planned[count] = app->id;
        list[count++] = app;
    }
    cycle->planned_count = count;
    return count;
}

static int plan_apps(sched_cycle *cycle, pending_hold *holds, size_t *hold_count, rd_err *err)
{
    sched_app *list[APPS_MAX];
    size_t count = next_apps(cycle, list);
    if (count == 0)
        return 0;
    RD_CLEANUP(rd_free_p) sched_wish *wishes = rd_alloc_array(count, sizeof *wishes);
    if (sched_store_wishes(cycle->options.pg, cycle->apps, list, count, wishes, err) < 0)
        return -1;
    const sched_evaluate context = {
        .shard = cycle->lead.shard, .now_us = now_of(cycle), .fleet = cycle->fleet, .plan = &cycle->plan
    };
    for (size_t i = 0; i < count; i++) {
        sched_hold hold = { 0 };
        if (list[i]->called_us)
            wishes[i].unused_us = RD_MIN(wishes[i].unused_us, now_of(cycle) - list[i]->called_us);
        bool is_full = sched_plan_rows(&cycle->plan) >= SCHED_PLAN_ROWS_MAX;
        if (!is_full)
            sched_evaluate_app(&context, list[i], &wishes[i], &hold);
        if (is_full || list[i]->wants_turn)
            sched_apps_enqueue(cycle->apps, list[i]);
        if (hold.is_due)
            holds[(*hold_count)++] = (pending_hold){ list[i]->id, wishes[i].hold_gen, hold.count, wishes[i].size };
        bool is_none = wishes[i].gen == 0 && list[i]->lease_count == 0 && !list[i]->is_queued;
        sched_wish_done(&wishes[i]);
        if (is_none) /* called for, or long deleted: not kept */
            sched_apps_drop(cycle->apps, list[i]);
    }
    return 0;
}

/* --- after the commit --- */

/* True when capacity came free or a host opened. */
static bool apply_hosts(sched_cycle *cycle, const sched_committed *done)
{
    bool has_room = false;
    for (size_t i = 0; i < cycle->plan.host_count; i++) {
        const sched_host_change *change = &cycle->plan.hosts[i];
        sched_host *host = sched_fleet_host(cycle->fleet, change->host);
        bool is_new_state = !host->is_known || host->state != change->state;
        host->is_known = true;
        host->state = change->state;
        host->granted = change->granted;
        host->lost_session = RD_MAX(host->lost_session, change->lost_session);
        if (done->state_gens[i])
            host->state_gen = done->state_gens[i];
        sched_fleet_refresh(cycle->fleet, change->host);
        has_room |= sched_host_is_open(host);
        cycle->must_look_at_hosts |= is_new_state; /* the next legal step, if there is one */
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

/* The database refused a plan for what it says, not for how things stood: look for the app behind it. */
static void note_refusal(sched_cycle *cycle)
{
    if (cycle->planned_count == 1 && sched_parked_refused(cycle->parked, &cycle->planned[0], now_of(cycle))) {
        char app[RD_APP_ID_TEXT_SIZE];
        rd_app_id_format(&cycle->planned[0], app);
        rd_log(RD_ERROR, "app_parked", RD_STR("app", app));
    }
    cycle->apps_max = RD_MAX((size_t)1, cycle->apps_max / 2);
}

static void note_acceptance(sched_cycle *cycle)
{
    if (cycle->apps_max < APPS_MAX) {
        for (size_t i = 0; i < cycle->planned_count; i++)
            sched_parked_accepted(cycle->parked, &cycle->planned[i]);
        cycle->apps_max *= 2;
    }
}

static sched_turn commit(sched_cycle *cycle, const pending_hold *holds, size_t hold_count, rd_err *err)
{
    if (!sched_plan_is_empty(&cycle->plan)) {
        (void)RD_FP(PLAN_EVALUATED);
        sched_committed done = { 0 };
        rd_pg_outcome outcome = sched_commit(cycle->options.pg, &cycle->lead, &cycle->plan, cycle->fleet, &done, err);
        if (outcome == RD_PG_UNKNOWN) { /* the fence tells, read again */
            (void)rd_err_set(err, RD_E_FENCED, "the outcome of a plan is unknown");
            rd_log(RD_WARN, "plan_outcome_unknown", RD_I64("epoch", cycle->lead.epoch));
        }
        if (outcome == RD_PG_FAILED && err->code != RD_E_FENCED)
            note_refusal(cycle);
        if (outcome != RD_PG_SOME)
            return failed(cycle, err);
        note_acceptance(cycle);
        (void)RD_FP(PLAN_AFTER_COMMIT);
        cycle->options.publish(cycle->options.context, done.jobs, done.job_count);
        apply(cycle, &done);
        sched_committed_done(&done);
    }
    give_quota(cycle, holds, hold_count);
    bool has_more = sched_apps_waiting(cycle->apps) > 0 || cycle->must_look_at_hosts || cycle->must_load;
    return has_more || !cycle->has_looked ? SCHED_TURN_MORE : SCHED_TURN_IDLE;
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
    if (take_work(cycle, &err) < 0 || plan_apps(cycle, holds, &hold_count, &err) < 0)
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

static int by_host(const void *a, const void *b)
{
    return memcmp(((const sched_lag *)a)->host.b, ((const sched_lag *)b)->host.b, sizeof((const sched_lag *)a)->host.b);
}

/* The last tick's are in order of their hosts. */
static bool has_not_moved(const sched_cycle *cycle, const sched_lag *lag)
{
    if (cycle->lag_count == 0)
        return false;
    const sched_lag *old = bsearch(lag, cycle->lags, cycle->lag_count, sizeof *lag, by_host);
    return old && old->acked_seq == lag->acked_seq;
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

/* Whether nothing lives on a lost host any more is told by reports, which do not name hosts. */
static int reread_lost(sched_cycle *cycle, rd_err *err)
{
    size_t count = 0;
    RD_CLEANUP(rd_free_p) rd_id *lost = rd_alloc_array(sched_fleet_count(cycle->fleet) + 1, sizeof *lost);
    for (uint32_t i = 0; i < sched_fleet_count(cycle->fleet); i++) {
        const sched_host *host = sched_fleet_host(cycle->fleet, i);
        if (host->state == RD_HOST_LOST && host->link_up)
            lost[count++] = host->id;
    }
    return count ? sched_store_hosts(cycle->options.pg, cycle->lead.shard, lost, count, cycle->fleet, err) : 0;
}

void sched_cycle_tick(sched_cycle *cycle)
{
    rd_err err = RD_ERR_INIT;
    if (cycle->must_load || !cycle->fleet)
        return;
    wake_due(cycle);
    if (reread_lost(cycle, &err) < 0 || read_beats(cycle, &err) < 0 || heal(cycle, &err) < 0) {
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
