#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "enclave/world/http.h"

#define MORE 1000 /* wanted: more bytes */

static const struct {
    const char *name, *text;
    int want; /* RD_OK, a code, or MORE */
} rows[] = {
    { "whole", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", RD_OK },
    { "query and value with spaces", "POST /a?b=c HTTP/1.1\r\nHost: a:80\r\nX:  a b \t\r\nContent-Length: 3\r\n\r\nabc",
      RD_OK },
    { "empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", RD_OK },
    { "obs-text", "GET / HTTP/1.1\r\nHost: a\r\nX: \xc3\xa4\r\n\r\n", RD_OK },
    { "nothing", "", MORE },
    { "half a line", "GET / HT", MORE },
    { "no empty line", "GET / HTTP/1.1\r\nHost: a\r\n", MORE },
    { "LF alone never ends", "GET / HTTP/1.1\nHost: a\n\n", MORE },
    { "leading CR LF", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "LF in the middle", "GET / HTTP/1.1\nHost: a\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "bare CR", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "third word", "GET / x HTTP/1.1\r\nHost: a\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "method with a colon", "GE:T / HTTP/1.1\r\nHost: a\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "long method", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHI / HTTP/1.1\r\nHost: a\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "absolute form", "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "asterisk form", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "fragment", "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "8 bits in target", "GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", RD_E_HTTP_VERSION },
    { "HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", RD_E_HTTP_VERSION },
    { "other protocol", "GET / HTTQ/1.1\r\nHost: a\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "no host", "GET / HTTP/1.1\r\nX: a\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "two hosts", "GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "host with path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "host with user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "space before colon", "GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "folded line", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "first line folded", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "no colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "empty name", "GET / HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "control character", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x01\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "DEL", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x7f\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "two lengths", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "list of lengths", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "signed length", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "hex length", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "leading zero", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 01\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "huge length", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", RD_E_HTTP_LENGTH_REQUIRED },
    { "identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", RD_E_HTTP_LENGTH_REQUIRED },
    { "both", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\ntransfer-encoding: x\r\n\r\n",
      RD_E_HTTP_LENGTH_REQUIRED },
    { "expect", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", RD_E_HTTP_EXPECTATION },
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        rd_err err = RD_ERR_INIT;
        encl_http_request request;
        size_t scanned = 0;
        int outcome = encl_http_parse(rd_bytes_str(rows[i].text), &scanned, &request, &err);
        int got = outcome == ENCL_HTTP_MORE ? MORE : outcome < 0 ? (int)err.code : RD_OK;
        if (got != rows[i].want)
            fail_msg("%s: got %d (%s), wanted %d", rows[i].name, got, err.text, rows[i].want);
    }
}

/* Each prefix of a good request wants more, whatever the pieces. */
static void test_pieces(void **state)
{
    (void)state;
    const char text[] = "POST /a?b=c HTTP/1.1\r\nHost: example\r\nConnection: x, Close\r\nContent-Length: 3\r\n\r\nabc";
    size_t head = strlen(text) - 3;
    encl_http_request request;
    rd_err err = RD_ERR_INIT;
    size_t scanned = 0;
    for (size_t size = 0; size < head; size++)
        assert_int_equal(encl_http_parse(rd_bytes_of(text, size), &scanned, &request, &err), ENCL_HTTP_MORE);
    assert_int_equal(encl_http_parse(rd_bytes_of(text, head), &scanned, &request, &err), ENCL_HTTP_DONE);
    assert_int_equal(request.head_size, head);
    assert_int_equal(request.content_length, 3);
    assert_int_equal(request.headers_count, 3);
    assert_false(request.keeps_alive);
    assert_true(rd_bytes_equal(request.method, RD_BYTES_LIT("POST")));
    assert_true(rd_bytes_equal(request.target, RD_BYTES_LIT("/a?b=c")));
    assert_true(rd_bytes_equal(request.host, RD_BYTES_LIT("example")));
    assert_non_null(encl_http_find(&request, "CONTENT-LENGTH"));
    assert_null(encl_http_find(&request, "content-lengt"));
}

static int parse_buf(const rd_buf *buf, rd_err *err)
{
    encl_http_request request;
    size_t scanned = 0;
    return encl_http_parse(rd_buf_bytes(buf), &scanned, &request, err);
}

static void test_bounds(void **state)
{
    (void)state;
    RD_CLEANUP(rd_buf_done) rd_buf buf = { 0 };
    rd_err err = RD_ERR_INIT;
    rd_buf_append_str(&buf, "GET /");
    while (buf.size < ENCL_HTTP_LINE_MAX + 8)
        rd_buf_append_u8(&buf, 'a');
    assert_int_equal(parse_buf(&buf, &err), -1);
    assert_int_equal(err.code, RD_E_HTTP_TARGET_TOO_LONG);

    rd_buf_clear(&buf);
    rd_buf_append_str(&buf, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < ENCL_HTTP_COUNT_MAX - 1; i++)
        rd_buf_append_str(&buf, "X: y\r\n");
    size_t size = buf.size;
    rd_buf_append_str(&buf, "\r\n");
    assert_int_equal(parse_buf(&buf, &err), ENCL_HTTP_DONE);
    buf.size = size;
    rd_buf_append_str(&buf, "X: y\r\n\r\n");
    assert_int_equal(parse_buf(&buf, &err), -1);
    assert_int_equal(err.code, RD_E_HTTP_HEADERS_TOO_LARGE);

    rd_buf_clear(&buf);
    rd_buf_append_str(&buf, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    while (buf.size <= ENCL_HTTP_HEAD_MAX)
        rd_buf_append_u8(&buf, 'a');
    assert_int_equal(parse_buf(&buf, &err), -1);
    assert_int_equal(err.code, RD_E_HTTP_HEADERS_TOO_LARGE);
}

static void test_reserved(void **state)
{
    (void)state;
    assert_true(encl_http_is_reserved(RD_BYTES_LIT("Redoubt-Receipt")));
    assert_true(encl_http_is_reserved(RD_BYTES_LIT("content-LENGTH")));
    assert_true(encl_http_is_reserved(RD_BYTES_LIT("Transfer-Encoding")));
    assert_false(encl_http_is_reserved(RD_BYTES_LIT("Content-Type")));
    assert_false(encl_http_is_reserved(RD_BYTES_LIT("Redoubt")));
}

/* What a seal says of itself comes without the lines that the parser above judged. */
static void test_hosts(void **state)
{
    (void)state;
    assert_true(encl_http_is_host(RD_BYTES_LIT("a-1.example:80")));
    assert_true(encl_http_is_host(RD_BYTES_LIT("[::1]:80")));
    assert_false(encl_http_is_host(RD_BYTES_LIT("a/b")));
    assert_false(encl_http_is_host(RD_BYTES_LIT("a.example\0b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),     cmocka_unit_test(test_pieces), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_reserved), cmocka_unit_test(test_hosts),
    };
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
