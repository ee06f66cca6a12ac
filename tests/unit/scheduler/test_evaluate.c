#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "scheduler/evaluate.h"

typedef struct world {
    sched_fleet *fleet;
    sched_apps *apps;
    sched_app *app;
    sched_plan plan;
    sched_wish wish;
    sched_hold hold;
    char tees[4];
    int64_t now_us;
} world;

static void add_host(world *w, uint8_t n, int64_t slots)
{
    sched_host host = { .id = { { n } },
                        .region = rd_strdup("eu"),
                        .labels = rd_strdup("{}"),
                        .tee = rd_strdup("tdx"),
                        .is_simulated = true,
                        .is_known = true,
                        .state = RD_HOST_READY,
                        .granted = { 1000000, (int64_t)1 << 40, slots },
                        .link_up = true,
                        .session = 1,
                        .reconciled_session = 1 };
    (void)sched_fleet_put(w->fleet, &host);
}

static int setup(void **state)
{
    world *w = rd_alloc(sizeof *w);
    w->fleet = sched_fleet_new();
    w->apps = sched_apps_new();
    (void)strcpy(w->tees, "tdx");
    rd_app_id id = { { 7 } };
    w->app = sched_apps_get(w->apps, &id);
    w->wish = (sched_wish){ .app_state = 1,
                            .class = 1,
                            .deployment = { { 9 } },
                            .gen = 1,
                            .base_gen = 1,
                            .kind = 1,
                            .min = 2,
                            .max = 2,
                            .size = { 10, 10, 1 },
                            .is_simulated = true,
                            .tees = w->tees };
    w->now_us = 1000000;
    add_host(w, 1, 100);
    add_host(w, 2, 100);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    sched_plan_done(&w->plan);
    sched_apps_free(w->apps);
    sched_fleet_free(w->fleet);
    free(w);
    return 0;
}

static void evaluate(world *w)
{
    sched_plan_clear(&w->plan);
    const sched_evaluate context = { .now_us = w->now_us, .fleet = w->fleet, .plan = &w->plan };
    sched_evaluate_app(&context, w->app, &w->wish, &w->hold);
}

/* As the cycle after a commit. */
static void commit(world *w)
{
    for (size_t i = 0; i < w->plan.ending_count; i++)
        sched_apps_remove(w->apps, w->plan.endings[i].lease);
    for (size_t i = 0; i < w->plan.change_count; i++)
        w->plan.changes[i].lease->want = w->plan.changes[i].want;
    for (size_t i = 0; i < w->plan.placement_count; i++) {
        sched_lease lease = w->plan.placements[i].lease;
        lease.epoch = 1 + (int64_t)w->now_us;
        (void)sched_apps_add(w->apps, &lease);
    }
    if (w->plan.rollout_count) {
        w->wish.rollout_state = w->plan.rollouts[0].state;
        w->wish.rollout_wanted = w->plan.rollouts[0].wanted;
    }
}

static void report(world *w, rd_phase phase, bool is_serving)
{
    for (size_t i = 0; i < w->app->lease_count; i++) {
        w->app->leases[i]->phase = phase;
        w->app->leases[i]->is_serving = is_serving;
        (void)snprintf(w->app->leases[i]->reason, sizeof w->app->leases[i]->reason, "boom");
    }
}

static void test_starts_and_settles(void **state)
{
    world *w = *state;
    evaluate(w);
    assert_int_equal(w->plan.placement_count, 2);
    assert_true(w->plan.placements[0].lease.host != w->plan.placements[1].lease.host);
    assert_int_equal(rd_instance_slot(&w->plan.placements[1].lease.instance), 1);
    assert_int_equal(w->plan.rollouts[0].state, 1);
    commit(w);
    evaluate(w);
    assert_int_equal(w->plan.placement_count, 0);
    report(w, RD_PHASE_SERVING, true);
    evaluate(w);
    assert_int_equal(w->plan.rollouts[0].state, 2);
    assert_int_equal(w->plan.rollouts[0].healthy, 2);
}

