#include "cli/live.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"

#define LABEL "app-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void reads_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *url, *host, *port;
    } rows[] = {
        { "https://" LABEL ".example", LABEL ".example", "443" },
        { "https://" LABEL ".example/", LABEL ".example", "443" },
        { "https://" LABEL ".apps.example:8443", LABEL ".apps.example", "8443" },
        { "https://" LABEL ".apps.example:65535/", LABEL ".apps.example", "65535" },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        cli_live_address address;
        rd_err err = RD_ERR_INIT;
        char text[RD_APP_ID_TEXT_SIZE];
        if (cli_live_address_parse(rows[i].url, &address, &err) < 0)
            fail_msg("%s: %s", rows[i].url, err.text);
        rd_app_id_format(&address.app, text);
        assert_string_equal(text + 4, LABEL + 4);
        assert_string_equal(address.host, rows[i].host);
        assert_string_equal(address.port, rows[i].port);
    }
}

static void refuses_all_else(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "https://",
        "http://" LABEL ".example",
        "HTTPS://" LABEL ".example",
        "https://www.example",
        "https://" LABEL,
        "https://" LABEL "a.example",
        "https://app-1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example",
        "https://" LABEL ".example/path",
        "https://" LABEL ".example//",
        "https://" LABEL ".example?x",
        "https://" LABEL ".example#x",
        "https://me@" LABEL ".example",
        "https://" LABEL ".example:",
        "https://" LABEL ".example:0",
        "https://" LABEL ".example:65536",
        "https://" LABEL ".example:99999999999999999999",
        "https://" LABEL ".example:8443x",
        "https://" LABEL ".example:+443",
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        cli_live_address address;
        rd_err err = RD_ERR_INIT;
        if (cli_live_address_parse(rows[i], &address, &err) == 0)
            fail_msg("%s passes", rows[i]);
        assert_int_equal(err.code, RD_E_USAGE);
    }
}

static void bounds_names(void **state)
{
    (void)state;
    char url[512] = "https://" LABEL;
    while (strlen(url) < 300)
        strcat(url, ".abcdefghij");
    cli_live_address address;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(cli_live_address_parse(url, &address, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_addresses),
        cmocka_unit_test(refuses_all_else),
        cmocka_unit_test(bounds_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
