#include "cli/sse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static bool note(void *context, const char *event, const char *data)
{
    (void)rd_buf_printf(context, "[%s|%s]", event, data);
    return strcmp(event, "end") != 0;
}

static void test_rows(void **state RD_UNUSED)
{
    static const struct {
        const char *bytes;
        int step;
        const char *seen, *last_id;
    } rows[] = {
        { ": open\n\n", 1, "", "" },
        { "data: a\n\n", 1, "[message|a]", "" },
        { "id: 7\nevent: change\ndata:b\n\n", 1, "[change|b]", "7" },
        { "data: a\r\ndata: b\r\n\r\n", 1, "[message|a\nb]", "" },
        { "event: lost\n\ndata: a\n\n", 1, "[message|a]", "" },
        { "data: half", 1, "", "" },
        { "id: 7\ndata: a\n\nid: 8\ndata: half\n", 1, "[message|a]", "7" },
        { "retry: 3\nunknown\ndatum: x\n\n", 1, "", "" },
        { "event: end\ndata: x\n\ndata: late\n\n", 0, "[end|x]", "" },
        { "id: 7\nid: a\x01z\ndata: a\n\n", 1, "[message|a]", "7" },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        for (size_t piece = 1; piece < 40; piece += 7) {
            rd_err err = RD_ERR_INIT;
            cli_sse sse;
            cli_sse_init(&sse);
            rd_buf seen;
            rd_buf_init(&seen, 0);
            rd_bytes bytes = rd_bytes_str(rows[i].bytes);
            int step = 1;
            for (size_t at = 0; at < bytes.size && step > 0; at += piece)
                step =
                    cli_sse_feed(&sse, rd_bytes_of(bytes.data + at, RD_MIN(piece, bytes.size - at)), note, &seen, &err);
            assert_int_equal(step, rows[i].step);
            assert_string_equal(rd_buf_text(&seen), rows[i].seen);
            assert_string_equal(sse.last_id, rows[i].last_id);
            rd_buf_done(&seen);
            cli_sse_done(&sse);
        }
    }
}

/* A line without an end and an event without an end are both refused. */
static void test_bounds(void **state RD_UNUSED)
{
    static char line[4096];
    memset(line, 'x', sizeof(line));
    for (int with_ends = 0; with_ends < 2; with_ends++) {
        rd_err err = RD_ERR_INIT;
        cli_sse sse;
        cli_sse_init(&sse);
        int step = 1;
        memcpy(line, "data:", 5);
        line[sizeof(line) - 1] = with_ends ? '\n' : 'x';
        for (size_t i = 0; i < CLI_SSE_EVENT_MAX / sizeof(line) + 2 && step > 0; i++)
            step = cli_sse_feed(&sse, rd_bytes_of(line, sizeof(line)), note, NULL, &err);
        assert_int_equal(step, -1);
        assert_int_equal(err.code, RD_E_TOO_LARGE);
        cli_sse_done(&sse);
    }
}

/* After a lost connection the half of an event is forgotten with its id; that of the last whole one is kept. */
static void test_restart(void **state RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    cli_sse sse;
    cli_sse_init(&sse);
    rd_buf seen;
    rd_buf_init(&seen, 0);
    assert_int_equal(cli_sse_feed(&sse, rd_bytes_str("id: 9\n\nid: 10\nevent: a\ndata: half\nda"), note, &seen, &err),
                     1);
    cli_sse_restart(&sse);
    assert_int_equal(cli_sse_feed(&sse, rd_bytes_str("data: whole\n\n"), note, &seen, &err), 1);
    assert_string_equal(rd_buf_text(&seen), "[message|whole]");
    assert_string_equal(sse.last_id, "9");
    rd_buf_done(&seen);
    cli_sse_done(&sse);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows), cmocka_unit_test(test_bounds),
                                        cmocka_unit_test(test_restart) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
