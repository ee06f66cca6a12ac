#include "api/shares.h"

#include "common/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define MAX ((size_t)1024)

static api_share *enter(api_shares *shares, const char *key)
{
    return api_shares_enter(shares, rd_bytes_str(key));
}

static size_t fill(api_shares *shares, api_share *const both[2], size_t step)
{
    size_t taken = 0;
    while (api_shares_take(shares, both, step) == API_SHARE_TAKEN)
        taken += step;
    return taken;
}

static void one_alone_gets_half(void **state)
{
    (void)state;
    api_shares *shares = api_shares_new(MAX);
    api_share *const a[2] = { enter(shares, "a"), NULL }, *const b[2] = { enter(shares, "b"), NULL };
    assert_int_equal(fill(shares, a, 1), MAX / 2);
    assert_int_equal(api_shares_look(shares, a, 1), API_SHARE_SPENT);
    assert_int_equal(api_shares_look(shares, b, MAX / 4), API_SHARE_TAKEN);
    assert_int_equal(api_shares_look(shares, b, MAX / 4 + 1), API_SHARE_SPENT);
    assert_int_equal(api_shares_look(shares, b, MAX / 2 + 1), API_SHARE_FULL);
    assert_int_equal(fill(shares, b, 16), MAX / 4);
    /* What one gives back is the other's too. */
    api_shares_give(shares, a, MAX / 2);
    assert_int_equal(fill(shares, b, 16), MAX / 4);
    assert_int_equal(api_shares_held(shares), MAX / 2);
    api_shares_give(shares, b, MAX / 2);
    api_shares_leave(shares, a[0]);
    api_shares_leave(shares, b[0]);
    assert_null(api_shares_free(shares));
}

/* Whoever comes finds something, after ever so many. */
static void nobody_is_locked_out(void **state)
{
    (void)state;
    api_shares *shares = api_shares_new(MAX);
    static const char *const keys[] = { "a", "b", "c", "d", "e", "f", "g" };
    api_share *all[RD_ARRAY_LEN(keys)];
    size_t taken[RD_ARRAY_LEN(keys)];
    for (size_t i = 0; i < RD_ARRAY_LEN(keys); i++) {
        all[i] = enter(shares, keys[i]);
        taken[i] = fill(shares, (api_share *const[2]){ all[i], NULL }, 1);
        assert_true(taken[i] > 0);
    }
    for (size_t i = 0; i < RD_ARRAY_LEN(keys); i++) {
        api_shares_give(shares, (api_share *const[2]){ all[i], NULL }, taken[i]);
        api_shares_leave(shares, all[i]);
    }
    assert_int_equal(api_shares_held(shares), 0);
    (void)api_shares_free(shares);
}

/* Two apps called from one address: the address is held to its share as well, and what is refused counts nowhere. */
static void both_must_have_room(void **state)
{
    (void)state;
    api_shares *shares = api_shares_new(MAX);
    api_share *address = enter(shares, "address"), *a = enter(shares, "a"), *b = enter(shares, "b");
    assert_int_equal(fill(shares, (api_share *const[2]){ a, address }, 1), MAX / 2);
    assert_int_equal(fill(shares, (api_share *const[2]){ b, address }, 1), 0);
    assert_int_equal(fill(shares, (api_share *const[2]){ b, NULL }, 1), MAX / 4);
    api_shares_give(shares, (api_share *const[2]){ a, address }, MAX / 2);
    api_shares_give(shares, (api_share *const[2]){ b, NULL }, MAX / 4);
    api_shares_leave(shares, address);
    api_shares_leave(shares, a);
    api_shares_leave(shares, b);
    (void)api_shares_free(shares);
}

static void one_key_is_one_share(void **state)
{
    (void)state;
    api_shares *shares = api_shares_new(MAX);
    api_share *a = enter(shares, "a"), *again = enter(shares, "a");
    assert_ptr_equal(a, again);
    assert_int_equal(api_shares_take(shares, (api_share *const[2]){ a, NULL }, MAX / 2), API_SHARE_TAKEN);
    assert_int_equal(api_shares_take(shares, (api_share *const[2]){ again, NULL }, 1), API_SHARE_SPENT);
    assert_int_equal(api_shares_take(shares, (api_share *const[2]){ a, NULL }, 0), API_SHARE_TAKEN);
    api_shares_give(shares, (api_share *const[2]){ again, NULL }, MAX / 2);
    api_shares_leave(shares, a);
    api_shares_leave(shares, again);
    api_shares_leave(shares, NULL);
    (void)api_shares_free(shares);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(one_alone_gets_half), cmocka_unit_test(nobody_is_locked_out),
                                        cmocka_unit_test(both_must_have_room), cmocka_unit_test(one_key_is_one_share) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
