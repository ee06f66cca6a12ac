#include "api/targets.h"

#include "common/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static size_t gone;

static void on_gone(void *context, api_target *target)
{
    (void)context;
    (void)target;
    gone++;
}

static const api_app_row app_a = { .id = { { 1 } }, .is_live = true };

static api_target_row row(uint8_t n, uint64_t epoch, int64_t valid_until_us)
{
    return (
        api_target_row){ .instance = { { n } }, .epoch = epoch, .host = { { n } }, .valid_until_us = valid_until_us };
}

static api_reach only_host_two(void *context, const api_target *target)
{
    (void)context;
    return target->host.b[0] == 2 ? API_REACH_OWN : API_REACH_NOT;
}

static api_reach none(void *context, const api_target *target)
{
    (void)context;
    (void)target;
    return API_REACH_NOT;
}

static api_reach host_two_is_near(void *context, const api_target *target)
{
    (void)context;
    return target->host.b[0] == 2 ? API_REACH_OWN : API_REACH_PEER;
}

static void the_nearer_of_equally_busy(void **state)
{
    (void)state;
    api_targets *targets = api_targets_new(on_gone, NULL);
    api_target_row rows[] = { row(1, 10, 1000), row(2, 10, 1000), row(3, 10, 1000) };
    api_targets_replace(targets, 1, &app_a, rows, 3);
    api_app *app = api_targets_app(targets, &app_a.id);
    bool elsewhere;
    api_pick pick = { .now_us = 1, .reach = host_two_is_near };
    for (int i = 0; i < 5; i++)
        assert_int_equal(api_targets_pick(app, &pick, &elsewhere)->instance.b[0], 2);
    api_targets_instance(targets, &rows[1].instance)->in_flight = 1;
    assert_int_not_equal(api_targets_pick(app, &pick, &elsewhere)->instance.b[0], 2);
    api_targets_free(targets);
}

static void picks_least_busy_of_the_valid(void **state)
{
    (void)state;
    api_targets *targets = api_targets_new(on_gone, NULL);
    api_target_row rows[] = { row(1, 10, 1000), row(2, 10, 1000), row(3, 10, 100) };
    api_targets_replace(targets, 1, &app_a, rows, 3);
    api_app *app = api_targets_app(targets, &app_a.id);
    bool elsewhere;
    api_pick pick = { .now_us = 500 };
    api_target *first = api_targets_pick(app, &pick, &elsewhere);
    first->in_flight = 1;
    api_target *second = api_targets_pick(app, &pick, &elsewhere);
    assert_ptr_not_equal(first, second);
    second->in_flight = 2;
    assert_ptr_equal(api_targets_pick(app, &pick, &elsewhere), first);
    first->avoid_until_us = 501;
    assert_ptr_equal(api_targets_pick(app, &pick, &elsewhere), second);
    /* the third's verdict has run out: it is never chosen */
    pick.now_us = 50;
    second->avoid_until_us = 501;
    assert_int_equal(api_targets_pick(app, &pick, &elsewhere)->instance.b[0], 3);
    pick.now_us = 5000;
    assert_null(api_targets_pick(app, &pick, &elsewhere));
    assert_false(elsewhere);
    api_targets_free(targets);
}

static void says_when_others_hold_the_link(void **state)
{
    (void)state;
    api_targets *targets = api_targets_new(on_gone, NULL);
    api_target_row rows[] = { row(1, 10, 1000), row(2, 10, 1000) };
    api_targets_replace(targets, 1, &app_a, rows, 2);
    api_app *app = api_targets_app(targets, &app_a.id);
    bool elsewhere;
    api_pick pick = { .now_us = 1, .reach = only_host_two };
    api_target *target = api_targets_pick(app, &pick, &elsewhere);
    assert_int_equal(target->instance.b[0], 2);
    assert_false(elsewhere);
    const api_target *tried[] = { target };
    pick.tried = tried;
    pick.tried_count = 1;
    assert_null(api_targets_pick(app, &pick, &elsewhere));
    assert_true(elsewhere);
    pick.reach = none;
    assert_null(api_targets_pick(app, &pick, &elsewhere));
    assert_true(elsewhere);
    api_targets_free(targets);
}

/* An older epoch never comes back, and an older load changes nothing (I3). */
static void epochs_and_versions_only_grow(void **state)
{
    (void)state;
    gone = 0;
    api_targets *targets = api_targets_new(on_gone, NULL);
    rd_id instance = { { 1 } };
    api_target_row old = row(1, 10, 1000), new = row(1, 11, 1000);
    api_targets_replace(targets, 5, &app_a, &old, 1);
    api_targets_replace(targets, 6, &app_a, &new, 1);
    assert_int_equal(api_targets_instance(targets, &instance)->epoch, 11);
    assert_int_equal(gone, 1);
    api_targets_replace(targets, 4, &app_a, &old, 1);
    assert_int_equal(api_targets_instance(targets, &instance)->epoch, 11);
    api_target_row both[] = { new, old };
    api_targets_replace(targets, 7, &app_a, both, 2);
    assert_int_equal(api_targets_instance(targets, &instance)->epoch, 11);
    assert_int_equal(api_targets_count(targets), 1);
    api_target_row reversed[] = { old, new };
    api_targets_replace(targets, 8, &app_a, reversed, 2);
    assert_int_equal(api_targets_instance(targets, &instance)->epoch, 11);
    api_targets_free(targets);
}

