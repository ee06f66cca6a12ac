/* anchors: which roots this command line believes evidence and collateral under.
 * Used by whoever judges either.
 */
#ifndef CLI_ANCHORS_H
#define CLI_ANCHORS_H

#include "attest/attest.h"
#include "cli/args.h"
#include "cli/context.h"

/* The vendors' own, and the profile's roots of simulations. */
int cli_anchors_of_profile(const cli_profile *profile, rd_anchors *ret, rd_err *err) RD_NODISCARD;
/* With --trust-root FILE that certificate alone. USAGE when it cannot be read. */
int cli_anchors_read(const cli_context *context, const cli_args *args, rd_anchors *ret, rd_err *err) RD_NODISCARD;

#endif
