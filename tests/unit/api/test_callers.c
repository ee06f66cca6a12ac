#include "api/callers.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static api_caller *enter(api_callers *callers, const char *text)
{
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(7) };
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(9) };
    if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
        return api_callers_enter(callers, (struct sockaddr *)&four);
    assert_int_equal(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
    return api_callers_enter(callers, (struct sockaddr *)&six);
}

static void who_shares_an_address_is_one_caller(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool is_one;
    } cases[] = {
        { "192.0.2.1", "192.0.2.1", true },
        { "192.0.2.1", "192.0.2.2", false },
        { "192.0.2.1", "::ffff:192.0.2.1", true },
        { "::ffff:192.0.2.1", "::ffff:192.0.2.2", false },
        { "2001:db8::1", "2001:db8::ffff", true },
        { "2001:db8::1", "2001:db8:0:1::1", false },
        { "::1", "0.0.0.0", false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        api_callers *callers = api_callers_new();
        api_caller *a = enter(callers, cases[i].a), *b = enter(callers, cases[i].b);
        assert_int_equal(a == b, cases[i].is_one);
        assert_int_equal(a->count, cases[i].is_one ? 2 : 1);
        api_callers_leave(callers, a);
        api_callers_leave(callers, b);
        api_callers_free(callers);
    }
}

static void a_proxy_stands_for_many(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool are_many;
    } cases[] = {
        { "127.0.0.1", true },       { "10.255.0.9", true },  { "172.16.0.1", true },   { "172.31.9.9", true },
        { "172.32.0.1", false },     { "192.168.3.4", true }, { "192.169.0.1", false }, { "100.64.0.1", true },
        { "100.128.0.1", false },    { "169.254.1.1", true }, { "8.8.8.8", false },     { "::ffff:10.1.1.1", true },
        { "::ffff:8.8.8.8", false }, { "::1", true },         { "fe80::1", true },      { "fd00::7", true },
        { "2001:db8::1", false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        api_callers *callers = api_callers_new();
        api_caller *caller = enter(callers, cases[i].text);
        if (api_callers_are_many(caller->key) != cases[i].are_many)
            fail_msg("%s", cases[i].text);
        api_callers_leave(callers, caller);
        api_callers_free(callers);
    }
}

static void an_address_that_left_counts_anew(void **state)
{
    (void)state;
    api_callers *callers = api_callers_new();
    api_caller *caller = enter(callers, "192.0.2.1");
    api_callers_leave(callers, caller);
    caller = enter(callers, "192.0.2.1");
    assert_int_equal(caller->count, 1);
    api_callers_leave(callers, caller);
    api_callers_free(callers);
}

/* However many one caller wants, the next one finds a place, and all places can be taken. */
static void nobody_takes_all_places(void **state)
{
    (void)state;
    size_t taken = 0, first = 0;
    for (unsigned caller = 0; caller < 7; caller++) {
        size_t held = 0;
        while (api_callers_has_share(held, taken, 64)) {
            held++;
            taken++;
        }
        assert_true(held > 0);
        if (caller == 0)
            first = held;
    }
    assert_int_equal(first, 32);
    assert_int_equal(taken, 64);
    assert_false(api_callers_has_share(0, taken, 64));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_shares_an_address_is_one_caller),
        cmocka_unit_test(a_proxy_stands_for_many),
        cmocka_unit_test(an_address_that_left_counts_anew),
        cmocka_unit_test(nobody_takes_all_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
