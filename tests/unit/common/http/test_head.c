#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/http/head.h"

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
    { "absolute form", "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", RD_OK },
    { "absolute form, other case", "GET HTTPS://A:1/b?c HTTP/1.1\r\nHost: a:1\r\n\r\n", RD_OK },
    { "absolute form without a path", "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", RD_OK },
    { "absolute form, query alone", "GET http://a?b HTTP/1.1\r\nHost: a?b\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "absolute form of another host", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "absolute form of another port", "GET http://a:1/ HTTP/1.1\r\nHost: a\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "absolute form with a user", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "absolute form without a host", "GET http:/// HTTP/1.1\r\nHost:\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "absolute form of no host", "GET http:// HTTP/1.1\r\nHost:\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "absolute form, other scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", RD_E_HTTP_SYNTAX },
    { "authority form", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", RD_E_HTTP_SYNTAX },
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
        rd_http_head request;
        size_t scanned = 0;
        int outcome = rd_http_head_parse(rd_bytes_str(rows[i].text), 0, &scanned, &request, &err);
        int got = outcome == RD_HTTP_MORE ? MORE : outcome < 0 ? (int)err.code : RD_OK;
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
    rd_http_head request;
    rd_err err = RD_ERR_INIT;
    size_t scanned = 0;
    for (size_t size = 0; size < head; size++)
        assert_int_equal(rd_http_head_parse(rd_bytes_of(text, size), 0, &scanned, &request, &err), RD_HTTP_MORE);
    assert_int_equal(rd_http_head_parse(rd_bytes_of(text, head), 0, &scanned, &request, &err), RD_HTTP_DONE);
    assert_int_equal(request.head_size, head);
    assert_int_equal(request.content_length, 3);
    assert_int_equal(request.headers_count, 3);
    assert_false(request.keeps_alive);
    assert_true(rd_bytes_equal(request.method, RD_BYTES_LIT("POST")));
    assert_true(rd_bytes_equal(request.target, RD_BYTES_LIT("/a?b=c")));
    assert_true(rd_bytes_equal(request.host, RD_BYTES_LIT("example")));
    assert_non_null(rd_http_head_find(&request, "CONTENT-LENGTH"));
    assert_null(rd_http_head_find(&request, "content-lengt"));
}

/* RFC 9112, 3.2.2: the function sees the target as if it had come in origin form. */
static void test_absolute_form(void **state)
{
    (void)state;
    static const struct {
        const char *text, *target, *host;
    } forms[] = {
        { "GET http://a:8/b?c=http://d/ HTTP/1.1\r\nHost: A:8\r\n\r\n", "/b?c=http://d/", "A:8" },
        { "GET https://[::1] HTTP/1.1\r\nHost: [::1]\r\n\r\n", "/", "[::1]" },
        { "GET //b/c HTTP/1.1\r\nHost: a\r\n\r\n", "//b/c", "a" },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(forms); i++) {
        rd_http_head request;
        rd_err err = RD_ERR_INIT;
        size_t scanned = 0;
        assert_int_equal(rd_http_head_parse(rd_bytes_str(forms[i].text), 0, &scanned, &request, &err), RD_HTTP_DONE);
        assert_true(rd_bytes_equal(request.target, rd_bytes_str(forms[i].target)));
        assert_true(rd_bytes_equal(request.host, rd_bytes_str(forms[i].host)));
    }
}

static int parse_buf(const rd_buf *buf, rd_err *err)
{
    rd_http_head request;
    size_t scanned = 0;
    return rd_http_head_parse(rd_buf_bytes(buf), 0, &scanned, &request, err);
}

static void test_bounds(void **state)
{
    (void)state;
    RD_CLEANUP(rd_buf_done) rd_buf buf = { 0 };
    rd_err err = RD_ERR_INIT;
    rd_buf_append_str(&buf, "GET /");
    while (buf.size < RD_HTTP_LINE_MAX + 8)
        rd_buf_append_u8(&buf, 'a');
    assert_int_equal(parse_buf(&buf, &err), -1);
    assert_int_equal(err.code, RD_E_HTTP_TARGET_TOO_LONG);

    rd_buf_clear(&buf);
    rd_buf_append_str(&buf, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < RD_HTTP_COUNT_MAX - 1; i++)
        rd_buf_append_str(&buf, "X: y\r\n");
    size_t size = buf.size;
    rd_buf_append_str(&buf, "\r\n");
    assert_int_equal(parse_buf(&buf, &err), RD_HTTP_DONE);
    buf.size = size;
    rd_buf_append_str(&buf, "X: y\r\n\r\n");
    assert_int_equal(parse_buf(&buf, &err), -1);
    assert_int_equal(err.code, RD_E_HTTP_HEADERS_TOO_LARGE);

    rd_buf_clear(&buf);
    rd_buf_append_str(&buf, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    while (buf.size <= RD_HTTP_HEAD_MAX)
        rd_buf_append_u8(&buf, 'a');
    assert_int_equal(parse_buf(&buf, &err), -1);
    assert_int_equal(err.code, RD_E_HTTP_HEADERS_TOO_LARGE);
}

static void test_of_connection(void **state)
{
    (void)state;
    assert_true(rd_http_is_of_connection(RD_BYTES_LIT("content-LENGTH")));
    assert_true(rd_http_is_of_connection(RD_BYTES_LIT("Transfer-Encoding")));
    assert_false(rd_http_is_of_connection(RD_BYTES_LIT("Content-Type")));
}

/* What only some take: refused by the table above, and no more than this by who takes it. */
static void test_takers(void **state)
{
    (void)state;
    const unsigned all = RD_HTTP_TAKES_CHUNKS | RD_HTTP_TAKES_EXPECT | RD_HTTP_TAKES_OLD;
    static const struct {
        const char *name, *text;
        int want;
        bool is_chunked, expects, is_old, keeps_alive;
    } takers[] = {
        { "chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", RD_OK, true, false, false,
          true },
        { "chunked twice",
          "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
          RD_E_HTTP_SYNTAX, 0 },
        { "chunked in a list", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
          RD_E_HTTP_SYNTAX, 0 },
        { "chunked with a tab", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked\r\n\r\n", RD_OK, true, false,
          false, true },
        { "chunked with VT", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \vchunked\r\n\r\n", RD_E_HTTP_SYNTAX,
          0 },
        { "identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", RD_E_HTTP_SYNTAX, 0 },
        { "length, then chunks",
          "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", RD_E_HTTP_SYNTAX,
          0 },
        { "chunks, then length",
          "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", RD_E_HTTP_SYNTAX,
          0 },
        { "chunks of HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", RD_E_HTTP_SYNTAX,
          0 },
        { "expect", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n", RD_OK, false, true, false, true },
        { "other expectation", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n", RD_E_HTTP_EXPECTATION, 0 },
        { "HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", RD_OK, false, false, true, false },
        { "HTTP/1.0 that stays", "GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n", RD_OK, false, false,
          true, true },
        { "HTTP/1.0 that says both", "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n", RD_OK, false,
          false, true, false },
        { "HTTP/0.9", "GET /\r\nHost: a\r\n\r\n", RD_E_HTTP_SYNTAX, 0 },
        { "HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", RD_E_HTTP_VERSION, 0 },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(takers); i++) {
        rd_err err = RD_ERR_INIT;
        rd_http_head head;
        size_t scanned = 0;
        int outcome = rd_http_head_parse(rd_bytes_str(takers[i].text), all, &scanned, &head, &err);
        if ((outcome == RD_HTTP_DONE ? RD_OK : err.code) != (rd_code)takers[i].want ||
            (outcome == RD_HTTP_DONE &&
             (head.is_chunked != takers[i].is_chunked || head.expects_continue != takers[i].expects ||
              head.is_old != takers[i].is_old || head.keeps_alive != takers[i].keeps_alive)))
            fail_msg("%s: %d %s", takers[i].name, outcome, err.text);
    }
}

/* What a seal says of itself comes without the lines that the parser above judged. */
static void test_hosts(void **state)
{
    (void)state;
    assert_true(rd_http_is_host(RD_BYTES_LIT("a-1.example:80")));
    assert_true(rd_http_is_host(RD_BYTES_LIT("[::1]:80")));
    assert_false(rd_http_is_host(RD_BYTES_LIT("a/b")));
    assert_false(rd_http_is_host(RD_BYTES_LIT("a.example\0b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),   cmocka_unit_test(test_pieces),        cmocka_unit_test(test_absolute_form),
        cmocka_unit_test(test_bounds), cmocka_unit_test(test_of_connection), cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_takers),
    };
    return cmocka_run_group_tests_name("head", tests, NULL, NULL);
}
