/* demands: what this machine asks of evidence besides the owner's policy, which can only tighten it: runtimes and
 * policy of the caller's own profile. Used by proof.c for every instance that is verified, sealed to or asked for a
 * receipt. Takes nothing from the plane, and nothing from an app. */
#ifndef CLI_DEMANDS_H
#define CLI_DEMANDS_H

#include "attest/attest.h"
#include "cli/args.h"
#include "cli/context.h"

/* Rows for the flags of a verb that verifies instances. */
#define CLI_DEMANDS_FLAGS                                                                                              \
    {                                                                                                                  \
        "any-runtime", 0, NULL,                                                                                        \
            "a loosening: take any runtime that the owner accepts, not only those that the profile lists"              \
    }

/* Reads those flags into the context. */
int cli_demands_take(cli_context *context, const cli_args *args, rd_err *err) RD_NODISCARD;

/* Genuine evidence against the profile: its runtimes (measurements; an empty list accepts none) and its policy
 * (caller_policy, else the safe defaults). Steps are appended also on failure. MEASUREMENT, CONFIG for a policy that
 * cannot be read, and the codes of rd_appraise. */
int cli_demands_check(cli_context *context, const rd_attest_report *report, int64_t time_us, json_t *steps,
                      rd_err *err) RD_NODISCARD;

#endif