static void test_failures_wait_longer_and_end(void **state)
{
    world *w = *state;
    w->wish.min = w->wish.max = 1;
    evaluate(w);
    uint32_t first = w->plan.placements[0].lease.host;
    commit(w);
    report(w, RD_PHASE_FAILED, false);
    evaluate(w);
    assert_int_equal(w->plan.ending_count, 1);
    assert_string_equal(w->plan.endings[0].reason, "failed");
    assert_int_equal(w->plan.placement_count, 1); /* at once, and elsewhere */
    assert_true(w->plan.placements[0].lease.host != first);
    w->now_us += 10;
    commit(w);
    report(w, RD_PHASE_FAILED, false);
    evaluate(w);
    assert_int_equal(w->plan.placement_count, 0);
    assert_int_equal(w->app->retry_at_us, w->now_us + 1000000);
    assert_non_null(strstr(w->plan.rollouts[0].reason, "boom"));
    commit(w);
    w->now_us += 1000000;
    evaluate(w);
    assert_int_equal(w->plan.placement_count, 1);
    commit(w);
    report(w, RD_PHASE_FAILED, false);
    evaluate(w);
    assert_int_equal(w->plan.rollouts[0].state, 6);
    commit(w);
    w->now_us += 600000000;
    evaluate(w);
    assert_int_equal(w->plan.placement_count, 0);
    /* A new generation begins afresh. */
    w->wish.gen = w->wish.base_gen = 2;
    evaluate(w);
    assert_int_equal(w->plan.placement_count, 1);
}

/* Reports of phase, one after another, each after the wait that the one before it brought. */
static void fail_often_with(world *w, rd_phase phase, const char *reason, int times)
{
    for (int i = 0; i < times; i++) {
        w->now_us = RD_MAX(w->now_us + 1, w->app->retry_at_us);
        evaluate(w);
        assert_int_not_equal(w->wish.rollout_state, 6);
        commit(w);
        report(w, phase, false);
        for (size_t l = 0; l < w->app->lease_count; l++)
            (void)snprintf(w->app->leases[l]->reason, sizeof w->app->leases[l]->reason, "%s", reason);
    }
    w->now_us += 300000000;
    evaluate(w);
}

static void fail_often(world *w, rd_phase phase, int times)
{
    fail_often_with(w, phase, "boom", times);
}

static void test_refusals_condemn_no_release(void **state)
{
    world *w = *state;
    w->wish.min = w->wish.max = 1;
    fail_often(w, RD_PHASE_REFUSED, 6);
    assert_int_equal(w->plan.rollouts[0].state, 1);
    assert_non_null(strstr(w->plan.rollouts[0].reason, "trying again"));
    assert_int_equal(w->plan.placement_count, 0);
    w->now_us = w->app->retry_at_us;
    evaluate(w);
    assert_int_equal(w->plan.placement_count, 1);
}

/* R77: an owner's webhook that says no, or is away, is asked again, more and more slowly; one that answers with another
 * key never will do. */
static void test_the_owners_no_condemns_no_release(void **state)
{
    world *w = *state;
    w->wish.min = w->wish.max = 1;
    fail_often_with(w, RD_PHASE_FAILED, "webhook_refused", 6);
    fail_often_with(w, RD_PHASE_FAILED, "webhook_required", 2);
    fail_often_with(w, RD_PHASE_FAILED, "head_rollback", 2);
    assert_int_equal(w->plan.rollouts[0].state, 1);
    assert_non_null(strstr(w->plan.rollouts[0].reason, "trying again"));
    w->now_us = RD_MAX(w->now_us, w->app->retry_at_us);
    evaluate(w);
    assert_int_equal(w->plan.placement_count, 1);
    commit(w);
    for (int i = 0; i < 3; i++) {
        report(w, RD_PHASE_FAILED, false);
        for (size_t l = 0; l < w->app->lease_count; l++)
            (void)snprintf(w->app->leases[l]->reason, sizeof w->app->leases[l]->reason, "webhook_answer");
        evaluate(w);
        commit(w);
        w->now_us = RD_MAX(w->now_us + 1, w->app->retry_at_us);
        evaluate(w);
        commit(w);
    }
    assert_int_equal(w->wish.rollout_state, 6);
}

static void test_what_has_served_is_tried_for_ever(void **state)
{
    world *w = *state;
    w->wish.min = w->wish.max = 1;
    w->wish.rollout_state = 1; /* as since the first of the failures */
    w->wish.has_been_healthy = true;
    fail_often(w, RD_PHASE_FAILED, 6);
    w->now_us = RD_MAX(w->now_us, w->app->retry_at_us);
    evaluate(w);
    assert_int_equal(w->plan.placement_count, 1);
}

static void test_blocked(void **state)
{
    world *w = *state;
    w->wish.min = w->wish.max = 300;
    evaluate(w);
    assert_int_equal(w->plan.placement_count, 200);
    assert_true(w->app->is_blocked);
    assert_non_null(strstr(w->plan.rollouts[0].reason, "slot"));
    commit(w);
    add_host(w, 3, 100);
    evaluate(w);
    assert_int_equal(w->plan.placement_count, 100);
    assert_false(w->app->is_blocked);
    assert_null(w->plan.rollouts[0].reason);
}

