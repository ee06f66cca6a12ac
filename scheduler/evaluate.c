#include "scheduler/evaluate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "scheduler/lease.h"
#include "scheduler/place.h"
#include "scheduler/reason.h"
#include "scheduler/rollout.h"

#define KIND_STOP      4
#define APP_DELETING   2
#define FAILURES_FINAL 3
#define DRAIN_MAX_US   60000000
#define INSTANCES_MAX  4096
/* A host that ended an instance unasked comes last for a while, behind any number of the app's other instances. */
#define AVOID_US       60000000
#define AVOID_WEIGHT   30000
#define STATE_PROGRESS 1
#define STATE_HEALTHY  2
#define STATE_PAUSED   3
#define STATE_FAILED   6
#define STATE_STOPPING 8
#define STATE_ENDED    9

typedef struct evaluation {
    const sched_evaluate *context;
    sched_app *app;
    const sched_wish *wish;
    bool is_stop;
    sched_wanted wanted;
    sched_lease **leases; /* those that this look does not end */
    int lease_count;
    sched_step step;
    int serving; /* of this release, under whatever head */
    int placed;
    char *reason;
    bool has_failed;
} evaluation;

static bool is_of_release(const sched_wish *wish, const sched_lease *lease)
{
    return lease->gen >= wish->base_gen && rd_digest_equal(&lease->release, &wish->release);
}

/* What began with other secrets than the newest head gives is replaced as what runs an older release is. */
static bool is_current(const sched_wish *wish, const sched_lease *lease)
{
    return is_of_release(wish, lease) && lease->head_seq >= wish->fits_from;
}

/* Whom a host refuses another one takes; whom the owner's own webhook keeps out now it may let in later; and one that a
 * newer head overtook on its way starts again under that one. */
static bool is_fault_of_release(const sched_lease *lease)
{
    static const rd_code others[] = { RD_E_WEBHOOK_REQUIRED, RD_E_WEBHOOK_REFUSED, RD_E_HEAD_ROLLBACK,
                                      RD_E_GRANT_EXPIRED };
    rd_code code = rd_code_by_name(lease->reason);
    bool is_others = lease->phase == RD_PHASE_REFUSED;
    for (size_t i = 0; i < RD_ARRAY_LEN(others); i++)
        is_others = is_others || code == others[i];
    return !is_others;
}

/* Those of another generation, or under other secrets, say nothing about these. */
static bool has_failures(const evaluation *e)
{
    return e->app->failures > 0 && e->app->failures_gen == e->wish->gen && e->app->failures_head == e->wish->fits_from;
}

static void note_failure(evaluation *e, const sched_lease *lease)
{
    sched_app *app = e->app;
    if (!has_failures(e)) {
        app->failures_gen = e->wish->gen;
        app->failures_head = e->wish->fits_from;
        app->failures = app->faults = 0;
        app->failures_epoch = 0;
    }
    app->failures_epoch = RD_MAX(app->failures_epoch, lease->epoch);
    app->failures++;
    app->faults += is_fault_of_release(lease);
    (void)snprintf(app->failure, sizeof app->failure, "%s", lease->reason);
    app->refused_by = sched_fleet_host(e->context->fleet, lease->host)->id;
    app->refused_until_us = e->context->now_us + AVOID_US;
    app->retry_at_us = e->context->now_us + sched_rollout_delay_us(app->failures);
}

/* Final reports end leases; what is left is what the step looks at. */
static void end_finished(evaluation *e)
{
    e->leases = rd_alloc_array(e->app->lease_count + 1, sizeof(sched_lease *));
    for (size_t i = 0; i < e->app->lease_count; i++) {
        sched_lease *lease = e->app->leases[i];
        if (lease->is_ended)
            continue;
        if (lease->phase < RD_PHASE_REFUSED) {
            e->leases[e->lease_count++] = lease;
            continue;
        }
        const char *reason = lease->phase == RD_PHASE_REFUSED  ? "refused"
                             : lease->phase == RD_PHASE_FAILED ? "failed"
                                                               : "stopped";
        if (lease->want == RD_WANT_RUN && is_current(e->wish, lease))
            note_failure(e, lease);
        /* Its host learns the level, too: should the instance turn up there again, it is to be stopped. */
        sched_plan_end(e->context->plan, lease, reason, lease->want != RD_WANT_STOP);
    }
}

static bool is_leaving(const evaluation *e, const sched_lease *lease)
{
    const sched_host *host = sched_fleet_host(e->context->fleet, lease->host);
    return host->state == RD_HOST_DRAINING || host->wants_drain || host->is_retired || host->is_marked;
}

static bool is_on_call(const evaluation *e)
{
    return !e->is_stop && e->wish->min == 0;
}

/* With min = 0 one instance runs until it was left alone for its idle time; a release that never served is tried out
 * first, so that its faults show when it is deployed and not at the first call. */
