#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "api/router.h"
#include "api/routes.h"

static const api_route table[] = {
    { "GET", "/", API_ROUTE_INLINE, API_NEED_NONE, .loop = NULL },
    { "GET", "/a", API_ROUTE_INLINE, API_NEED_NONE, .loop = NULL },
    { "POST", "/a", API_ROUTE_INLINE, API_NEED_NONE, .loop = NULL },
    { "GET", "/a/{id}", API_ROUTE_INLINE, API_NEED_NONE, .loop = NULL },
    { "GET", "/a/{id}/b/{other}", API_ROUTE_INLINE, API_NEED_NONE, .loop = NULL },
    { "DELETE", "/a/{id}", API_ROUTE_INLINE, API_NEED_NONE, .loop = NULL },
    { "GET", "/f/{path*}", API_ROUTE_INLINE, API_NEED_NONE, .loop = NULL },
};

static const struct {
    const char *name, *method, *path;
    api_match_result want;
    int index;
    const char *first; /* value of the first parameter */
    const char *allow;
} rows[] = {
    { "root", "GET", "/", API_MATCH_FOUND, 0, NULL, "" },
    { "literal", "POST", "/a", API_MATCH_FOUND, 2, NULL, "" },
    { "HEAD is GET", "HEAD", "/a", API_MATCH_FOUND, 1, NULL, "" },
    { "parameter", "GET", "/a/x", API_MATCH_FOUND, 3, "x", "" },
    { "decoded", "GET", "/a/x%20y%3A", API_MATCH_FOUND, 3, "x y:", "" },
    { "two parameters", "GET", "/a/x/b/y", API_MATCH_FOUND, 4, "x", "" },
    { "rest", "GET", "/f/x/y.js", API_MATCH_FOUND, 6, "x/y.js", "" },
    { "other method", "PUT", "/a", API_MATCH_METHOD, -1, NULL, "GET, HEAD, POST, OPTIONS" },
    { "other method of a parameter", "PATCH", "/a/x", API_MATCH_METHOD, -1, NULL, "GET, HEAD, DELETE, OPTIONS" },
    { "unknown", "GET", "/b", API_MATCH_NONE, -1, NULL, "" },
    { "longer", "GET", "/a/x/b", API_MATCH_NONE, -1, NULL, "" },
    { "trailing slash", "GET", "/a/", API_MATCH_NONE, -1, NULL, "" },
    { "empty parameter", "GET", "/a//b/y", API_MATCH_NONE, -1, NULL, "" },
    { "no slash", "GET", "a", API_MATCH_NONE, -1, NULL, "" },
    { "empty", "GET", "", API_MATCH_NONE, -1, NULL, "" },
    { "asterisk", "OPTIONS", "*", API_MATCH_NONE, -1, NULL, "" },
    { "prefix of a literal", "GET", "/aa", API_MATCH_NONE, -1, NULL, "" },
    { "encoded slash", "GET", "/a/x%2fy", API_MATCH_NONE, -1, NULL, "" },
    { "encoded NUL", "GET", "/a/x%00", API_MATCH_NONE, -1, NULL, "" },
    { "encoded line end", "GET", "/a/x%0a", API_MATCH_NONE, -1, NULL, "" },
    { "cut encoding", "GET", "/a/x%2", API_MATCH_NONE, -1, NULL, "" },
    { "bad encoding", "GET", "/a/x%zz", API_MATCH_NONE, -1, NULL, "" },
    { "dot", "GET", "/a/.", API_MATCH_NONE, -1, NULL, "" },
    { "dots", "GET", "/a/%2e%2e", API_MATCH_NONE, -1, NULL, "" },
    { "dots as the rest", "GET", "/f/..", API_MATCH_NONE, -1, NULL, "" },
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        api_match match;
        print_message("%s\n", rows[i].name);
        assert_int_equal(api_router_match(table, RD_ARRAY_LEN(table), rows[i].method, rows[i].path, &match),
                         rows[i].want);
        assert_string_equal(match.allow, rows[i].allow);
        if (rows[i].want != API_MATCH_FOUND)
            continue;
        assert_int_equal(match.index, rows[i].index);
        if (rows[i].first)
            assert_string_equal(match.params[0].value, rows[i].first);
    }
}

static void test_long_segment(void **state)
{
    (void)state;
    char path[400] = "/a/";
    memset(path + 3, 'x', 300);
    api_match match;
    assert_int_equal(api_router_match(table, RD_ARRAY_LEN(table), "GET", path, &match), API_MATCH_NONE);
}

/* Whoever adds a route says who may call it and how much it reads. */
static void test_own_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < api_route_count; i++) {
        const api_route *r = &api_routes[i];
        print_message("%s %s\n", r->method, r->pattern);
        assert_true(r->kind == API_ROUTE_WORKER ? r->worker != NULL && r->loop == NULL
                                                : r->loop != NULL && r->worker == NULL);
        bool is_open = strncmp(r->pattern, "/v1/", 4) != 0 || (r->flags & (API_OPS | API_LOGIN)) != 0;
        assert_int_equal(r->need == API_NEED_NONE, is_open);
        bool takes_body = (r->flags & (API_BODY_JSON | API_BODY_BYTES)) != 0;
        assert_int_equal(r->body_max > 0, takes_body);
        /* The versions of a secret never change: there is nothing that a caller could have missed. */
        bool is_versioned = strcmp(r->pattern, "/v1/apps/{app}/secrets/{name}") != 0;
        if (is_versioned && (strcmp(r->method, "DELETE") == 0 || strcmp(r->method, "PATCH") == 0))
            assert_true(r->flags & API_IF_MATCH);
        api_match match;
        assert_int_equal(api_router_match(api_routes, i, r->method, r->pattern, &match) == API_MATCH_FOUND, false);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_long_segment),
        cmocka_unit_test(test_own_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