static void test_a_full_plan_goes_on_in_the_next(void **state)
{
    world *w = *state;
    add_host(w, 3, 5000);
    w->wish.min = w->wish.max = 1500;
    evaluate(w);
    assert_int_equal(w->plan.placement_count, SCHED_PLAN_ROWS_MAX);
    assert_true(w->app->wants_turn);
    assert_false(w->app->is_blocked);
    commit(w);
    evaluate(w);
    assert_int_equal(w->plan.placement_count, 500);
    assert_false(w->app->wants_turn);
}

static void test_stop_and_quota(void **state)
{
    world *w = *state;
    w->wish.has_hold = true;
    w->wish.hold_gen = 1;
    w->wish.hold_inst = 2;
    evaluate(w);
    commit(w);
    w->wish.app_state = 2;
    w->wish.hold_gen = w->wish.gen;
    evaluate(w);
    assert_int_equal(w->plan.change_count, 2);
    assert_int_equal(w->plan.changes[0].want, RD_WANT_STOP);
    assert_false(w->hold.is_due);
    commit(w);
    report(w, RD_PHASE_STOPPED, false);
    evaluate(w);
    assert_int_equal(w->plan.ending_count, 2);
    commit(w);
    evaluate(w);
    assert_true(w->hold.is_due);
    assert_int_equal(w->hold.count, 0);
}

static void test_a_drain_that_takes_too_long(void **state)
{
    world *w = *state;
    evaluate(w);
    commit(w);
    report(w, RD_PHASE_SERVING, true);
    w->wish.min = w->wish.max = 1;
    w->wish.gen = 2;
    w->wish.kind = 3;
    evaluate(w);
    assert_int_equal(w->plan.change_count, 1);
    assert_int_equal(w->plan.changes[0].want, RD_WANT_DRAIN);
    commit(w);
    evaluate(w);
    assert_int_equal(w->plan.change_count, 0);
    assert_true(w->app->retry_at_us > w->now_us);
    w->now_us = w->app->retry_at_us;
    evaluate(w);
    assert_int_equal(w->plan.change_count, 1);
    assert_int_equal(w->plan.changes[0].want, RD_WANT_STOP);
}

static void sleeper(world *w)
{
    w->wish.min = 0;
    w->wish.max = 2;
    w->wish.idle_us = 60000000;
}

static void serve_one(world *w)
{
    evaluate(w);
    assert_int_equal(w->plan.placement_count, 1);
    commit(w);
    report(w, RD_PHASE_SERVING, true);
    evaluate(w);
    assert_int_equal(w->app->retry_at_us, w->now_us + w->wish.idle_us + 1000);
    commit(w);
    assert_int_equal(w->wish.rollout_state, 2);
    w->wish.has_been_healthy = true;
    w->wish.unused_us = 0; /* counts from its health */
}

/* A release that never served is tried out, however long ago it was deployed. */
static void test_a_sleeper_is_tried_out_and_goes_when_left_alone(void **state)
{
    world *w = *state;
    sleeper(w);
    w->wish.unused_us = 3600000000;
    serve_one(w);
    w->wish.unused_us = 20000000;
    evaluate(w);
    assert_int_equal(w->plan.change_count, 0);
    assert_int_equal(w->app->retry_at_us, w->now_us + 40000000 + 1000);
    w->now_us = w->app->retry_at_us;
    w->wish.unused_us = 60001000;
    evaluate(w);
    assert_int_equal(w->plan.change_count, 1);
    assert_int_equal(w->plan.changes[0].want, RD_WANT_DRAIN);
    assert_int_equal(w->plan.rollouts[0].wanted, 0);
    assert_int_equal(w->plan.rollouts[0].state, 2);
    commit(w);
    report(w, RD_PHASE_STOPPED, false);
    evaluate(w);
    assert_int_equal(w->plan.ending_count, 1);
    commit(w);
    evaluate(w);
    assert_int_equal(w->plan.placement_count, 0);
    assert_int_equal(w->app->retry_at_us, 0);
}

/* Called for: at once another one, also while the last one still drains. */
static void test_a_sleeper_wakes(void **state)
{
    world *w = *state;
    sleeper(w);
    serve_one(w);
    w->wish.unused_us = 60000000;
    evaluate(w);
    commit(w);
    w->wish.unused_us = 0;
    evaluate(w);
    assert_int_equal(w->plan.placement_count, 1);
    assert_int_equal(w->plan.change_count, 0);
    assert_int_equal(w->plan.rollouts[0].wanted, 1);
    assert_int_equal(w->app->failures, 0);
}

