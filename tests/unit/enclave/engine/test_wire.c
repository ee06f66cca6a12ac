#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "enclave/engine/wire.h"

#define U32(v) (uint8_t)(v), (uint8_t)((v) >> 8), 0, 0
/* A response of status 200 with one header and the body "hi"; rows spoil one thing at a time. */
#define ROW(...)                                                                                                       \
    {                                                                                                                  \
        sizeof((const uint8_t[]){ __VA_ARGS__ }),                                                                      \
        {                                                                                                              \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }

static const struct {
    const char *name;
    struct {
        size_t size;
        uint8_t bytes[64];
    } in;
    int want; /* headers kept, or -1 */
} rows[] = {
    { "whole", ROW(U32(200), U32(1), U32(1), 'x', U32(1), 'y', U32(2), 'h', 'i'), 1 },
    { "no headers, no body", ROW(U32(404), U32(0), U32(0)), 0 },
    { "empty value", ROW(U32(200), U32(1), U32(1), 'x', U32(0), U32(0)), 1 },
    { "value with a tab and beyond ASCII", ROW(U32(200), U32(1), U32(1), 'x', U32(2), '\t', 0xe9, U32(0)), 1 },
    { "the server's own header", ROW(U32(200), U32(1), U32(2), 't', 'e', U32(1), 'y', U32(0)), 0 },
    { "nothing", { 0, { 0 } }, -1 },
    { "status 199", ROW(U32(199), U32(0), U32(0)), -1 },
    { "status 600", ROW(U32(600), U32(0), U32(0)), -1 },
    { "body missing", ROW(U32(200), U32(0)), -1 },
    { "body cut", ROW(U32(200), U32(0), U32(3), 'h', 'i'), -1 },
    { "trailing byte", ROW(U32(200), U32(0), U32(0), 0), -1 },
    { "more headers than said bytes", ROW(U32(200), U32(9), U32(1), 'x', U32(1), 'y', U32(0)), -1 },
    { "huge count", ROW(U32(200), 0xff, 0xff, 0xff, 0xff), -1 },
    { "huge size", ROW(U32(200), U32(1), 0xff, 0xff, 0xff, 0xff, 'x'), -1 },
    { "empty name", ROW(U32(200), U32(1), U32(0), U32(1), 'y', U32(0)), -1 },
    { "upper-case name", ROW(U32(200), U32(1), U32(1), 'X', U32(1), 'y', U32(0)), -1 },
    { "space in the name", ROW(U32(200), U32(1), U32(1), ' ', U32(1), 'y', U32(0)), -1 },
    { "NUL in the name", ROW(U32(200), U32(1), U32(1), 0, U32(1), 'y', U32(0)), -1 },
    { "line feed in the value", ROW(U32(200), U32(1), U32(1), 'x', U32(1), '\n', U32(0)), -1 },
    { "carriage return in the value", ROW(U32(200), U32(1), U32(1), 'x', U32(1), '\r', U32(0)), -1 },
    { "NUL in the value", ROW(U32(200), U32(1), U32(1), 'x', U32(1), 0, U32(0)), -1 },
    { "three headers, two allowed",
      ROW(U32(200), U32(3), U32(1), 'x', U32(0), U32(1), 'y', U32(0), U32(1), 'z', U32(0), U32(0)), -1 },
};

static void test_responses(void **state)
{
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        encl_header headers[2];
        encl_response response = { .status = 1 };
        rd_err err = RD_ERR_INIT;
        int outcome =
            encl_wire_response_read(rd_bytes_of(rows[i].in.bytes, rows[i].in.size), headers, 2, &response, &err);
        if ((outcome == 0) != (rows[i].want >= 0))
            fail_msg("%s: %d %s", rows[i].name, outcome, err.text);
        if (outcome < 0) {
            assert_int_equal(err.code, RD_E_ENGINE_BAD_RESPONSE);
            assert_int_equal(response.status, 1);
        } else {
            assert_int_equal(response.header_count, rows[i].want);
        }
    }
}

static void test_request_bytes(void **state)
{
    static const uint8_t want[] = { U32(3), 'G', 'E', 'T', U32(10), 'h',    't', 't',    'p',    's', ':',
                                    '/',    '/', 'a', '/', U32(1),  U32(1), 'x', U32(0), U32(2), 0,   0xff };
    static const uint8_t body[] = { 0, 0xff };
    encl_header header = { rd_bytes_str("x"), RD_BYTES_NULL };
    encl_request request = { rd_bytes_str("GET"), rd_bytes_str("https://a/"), &header, 1, RD_BYTES_ARRAY(body) };
    uint8_t out[sizeof(want)];
    rd_err err = RD_ERR_INIT;
    size_t size;

    (void)state;
    assert_int_equal(encl_wire_request_size(&request, sizeof(want), &size, &err), 0);
    assert_int_equal(size, sizeof(want));
    encl_wire_request_write(&request, out);
    assert_memory_equal(out, want, sizeof(want));
    assert_int_equal(encl_wire_request_size(&request, sizeof(want) - 1, &size, &err), -1);
    assert_int_equal(err.code, RD_E_ENGINE_REQUEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_responses),
        cmocka_unit_test(test_request_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
