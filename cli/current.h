/* current: what an app's owners signed last, fetched from the plane and verified on this machine.
 * Used by deploy, approve and rollback, which build upon it and show the difference to it.
 * Refuses an older head than the newest that this machine has seen, and code that its release does not name. */
#ifndef CLI_CURRENT_H
#define CLI_CURRENT_H

#include "cli/client.h"
#include "common/model/code_bundle.h"
#include "common/model/delegation.h"
#include "common/model/genesis.h"
#include "common/model/head.h"
#include "common/model/release.h"

typedef struct cli_current {
    rd_app_id app;
    rd_genesis genesis;
    bool has_head;
    rd_head head;
    rd_digest head_digest;
    rd_buf owners_head; /* envelope JSON of the head that the owners signed themselves and that this one rests on */
} cli_current;

/* A release with its code. */
typedef struct cli_version {
    rd_release release;
    rd_digest digest;
    rd_code_bundle code;
} cli_version;

/* Call cli_current_done also after a failure. */
int cli_current_fetch(cli_context *context, cli_client *client, const rd_app_id *app, cli_current *ret,
                      rd_err *err) RD_NODISCARD;
void cli_current_done(cli_current *current);
/* SIGNATURE when others own the app, too: a plane that answers with an app of its own choice, of which our public key
 * is one owner among others, would have them read what is sealed to it. Not for an app that the user named by its id.
 */
int cli_current_check_sole_owner(const cli_current *current, const char *name, rd_err *err) RD_NODISCARD;
/* The release of that digest, signed by the owners, and its code. Call cli_version_done also after a failure. */
int cli_version_fetch(cli_client *client, const cli_current *current, const rd_digest *digest, cli_version *ret,
                      rd_err *err) RD_NODISCARD;
void cli_version_done(cli_version *version);

#endif
