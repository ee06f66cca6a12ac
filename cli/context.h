/* context: what every verb works with: profile, output form, the client.
 * Made by main.c from global flags, environment and profile; passed down, never global. */
#ifndef CLI_CONTEXT_H
#define CLI_CONTEXT_H

#include "cli/out.h"
#include "cli/profile.h"
#include "common/base/clock.h"
#include "common/crypto/hash.h"

typedef struct cli_client cli_client;

/* What the flags of this run say of the caller's own demands (demands.h). */
typedef struct cli_demands {
    bool any_runtime;          /* --any-runtime: the owner's policy alone says which runtimes are good */
    const char *collateral;    /* --collateral; NULL: as collateral.h says */
    uint32_t collateral_age_s; /* --collateral-age; 0: as the policy says */
    bool is_of_then;           /* --at: judged as of another instant, so not by what was seen since */
} cli_demands;

typedef struct cli_context {
    const char *program; /* as it was called, for commands that are printed to be copied */
    cli_profile *profile;
    cli_out out;
    const rd_clock *clock;
    cli_client *client; /* made on first use by cli_context_client */
    int64_t timeout_us; /* 0: the verb's own default */
    bool has_release;   /* --release: the one that this caller accepts, whatever the head lists beside it */
    rd_digest release;
    cli_demands demands;
} cli_context;

/* The client of this run; NULL with err when no control plane or token is known. */
cli_client *cli_context_client(cli_context *context, rd_err *err);

#endif
