#include "api/http_response.h"

#include "common/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Feeds text in pieces of `piece` bytes; returns the code, and the status and body on success. */
static rd_code run(const char *text, size_t piece, bool is_head, uint64_t body_max, int *ret_status, rd_buf *body)
{
    api_http_response response = { 0 };
    rd_err err = RD_ERR_INIT;
    rd_code code = RD_E_TRUNCATED;
    size_t size = strlen(text), at = 0;
    api_http_response_begin(&response, is_head, body_max);
    while (code == RD_E_TRUNCATED && at < size) {
        size_t count = RD_MIN(piece, size - at);
        char *copy = rd_strndup(text + at, count); /* its own memory, so that reading past it is seen */
        rd_bytes input = rd_bytes_of(copy, count);
        for (;;) {
            rd_bytes out = RD_BYTES_NULL;
            int step = api_http_response_step(&response, &input, &out, &err);
            if (step == API_HTTP_BODY)
                (void)rd_buf_append_bytes(body, out);
            if (step < 0)
                code = err.code;
            if (step == API_HTTP_DONE)
                code = input.size ? RD_E_TRAILING : RD_OK;
            if (step < 0 || step == API_HTTP_DONE || step == API_HTTP_MORE)
                break;
        }
        free(copy);
        at += count;
    }
    *ret_status = response.status;
    api_http_response_done(&response);
    return code;
}

