#include "api/apps_listener.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define LABEL "app-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
    const char *name, *host;
    bool want;
} rows[] = {
    { "plain", LABEL ".apps.localhost", true },
    { "with port", LABEL ".apps.localhost:8081", true },
    { "upper case", "APP-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.Apps.LOCALHOST", true },
    { "other domain", LABEL ".apps.example", false },
    { "domain as a prefix", LABEL ".apps.localhost.evil.example", false },
    { "label below", "x." LABEL ".apps.localhost", false },
    { "too short", "app-aaaa.apps.localhost", false },
    { "underscore", "app_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.apps.localhost", false },
    { "bad character", "app-1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.apps.localhost", false },
    { "no domain", LABEL, false },
    { "the API's own", "127.0.0.1:8080", false },
    { "empty", "", false },
};

static void hosts(void **state)
{
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        rd_app_id app;
        if (api_apps_parse_host(rd_bytes_str(rows[i].host), "apps.localhost", &app) != rows[i].want)
            fail_msg("%s", rows[i].name);
    }
}

static void headers(void **state)
{
    (void)state;
    static const char *const kept[] = {
        "Host",      "Authorization",      "Connection", "TE", "Content-Length", "Expect", "X-Forwarded-For",
        "Forwarded", "Redoubt-Request-Id", "X-Hop"
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(kept); i++)
        if (api_apps_passes_header(rd_bytes_str(kept[i]), RD_BYTES_LIT("close, X-Hop")))
            fail_msg("%s went on", kept[i]);
    static const char *const passed[] = { "Content-Type", "Accept", "Cookie", "Redoubt-Salt", "Redoubt-Nonce" };
    for (size_t i = 0; i < RD_ARRAY_LEN(passed); i++)
        if (!api_apps_passes_header(rd_bytes_str(passed[i]), RD_BYTES_LIT("close, X-Hop")))
            fail_msg("%s was kept back", passed[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(hosts), cmocka_unit_test(headers) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
