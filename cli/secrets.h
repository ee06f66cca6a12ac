/* secrets: the list of an app's sealed secrets as its current head names it, and changes to it.
 * Used by secrets and deploy. The list that the plane shows counts only when it hashes to the root that the owners
 * signed last: no secret can be dropped, swapped or brought back on the way. Values are sealed here and leave as
 * ciphertext. */
#ifndef CLI_SECRETS_H
#define CLI_SECRETS_H

#include "cli/current.h"
#include "cli/kms.h"
#include "common/model/secret_seal.h"

typedef struct cli_secret_list {
    rd_secret_ref refs[RD_SECRETS_MAX]; /* in byte order of names */
    size_t count;
} cli_secret_list;

/* What the current head lists; empty when it lists none. SECRETS_INCOMPLETE when the plane shows another list. */
int cli_secrets_fetch(cli_client *client, const cli_current *current, cli_secret_list *ret, rd_err *err) RD_NODISCARD;
const rd_secret_ref *cli_secrets_find(const cli_secret_list *list, const char *name);
/* Puts a ref in, in place of one of the same name. TOO_LARGE past 64. */
int cli_secrets_put(cli_secret_list *list, const rd_secret_ref *ref, rd_err *err) RD_NODISCARD;
void cli_secrets_remove(cli_secret_list *list, const char *name);
/* The version after every one that the plane keeps of this name, so that a spent one is never used again. */
int cli_secrets_next_version(cli_client *client, const rd_app_id *app, const char *name, uint64_t *ret,
                             rd_err *err) RD_NODISCARD;
/* Seals, stores the ciphertext at the plane and puts the ref into the list. */
int cli_secrets_seal(cli_client *client, const cli_kms *kms, const rd_app_id *app, const char *name, uint64_t version,
                     rd_bytes value, cli_secret_list *list, rd_err *err) RD_NODISCARD;
/* The body of POST heads: the envelope, and the names and versions of the list. */
int cli_secrets_head_body(const rd_buf *envelope, const cli_secret_list *list, rd_buf *ret, rd_err *err) RD_NODISCARD;

#endif
