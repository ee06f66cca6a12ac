/* local_verbs: verbs of this very program, run for the local dashboard, each in a process of its own.
 * Used by cmd_dashboard.c: what is proved, sealed or signed there is what the same words do in a terminal. */
#ifndef CLI_LOCAL_VERBS_H
#define CLI_LOCAL_VERBS_H

#include "cli/args.h"
#include "common/base/bytes.h"
#include "common/base/err.h"

#define CLI_VERB_WORDS_MAX 16

/* Words behind the program's name, NULL-ended; --json, --no-input and the profile's flags in args are added. input is
 * its standard input. Fills what it printed on both streams (at most 8 MiB). Errors: UNAVAILABLE (too many at once),
 * TIMEOUT (90 s), IO. Thread-safe. */
int cli_verb_run(const cli_args *args, const char *const words[CLI_VERB_WORDS_MAX], rd_bytes input, rd_buf *out,
                 rd_buf *said, int *ret_exit, rd_err *err) RD_NODISCARD;

#endif
