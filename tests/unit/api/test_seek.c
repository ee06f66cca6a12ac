#include "api/seek.h"

#include "common/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const rd_app_id app = { { 7 } };
static int stale, asked, asked_again;
static int64_t now_us;
static bool has_link;

static int64_t the_time(void *context)
{
    (void)context;
    return now_us;
}

static const rd_clock clock_here = { .wall_us = the_time, .boot_us = the_time };

static rd_link *find_link(void *context, const api_target *target, api_reach *ret_reach)
{
    (void)target;
    *ret_reach = API_REACH_OWN;
    return has_link ? context : NULL; /* never looked into */
}

static void on_stale(void *context, const rd_app_id *id)
{
    (void)context, (void)id;
    stale++;
}

static void on_asked(void *context, const rd_app_id *id, bool is_again)
{
    (void)context, (void)id;
    asked++;
    asked_again += is_again;
}

typedef struct fixture {
    api_targets *targets;
    api_seekers *seekers;
    uint64_t version;
} fixture;

static void on_gone(void *context, api_target *target)
{
    (void)context, (void)target;
}

static int setup(void **state)
{
    fixture *f = rd_alloc(sizeof *f);
    stale = asked = asked_again = 0;
    has_link = true;
    now_us = 1000000;
    f->targets = api_targets_new(on_gone, NULL);
    const api_seek_options options = {
        .clock = &clock_here, .find_link = find_link, .on_stale = on_stale, .on_asked = on_asked, .context = f
    };
    f->seekers = api_seekers_new(&options, f->targets);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    api_targets_free(f->targets);
    api_seekers_free(f->seekers);
    free(f);
    return 0;
}

/* The app with so many instances that serve. */
static void load(fixture *f, size_t count, bool sleeps, bool is_paused)
{
    api_app_row row = { .id = app, .is_live = true, .is_paused = is_paused, .sleeps = sleeps };
    api_target_row rows[8] = { { .epoch = 1 } };
    for (size_t i = 0; i < count; i++) {
        rows[i].instance.b[0] = (uint8_t)(i + 1);
        rows[i].epoch = 1;
        rows[i].valid_until_us = INT64_MAX;
    }
    api_targets_replace(f->targets, ++f->version, &row, rows, count);
}

static rd_code next(fixture *f, api_seek *seek, api_target **ret)
{
    rd_err err = RD_ERR_INIT;
    int outcome = api_seek_next(f->seekers, seek, ret, &err);
    return outcome < 0 ? err.code : outcome == API_SEEK_WAITS ? RD_E_TIMEOUT : RD_OK;
}

static void tries_each_once_and_four_at_most(void **state)
{
    fixture *f = *state;
    api_seek seek = { .app = app };
    api_target *target = NULL, *before = NULL;
    assert_int_equal(next(f, &seek, &target), RD_E_APP_UNKNOWN);
    load(f, 2, false, false);
    assert_int_equal(next(f, &seek, &before), RD_OK);
    assert_int_equal(next(f, &seek, &target), RD_OK);
    assert_ptr_not_equal(target, before);
    assert_int_equal(next(f, &seek, &target), RD_E_NO_INSTANCE);
    load(f, 8, false, false);
    for (int i = 2; i < 4; i++)
        assert_int_equal(next(f, &seek, &target), RD_OK);
    assert_int_equal(next(f, &seek, &target), RD_E_NO_INSTANCE);
}

static void says_why_there_is_none(void **state)
{
    fixture *f = *state;
    api_seek seek = { .app = app };
    api_target *target = NULL;
    load(f, 1, false, true);
    assert_int_equal(next(f, &seek, &target), RD_E_APP_PAUSED);
    load(f, 1, false, false);
    has_link = false;
    assert_int_equal(next(f, &seek, &target), RD_E_INSTANCE_ELSEWHERE);
    assert_int_equal(stale, 1);
    has_link = true;
    assert_int_equal(next(f, &seek, &target), RD_OK);
    api_seekers_avoid(f->seekers, target);
    api_seek other = { .app = app };
    assert_int_equal(next(f, &other, &target), RD_E_NO_INSTANCE);
}

