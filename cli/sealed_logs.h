/* sealed_logs: log lines that an enclave sealed, opened with the log key of this machine.
 * Used by logs. Watches the numbers of each instance, so that lines that were left out or came again show: the plane
 * hands lines on, and could drop them. Who sealed a line nothing proves: the key is public.
 */
#ifndef CLI_SEALED_LOGS_H
#define CLI_SEALED_LOGS_H

#include "cli/profile.h"
#include "common/model/log_seal.h"

#include <jansson.h>

typedef struct cli_sealed_logs cli_sealed_logs;

/* profile is borrowed; the key is read when the first sealed line comes. */
cli_sealed_logs *cli_sealed_logs_new(const cli_profile *profile, const rd_app_id *app);
void cli_sealed_logs_free(cli_sealed_logs *logs);

typedef struct cli_opened_line {
    bool is_sealed;   /* as the line says */
    bool is_opened;   /* else err has why, and nothing below counts */
    uint64_t missing; /* lines before this one that never came here */
    bool is_again;    /* its number is not above all before */
} cli_opened_line;

/* A line {"instance","epoch","level","text",…} as the plane gives it. A sealed one that opens gets its own level and
 * text, and "number"; err (SEAL_CONTEXT, SEAL_FORMAT, CLI_NOT_FOUND …) is set when it does not. */
cli_opened_line cli_sealed_logs_open(cli_sealed_logs *logs, json_t *line, rd_err *err);

#endif
