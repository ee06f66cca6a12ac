/* signer: who signs for an app on this machine: its owner's key, or one that the owners delegated to.
 * Used by deploy, secrets, rollback and approve. The key is that of keys.h; what it may do beyond an owner's own apps
 * says the delegation at delegation_file. */
#ifndef CLI_SIGNER_H
#define CLI_SIGNER_H

#include "cli/current.h"
#include "cli/keys.h"

typedef struct cli_signer {
    rd_signing_key *key; /* NULL: not loaded */
    rd_buf delegation;   /* envelope JSON; empty: the key signs as an owner's */
    rd_delegation given; /* with a delegation, once cli_signer_check was there */
} cli_signer;

/* CLI_NO_KEY, CLI_FILE_MODE; NOT_FOUND when delegation_file names none. Call cli_signer_done also after a failure. */
int cli_signer_load(const cli_profile *profile, cli_signer *ret, rd_err *err) RD_NODISCARD;
void cli_signer_done(cli_signer *signer);
bool cli_signer_is_delegated(const cli_signer *signer);
/* SIGNATURE unless the key is an owner's of this app; with a delegation DELEGATION unless it is for this key and holds
 * now. */
int cli_signer_check(cli_signer *signer, const cli_current *current, int64_t now_us, rd_err *err) RD_NODISCARD;
/* Signs a document into an envelope, with the delegation where there is one. base: for a head under a delegation, the
 * envelope JSON of the owners' own; else empty. */
int cli_signer_sign(const cli_signer *signer, rd_bytes document, rd_sign_label label, rd_bytes base, rd_envelope *ret,
                    rd_err *err) RD_NODISCARD;

#endif
