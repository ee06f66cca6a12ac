/* terms: what an owner's next head says beside releases and secrets: what it accepts as proof, and how long grants
 * hold. Used by deploy, approve, rollback and secrets. They stay as the owners signed them last unless somebody says
 * otherwise in words; the first head of an app takes its policy from this machine's profile. */
#ifndef CLI_TERMS_H
#define CLI_TERMS_H

#include "cli/current.h"
#include "cli/manifest.h"
#include "cli/profile.h"

/* In the place of a file: as for a new app. */
#define CLI_POLICY_PROFILE "profile"

typedef struct cli_terms {
    rd_policy policy;
    uint32_t grant_s;        /* 0: left out */
    uint64_t grant_requests; /* 0: left out */
} cli_terms;

/* manifest NULL: nobody says otherwise. current without a head: a new app. CLASS_MISMATCH when policy and class
 * disagree on simulated; of a file what `redoubt policy check` finds. */
int cli_terms_settle(const cli_profile *profile, const cli_current *current, rd_class class,
                     const cli_manifest *manifest, cli_terms *ret, rd_err *err) RD_NODISCARD;
/* Whether a head with these says the same as the current one. */
bool cli_terms_are_kept(const cli_terms *terms, const cli_current *current);
/* How many runtimes of the profile the policy does not accept: what is deployed from here may not start. */
size_t cli_terms_missing(const cli_profile *profile, const rd_policy *policy);
/* {"effect","member","text"} each: what after accepts more or less than before; before NULL: what it loosens against
 * the safe defaults. */
json_t *cli_terms_notes(const rd_policy *before, const rd_policy *after);

#endif
