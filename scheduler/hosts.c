#include "scheduler/hosts.h"

#include "common/base/mem.h"

#define CLASS_EXCLUSIVE 2

static bool is_attached(const sched_host *host)
{
    return host->link_up && host->silent_since_us == 0 && host->session > 0 &&
           host->reconciled_session == host->session;
}

/* Where an attached host belongs by its wishes. */
static rd_host_state settled_state(const sched_host *host)
{
    if (host->wants_drain)
        return host->lease_count == 0 ? RD_HOST_DRAINED : RD_HOST_DRAINING;
    return host->wants_cordon ? RD_HOST_CORDONED : RD_HOST_READY;
}

rd_host_state sched_host_next(const sched_host *host, bool is_lost)
{
    if ((host->is_retired || host->is_revoked) && host->lease_count == 0)
        return RD_HOST_RETIRED;
    if (is_lost)
        return RD_HOST_LOST;
    if (!host->is_known)
        return RD_HOST_ENROLLED;
    if (host->is_marked && host->state != RD_HOST_LOST && host->state != RD_HOST_RETIRED)
        return RD_HOST_QUARANTINED;
    switch (host->state) {
    case RD_HOST_LOST:
        /* Its leases were given away: a later session brings it back, or the proof that they have ended there. */
        if (!is_attached(host) || (host->session <= host->lost_session && !host->is_clear))
            return RD_HOST_LOST;
        return host->is_marked ? RD_HOST_QUARANTINED : RD_HOST_RECONCILING;
    case RD_HOST_ENROLLED:
    case RD_HOST_QUARANTINED: /* released */
        return RD_HOST_RECONCILING;
    case RD_HOST_RECONCILING:
        return is_attached(host) ? settled_state(host) : RD_HOST_RECONCILING;
    case RD_HOST_READY:
    case RD_HOST_CORDONED:
    case RD_HOST_SUSPECT:
    case RD_HOST_DRAINING:
    case RD_HOST_DRAINED:
        return settled_state(host);
    default:
        return host->state;
    }
}

static bool size_differs(const sched_size *a, const sched_size *b)
{
    return a->cpu_m != b->cpu_m || a->mem != b->mem || a->slots != b->slots;
}

/* Granted is what is reported, never below what is carried (the statement holds that too). */
static sched_size granted_now(const sched_host *host)
{
    return (sched_size){ RD_MAX(host->reported.cpu_m, host->used.cpu_m), RD_MAX(host->reported.mem, host->used.mem),
                         RD_MAX(host->reported.slots, host->used.slots) };
}

/* A replica out of reach may go on renewing for 4 s, the agent then counts its TTL: only after both, with a margin for
 * drifting clocks, has an exclusive instance stopped by itself (data-model, section 9). */
static bool has_run_out(const sched_lease *lease, const sched_host *host, int64_t now_us)
{
    if (lease->class != CLASS_EXCLUSIVE)
        return true;
    int64_t margin_us = 2000000 + lease->ttl_us / 10;
    return host->silent_since_us && now_us - host->silent_since_us > 4000000 + lease->ttl_us + margin_us;
}

/* Every lease on the host: ended as lost, or its app queued for another look. */
static void visit_leases(sched_plan *plan, sched_apps *apps, uint32_t index, const sched_host *host, bool must_end,
                         int64_t now_us)
{
    size_t iterator = 0;
    sched_app *app;
    while (sched_apps_next(apps, &iterator, &app)) {
        bool is_touched = false;
        for (size_t i = 0; i < app->lease_count; i++) {
            sched_lease *lease = app->leases[i];
            if (lease->host != index || lease->is_ended)
                continue;
            is_touched = true;
            if (must_end && has_run_out(lease, host, now_us))
                sched_plan_end(plan, lease, "lost", true);
        }
        if (is_touched)
            sched_apps_enqueue(apps, app);
    }
}

void sched_hosts_plan(sched_plan *plan, sched_fleet *fleet, sched_apps *apps, sched_watch *watch, uint32_t index,
                      int64_t now_us)
{
    sched_host *host = sched_fleet_host(fleet, index);
    bool may_be_empty = host->state == RD_HOST_RECONCILING || host->state == RD_HOST_QUARANTINED;
    bool is_placed_on = host->state != RD_HOST_ENROLLED && (!may_be_empty || host->lease_count > 0);
    bool may_be_lost = host->is_known && host->state != RD_HOST_LOST && host->state != RD_HOST_RETIRED && is_placed_on;
    bool is_lost = may_be_lost && (host->is_revoked || sched_watch_is_lost(watch, fleet, host, now_us));
    rd_host_state next = sched_host_next(host, is_lost);
    sched_size granted = granted_now(host);
    /* What was left on a lost host (exclusive leases that had time to run out) follows it. */
    if (host->state == RD_HOST_LOST && next == RD_HOST_LOST && host->lease_count > 0)
        visit_leases(plan, apps, index, host, true, now_us);
    if (host->is_known && next == host->state && !size_differs(&granted, &host->granted))
        return;
    sched_plan_host(plan, &(sched_host_change){ .host = index,
                                                .state = next,
                                                .granted = granted,
                                                .lost_session = next == RD_HOST_LOST ? host->session : 0 });
    bool is_left = next == RD_HOST_LOST || next == RD_HOST_DRAINING || next == RD_HOST_QUARANTINED;
    if (next != host->state && is_left)
        visit_leases(plan, apps, index, host, next == RD_HOST_LOST, now_us);
}
