/* cmd_kms: what the files of the verbs on key services share. Used by cmd_kms.c and cmd_kms_*.c. */
#ifndef CLI_CMD_KMS_H
#define CLI_CMD_KMS_H

#include "cli/cmd.h"
#include "common/base/bytes.h"
#include "common/model/ids.h"

/* USAGE for what is no id. */
int cli_kms_parse_id(const char *text, rd_kms_id *ret, rd_err *err) RD_NODISCARD;

int cli_kms_run_join(cli_context *context, const cli_args *args, rd_err *err);
int cli_kms_run_recovery_key(cli_context *context, const cli_args *args, rd_err *err);
int cli_kms_run_recover(cli_context *context, const cli_args *args, rd_err *err);

#define CLI_KMS_SOCKET "/var/lib/redoubt-agent/run/kms.sock"

#endif