static int count_wanted(const evaluation *e)
{
    const sched_wish *wish = e->wish;
    if (e->is_stop)
        return 0;
    if (wish->min == 0)
        return !wish->has_been_healthy || wish->unused_us < wish->idle_us;
    return RD_MIN(wish->min, INSTANCES_MAX / 2);
}

static void take_step(evaluation *e)
{
    sched_actual *actual = rd_alloc_array((size_t)e->lease_count + 1, sizeof *actual);
    rd_want *wants = rd_alloc_array((size_t)e->lease_count + 1, sizeof *wants);
    bool has_served = false;
    for (int i = 0; i < e->lease_count; i++) {
        sched_lease *lease = e->leases[i];
        /* Begun under an earlier leader: its time counts from when this one saw it. */
        if (lease->want == RD_WANT_DRAIN && lease->drain_since_us == 0)
            lease->drain_since_us = e->context->now_us;
        actual[i] = (sched_actual){ .is_new = is_current(e->wish, lease),
                                    .is_serving = lease->is_serving,
                                    .is_leaving = is_leaving(e, lease),
                                    .want = lease->want,
                                    .age = -lease->epoch };
        has_served |= actual[i].is_new && lease->is_serving && lease->epoch > e->app->failures_epoch;
        e->serving += lease->is_serving && lease->want == RD_WANT_RUN && is_of_release(e->wish, lease);
    }
    sched_rollout_step(&e->wanted, actual, e->lease_count, wants, &e->step);
    if (has_served || e->step.is_settled)
        e->app->failures = e->app->faults = 0;
    for (int i = 0; i < e->lease_count; i++) {
        sched_lease *lease = e->leases[i];
        bool is_slow = lease->want == RD_WANT_DRAIN && lease->drain_since_us &&
                       e->context->now_us - lease->drain_since_us > DRAIN_MAX_US;
        rd_want want = is_slow ? RD_WANT_STOP : wants[i];
        if (want > lease->want)
            sched_plan_want(e->context->plan, lease, want);
    }
    e->step.wants = NULL;
    free(wants);
    free(actual);
}

/* The lowest slot that no running lease of this deployment has. */
static int free_slot(const evaluation *e, const bool *taken)
{
    for (int n = 0; n < INSTANCES_MAX; n++)
        if (!taken[n])
            return n;
    (void)e;
    return -1;
}

static void mark_slots(const evaluation *e, bool *taken)
{
    for (int i = 0; i < e->lease_count; i++) {
        int n = sched_slot_number(e->leases[i]->slot);
        bool is_same = memcmp(e->leases[i]->instance.b, e->wish->deployment.b, 12) == 0;
        if (is_same && n >= 0 && n < INSTANCES_MAX)
            taken[n] = true;
    }
}

static void place_on(evaluation *e, uint32_t index, int slot_number)
{
    sched_host *host = sched_fleet_host(e->context->fleet, index);
    int32_t slot = sched_slot(e->context->shard, slot_number);
    const sched_placement placement = {
        .lease = { .instance = rd_instance_id(&e->wish->deployment, slot),
                   .org = e->wish->org,
                   .app = e->app,
                   .host = index,
                   .gen = e->wish->gen,
                   .head_seq = e->wish->head_seq,
                   .slot = slot,
                   .release = e->wish->release,
                   .class = e->wish->class,
                   .size = e->wish->size,
                   .ttl_us = e->wish->lease_ttl_us,
                   .want = RD_WANT_RUN },
        .state_gen = host->state_gen,
    };
    sched_fleet_take(e->context->fleet, index, &e->wish->size, 1);
    sched_plan_place(e->context->plan, &placement);
    e->placed++;
}

static void place_missing(evaluation *e)
{
    const sched_need need = {
        .size = e->wish->size,
        .is_simulated = e->wish->is_simulated,
        .tees = e->wish->tees ? e->wish->tees : "",
        .regions = e->wish->regions ? e->wish->regions : "",
        .labels = e->wish->labels ? e->wish->labels : "",
    };
    RD_CLEANUP(rd_free_p) bool *taken = rd_alloc(INSTANCES_MAX);
    RD_CLEANUP(rd_free_p) uint16_t *on_host = rd_alloc_array(sched_fleet_count(e->context->fleet) + 1, sizeof *on_host);
    sched_eligible eligible;
    sched_place_eligible(e->context->fleet, &need, &eligible);
    mark_slots(e, taken);
    for (int i = 0; i < e->lease_count; i++)
        on_host[e->leases[i]->host]++;
    uint32_t refused = sched_fleet_find(e->context->fleet, &e->app->refused_by);
    if (refused != SCHED_HOST_NONE && e->context->now_us < e->app->refused_until_us)
        on_host[refused] += AVOID_WEIGHT;
    e->app->is_blocked = false;
    for (int i = 0; i < e->step.start; i++) {
        /* The rest has its turn in the next plan, behind the other apps. */
        if (sched_plan_rows(e->context->plan) >= SCHED_PLAN_ROWS_MAX) {
            e->app->wants_turn = true;
            break;
        }
        int slot = free_slot(e, taken);
        uint32_t host = slot < 0 ? SCHED_HOST_NONE : sched_place_one(e->context->fleet, &need, &eligible, on_host);
        if (host == SCHED_HOST_NONE) {
            sched_why why;
            sched_place_why(e->context->fleet, &need, &why);
            e->reason = sched_reason_unplaced(&why, &need);
            e->app->is_blocked = true;
            break;
        }
        taken[slot] = true;
        on_host[host]++;
        place_on(e, host, slot);
    }
    free(eligible.bits);
}