/* What an answer to HEAD says of a length, and that it says one. */
static void head_lengths(void **state)
{
    static const struct {
        const char *text;
        bool has_length;
        uint64_t want;
    } heads[] = { { "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n", true, 50 },
                  { "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true, 0 },
                  { "HTTP/1.1 200 OK\r\n\r\n", false, 0 },
                  { "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", false, 0 } };
    (void)state;
    api_http_response response = { 0 };
    for (size_t i = 0; i < RD_ARRAY_LEN(heads); i++) {
        rd_bytes input = rd_bytes_str(heads[i].text), body = RD_BYTES_NULL;
        rd_err err = RD_ERR_INIT;
        api_http_response_begin(&response, true, 100);
        assert_int_equal(api_http_response_step(&response, &input, &body, &err), API_HTTP_HEAD);
        assert_int_equal(response.has_length, heads[i].has_length);
        assert_int_equal(response.content_length, heads[i].want);
        assert_int_equal(api_http_response_step(&response, &input, &body, &err), API_HTTP_DONE);
    }
    api_http_response_done(&response);
}

#define OK_HEAD "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK_HEAD "transfer-encoding: chunked\r\n\r\n"
static const struct {
    const char *name, *text;
    bool is_head;
    uint64_t body_max;
    rd_code want;
    int status;
    const char *body;
} rows[] = {
    { "plain", OK_HEAD "Content-Length: 5\r\nA: b\r\n\r\nhello", false, 100, RD_OK, 200, "hello" },
    { "empty body", OK_HEAD "content-length:0\r\n\r\n", false, 100, RD_OK, 200, "" },
    { "no reason", "HTTP/1.1 404\r\ncontent-length: 0\r\n\r\n", false, 100, RD_OK, 404, "" },
    { "no content needs no length", "HTTP/1.1 204 No Content\r\n\r\n", false, 100, RD_OK, 204, "" },
    { "not modified", "HTTP/1.1 304 N\r\ncontent-length: 50\r\n\r\n", false, 100, RD_OK, 304, "" },
    { "answer to HEAD", OK_HEAD "content-length: 50\r\n\r\n", true, 100, RD_OK, 200, "" },
    { "largest body", OK_HEAD "content-length: 5\r\n\r\nhello", false, 5, RD_OK, 200, "hello" },
    { "body above the limit", OK_HEAD "content-length: 6\r\n\r\nhello!", false, 5, RD_E_TOO_LARGE, 200, "" },
    { "no length", OK_HEAD "a: b\r\n\r\nhello", false, 100, RD_E_RESPONSE_INVALID, 200, "" },
    { "two lengths", OK_HEAD "content-length: 5\r\ncontent-length: 5\r\n\r\nhello", false, 100, RD_E_RESPONSE_INVALID,
      200, "" },
    { "chunks", CHUNKED "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", false, 6, RD_OK, 200, "hello!" },
    { "no chunk", CHUNKED "0\r\n\r\n", false, 0, RD_OK, 200, "" },
    { "receipt behind chunks", CHUNKED "0A\r\n0123456789\r\n000\r\nRedoubt-Receipt: e30\r\n\r\n", false, 100, RD_OK,
      200, "0123456789" },
    { "chunks of an answer to HEAD", CHUNKED, true, 100, RD_OK, 200, "" },
    { "chunks above the limit", CHUNKED "3\r\nabc\r\n3\r\nabc\r\n0\r\n\r\n", false, 5, RD_E_TOO_LARGE, 200, "abc" },
    { "chunk above any limit", CHUNKED "ffffffff\r\n", false, 100, RD_E_TOO_LARGE, 200, "" },
    { "chunk size of many digits", CHUNKED "000000001\r\na\r\n", false, 100, RD_E_TOO_LARGE, 200, "" },
    { "chunk without a size", CHUNKED "\r\na\r\n", false, 100, RD_E_RESPONSE_INVALID, 200, "" },
    { "chunk with an extension", CHUNKED "1;a=b\r\na\r\n", false, 100, RD_E_RESPONSE_INVALID, 200, "" },
    { "chunk size with a sign", CHUNKED "+1\r\na\r\n", false, 100, RD_E_RESPONSE_INVALID, 200, "" },
    { "chunk size in another base", CHUNKED "0x1\r\na\r\n", false, 100, RD_E_RESPONSE_INVALID, 200, "" },
    { "chunk size with a bare LF", CHUNKED "1\na\r\n", false, 100, RD_E_RESPONSE_INVALID, 200, "" },
    { "chunk size with a bare CR", CHUNKED "1\r1\r\na\r\n", false, 100, RD_E_RESPONSE_INVALID, 200, "" },
    { "longer than its chunk says", CHUNKED "1\r\nab\r\n0\r\n\r\n", false, 100, RD_E_RESPONSE_INVALID, 200, "a" },
    { "shorter than its chunk says", CHUNKED "3\r\na\r\n0\r\n\r\n", false, 100, RD_E_RESPONSE_INVALID, 200, "a\r\n" },
    { "another trailer", CHUNKED "0\r\nSet-Cookie: a=b\r\n\r\n", false, 100, RD_E_RESPONSE_INVALID, 200, "" },
    { "two receipts", CHUNKED "0\r\nRedoubt-Receipt: a\r\nRedoubt-Receipt: b\r\n\r\n", false, 100,
      RD_E_RESPONSE_INVALID, 200, "" },
    { "cut in a chunk", CHUNKED "5\r\nhel", false, 100, RD_E_TRUNCATED, 200, "hel" },
    { "cut between chunks", CHUNKED "5\r\nhello\r\n", false, 100, RD_E_TRUNCATED, 200, "hello" },
    { "cut before the receipt", CHUNKED "1\r\na\r\n0\r\n", false, 100, RD_E_TRUNCATED, 200, "a" },
    { "cut in the receipt", CHUNKED "1\r\na\r\n0\r\nRedoubt-Rec", false, 100, RD_E_TRUNCATED, 200, "a" },
    { "bytes after the last chunk", CHUNKED "0\r\n\r\nHTTP/1.1", false, 100, RD_E_TRAILING, 200, "" },
    { "two codings", OK_HEAD "transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", false, 100, RD_E_RESPONSE_INVALID,
      200, "" },
    { "chunked twice", OK_HEAD "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", false, 100,
      RD_E_RESPONSE_INVALID, 200, "" },
    { "chunked and length", OK_HEAD "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n", false, 100,
      RD_E_RESPONSE_INVALID, 200, "" },
    { "signed length", OK_HEAD "content-length: +5\r\n\r\nhello", false, 100, RD_E_RESPONSE_INVALID, 200, "" },
    { "negative length", OK_HEAD "content-length: -1\r\n\r\n", false, 100, RD_E_RESPONSE_INVALID, 200, "" },
    { "length of many digits", OK_HEAD "content-length: 99999999999999999999\r\n\r\n", false, 100,
      RD_E_RESPONSE_INVALID, 200, "" },
    { "length list", OK_HEAD "content-length: 5, 5\r\n\r\nhello", false, 100, RD_E_RESPONSE_INVALID, 200, "" },
    { "empty length", OK_HEAD "content-length:\r\n\r\n", false, 100, RD_E_RESPONSE_INVALID, 200, "" },
    { "HTTP/1.0", "HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", false, 100, RD_E_RESPONSE_INVALID, 0, "" },
    { "informational", "HTTP/1.1 100 Continue\r\n\r\n", false, 100, RD_E_RESPONSE_INVALID, 100, "" },
    { "status of two digits", "HTTP/1.1 20 OK\r\n\r\n", false, 100, RD_E_RESPONSE_INVALID, 0, "" },
    { "status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", false, 100, RD_E_RESPONSE_INVALID, 0, "" },
    { "status above 599", "HTTP/1.1 600 OK\r\ncontent-length: 0\r\n\r\n", false, 100, RD_E_RESPONSE_INVALID, 600, "" },
    { "folded line", OK_HEAD "a: b\r\n c\r\ncontent-length: 0\r\n\r\n", false, 100, RD_E_RESPONSE_INVALID, 200, "" },
    { "space before colon", OK_HEAD "content-length : 0\r\n\r\n", false, 100, RD_E_RESPONSE_INVALID, 200, "" },
    { "no colon", OK_HEAD "nothing\r\ncontent-length: 0\r\n\r\n", false, 100, RD_E_RESPONSE_INVALID, 200, "" },
    { "bare LF", OK_HEAD "a: b\nc: d\r\ncontent-length: 0\r\n\r\n", false, 100, RD_E_RESPONSE_INVALID, 200, "" },
    { "bare CR", OK_HEAD "a: b\rc: d\r\ncontent-length: 0\r\n\r\n", false, 100, RD_E_RESPONSE_INVALID, 200, "" },
    { "control character in a value", OK_HEAD "a: \x01\r\ncontent-length: 0\r\n\r\n", false, 100, RD_E_RESPONSE_INVALID,
      200, "" },
    { "empty head", "\r\n\r\n", false, 100, RD_E_RESPONSE_INVALID, 0, "" },
    { "bytes after the body", OK_HEAD "content-length: 2\r\n\r\nhello", false, 100, RD_E_TRAILING, 200, "he" },
    { "cut", OK_HEAD "content-length: 9\r\n\r\nhello", false, 100, RD_E_TRUNCATED, 200, "hello" },
};

static void rows_hold(void **state)
{
    (void)state;
    static const size_t pieces[] = { 1, 2, 3, 7, 1000 };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++)
        for (size_t k = 0; k < RD_ARRAY_LEN(pieces); k++) {
            if (rows[i].want == RD_E_TRAILING && pieces[k] != 1000)
                continue; /* what comes after the end in a later piece is the pool's to see */
            rd_buf body = { 0 };
            int status;
            rd_code code = run(rows[i].text, pieces[k], rows[i].is_head, rows[i].body_max, &status, &body);
            if (code != rows[i].want || status != rows[i].status || strcmp(rd_buf_text(&body), rows[i].body) != 0)
                fail_msg("%s in pieces of %zu: code %s, status %d, body %s", rows[i].name, pieces[k],
                         rd_code_describe(code)->name, status, rd_buf_text(&body));
            rd_buf_done(&body);
        }
}

