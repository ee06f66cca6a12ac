#include "api/hold.h"

#include "common/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static size_t asked, asked_again;
static rd_app_id last_asked;

static void on_ask(void *context, const rd_app_id *app, bool is_again)
{
    (void)context;
    asked++;
    asked_again += is_again;
    last_asked = *app;
}

static const rd_app_id a = { { 1 } }, b = { { 2 } };
static const uint8_t org[16] = { 7 }, other_org[16] = { 8 };

static void asks_once_and_again_later(void **state)
{
    (void)state;
    asked = asked_again = 0;
    api_holds *holds = api_holds_new(on_ask, NULL);
    api_held one = { 0 }, two = { 0 };
    rd_err err = RD_ERR_INIT;
    assert_int_equal(api_holds_add(holds, &a, org, &one, 1000, &err), 0);
    assert_int_equal(api_holds_add(holds, &a, org, &two, 2000, &err), 0);
    assert_int_equal(asked, 1);
    api_holds_again(holds, 1000 + API_HOLD_AGAIN_US - 1);
    assert_int_equal(asked, 1);
    api_holds_again(holds, 1000 + API_HOLD_AGAIN_US);
    assert_int_equal(asked, 2);
    assert_int_equal(asked_again, 1);
    assert_memory_equal(&last_asked, &a, sizeof a);
    api_holds_leave(holds, &one);
    api_holds_leave(holds, &two);
    api_holds_again(holds, 1000 + 9 * API_HOLD_AGAIN_US);
    assert_int_equal(asked, 2);
    assert_int_equal(api_holds_count(holds), 0);
    api_holds_free(holds);
}

static void first_come_first(void **state)
{
    (void)state;
    api_holds *holds = api_holds_new(on_ask, NULL);
    api_held held[5] = { 0 }, other = { 0 };
    rd_err err = RD_ERR_INIT;
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(api_holds_add(holds, &a, org, &held[i], 0, &err), 0);
    assert_int_equal(api_holds_add(holds, &b, other_org, &other, 0, &err), 0);
    api_holds_leave(holds, &held[2]);
    api_holds_leave(holds, &held[4]);
    assert_int_equal(api_holds_of(holds, &a), 3);
    api_held *line = api_holds_take(holds, &a);
    assert_ptr_equal(line, &held[0]);
    assert_ptr_equal(line->next, &held[1]);
    assert_ptr_equal(line->next->next, &held[3]);
    assert_null(line->next->next->next);
    assert_null(held[3].hold);
    assert_null(api_holds_take(holds, &a));
    assert_int_equal(api_holds_count(holds), 1);
    api_holds_leave(holds, &held[0]); /* was taken: nothing happens */
    api_holds_leave(holds, &other);
    api_holds_free(holds);
}

/* One organisation's sleeping apps leave places for the others'. */
static void bounded_for_an_organisation(void **state)
{
    (void)state;
    api_holds *holds = api_holds_new(on_ask, NULL);
    api_held held[API_HOLD_ORG_MAX + 2] = { 0 };
    rd_err err = RD_ERR_INIT;
    for (size_t i = 0; i < API_HOLD_ORG_MAX; i++) {
        rd_app_id app = { { 9, (uint8_t)(i / 2), (uint8_t)(i >> 9) } };
        assert_int_equal(api_holds_add(holds, &app, org, &held[i], 0, &err), 0);
    }
    assert_int_equal(api_holds_add(holds, &a, org, &held[API_HOLD_ORG_MAX], 0, &err), -1);
    assert_int_equal(err.code, RD_E_UNAVAILABLE);
    assert_int_equal(api_holds_add(holds, &b, other_org, &held[API_HOLD_ORG_MAX + 1], 0, &err), 0);
    api_holds_leave(holds, &held[0]);
    assert_int_equal(api_holds_add(holds, &a, org, &held[API_HOLD_ORG_MAX], 0, &err), 0);
    for (size_t i = 0; i < RD_ARRAY_LEN(held); i++)
        api_holds_leave(holds, &held[i]);
    assert_int_equal(api_holds_count(holds), 0);
    api_holds_free(holds);
}

static void bounded_for_an_app_and_for_all(void **state)
{
    (void)state;
    api_holds *holds = api_holds_new(on_ask, NULL);
    api_held *held = rd_alloc_array(API_HOLD_MAX + 1, sizeof *held);
    rd_err err = RD_ERR_INIT;
    for (size_t i = 0; i < API_HOLD_APP_MAX; i++)
        assert_int_equal(api_holds_add(holds, &a, org, &held[i], 0, &err), 0);
    assert_int_equal(api_holds_add(holds, &a, org, &held[API_HOLD_APP_MAX], 0, &err), -1);
    assert_int_equal(err.code, RD_E_UNAVAILABLE);
    for (size_t i = API_HOLD_APP_MAX; i < API_HOLD_MAX; i++) {
        rd_app_id app = { { 9, (uint8_t)i, (uint8_t)(i >> 8) } };
        uint8_t its_org[16] = { 9, (uint8_t)i, (uint8_t)(i >> 8) };
        assert_int_equal(api_holds_add(holds, &app, its_org, &held[i], 0, &err), 0);
    }
    err = (rd_err)RD_ERR_INIT;
    assert_int_equal(api_holds_add(holds, &b, other_org, &held[API_HOLD_MAX], 0, &err), -1);
    assert_int_equal(err.code, RD_E_UNAVAILABLE);
    for (size_t i = 0; i < API_HOLD_MAX; i++)
        api_holds_leave(holds, &held[i]);
    assert_int_equal(api_holds_count(holds), 0);
    free(held);
    api_holds_free(holds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_once_and_again_later),
        cmocka_unit_test(first_come_first),
        cmocka_unit_test(bounded_for_an_organisation),
        cmocka_unit_test(bounded_for_an_app_and_for_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
