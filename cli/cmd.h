/* cmd: what a verb of the command line is, and the list of all verbs.
 * Used by main.c (dispatch, help, completion) and by each cmd_*.c.
 * A verb takes parsed arguments and returns an exit code, or -1 with err set. */
#ifndef CLI_CMD_H
#define CLI_CMD_H

#include "cli/args.h"
#include "cli/context.h"
#include "common/base/err.h"

typedef int cli_run(cli_context *context, const cli_args *args, rd_err *err);

typedef struct cli_command {
    const char *name;      /* "apps create" */
    const char *purpose;   /* one line */
    const char *arguments; /* "NAME", "[FILE|DIR]", … or "" */
    const char *examples;  /* lines, each a runnable command */
    const cli_flag *flags; /* ends with a NULL name; may be NULL */
    cli_run *run;
    bool is_hidden; /* not in the overview (completion helpers) */
} cli_command;

/* What a set covers, scope by scope (cmd_collateral.c). */
void cli_collateral_print_facts(const cli_out *out, const json_t *facts);

/* Exit codes (docs/man/redoubt.1): 0 ok, 1 failure, 2 usage, 3 not found, 4 auth, 5 conflict, 6 attestation, 7 timeout,
 * 8 unavailable, 130 interrupted. */

extern const cli_command cli_apps_commands[];
extern const cli_command cli_deploy_commands[];
extern const cli_command cli_dev_commands[];
extern const cli_command cli_approve_commands[];
extern const cli_command cli_rollback_commands[];
extern const cli_command cli_status_commands[];
extern const cli_command cli_invoke_commands[];
extern const cli_command cli_verify_commands[];
extern const cli_command cli_evidence_commands[];
extern const cli_command cli_receipts_commands[];
extern const cli_command cli_records_commands[];
extern const cli_command cli_policy_commands[];
extern const cli_command cli_webhook_commands[];
extern const cli_command cli_collateral_commands[];
extern const cli_command cli_fetch_commands[];
extern const cli_command cli_instances_commands[];
extern const cli_command cli_hosts_commands[];
extern const cli_command cli_tokens_commands[];
extern const cli_command cli_logs_commands[];
extern const cli_command cli_keys_commands[];
extern const cli_command cli_kms_commands[];
extern const cli_command cli_secrets_commands[];
extern const cli_command cli_login_commands[];
extern const cli_command cli_api_commands[];
extern const cli_command cli_dashboard_commands[];
extern const cli_command cli_config_commands[];
extern const cli_command cli_complete_commands[];

/* All lists above, ended by NULL. */
extern const cli_command *const cli_all_commands[];

#endif
