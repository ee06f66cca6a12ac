#include "cli/diff.h"

#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define EDITS_MAX 600
#define AROUND    3

typedef struct text_lines {
    cli_diff_line *lines;
    size_t count;
} text_lines;

static text_lines split(const char *text)
{
    size_t room = 1;
    for (const char *at = text; *at; at++)
        room += *at == '\n';
    text_lines all = { .lines = rd_alloc_array(room, sizeof *all.lines) };
    while (*text) {
        size_t size = strcspn(text, "\n");
        all.lines[all.count++] = (cli_diff_line){ ' ', text, size };
        text += size + (text[size] == '\n');
    }
    return all;
}

static bool equal(const cli_diff_line *a, const cli_diff_line *b)
{
    return a->size == b->size && memcmp(a->text, b->text, a->size) == 0;
}

static void emit(cli_diff *diff, char mark, const cli_diff_line *line)
{
    diff->lines[diff->count] = *line;
    diff->lines[diff->count++].mark = mark;
    diff->added += mark == '+';
    diff->removed += mark == '-';
}

/* The furthest x on each diagonal k after d edits stands at rounds[d * d + k + d]. */
typedef struct search {
    text_lines a, b;
    int *rounds;
} search;

static int furthest(const search *s, int d, int k)
{
    return s->rounds[d * d + k + d];
}

/* Which neighbour diagonal the path to k in round d comes from. */
static int came_from(const search *s, int d, int k)
{
    bool is_down = k == -d || (k != d && furthest(s, d - 1, k - 1) < furthest(s, d - 1, k + 1));
    return is_down ? k + 1 : k - 1;
}

/* The number of edits, or -1 past the bound. */
static int find_edits(search *s)
{
    int n = (int)s->a.count;
    int m = (int)s->b.count;
    for (int d = 0; d <= EDITS_MAX; d++) {
        for (int k = -d; k <= d; k += 2) {
            int x = 0;
            if (d > 0) {
                int from = came_from(s, d, k);
                x = furthest(s, d - 1, from) + (from == k - 1);
            }
            while (x < n && x - k < m && equal(&s->a.lines[x], &s->b.lines[x - k]))
                x++;
            s->rounds[d * d + k + d] = x;
            if (x >= n && x - k >= m)
                return d;
        }
    }
    return -1;
}

/* From the end to the start: the lines come out backwards. */
static void walk_back(const search *s, int d, cli_diff *diff)
{
    int x = (int)s->a.count;
    int y = (int)s->b.count;
    for (; d > 0; d--) {
        int k = x - y;
        int from = came_from(s, d, k);
        int before_x = furthest(s, d - 1, from);
        int middle_x = before_x + (from == k - 1); /* after the edit, before the common lines */
        for (; x > middle_x; x--, y--)
            emit(diff, ' ', &s->b.lines[y - 1]);
        if (from == k - 1)
            emit(diff, '-', &s->a.lines[--x]);
        else
            emit(diff, '+', &s->b.lines[--y]);
    }
    for (; x > 0; x--)
        emit(diff, ' ', &s->b.lines[x - 1]);
}

static void reverse(cli_diff *diff)
{
    for (size_t i = 0; i < diff->count / 2; i++) {
        cli_diff_line kept = diff->lines[i];
        diff->lines[i] = diff->lines[diff->count - 1 - i];
        diff->lines[diff->count - 1 - i] = kept;
    }
}

void cli_diff_make(const char *before, const char *after, cli_diff *ret)
{
    search s = { .a = split(before), .b = split(after) };
    s.rounds = rd_alloc_array((EDITS_MAX + 1) * (EDITS_MAX + 1), sizeof *s.rounds);
    *ret = (cli_diff){ .lines = rd_alloc_array(s.a.count + s.b.count + 1, sizeof *ret->lines) };
    int edits = find_edits(&s);
    if (edits >= 0) {
        walk_back(&s, edits, ret);
        reverse(ret);
    } else {
        for (size_t i = 0; i < s.a.count; i++)
            emit(ret, '-', &s.a.lines[i]);
        for (size_t i = 0; i < s.b.count; i++)
            emit(ret, '+', &s.b.lines[i]);
    }
    free(s.rounds);
    free(s.a.lines);
    free(s.b.lines);
}

void cli_diff_done(cli_diff *diff)
{
    free(diff->lines);
    *diff = (cli_diff){ .count = 0 };
}

static bool is_near_change(const cli_diff *diff, size_t at)
{
    size_t first = at > AROUND ? at - AROUND : 0;
    for (size_t i = first; i < diff->count && i <= at + AROUND; i++)
        if (diff->lines[i].mark != ' ')
            return true;
    return false;
}

void cli_diff_print(const cli_out *out, const cli_diff *diff)
{
    bool has_skipped = false;
    for (size_t i = 0; i < diff->count; i++) {
        const cli_diff_line *line = &diff->lines[i];
        if (!is_near_change(diff, i)) {
            has_skipped = true;
            continue;
        }
        if (has_skipped)
            cli_note(out, "    …");
        has_skipped = false;
        cli_style style = line->mark == '+' ? CLI_GREEN : line->mark == '-' ? CLI_RED : CLI_PLAIN;
        cli_note_styled(out, style, "  %c %.*s", line->mark, (int)line->size, line->text);
    }
}
