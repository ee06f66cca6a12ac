/* steps: what a verification looked at, one line each, for people and for --json.
 * A list of {"name","ok","detail"}, with "code" and "hint" where it failed; the first step that is not ok decides. */
#ifndef CLI_STEPS_H
#define CLI_STEPS_H

#include "cli/out.h"

/* Appends a step. detail may be empty. */
void cli_step(json_t *steps, const char *name, bool is_ok, const char *fmt, ...) RD_PRINTF(4, 5);
/* Appends a failed step from err and returns -1. */
int cli_step_failed(json_t *steps, const char *name, const rd_err *err);
/* Adds code and hint of err to a failed last step that came without; returns -1. */
int cli_steps_explain(json_t *steps, const rd_err *err);
/* "  ok  name  detail" lines on stdout, wrapped at 80 columns. */
void cli_steps_print(const cli_out *out, const json_t *steps);
/* The first failed step and what would mend it, on stderr. */
void cli_steps_note_failed(const cli_out *out, const json_t *steps);
bool cli_steps_are_ok(const json_t *steps);

/* Base64url member of an object into buf; -1 with err when absent, not text, malformed or larger than size_max. */
int cli_json_b64(const json_t *object, const char *name, size_t size_max, rd_buf *ret, rd_err *err) RD_NODISCARD;

#endif
