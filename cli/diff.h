/* diff: two texts line by line.
 * Used by deploy, rollback and approve to show what an owner is about to sign. Pure.
 * The shortest edit by Myers (Algorithmica 1986) while it is short; past a bound all old lines, then all new ones. */
#ifndef CLI_DIFF_H
#define CLI_DIFF_H

#include "cli/out.h"

typedef struct cli_diff_line {
    char mark;        /* ' ', '-' or '+' */
    const char *text; /* borrowed from one of the texts, without its line end */
    size_t size;
} cli_diff_line;

typedef struct cli_diff {
    cli_diff_line *lines;
    size_t count, added, removed;
} cli_diff;

void cli_diff_make(const char *before, const char *after, cli_diff *ret);
void cli_diff_done(cli_diff *diff);
/* The changed lines with three lines around them, as notes. */
void cli_diff_print(const cli_out *out, const cli_diff *diff);

#endif