/* A new release that never came up is given up after a few launches; one that has served is tried for ever, more and
 * more slowly, and so is one that no host takes. One failure beside others that serve is mended without a word. */
static bool may_start(evaluation *e)
{
    sched_app *app = e->app;
    if (!has_failures(e) || (app->failures == 1 && e->serving > 0))
        return true;
    e->has_failed = app->faults >= FAILURES_FINAL && !e->wish->has_been_healthy && e->serving == 0;
    e->reason = sched_reason_failed(app->failure, app->failures, e->has_failed);
    return !e->has_failed && e->context->now_us >= app->retry_at_us;
}

static int rollout_state(const evaluation *e)
{
    if (e->is_stop)
        return e->lease_count == 0 ? STATE_ENDED : STATE_STOPPING;
    if (e->has_failed)
        return STATE_FAILED;
    if (e->step.is_settled)
        return STATE_HEALTHY;
    return e->wish->paused ? STATE_PAUSED : STATE_PROGRESS;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* A healthy rollout stays healthy while it heals: its instances' own states tell the rest. */
static void put_rollout(evaluation *e)
{
    int state = rollout_state(e);
    if (e->wish->rollout_state == STATE_HEALTHY && state == STATE_PROGRESS && !e->reason)
        state = STATE_HEALTHY;
    int placed = e->step.new_live + e->placed;
    bool is_changed = state != e->wish->rollout_state || !same_text(e->reason, e->wish->rollout_reason);
    if (!is_changed && e->placed == 0 && e->wanted.count == e->wish->rollout_wanted)
        return;
    sched_plan_rollout(e->context->plan, &(sched_rollout_row){ .app = e->app->id,
                                                               .org = e->wish->org,
                                                               .deployment = e->wish->deployment,
                                                               .gen = e->wish->gen,
                                                               .state = state,
                                                               .wanted = e->wanted.count,
                                                               .placed = placed,
                                                               .healthy = RD_MIN(e->serving, e->wanted.count),
                                                               .reason = RD_TAKE(e->reason),
                                                               .is_changed = is_changed });
}

static void judge_hold(const evaluation *e, sched_hold *ret)
{
    int64_t needed = e->is_stop ? 0 : RD_MAX(e->wish->max, e->wanted.count);
    bool is_quiet = e->is_stop ? e->lease_count == 0 && e->app->lease_count == 0 : e->step.is_settled;
    *ret = (sched_hold){ .is_due = e->wish->has_hold && is_quiet && e->wish->hold_gen <= e->wish->gen &&
                                   (e->is_stop || e->wish->hold_inst > needed),
                         .count = needed };
}

/* When to look again without being told: a retry, the end of the idle time, or a drain that takes too long. */
static void set_alarm(evaluation *e)
{
    int64_t due_us = has_failures(e) && !e->has_failed ? e->app->retry_at_us : 0;
    if (is_on_call(e) && !has_failures(e) && e->wanted.count > 0 && e->serving > 0) {
        int64_t unused_us = e->wish->has_been_healthy ? e->wish->unused_us : 0; /* healthy from this plan on */
        due_us = e->context->now_us + e->wish->idle_us - unused_us + 1000;
    }
    for (int i = 0; i < e->lease_count; i++) {
        const sched_lease *lease = e->leases[i];
        int64_t end_us = lease->drain_since_us ? lease->drain_since_us + DRAIN_MAX_US + 1 : 0;
        if (end_us && lease->want == RD_WANT_DRAIN && (due_us == 0 || end_us < due_us))
            due_us = end_us;
    }
    e->app->retry_at_us = due_us;
}

void sched_evaluate_app(const sched_evaluate *context, sched_app *app, const sched_wish *wish, sched_hold *ret_hold)
{
    evaluation e = { .context = context, .app = app, .wish = wish };
    e.is_stop = wish->gen == 0 || wish->kind == KIND_STOP || wish->app_state >= APP_DELETING;
    e.wanted =
        (sched_wanted){ .count = count_wanted(&e), .surge = wish->surge, .paused = wish->paused, .is_stop = e.is_stop };
    app->wants_turn = false;
    end_finished(&e);
    take_step(&e);
    if (!e.is_stop && e.step.start > 0 && may_start(&e))
        place_missing(&e);
    if (wish->gen != 0)
        put_rollout(&e);
    judge_hold(&e, ret_hold);
    set_alarm(&e);
    free(e.leases);
    free(e.reason);
}
