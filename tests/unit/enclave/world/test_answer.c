/* The reader of responses: every cut gives the same, and what could be read in two ways is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "enclave/world/answer.h"

#define BODY_MAX 64

static const struct {
    const char *name, *text, *body; /* body NULL: refused */
    int code;
    bool is_head, ends;
} rows[] = {
    { "length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", 0, false, false },
    { "no reason", "HTTP/1.1 404\r\ncontent-length: 0\r\n\r\n", "", 0, false, false },
    { "old version", "HTTP/1.0 200 OK\r\n\r\nhello", "hello", 0, false, true },
    { "to the end", "HTTP/1.1 200 OK\r\nX: y\r\n\r\nhello", "hello", 0, false, true },
    { "chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n02;x=y\r\nlo\r\n0\r\n\r\n", "hello",
      0, false, false },
    { "trailers", "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
      "0123456789", 0, false, false },
    { "interim", "HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", "x", 0, false,
      false },
    { "head", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "", 0, true, false },
    { "no content", "HTTP/1.1 204 No\r\n\r\n", "", 0, false, false },
    { "cut", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", NULL, RD_E_TRUNCATED, false, true },
    { "cut chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", NULL, RD_E_TRUNCATED, false, true },
    { "cut head", "HTTP/1.1 200 OK\r\nContent", NULL, RD_E_TRUNCATED, false, true },
    { "no final chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", NULL, RD_E_TRUNCATED, false,
      true },
    { "two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", NULL, RD_E_HTTP_SYNTAX, false,
      false },
    { "length list", "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", NULL, RD_E_HTTP_SYNTAX, false, false },
    { "length sign", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", NULL, RD_E_HTTP_SYNTAX, false, false },
    { "both framings", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", NULL,
      RD_E_HTTP_SYNTAX, false, false },
    { "other coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", NULL, RD_E_HTTP_SYNTAX, false,
      false },
    { "bare lf", "HTTP/1.1 200 OK\r\nX: y\n\r\n\r\n", NULL, RD_E_HTTP_SYNTAX, false, false },
    { "bare cr", "HTTP/1.1 200 OK\r\nX: y\rz\r\n\r\n", NULL, RD_E_HTTP_SYNTAX, false, false },
    { "folded", "HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", NULL, RD_E_HTTP_SYNTAX, false, false },
    { "space before colon", "HTTP/1.1 200 OK\r\nX : y\r\n\r\n", NULL, RD_E_HTTP_SYNTAX, false, false },
    { "no http", "SSH-2.0-OpenSSH_9\r\n\r\n", NULL, RD_E_HTTP_SYNTAX, false, false },
    { "http2", "HTTP/2.0 200 OK\r\n\r\n", NULL, RD_E_HTTP_SYNTAX, false, false },
    { "upgrade", "HTTP/1.1 101 Switching\r\n\r\n", NULL, RD_E_HTTP_SYNTAX, false, false },
    { "status", "HTTP/1.1 600 No\r\n\r\n", NULL, RD_E_HTTP_SYNTAX, false, false },
    { "chunk without size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", NULL, RD_E_HTTP_SYNTAX, false,
      false },
    { "chunk size sign", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", NULL, RD_E_HTTP_SYNTAX, false,
      false },
    { "chunk size overflows", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n", NULL,
      RD_E_HTTP_SYNTAX, false, false },
    { "chunk with more", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n", NULL, RD_E_HTTP_SYNTAX,
      false, false },
    { "large length", "HTTP/1.1 200 OK\r\nContent-Length: 65\r\n\r\n", NULL, RD_E_TOO_LARGE, false, false },
    { "large chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n41\r\n", NULL, RD_E_TOO_LARGE, false,
      false },
    { "large to the end",
      "HTTP/1.1 200 OK\r\n\r\n"
      "0123456789012345678901234567890123456789012345678901234567890123456789",
      NULL, RD_E_TOO_LARGE, false, false },
};

static int feed(encl_answer *answer, size_t row, size_t step, rd_err *err)
{
    size_t size = strlen(rows[row].text);

    encl_answer_init(answer, rows[row].is_head, BODY_MAX);
    for (size_t at = 0; at < size; at += step) {
        if (encl_answer_feed(answer, rd_bytes_of(rows[row].text + at, RD_MIN(step, size - at)), err) < 0)
            return -1;
    }
    return rows[row].ends ? encl_answer_end(answer, err) : 0;
}

static void every_row_at_every_cut(void **state)
{
    (void)state;
    for (size_t row = 0; row < RD_ARRAY_LEN(rows); row++) {
        for (size_t step = 1; step < 200; step = step < 8 ? step + 1 : step * 2) {
            encl_answer answer;
            rd_err err = RD_ERR_INIT;
            int outcome = feed(&answer, row, step, &err);
            if ((outcome == 0) != (rows[row].body != NULL) || (outcome < 0 && (int)err.code != rows[row].code))
                fail_msg("%s in steps of %zu: %d %s", rows[row].name, step, outcome, err.text);
            if (outcome == 0) {
                assert_int_equal(answer.state, ENCL_ANSWER_DONE);
                assert_string_equal(rd_buf_text(&answer.body), rows[row].body);
            }
            encl_answer_done(&answer);
        }
    }
}

static void large_heads_are_refused(void **state)
{
    encl_answer answer;
    rd_err err = RD_ERR_INIT;
    (void)state;
    encl_answer_init(&answer, false, BODY_MAX);
    assert_int_equal(encl_answer_feed(&answer, RD_BYTES_LIT("HTTP/1.1 200 OK\r\n"), &err), 0);
    int outcome = 0;
    for (int i = 0; i < 40000 && outcome == 0; i++)
        outcome = encl_answer_feed(&answer, RD_BYTES_LIT("a"), &err);
    assert_int_equal(err.code, RD_E_HTTP_HEADERS_TOO_LARGE);
    encl_answer_done(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_row_at_every_cut),
                                        cmocka_unit_test(large_heads_are_refused) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
