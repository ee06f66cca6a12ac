/* keys: the owner's signing key on this machine.
 * Used by keys, deploy and approve. A key file is PKCS #8 PEM with mode 0600 in a folder with mode 0700. */
#ifndef CLI_KEYS_H
#define CLI_KEYS_H

#include "cli/context.h"
#include "common/crypto/sign.h"

/* Where the key of this profile lies: key_file, else <config>/keys/owner.pem. free() the text. */
char *cli_keys_path(const cli_profile *profile);
/* Reads the key; CLI_FILE_MODE when others can read it, CLI_NO_KEY when there is none. */
int cli_keys_load(const cli_profile *profile, rd_signing_key **ret, rd_err *err) RD_NODISCARD;
/* The same of a key that lies elsewhere. */
int cli_keys_read(const char *path, rd_signing_key **ret, rd_err *err) RD_NODISCARD;
/* Makes a key and writes it; CLI_CONFLICT when one is there. */
int cli_keys_create(const char *path, rd_signing_key **ret, rd_err *err) RD_NODISCARD;
/* base64url of the public key. */
#define CLI_KEY_TEXT_SIZE 44
void cli_keys_text(const rd_signing_key *key, char out[CLI_KEY_TEXT_SIZE]);

#endif
