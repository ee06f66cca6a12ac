#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "scheduler/hosts.h"

static sched_host valid(rd_host_state state)
{
    return (sched_host){ .is_known = true, .state = state, .link_up = true, .session = 3, .reconciled_session = 3 };
}

static void no_row(sched_host *h)
{
    h->is_known = false;
}
static void not_resynced(sched_host *h)
{
    h->reconciled_session = 2;
}
static void cordon(sched_host *h)
{
    h->wants_cordon = true;
}
static void drain(sched_host *h)
{
    h->wants_drain = true;
}
static void drain_busy(sched_host *h)
{
    h->wants_drain = true;
    h->lease_count = 1;
}
static void marked(sched_host *h)
{
    h->is_marked = true;
}
static void marked_busy(sched_host *h)
{
    h->is_marked = true;
    h->lease_count = 1;
}
static void marked_lost_before(sched_host *h)
{
    h->is_marked = true;
    h->lost_session = 2;
}
static void marked_lost_now(sched_host *h)
{
    h->is_marked = true;
    h->lost_session = 3;
}
static void marked_revoked(sched_host *h)
{
    h->is_marked = h->is_revoked = true;
}
static void revoked(sched_host *h)
{
    h->is_revoked = true;
}
static void revoked_busy(sched_host *h)
{
    h->is_revoked = true;
    h->lease_count = 1;
}
static void lost_before(sched_host *h)
{
    h->lost_session = 2;
}
static void lost_now(sched_host *h)
{
    h->lost_session = 3;
}
static void lost_clear(sched_host *h)
{
    h->lost_session = 3;
    h->is_clear = true;
}
static void lost_later_silent(sched_host *h)
{
    h->lost_session = 2;
    h->silent_since_us = 1;
}

static void test_next(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        rd_host_state from;
        void (*spoil)(sched_host *host);
        bool is_lost;
        rd_host_state to;
    } rows[] = {
        { "first sight", RD_HOST_ENROLLED, no_row, false, RD_HOST_ENROLLED },
        { "enrolled", RD_HOST_ENROLLED, NULL, false, RD_HOST_RECONCILING },
        { "reconciled", RD_HOST_RECONCILING, NULL, false, RD_HOST_READY },
        { "not yet", RD_HOST_RECONCILING, not_resynced, false, RD_HOST_RECONCILING },
        { "stays ready", RD_HOST_READY, NULL, false, RD_HOST_READY },
        { "cordon", RD_HOST_READY, cordon, false, RD_HOST_CORDONED },
        { "uncordon", RD_HOST_CORDONED, NULL, false, RD_HOST_READY },
        { "drain", RD_HOST_READY, drain_busy, false, RD_HOST_DRAINING },
        { "drained", RD_HOST_DRAINING, drain, false, RD_HOST_DRAINED },
        { "undrain", RD_HOST_DRAINED, NULL, false, RD_HOST_READY },
        { "lost", RD_HOST_READY, NULL, true, RD_HOST_LOST },
        { "lost while draining", RD_HOST_DRAINING, drain_busy, true, RD_HOST_LOST },
        { "back with a later session", RD_HOST_LOST, lost_before, false, RD_HOST_RECONCILING },
        { "back with the same session", RD_HOST_LOST, lost_now, false, RD_HOST_LOST },
        { "the same session, all proven ended", RD_HOST_LOST, lost_clear, false, RD_HOST_RECONCILING },
        { "a later session, silent again", RD_HOST_LOST, lost_later_silent, false, RD_HOST_LOST },
        { "revoked with leases", RD_HOST_READY, revoked_busy, true, RD_HOST_LOST },
        { "revoked without", RD_HOST_LOST, revoked, false, RD_HOST_RETIRED },
        { "retired for good", RD_HOST_RETIRED, NULL, false, RD_HOST_RETIRED },
        { "marked", RD_HOST_READY, marked_busy, false, RD_HOST_QUARANTINED },
        { "marked while attaching", RD_HOST_RECONCILING, marked, false, RD_HOST_QUARANTINED },
        { "quarantine is not left unasked", RD_HOST_QUARANTINED, marked, false, RD_HOST_QUARANTINED },
        { "released", RD_HOST_QUARANTINED, NULL, false, RD_HOST_RECONCILING },
        { "lost in quarantine", RD_HOST_QUARANTINED, marked_busy, true, RD_HOST_LOST },
        { "back into quarantine", RD_HOST_LOST, marked_lost_before, false, RD_HOST_QUARANTINED },
        { "lost, marked, not back", RD_HOST_LOST, marked_lost_now, false, RD_HOST_LOST },
        { "revoked in quarantine", RD_HOST_QUARANTINED, marked_revoked, false, RD_HOST_RETIRED },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sched_host host = valid(rows[i].from);
        if (rows[i].spoil)
            rows[i].spoil(&host);
        rd_host_state got = sched_host_next(&host, rows[i].is_lost);
        if (got != rows[i].to)
            fail_msg("%s: %s", rows[i].name, rd_host_state_name(got));
    }
}