/* Two serve under head 1, for good. */
static void serve_two(world *w)
{
    w->wish.head_seq = 1;
    evaluate(w);
    commit(w);
    report(w, RD_PHASE_SERVING, true);
    evaluate(w);
    commit(w);
    assert_int_equal(w->wish.rollout_state, 2);
    w->wish.has_been_healthy = true;
}

static void publish(world *w, int64_t seq, int64_t fits_from)
{
    w->now_us += 10;
    w->wish.head_seq = seq;
    w->wish.fits_from = fits_from;
    evaluate(w);
}

/* Reports of those that began under this head and have not served. */
static void report_of_head(world *w, int64_t seq, rd_phase phase)
{
    for (size_t i = 0; i < w->app->lease_count; i++) {
        sched_lease *lease = w->app->leases[i];
        if (lease->head_seq != seq || lease->is_serving)
            continue;
        lease->phase = phase;
        lease->is_serving = phase == RD_PHASE_SERVING;
        (void)snprintf(lease->reason, sizeof lease->reason, "boom");
    }
}

static int count_of_head(const world *w, int64_t seq, rd_want want)
{
    int count = 0;
    for (size_t i = 0; i < w->app->lease_count; i++)
        count += w->app->leases[i]->head_seq == seq && w->app->leases[i]->want == want;
    return count;
}

/* What runs of these, and how many of that serve. */
static void count_running(const world *w, int *ret_running, int *ret_serving)
{
    *ret_running = *ret_serving = 0;
    for (size_t i = 0; i < w->app->lease_count; i++) {
        *ret_running += w->app->leases[i]->want == RD_WANT_RUN;
        *ret_serving += w->app->leases[i]->want == RD_WANT_RUN && w->app->leases[i]->is_serving;
    }
}

static void stop_what_drains(world *w)
{
    for (size_t i = 0; i < w->app->lease_count; i++)
        if (w->app->leases[i]->want == RD_WANT_DRAIN)
            w->app->leases[i]->phase = RD_PHASE_STOPPED;
}

/* A head that gives other secrets: one more starts, then an old one drains, and again; the deployment stays healthy. */
static void test_a_newer_head_replaces_one_after_another(void **state)
{
    world *w = *state;
    int running, serving;
    size_t placed = 0;
    serve_two(w);
    publish(w, 2, 2);
    for (int i = 0; i < 8; i++) {
        placed += w->plan.placement_count;
        commit(w);
        count_running(w, &running, &serving);
        assert_in_range(running, 2, 3);
        assert_int_equal(serving, 2);
        assert_int_equal(w->wish.rollout_state, 2);
        stop_what_drains(w);
        report_of_head(w, 2, RD_PHASE_SERVING);
        w->now_us++;
        evaluate(w);
    }
    assert_int_equal(placed, 2);
    assert_int_equal(w->app->lease_count, 2);
    assert_int_equal(count_of_head(w, 2, RD_WANT_RUN), 2);
    assert_true(sched_plan_is_empty(&w->plan));
}

static void test_a_head_that_gives_the_same_replaces_nothing(void **state)
{
    world *w = *state;
    serve_two(w);
    publish(w, 2, 0);
    assert_true(sched_plan_is_empty(&w->plan));
    publish(w, 3, 1);
    assert_true(sched_plan_is_empty(&w->plan));
}

/* Leases of before this was kept: replaced by the first head that gives something else. */
static void test_unknown_heads_are_old(void **state)
{
    world *w = *state;
    serve_two(w);
    for (size_t i = 0; i < w->app->lease_count; i++)
        w->app->leases[i]->head_seq = 0;
    publish(w, 8, 0);
    assert_true(sched_plan_is_empty(&w->plan));
    publish(w, 9, 9);
    assert_int_equal(w->plan.placement_count, 1);
}

