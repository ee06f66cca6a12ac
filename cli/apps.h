/* apps: an app as this machine knows it: created here, or fetched and checked against its id.
 * Used by apps and deploy. */
#ifndef CLI_APPS_H
#define CLI_APPS_H

#include "cli/client.h"
#include "common/crypto/sign.h"
#include "common/model/genesis.h"

/* Makes a genesis with this key as its one owner and registers it. A new reference in *ret. */
int cli_app_create(cli_client *client, const char *name, const rd_signing_key *key, json_t **ret,
                   rd_err *err) RD_NODISCARD;

/* The app's genesis, hashed to its id here. */
int cli_app_genesis(cli_client *client, const rd_app_id *app, rd_genesis *ret, rd_err *err) RD_NODISCARD;

/* POST with a body of JSON text and a fresh Idempotency-Key; ret may be NULL. */
int cli_post_once(cli_client *client, const char *path, rd_bytes json, json_t **ret, rd_err *err) RD_NODISCARD;

#endif
