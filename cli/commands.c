#include "cli/cmd.h"

/* In the order of the overview; one a line, so that each comes and goes alone. */
/* clang-format off */
const cli_command *const cli_all_commands[] = {
    cli_deploy_commands,
    cli_dev_commands,
    cli_rollback_commands,
    cli_approve_commands,
    cli_status_commands,
    cli_invoke_commands,
    cli_verify_commands,
    cli_evidence_commands,
    cli_receipts_commands,
    cli_records_commands,
    cli_policy_commands,
    cli_webhook_commands,
    cli_collateral_commands,
    cli_fetch_commands,
    cli_logs_commands,
    cli_apps_commands,
    cli_instances_commands,
    cli_hosts_commands,
    cli_secrets_commands,
    cli_kms_commands,
    cli_keys_commands,
    cli_login_commands,
    cli_tokens_commands,
    cli_dashboard_commands,
    cli_api_commands,
    cli_config_commands,
    cli_complete_commands,
    NULL,
};
/* clang-format on */
