/* instances: an app's instances and why some are missing, as the plane reports them.
 * Used by apps show, status, instances list and whoever follows a deployment. */
#ifndef CLI_INSTANCES_H
#define CLI_INSTANCES_H

#include "cli/context.h"

int cli_instances_print(const cli_context *context, const json_t *instances, rd_err *err) RD_NODISCARD;
/* {"summary","counts":[{"constraint","hosts"}]}: on stdout as part of a result, or on stderr. Nothing for null. */
void cli_reason_print(const cli_out *out, const json_t *reason);
void cli_reason_note(const cli_out *out, const json_t *reason);

#endif
