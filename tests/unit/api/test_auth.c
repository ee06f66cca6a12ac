#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "api/auth.h"

static const struct {
    const char *name, *header, *want;
} bearers[] = {
    { "plain", "Bearer rdt_abc", "rdt_abc" },
    { "any case", "bearer rdt_abc", "rdt_abc" },
    { "two spaces", "Bearer  rdt_abc", "rdt_abc" },
    { "none", NULL, "" },
    { "empty", "", "" },
    { "scheme alone", "Bearer", "" },
    { "other scheme", "Basic rdt_abc", "" },
    { "other prefix", "Bearer abc", "" },
    { "two tokens", "Bearer rdt_a rdt_b", "" },
    { "a list", "Bearer rdt_a,rdt_b", "" },
}, cookies[] = {
    { "alone", "__Host-redoubt=abc", "abc" },
    { "among others", "a=b; __Host-redoubt=abc; c=d", "abc" },
    { "first of two", "__Host-redoubt=abc; __Host-redoubt=def", "abc" },
    { "none", NULL, "" },
    { "another", "redoubt=abc", "" },
    { "longer name", "x__Host-redoubt=abc", "" },
    { "empty value", "__Host-redoubt=", "" },
    { "name alone", "__Host-redoubt", "" },
    { "only separators", "; ; ;", "" },
};

static void test_bearer(void **state)
{
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(bearers); i++) {
        print_message("%s\n", bearers[i].name);
        assert_true(rd_bytes_equal(api_auth_bearer(bearers[i].header), rd_bytes_str(bearers[i].want)));
    }
    char long_header[300] = "Bearer rdt_";
    memset(long_header + 11, 'a', 200);
    assert_int_equal(api_auth_bearer(long_header).size, 0);
}

static void test_cookie(void **state)
{
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(cookies); i++) {
        print_message("%s\n", cookies[i].name);
        assert_true(rd_bytes_equal(api_auth_cookie(cookies[i].header), rd_bytes_str(cookies[i].want)));
    }
}

/* One line for each need: viewer, developer, owner, operator, auditor of an operating organisation. */
static void test_roles(void **state)
{
    (void)state;
    static const struct {
        api_need need;
        bool may[5];
    } table[] = {
        { API_NEED_VIEWER, { true, true, true, true, true } },
        { API_NEED_DEVELOPER, { false, true, true, false, false } },
        { API_NEED_OWNER, { false, false, true, false, false } },
        { API_NEED_OPERATOR, { false, false, true, true, false } },
        { API_NEED_AUDITOR, { false, false, true, false, true } },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(table); i++)
        for (int role = API_ROLE_VIEWER; role <= API_ROLE_AUDITOR; role++) {
            api_principal p = { .role = (api_role)role, .is_operating = true };
            assert_int_equal(api_role_may(&p, table[i].need), table[i].may[role - API_ROLE_VIEWER]);
            assert_int_equal(api_role_by_name(api_role_name((api_role)role)), role);
        }
    api_principal customer = { .role = API_ROLE_OWNER };
    assert_false(api_role_may(&customer, API_NEED_OPERATOR));
    api_principal nobody = { .role = API_ROLE_NONE };
    assert_false(api_role_may(&nobody, API_NEED_ANY));
    assert_false(api_role_may(&nobody, API_NEED_VIEWER));
    assert_int_equal(api_role_by_name("root"), API_ROLE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bearer),
        cmocka_unit_test(test_cookie),
        cmocka_unit_test(test_roles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