static void what_is_held_outlives_its_row(void **state)
{
    (void)state;
    gone = 0;
    api_targets *targets = api_targets_new(on_gone, NULL);
    api_target_row one = row(1, 10, 1000);
    api_targets_replace(targets, 1, &app_a, &one, 1);
    api_target *target = api_targets_instance(targets, &one.instance);
    api_target_hold(target);
    api_targets_replace(targets, 2, &app_a, NULL, 0);
    assert_null(api_targets_instance(targets, &one.instance));
    assert_true(target->is_gone);
    assert_false(api_target_is_valid(target, 0));
    assert_int_equal(gone, 0);
    api_target_release(targets, target);
    assert_int_equal(gone, 1);
    api_app_row deleted = app_a;
    deleted.is_live = false;
    api_targets_replace(targets, 3, &deleted, NULL, 0);
    assert_null(api_targets_app(targets, &app_a.id));
    api_targets_free(targets);
}

static void the_same_epoch_keeps_its_calls(void **state)
{
    (void)state;
    api_targets *targets = api_targets_new(on_gone, NULL);
    api_target_row one = row(1, 10, 1000);
    api_targets_replace(targets, 1, &app_a, &one, 1);
    api_target *target = api_targets_instance(targets, &one.instance);
    target->in_flight = 7;
    one.valid_until_us = 2000;
    api_targets_replace(targets, 2, &app_a, &one, 1);
    assert_ptr_equal(api_targets_instance(targets, &one.instance), target);
    assert_int_equal(target->in_flight, 7);
    assert_int_equal(target->valid_until_us, 2000);
    assert_string_equal(target->authority, "ins_aeaaaaaaaaaaaaaaaaaaaaaaaa.10");
    api_targets_free(targets);
}

static size_t settled;

static void on_settled(void *context, const api_app *app)
{
    (void)context;
    (void)app;
    settled++;
}

static void what_is_offered_lasts_until_the_next_load(void **state)
{
    (void)state;
    bool elsewhere;
    const api_pick pick = { .now_us = 1 };
    api_app_row asleep = app_a, paused = app_a;
    api_target_row one = row(1, 10, 1000), two = row(2, 11, 1000), other = row(3, 12, 1000);
    asleep.sleeps = paused.is_paused = true;
    one.limits.request_bytes = 77;
    other.release.b[0] = 9;
    api_targets *targets = api_targets_new(on_gone, NULL);
    api_targets_on_settled(targets, on_settled, NULL);
    settled = 0;
    assert_false(api_targets_offer(targets, &app_a.id, &two)); /* no such app */
    api_targets_replace(targets, 1, &asleep, NULL, 0);
    assert_false(api_targets_offer(targets, &app_a.id, &two)); /* its limits were never known */
    api_targets_replace(targets, 2, &asleep, &one, 1);
    api_targets_replace(targets, 3, &asleep, NULL, 0);
    settled = 0;
    assert_false(api_targets_offer(targets, &app_a.id, &other));
    assert_int_equal(settled, 0);
    assert_true(api_targets_offer(targets, &app_a.id, &two));
    assert_int_equal(settled, 1);
    api_target *target = api_targets_pick(api_targets_app(targets, &app_a.id), &pick, &elsewhere);
    assert_ptr_equal(target, api_targets_instance(targets, &two.instance));
    assert_int_equal(target->limits.request_bytes, 77);
    api_targets_replace(targets, 4, &asleep, &two, 1); /* it was committed: calls and pipes stay */
    assert_ptr_equal(api_targets_instance(targets, &two.instance), target);
    api_targets_replace(targets, 5, &asleep, NULL, 0);
    assert_true(api_targets_offer(targets, &app_a.id, &two));
    api_targets_replace(targets, 6, &asleep, NULL, 0); /* it was not */
    assert_null(api_targets_instance(targets, &two.instance));
    two.is_starting = true; /* it is for who would wait, and for nobody else */
    assert_true(api_targets_offer(targets, &app_a.id, &two));
    api_targets_replace(targets, 7, &asleep, &one, 1);
    assert_false(api_targets_offer(targets, &app_a.id, &two));
    api_targets_replace(targets, 8, &paused, NULL, 0);
    assert_false(api_targets_offer(targets, &app_a.id, &two));
    api_targets_free(targets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(picks_least_busy_of_the_valid),
        cmocka_unit_test(the_nearer_of_equally_busy),
        cmocka_unit_test(says_when_others_hold_the_link),
        cmocka_unit_test(epochs_and_versions_only_grow),
        cmocka_unit_test(what_is_held_outlives_its_row),
        cmocka_unit_test(the_same_epoch_keeps_its_calls),
        cmocka_unit_test(what_is_offered_lasts_until_the_next_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
