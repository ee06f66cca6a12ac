/* key_file: X25519 keys as small JSON files {"type":…,"private":base64url}, mode 0600.
 * Used for holders' recovery keys and for the log key. A key is never written over. */
#ifndef CLI_KEY_FILE_H
#define CLI_KEY_FILE_H

#include "cli/profile.h"
#include "common/crypto/hpke.h"

#include <jansson.h>

/* A JSON file whose member "type" is this (JSON_RANGE for another); *ret is a new reference. */
int cli_document_read(const char *path, const char *type, json_t **ret, rd_err *err) RD_NODISCARD;

/* CLI_CONFLICT when the file is there. ret_public gets the public half. */
int cli_key_file_create(const char *path, const char *type, uint8_t ret_public[RD_X25519_SIZE],
                        rd_err *err) RD_NODISCARD;
/* CLI_NOT_FOUND when there is none, CLI_FILE_MODE when others can read it. */
int cli_key_file_read(const char *path, const char *type, rd_secret **ret, rd_err *err) RD_NODISCARD;

/* --- the log key: who has it reads the sealed logs of the apps deployed with it --- */

/* log_key_file, else logs.json beside the owner key. free() the text. */
char *cli_log_key_path(const cli_profile *profile);
int cli_log_key_read(const cli_profile *profile, rd_secret **ret, rd_err *err) RD_NODISCARD;
/* The public half; makes the key when there is none and may_create, else CLI_NOT_FOUND. ret_is_new may be NULL. */
int cli_log_key_public(const cli_profile *profile, bool may_create, uint8_t ret[RD_X25519_SIZE], bool *ret_is_new,
                       rd_err *err) RD_NODISCARD;

#endif