/* Whatever a host and its wishes look like, the scheduler moves it along the legal edges alone. */
static void test_only_legal_moves(void **state)
{
    (void)state;
    enum { LINK, RECONCILED, RETIRED, REVOKED, CORDON, DRAIN, LEASES, LOST, CLEAR, SILENT, MARKED, BITS };
    for (int from = RD_HOST_ENROLLED; from < RD_HOST_STATE_COUNT; from++) {
        for (unsigned is = 0; is < 1u << BITS; is++) {
            sched_host host = valid((rd_host_state)from);
            host.link_up = is >> LINK & 1;
            host.reconciled_session = is >> RECONCILED & 1 ? host.session : 0;
            host.is_retired = is >> RETIRED & 1;
            host.is_revoked = is >> REVOKED & 1;
            host.wants_cordon = is >> CORDON & 1;
            host.wants_drain = is >> DRAIN & 1;
            host.lease_count = is >> LEASES & 1;
            host.is_clear = is >> CLEAR & 1;
            host.silent_since_us = is >> SILENT & 1;
            host.is_marked = is >> MARKED & 1;
            bool may_be_lost = from != RD_HOST_ENROLLED && from != RD_HOST_LOST && from != RD_HOST_RETIRED;
            rd_host_state to = sched_host_next(&host, may_be_lost && (is >> LOST & 1));
            if ((int)to != from && !rd_host_state_ok((rd_host_state)from, to))
                fail_msg("%s to %s (%x)", rd_host_state_name((rd_host_state)from), rd_host_state_name(to), is);
        }
    }
}

static uint32_t add(sched_fleet *fleet, uint8_t n)
{
    sched_host host = valid(RD_HOST_READY);
    host.id.b[0] = n;
    host.region = rd_strdup("eu");
    host.labels = rd_strdup("{}");
    host.tee = rd_strdup("tdx");
    host.link_end = SCHED_LINK_SILENT;
    return sched_fleet_put(fleet, &host);
}

static const sched_beat beats[] = { { .beat = 1 }, { .beat = 2 }, { .beat = 3 } }; /* of the replica 0 */

static void test_silence(void **state)
{
    (void)state;
    sched_fleet *fleet = sched_fleet_new();
    uint32_t index = add(fleet, 1);
    sched_host *host = sched_fleet_host(fleet, index);
    sched_watch *watch = sched_watch_new(1);
    int64_t t = 20000000;
    sched_watch_beats(watch, &beats[0], 1, t);
    sched_watch_hosts(watch, fleet, t);
    assert_int_equal(host->silent_since_us, 0);
    /* A link that fell silent: lost 2 s later; one that was closed: its agent has 8 s to dial anew. */
    host->link_up = false;
    host->link_end = SCHED_LINK_SILENT;
    sched_watch_hosts(watch, fleet, t);
    assert_false(sched_watch_is_lost(watch, fleet, host, t + 1999999));
    assert_true(sched_watch_is_lost(watch, fleet, host, t + 2000000));
    host->link_end = SCHED_LINK_CLOSED;
    assert_false(sched_watch_is_lost(watch, fleet, host, t + 7999999));
    assert_true(sched_watch_is_lost(watch, fleet, host, t + 8000000));
    /* Contact again. */
    host->link_up = true;
    sched_watch_beats(watch, &beats[1], 1, t);
    sched_watch_hosts(watch, fleet, t);
    assert_int_equal(host->silent_since_us, 0);
    /* The replica's beat stands still: silent after 4 s, lost 15 s later. */
    sched_watch_beats(watch, &beats[1], 1, t + 4000001);
    sched_watch_hosts(watch, fleet, t + 4000001);
    assert_int_equal(host->silent_since_us, t + 4000001);
    assert_false(sched_watch_is_lost(watch, fleet, host, t + 4000001 + 14999999));
    assert_true(sched_watch_is_lost(watch, fleet, host, t + 4000001 + 15000000));
    sched_watch_free(watch);
    sched_fleet_free(fleet);
}

/* The leases of a quarantined host go when it dies, as those of any other. */
static void test_quarantined_hosts_are_lost_too(void **state)
{
    (void)state;
    sched_fleet *fleet = sched_fleet_new();
    sched_apps *apps = sched_apps_new();
    sched_watch *watch = sched_watch_new(1);
    uint32_t index = add(fleet, 1);
    sched_host *host = sched_fleet_host(fleet, index);
    host->state = RD_HOST_QUARANTINED;
    host->is_marked = true;
    host->link_up = false;
    host->silent_since_us = 100000000;
    sched_plan plan = { 0 };
    sched_hosts_plan(&plan, fleet, apps, watch, index, 110000000);
    assert_int_equal(plan.host_count, 0); /* nothing on it: it stays what it is */
    rd_app_id id = { { 1 } };
    sched_app *app = sched_apps_get(apps, &id);
    sched_lease lease = { .app = app, .host = index, .want = RD_WANT_RUN, .class = 1, .size = { 1, 1, 1 } };
    sched_lease *held = sched_apps_add(apps, &lease);
    host->lease_count = 1;
    sched_hosts_plan(&plan, fleet, apps, watch, index, 110000000);
    assert_int_equal(plan.host_count, 1);
    assert_int_equal(plan.hosts[0].state, RD_HOST_LOST);
    assert_true(held->is_ended);
    sched_plan_done(&plan);
    sched_watch_free(watch);
    sched_apps_free(apps);
    sched_fleet_free(fleet);
}

