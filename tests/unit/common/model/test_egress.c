/* The release's list of places: one text a host, one order, nothing twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/model/canonical.h"
#include "common/model/egress.h"

static void hosts_have_one_form(void **state)
{
    static const char *const good[] = {
        "a",       "localhost", "api.example.com", "xn--bcher-kva.example", "a-b.c1",
        "1.2.3.4", "3com.com",  "[::1]",           "[2001:db8::1]",         "[::ffff:1.2.3.4]"
    };
    static const char *const bad[] = {
        "",      ".",        "a.",    ".a",       "a..b",      "A.example",      "-a.b",       "a-.b",
        "a_b.c", "a b",      "1.2.3", "1.2.3.04", "127.1",     "2130706433",     "0x7f000001", "256.1.1.1",
        "::1",   "[::0001]", "[::1",  "[]",       "[1.2.3.4]", "[fe80::1%eth0]", "a.1",        "http://a",
        "a:1",   "a/b"
    };
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(good); i++) {
        if (!rd_egress_host_is_ok(good[i]))
            fail_msg("\"%s\" is refused", good[i]);
    }
    for (size_t i = 0; i < RD_ARRAY_LEN(bad); i++) {
        if (rd_egress_host_is_ok(bad[i]))
            fail_msg("\"%s\" is taken", bad[i]);
    }
}

static void places_are_parsed(void **state)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
        bool is_plain;
    } rows[] = {
        { "a.example", "a.example", 443, false },
        { "a.example:8443", "a.example", 8443, false },
        { "https://a.example", "a.example", 443, false },
        { "http://a.example", "a.example", 80, true },
        { "http://a.example:8080", "a.example", 8080, true },
        { "[::1]", "[::1]", 443, false },
        { "[::1]:1", "[::1]", 1, false },
    };
    static const char *const bad[] = { "",        "a:0",        "a:65536",  "a:",  "a:x",
                                       "ftp://a", "a.example/", "https://", "::1", "A.b" };
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        rd_egress_entry entry = { .port = 0 };
        rd_err err = RD_ERR_INIT;
        if (rd_egress_place_parse(rows[i].text, &entry, &err) < 0)
            fail_msg("%s: %s", rows[i].text, err.text);
        assert_string_equal(entry.host, rows[i].host);
        assert_int_equal(entry.port, rows[i].port);
        assert_int_equal(entry.is_plain, rows[i].is_plain);
    }
    for (size_t i = 0; i < RD_ARRAY_LEN(bad); i++) {
        rd_egress_entry entry = { .port = 0 };
        rd_err err = RD_ERR_INIT;
        if (rd_egress_place_parse(bad[i], &entry, &err) == 0)
            fail_msg("\"%s\" is taken", bad[i]);
    }
}

#define ENTRY(ca, host, port, rest) "{\"ca\":" ca ",\"host\":\"" host "\",\"port\":" port "," rest "}"
#define PLAINLY                     "\"private\":false,\"scheme\":\"https\",\"secrets\":[]"

static int read(const char *text, rd_egress *ret, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *value = NULL;
    assert_int_equal(rd_json_parse(rd_bytes_str(text), NULL, &value, err), 0);
    return rd_egress_read(value, ret, "/egress", err);
}

static void lists_round_trip_and_bad_ones_are_refused(void **state)
{
    static const char good[] = "[" ENTRY(
        "\"AAEC\"", "a.example", "443",
        "\"private\":true,\"scheme\":\"https\",\"secrets\":[\"A\",\"B\"]") "," ENTRY("null", "a.example", "8443",
                                                                                     PLAINLY) "," ENTRY("null",
                                                                                                        "b.example",
                                                                                                        "80",
                                                                                                        "\"private\":"
                                                                                                        "false,"
                                                                                                        "\"scheme\":"
                                                                                                        "\"http\","
                                                                                                        "\"secrets\":["
                                                                                                        "]") "]";
    static const struct {
        const char *name, *text;
        int code;
    } bad[] = {
        { "a text", "[\"a.example\"]", RD_E_JSON_TYPE },
        { "missing", "[{\"host\":\"a.example\"}]", RD_E_JSON_MISSING },
        { "unknown", "[" ENTRY("null", "a", "443", PLAINLY ",\"x\":1") "]", RD_E_JSON_UNKNOWN },
        { "order", "[" ENTRY("null", "b", "443", PLAINLY) "," ENTRY("null", "a", "443", PLAINLY) "]", RD_E_JSON_RANGE },
        { "twice", "[" ENTRY("null", "a", "443", PLAINLY) "," ENTRY("null", "a", "443", PLAINLY) "]", RD_E_JSON_RANGE },
        { "port 0", "[" ENTRY("null", "a", "0", PLAINLY) "]", RD_E_JSON_RANGE },
        { "host", "[" ENTRY("null", "A", "443", PLAINLY) "]", RD_E_JSON_RANGE },
        { "scheme", "[" ENTRY("null", "a", "443", "\"private\":false,\"scheme\":\"ws\",\"secrets\":[]") "]",
          RD_E_JSON_RANGE },
        { "secret over http",
          "[" ENTRY("null", "a", "80", "\"private\":false,\"scheme\":\"http\",\"secrets\":[\"A\"]") "]",
          RD_E_JSON_RANGE },
        { "secrets out of order",
          "[" ENTRY("null", "a", "443", "\"private\":false,\"scheme\":\"https\",\"secrets\":[\"B\",\"A\"]") "]",
          RD_E_JSON_RANGE },
    };
    rd_egress egress = { .count = 0 };
    rd_err err = RD_ERR_INIT;
    rd_buf out = { 0 };
    (void)state;
    if (read(good, &egress, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(egress.count, 3);
    assert_ptr_equal(rd_egress_find(&egress, false, RD_BYTES_LIT("a.example"), 8443), &egress.items[1]);
    assert_null(rd_egress_find(&egress, true, RD_BYTES_LIT("a.example"), 8443));
    assert_null(rd_egress_find(&egress, false, RD_BYTES_LIT("a.example"), 444));
    json_t *again = rd_egress_to_json(&egress);
    assert_int_equal(rd_canonical_write(again, &out, &err), 0);
    assert_string_equal(rd_buf_text(&out), good);
    json_decref(again);
    rd_buf_done(&out);
    rd_egress_done(&egress);
    for (size_t i = 0; i < RD_ARRAY_LEN(bad); i++) {
        rd_err why = RD_ERR_INIT;
        if (read(bad[i].text, &egress, &why) == 0 || (int)why.code != bad[i].code)
            fail_msg("%s: %d %s", bad[i].name, why.code, why.text);
        rd_egress_done(&egress);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_have_one_form),
        cmocka_unit_test(places_are_parsed),
        cmocka_unit_test(lists_round_trip_and_bad_ones_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
