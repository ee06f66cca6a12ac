#include "cli/diff.h"

#include "common/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* The marks in order, and both texts rebuilt from the lines: a diff that loses or invents a line fails here. */
static void check(const char *before, const char *after, const char *marks)
{
    cli_diff diff;
    cli_diff_make(before, after, &diff);
    rd_buf old, new, seen;
    rd_buf_init(&old, 0);
    rd_buf_init(&new, 0);
    rd_buf_init(&seen, 0);
    size_t added = 0, removed = 0;
    for (size_t i = 0; i < diff.count; i++) {
        const cli_diff_line *line = &diff.lines[i];
        (void)rd_buf_append_u8(&seen, (uint8_t)line->mark);
        added += line->mark == '+';
        removed += line->mark == '-';
        if (line->mark != '+')
            (void)rd_buf_printf(&old, "%.*s\n", (int)line->size, line->text);
        if (line->mark != '-')
            (void)rd_buf_printf(&new, "%.*s\n", (int)line->size, line->text);
    }
    assert_string_equal(rd_buf_text(&old), before);
    assert_string_equal(rd_buf_text(&new), after);
    assert_int_equal(added, diff.added);
    assert_int_equal(removed, diff.removed);
    if (marks)
        assert_string_equal(rd_buf_text(&seen), marks);
    rd_buf_done(&old);
    rd_buf_done(&new);
    rd_buf_done(&seen);
    cli_diff_done(&diff);
}

static void test_rows(void **state RD_UNUSED)
{
    static const struct {
        const char *before, *after, *marks;
    } rows[] = {
        { "", "", "" },
        { "a\n", "a\n", " " },
        { "", "a\nb\n", "++" },
        { "a\nb\n", "", "--" },
        { "a\nb\nc\n", "a\nc\n", " - " },
        { "a\nc\n", "a\nb\nc\n", " + " },
        { "a\n", "b\n", "-+" },
        { "a\nb\nc\na\nb\nb\na\n", "c\nb\na\nb\na\nc\n", NULL },
        { "\n\nx\n\n", "\nx\n\n\n", NULL },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        print_message("row %zu\n", i);
        check(rows[i].before, rows[i].after, rows[i].marks);
    }
}

/* The shortest edit of this pair is known: five edits (Myers 1986, figure 1). */
static void test_is_shortest(void **state RD_UNUSED)
{
    cli_diff diff;
    cli_diff_make("a\nb\nc\na\nb\nb\na\n", "c\nb\na\nb\na\nc\n", &diff);
    assert_int_equal(diff.added + diff.removed, 5);
    cli_diff_done(&diff);
}

/* Past the bound on edits the result is longer, never wrong. */
static void test_long(void **state RD_UNUSED)
{
    rd_buf before, after;
    rd_buf_init(&before, 0);
    rd_buf_init(&after, 0);
    for (int i = 0; i < 2000; i++) {
        (void)rd_buf_printf(&before, "old %d\n", i);
        (void)rd_buf_printf(&after, "new %d\n", i);
    }
    check(rd_buf_text(&before), rd_buf_text(&after), NULL);
    (void)rd_buf_append_str(&before, "end\n");
    check(rd_buf_text(&before), "end\n", NULL);
    rd_buf_done(&before);
    rd_buf_done(&after);
}

static void test_random(void **state RD_UNUSED)
{
    unsigned seed = 7;
    for (int round = 0; round < 300; round++) {
        char texts[2][81];
        for (int t = 0; t < 2; t++) {
            int lines = rand_r(&seed) % 40;
            for (int i = 0; i < lines; i++)
                (void)memcpy(texts[t] + (ptrdiff_t)i * 2, rand_r(&seed) % 2 ? "a\n" : "b\n", 2);
            texts[t][lines * 2] = '\0';
        }
        check(texts[0], texts[1], NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_is_shortest),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