static void head_is_bounded(void **state)
{
    (void)state;
    rd_buf text = { 0 }, body = { 0 };
    int status;
    (void)rd_buf_append_str(&text, OK_HEAD "a: ");
    for (size_t i = 0; i < API_HTTP_HEAD_MAX; i++)
        (void)rd_buf_append_u8(&text, 'x');
    (void)rd_buf_append_str(&text, "\r\ncontent-length: 0\r\n\r\n");
    assert_int_equal(run(rd_buf_text(&text), 4096, false, 10, &status, &body), RD_E_TOO_LARGE);
    rd_buf_clear(&text);
    (void)rd_buf_append_str(&text, OK_HEAD "content-length: 0\r\n");
    for (int i = 0; i < API_HTTP_HEADERS_MAX; i++)
        (void)rd_buf_printf(&text, "h%d: x\r\n", i);
    (void)rd_buf_append_str(&text, "\r\n");
    assert_int_equal(run(rd_buf_text(&text), 4096, false, 10, &status, &body), RD_E_RESPONSE_INVALID);
    rd_buf_done(&text);
    rd_buf_done(&body);
}

static void a_pipe_is_reused_and_unread_bytes_come_again(void **state)
{
    (void)state;
    api_http_response response = { 0 };
    rd_err err = RD_ERR_INIT;
    for (int i = 0; i < 3; i++) {
        const char *text = i == 2 ? OK_HEAD "Connection: close\r\nContent-Length: 4\r\n\r\nabcd"
                                  : OK_HEAD "Content-Length: 4\r\nX-Kind: Some\r\n\r\nabcd";
        rd_bytes input = rd_bytes_str(text), piece;
        api_http_response_begin(&response, false, 100);
        assert_int_equal(api_http_response_step(&response, &input, &piece, &err), API_HTTP_HEAD);
        if (i < 2)
            assert_string_equal(api_http_response_header(&response, "x-kind"), "Some");
        assert_null(api_http_response_header(&response, "x-other"));
        assert_int_equal(response.keeps_alive, i < 2);
        assert_int_equal(api_http_response_step(&response, &input, &piece, &err), API_HTTP_BODY);
        assert_int_equal(piece.size, 4);
        api_http_response_unread(&response, 2);
        input = rd_bytes_str("cd");
        assert_int_equal(api_http_response_step(&response, &input, &piece, &err), API_HTTP_BODY);
        assert_memory_equal(piece.data, "cd", 2);
        assert_int_equal(api_http_response_step(&response, &input, &piece, &err), API_HTTP_DONE);
    }
    api_http_response_done(&response);
}