/* Replicas are new at each start: what the table has no more is forgotten. */
static void test_replicas_are_forgotten(void **state)
{
    (void)state;
    sched_watch *watch = sched_watch_new(1);
    sched_beat seen[3] = { { .beat = 1 }, { .beat = 1 }, { .beat = 1 } };
    for (uint8_t i = 0; i < 200; i++) {
        seen[0].replica.b[0] = i;
        seen[1].replica.b[0] = (uint8_t)(i + 1);
        sched_watch_beats(watch, seen, 2, i);
        assert_int_equal(sched_watch_count(watch), 2);
    }
    sched_watch_beats(watch, seen, 0, 300);
    assert_int_equal(sched_watch_count(watch), 0);
    sched_watch_free(watch);
}

static void test_a_new_leader_listens_first(void **state)
{
    (void)state;
    sched_fleet *fleet = sched_fleet_new();
    sched_host *host = sched_fleet_host(fleet, add(fleet, 1));
    host->link_up = false;
    sched_watch *watch = sched_watch_new(1000);
    sched_watch_hosts(watch, fleet, 1000);
    assert_false(sched_watch_is_lost(watch, fleet, host, 1000 + 5999999));
    assert_true(sched_watch_is_lost(watch, fleet, host, 1000 + 6000000));
    sched_watch_free(watch);
    sched_fleet_free(fleet);
}

static void test_storm(void **state)
{
    (void)state;
    sched_fleet *fleet = sched_fleet_new();
    for (uint8_t n = 0; n < 40; n++)
        sched_fleet_host(fleet, add(fleet, n))->link_up = false;
    sched_watch *watch = sched_watch_new(1);
    int64_t t = 60000000;
    sched_watch_hosts(watch, fleet, t);
    int lost = 0;
    for (uint32_t n = 0; n < 40; n++)
        lost += sched_watch_is_lost(watch, fleet, sched_fleet_host(fleet, n), t + 3000000);
    assert_int_equal(lost, 5);
    assert_true(sched_watch_is_lost(watch, fleet, sched_fleet_host(fleet, 39), t + 4000000));
    assert_false(sched_watch_is_lost(watch, fleet, sched_fleet_host(fleet, 38), t + 4000001));
    sched_watch_free(watch);
    sched_fleet_free(fleet);
}

static void test_exclusive_leases_run_out_first(void **state)
{
    (void)state;
    sched_fleet *fleet = sched_fleet_new();
    sched_apps *apps = sched_apps_new();
    sched_watch *watch = sched_watch_new(1);
    uint32_t index = add(fleet, 1);
    sched_host *host = sched_fleet_host(fleet, index);
    rd_app_id id = { { 1 } };
    sched_app *app = sched_apps_get(apps, &id);
    sched_lease lease = { .app = app, .host = index, .want = RD_WANT_RUN, .ttl_us = 30000000, .size = { 1, 1, 1 } };
    lease.class = 1;
    sched_lease *replicated = sched_apps_add(apps, &lease);
    lease.class = 2;
    lease.instance.b[0] = 1;
    sched_lease *exclusive = sched_apps_add(apps, &lease);
    host->lease_count = 2;
    host->link_up = false;
    int64_t t = 100000000;
    host->silent_since_us = t;
    sched_plan plan = { 0 };
    sched_hosts_plan(&plan, fleet, apps, watch, index, t + 3000000);
    assert_int_equal(plan.host_count, 1);
    assert_int_equal(plan.hosts[0].state, RD_HOST_LOST);
    assert_int_equal(plan.hosts[0].lost_session, 3);
    assert_int_equal(plan.ending_count, 1);
    assert_true(replicated->is_ended && !exclusive->is_ended);
    host->state = RD_HOST_LOST;
    sched_hosts_plan(&plan, fleet, apps, watch, index, t + 39000000);
    assert_false(exclusive->is_ended);
    sched_hosts_plan(&plan, fleet, apps, watch, index, t + 39000001);
    assert_true(exclusive->is_ended);
    sched_plan_done(&plan);
    sched_watch_free(watch);
    sched_apps_free(apps);
    sched_fleet_free(fleet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_only_legal_moves),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_a_new_leader_listens_first),
        cmocka_unit_test(test_quarantined_hosts_are_lost_too),
        cmocka_unit_test(test_replicas_are_forgotten),
        cmocka_unit_test(test_storm),
        cmocka_unit_test(test_exclusive_leases_run_out_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