/* Those with the old secret serve on, however often the new ones fail; the tries come more and more slowly. */
static void test_successors_that_fail_leave_the_old_ones(void **state)
{
    world *w = *state;
    serve_two(w);
    publish(w, 2, 2);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(w->plan.placement_count, 1);
        w->now_us++;
        commit(w);
        report_of_head(w, 2, RD_PHASE_FAILED);
        evaluate(w);
        assert_int_equal(w->plan.change_count, 0);
        if (i > 0) {
            assert_int_equal(w->plan.placement_count, 0);
            assert_int_equal(w->app->retry_at_us, w->now_us + ((int64_t)1000000 << (i - 1)));
            assert_int_equal(w->plan.rollouts[0].state, 1);
            assert_int_equal(w->plan.rollouts[0].healthy, 2);
            assert_non_null(strstr(w->plan.rollouts[0].reason, "trying again"));
            commit(w);
            w->now_us = w->app->retry_at_us;
            evaluate(w);
        }
    }
    assert_int_equal(count_of_head(w, 1, RD_WANT_RUN), 2);
    /* What is set right is tried at once. */
    commit(w);
    report_of_head(w, 2, RD_PHASE_FAILED);
    evaluate(w);
    assert_int_equal(w->plan.placement_count, 0);
    commit(w);
    publish(w, 3, 3);
    assert_int_equal(w->plan.placement_count, 1);
    commit(w);
    report_of_head(w, 3, RD_PHASE_SERVING);
    evaluate(w);
    assert_int_equal(w->app->failures, 0);
    assert_int_equal(w->plan.change_count, 1);
}

/* One of two comes up and the other never does: that one serves, and the other's tries still wait. */
static void test_a_sibling_that_serves_ends_no_wait(void **state)
{
    world *w = *state;
    serve_two(w);
    publish(w, 2, 2);
    commit(w);
    report_of_head(w, 2, RD_PHASE_SERVING);
    evaluate(w); /* an old one drains */
    commit(w);
    stop_what_drains(w);
    for (int i = 0; i < 4; i++) {
        w->now_us = RD_MAX(w->now_us + 10, w->app->retry_at_us);
        evaluate(w);
        commit(w);
        report_of_head(w, 2, RD_PHASE_FAILED);
    }
    evaluate(w);
    assert_int_equal(w->plan.placement_count, 0);
    assert_int_equal(w->app->failures, 3);
    assert_int_equal(w->app->retry_at_us, w->now_us + 2000000);
    assert_int_equal(count_of_head(w, 1, RD_WANT_RUN), 1);
}

/* A release that was never in full health is not given up while it serves under the head before. */
static void test_what_serves_under_an_older_head_is_not_given_up(void **state)
{
    world *w = *state;
    serve_two(w);
    w->wish.has_been_healthy = false;
    publish(w, 2, 2);
    for (int i = 0; i < 4; i++) {
        commit(w);
        report_of_head(w, 2, RD_PHASE_FAILED);
        evaluate(w);
        commit(w);
        w->now_us = RD_MAX(w->now_us + 10, w->app->retry_at_us);
        evaluate(w);
        assert_int_not_equal(w->wish.rollout_state, 6);
    }
    assert_int_equal(w->plan.placement_count, 1);
}

/* One that sleeps is not woken for it, and one that runs goes to sleep whether its successor came up or not. */
static void test_a_sleeper_and_a_newer_head(void **state)
{
    world *w = *state;
    sleeper(w);
    w->wish.head_seq = 1;
    serve_one(w);
    publish(w, 2, 2);
    assert_int_equal(w->plan.placement_count, 1);
    assert_true(w->app->retry_at_us > 0);
    w->plan.placement_count = 0;
    commit(w);
    w->wish.unused_us = w->wish.idle_us;
    evaluate(w);
    assert_int_equal(w->plan.placement_count, 0);
    assert_int_equal(w->plan.change_count, 1);
    commit(w);
    report(w, RD_PHASE_STOPPED, false);
    evaluate(w);
    commit(w);
    publish(w, 3, 3);
    assert_int_equal(w->plan.placement_count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_starts_and_settles),
        TEST(test_failures_wait_longer_and_end),
        TEST(test_the_owners_no_condemns_no_release),
        TEST(test_refusals_condemn_no_release),
        TEST(test_what_has_served_is_tried_for_ever),
        TEST(test_blocked),
        TEST(test_a_full_plan_goes_on_in_the_next),
        TEST(test_stop_and_quota),
        TEST(test_a_drain_that_takes_too_long),
        TEST(test_a_sleeper_is_tried_out_and_goes_when_left_alone),
        TEST(test_a_sleeper_wakes),
        TEST(test_a_newer_head_replaces_one_after_another),
        TEST(test_a_head_that_gives_the_same_replaces_nothing),
        TEST(test_unknown_heads_are_old),
        TEST(test_successors_that_fail_leave_the_old_ones),
        TEST(test_a_sibling_that_serves_ends_no_wait),
        TEST(test_what_serves_under_an_older_head_is_not_given_up),
        TEST(test_a_sleeper_and_a_newer_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