/* In pieces of any size, and with bytes that nobody took at first. */
static void a_receipt_comes_behind_the_chunks(void **state)
{
    (void)state;
    static const char text[] = CHUNKED "4\r\nabcd\r\n0\r\nredoubt-receipt:  e30 \r\n\r\n";
    api_http_response response = { 0 };
    rd_err err = RD_ERR_INIT;
    for (size_t piece = 1; piece < sizeof text; piece++) {
        RD_CLEANUP(rd_buf_done) rd_buf body = { 0 };
        int step = API_HTTP_MORE;
        bool was_unread = false;
        api_http_response_begin(&response, false, 100);
        for (size_t at = 0; step != API_HTTP_DONE && at < sizeof text - 1;) {
            rd_bytes input = rd_bytes_of(text + at, RD_MIN(piece, sizeof text - 1 - at)), out;
            const uint8_t *end = input.data + input.size;
            while ((step = api_http_response_step(&response, &input, &out, &err)) == API_HTTP_HEAD) {
                assert_true(response.is_chunked);
                assert_null(api_http_response_trailer(&response));
            }
            assert_true(step >= 0);
            if (step == API_HTTP_BODY && !was_unread) {
                was_unread = true;
                api_http_response_unread(&response, out.size);
                input = out;
            } else if (step == API_HTTP_BODY) {
                (void)rd_buf_append_bytes(&body, out);
            }
            at = (size_t)(input.data - (const uint8_t *)text);
            assert_true(input.data <= end);
        }
        assert_int_equal(step, API_HTTP_DONE);
        assert_string_equal(rd_buf_text(&body), "abcd");
        assert_string_equal(api_http_response_trailer(&response), "e30");
    }
    api_http_response_done(&response);
}

static void hop_by_hop(void **state)
{
    (void)state;
    assert_true(api_http_is_hop_by_hop(RD_BYTES_LIT("Transfer-Encoding"), RD_BYTES_NULL));
    assert_true(api_http_is_hop_by_hop(RD_BYTES_LIT("content-length"), RD_BYTES_NULL));
    assert_true(api_http_is_hop_by_hop(RD_BYTES_LIT("Keep-Alive"), RD_BYTES_NULL));
    assert_true(api_http_is_hop_by_hop(RD_BYTES_LIT("X-Mine"), RD_BYTES_LIT("close, x-mine")));
    assert_false(api_http_is_hop_by_hop(RD_BYTES_LIT("X-Mine"), RD_BYTES_LIT("close, x-mine-2")));
    assert_false(api_http_is_hop_by_hop(RD_BYTES_LIT("content-type"), RD_BYTES_LIT("close")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_hold),
        cmocka_unit_test(head_lengths),
        cmocka_unit_test(head_is_bounded),
        cmocka_unit_test(a_pipe_is_reused_and_unread_bytes_come_again),
        cmocka_unit_test(a_receipt_comes_behind_the_chunks),
        cmocka_unit_test(hop_by_hop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
