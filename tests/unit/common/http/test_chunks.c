#include "common/http/chunks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"

#define MORE 1000 /* wanted: more bytes */

static const struct {
    const char *name, *text;
    int want; /* RD_OK, a code, or MORE */
    const char *body, *trailers;
    size_t left; /* behind its end */
} rows[] = {
    { "none", "0\r\n\r\n", RD_OK, "", "", 0 },
    { "one", "3\r\nabc\r\n0\r\n\r\n", RD_OK, "abc", "", 0 },
    { "two, and a next request", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET /", RD_OK, "abcde", "", 5 },
    { "zeros in front and capitals", "0000000A\r\n0123456789\r\n000\r\n\r\n", RD_OK, "0123456789", "", 0 },
    { "trailers", "1\r\na\r\n0\r\nA: b\r\nC: d\r\n\r\n", RD_OK, "a", "A: b|C: d|", 0 },
    { "not yet", "3\r\nab", MORE, "ab", "", 0 },
    { "not ended", "1\r\na\r\n0\r\n", MORE, "a", "", 0 },
    { "an extension", "3;a=b\r\nabc\r\n0\r\n\r\n", RD_E_HTTP_SYNTAX, "", "", 0 },
    { "a space behind the size", "3 \r\nabc\r\n0\r\n\r\n", RD_E_HTTP_SYNTAX, "", "", 0 },
    { "a prefix", "0x3\r\nabc\r\n0\r\n\r\n", RD_E_HTTP_SYNTAX, "", "", 0 },
    { "a sign", "+3\r\nabc\r\n0\r\n\r\n", RD_E_HTTP_SYNTAX, "", "", 0 },
    { "no size", "\r\nabc\r\n0\r\n\r\n", RD_E_HTTP_SYNTAX, "", "", 0 },
    { "nine digits", "000000003\r\nabc\r\n0\r\n\r\n", RD_E_TOO_LARGE, "", "", 0 },
    { "LF alone behind the size", "3\nabc\r\n0\r\n\r\n", RD_E_HTTP_SYNTAX, "", "", 0 },
    { "CR alone behind the size", "3\rabc\r\n0\r\n\r\n", RD_E_HTTP_SYNTAX, "", "", 0 },
    { "longer than it says", "3\r\nabcd\r\n0\r\n\r\n", RD_E_HTTP_SYNTAX, "abc", "", 0 },
    { "shorter than it says", "3\r\nab\r\n0\r\n\r\n", RD_E_HTTP_SYNTAX, "ab\r", "", 0 },
    { "LF alone behind a chunk", "3\r\nabc\n0\r\n\r\n", RD_E_HTTP_SYNTAX, "abc", "", 0 },
    { "more than the bound", "20\r\n01234567890123456789", RD_E_TOO_LARGE, "", "", 0 },
    { "more than the bound, together", "9\r\n012345678\r\n9\r\n0", RD_E_TOO_LARGE, "012345678", "", 0 },
    { "trailers above their bound", "0\r\nA: 0123456789012345678901234567890123456789\r\n\r\n", RD_E_TOO_LARGE, "", "",
      0 },
    { "many trailers above it", "0\r\nA: 01234567890123\r\nA: 01234567890123\r\n\r\n", RD_E_TOO_LARGE, "",
      "A: 01234567890123|", 0 },
    { "LF alone behind a trailer", "0\r\nA: b\n\r\n", RD_E_HTTP_SYNTAX, "", "", 0 },
};

typedef struct outcome {
    int got;
    size_t left;
    rd_buf body, trailers;
} outcome;

/* In pieces of `piece` bytes, each in memory of its own, so that reading past it is seen. */
static void run(const char *text, size_t piece, outcome *ret)
{
    rd_http_chunks chunks = { 0 };
    size_t size = strlen(text);
    ret->got = MORE;
    rd_http_chunks_begin(&chunks, 16, 24);
    for (size_t at = 0; at < size && ret->got == MORE; at += piece) {
        size_t count = RD_MIN(piece, size - at);
        char *copy = rd_strndup(text + at, count);
        rd_bytes input = rd_bytes_of(copy, count), out;
        rd_err err = RD_ERR_INIT;
        int step;
        do {
            step = rd_http_chunks_next(&chunks, &input, &out, &err);
            if (step == RD_HTTP_CHUNKS_PIECE)
                (void)rd_buf_append_bytes(&ret->body, out);
            if (step == RD_HTTP_CHUNKS_TRAILER)
                (void)rd_buf_printf(&ret->trailers, "%s|", (const char *)out.data);
        } while (step == RD_HTTP_CHUNKS_PIECE || step == RD_HTTP_CHUNKS_TRAILER);
        ret->got = step < 0 ? (int)err.code : step == RD_HTTP_CHUNKS_END ? RD_OK : MORE;
        ret->left = input.size + (size - at - count);
        free(copy);
    }
    rd_http_chunks_done(&chunks);
}

static void table(void **state)
{
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++)
        for (size_t piece = 1; piece < 40; piece++) {
            outcome o = { 0 };
            run(rows[i].text, piece, &o);
            if (o.got != rows[i].want || strcmp(rd_buf_text(&o.body), rows[i].body) != 0 ||
                strcmp(rd_buf_text(&o.trailers), rows[i].trailers) != 0 ||
                (rows[i].want == RD_OK && o.left != rows[i].left))
                fail_msg("%s, in pieces of %zu: %d, body %s, trailers %s, %zu left", rows[i].name, piece, o.got,
                         rd_buf_text(&o.body), rd_buf_text(&o.trailers), o.left);
            rd_buf_done(&o.body);
            rd_buf_done(&o.trailers);
        }
}

/* What was put back comes again. */
static void unread(void **state)
{
    (void)state;
    rd_http_chunks chunks = { 0 };
    rd_err err = RD_ERR_INIT;
    rd_bytes input = RD_BYTES_LIT("5\r\nabcde"), out;
    rd_http_chunks_begin(&chunks, 16, 0);
    assert_int_equal(rd_http_chunks_next(&chunks, &input, &out, &err), RD_HTTP_CHUNKS_PIECE);
    assert_int_equal(out.size, 5);
    rd_http_chunks_unread(&chunks, 2);
    input = RD_BYTES_LIT("de\r\n0\r\n\r\n");
    assert_int_equal(rd_http_chunks_next(&chunks, &input, &out, &err), RD_HTTP_CHUNKS_PIECE);
    assert_true(rd_bytes_equal(out, RD_BYTES_LIT("de")));
    assert_int_equal(rd_http_chunks_next(&chunks, &input, &out, &err), RD_HTTP_CHUNKS_END);
    rd_http_chunks_done(&chunks);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(table), cmocka_unit_test(unread) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