static void finds_the_one_that_is_named(void **state)
{
    fixture *f = *state;
    api_target *target = NULL;
    api_seek seek = { .app = app, .has_instance = true, .instance = { { 2 } } };
    load(f, 3, true, false);
    assert_int_equal(next(f, &seek, &target), RD_OK);
    assert_int_equal(target->instance.b[0], 2);
    assert_int_equal(next(f, &seek, &target), RD_E_NO_INSTANCE);
    api_seek unknown = { .app = app, .has_instance = true, .instance = { { 9 } } };
    assert_int_equal(next(f, &unknown, &target), RD_E_NO_INSTANCE);
}

static int woken;

static bool on_woken(api_seek *seek)
{
    (void)seek;
    return ++woken == 1;
}

static void waits_in_one_line(void **state)
{
    fixture *f = *state;
    api_target *target = NULL;
    api_seek first = { .app = app, .on_woken = on_woken }, second = first, gone = first;
    woken = 0;
    load(f, 0, true, false);
    assert_int_equal(next(f, &first, &target), RD_E_TIMEOUT);
    assert_int_equal(next(f, &second, &target), RD_E_TIMEOUT);
    assert_int_equal(next(f, &gone, &target), RD_E_TIMEOUT);
    assert_int_equal(asked, 1);
    assert_int_equal(api_seekers_waiting(f->seekers), 3);
    api_seek_leave(f->seekers, &gone);
    api_seek_leave(f->seekers, &gone);
    load(f, 1, true, false);
    assert_int_equal(woken, 2);
    assert_int_equal(api_seekers_waiting(f->seekers), 0);
    assert_int_equal(api_seekers_woken(f->seekers), 1);
    assert_int_equal(next(f, &first, &target), RD_OK);
}

/* An app that runs at all times, of which nothing is known to serve: the caller waits for a look that began behind his
 * call, and many callers are no more looks. */
static void looks_again_before_it_says_no(void **state)
{
    fixture *f = *state;
    api_target *target = NULL;
    api_seek seek = { .app = app, .on_woken = on_woken }, lucky = seek, soon = seek, later = seek, beside = seek;
    load(f, 0, false, false);
    assert_int_equal(next(f, &seek, &target), RD_E_TIMEOUT);
    assert_int_equal(next(f, &beside, &target), RD_E_TIMEOUT); /* one look for both */
    assert_int_equal(stale, 1);
    assert_int_equal(asked, 0);
    load(f, 0, false, false); /* may have begun ahead of the call */
    assert_int_equal(next(f, &seek, &target), RD_E_TIMEOUT);
    assert_int_equal(next(f, &beside, &target), RD_E_TIMEOUT);
    assert_int_equal(stale, 2);
    load(f, 0, false, false);
    assert_int_equal(next(f, &seek, &target), RD_E_NO_INSTANCE);
    assert_int_equal(next(f, &beside, &target), RD_E_NO_INSTANCE);
    assert_int_equal(next(f, &soon, &target), RD_E_NO_INSTANCE);
    assert_int_equal(stale, 2);
    now_us += 200000;
    assert_int_equal(next(f, &lucky, &target), RD_E_TIMEOUT);
    load(f, 1, false, false);
    assert_int_equal(next(f, &lucky, &target), RD_OK);
    now_us += 200000;
    load(f, 0, false, true);
    assert_int_equal(next(f, &later, &target), RD_E_APP_PAUSED);
    assert_int_equal(stale, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tries_each_once_and_four_at_most, setup, teardown),
        cmocka_unit_test_setup_teardown(says_why_there_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(finds_the_one_that_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(waits_in_one_line, setup, teardown),
        cmocka_unit_test_setup_teardown(looks_again_before_it_says_no, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
