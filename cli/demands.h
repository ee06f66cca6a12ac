/* demands: what this machine asks of evidence besides the owner's policy, which can only tighten it: runtimes and
 * policy of the caller's own profile, collateral that is neither older than 7 days nor than what was seen before. Used
 * by proof.c for every instance that is verified, sealed to or asked for a receipt, and by kms.c. Takes nothing from
 * the plane, and nothing from an app. */
#ifndef CLI_DEMANDS_H
#define CLI_DEMANDS_H

#include "attest/attest.h"
#include "cli/args.h"
#include "cli/context.h"

#define CLI_COLLATERAL_DAYS_MAX 365

/* Rows for the flags of a verb that verifies evidence against collateral, and of one that verifies instances. */
#define CLI_COLLATERAL_FLAGS                                                                                           \
    { "collateral", 0, "SOURCE",                                                                                       \
      "vendor, plane, the address of a mirror, a folder or a file: take collateral from there alone (default: the "    \
      "profile's collateral, or the vendor for hardware; where that fails, the plane)" },                              \
    {                                                                                                                  \
        "collateral-age", 0, "DAYS", "take collateral of up to so many days, 1 to 365 (default: 7, or caller_policy)"  \
    }
#define CLI_DEMANDS_FLAGS                                                                                              \
    { "any-runtime", 0, NULL,                                                                                          \
      "a loosening: take any runtime that the owner accepts, not only those that the profile lists" },                 \
        CLI_COLLATERAL_FLAGS

/* Reads those flags into the context. USAGE. */
int cli_demands_take(cli_context *context, const cli_args *args, rd_err *err) RD_NODISCARD;

/* Evidence that was found genuine. */
typedef struct cli_finding {
    const rd_verdict *verdict;
    const char *source; /* of its collateral, for people */
    bool is_saved;      /* out of a file: nothing of it is remembered */
} cli_finding;

/* Against the profile: its runtimes (measurements; an empty list accepts none), its policy (caller_policy, else the
 * safe defaults), then as cli_demands_appraise. Steps are appended also on failure. MEASUREMENT, CONFIG for a policy
 * that cannot be read, and the codes of rd_appraise. */
int cli_demands_check(cli_context *context, const cli_finding *found, int64_t time_us, json_t *steps,
                      rd_err *err) RD_NODISCARD;
/* Against one policy with the age that --collateral-age names, and the floor of what was seen; what is accepted is
 * remembered, and a step says where the collateral came from and how old it is. step names the one that fails. */
int cli_demands_appraise(cli_context *context, const cli_finding *found, rd_policy *policy, const char *step,
                         int64_t time_us, json_t *steps, rd_err *err) RD_NODISCARD;

#endif
