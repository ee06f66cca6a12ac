/* deploy_sign: the release and the head of one deploy, made and signed here.
 * Used by deploy and approve. The current head comes from the plane and is verified before it is built upon. */
#ifndef CLI_DEPLOY_SIGN_H
#define CLI_DEPLOY_SIGN_H

#include "cli/client.h"
#include "cli/manifest.h"
#include "common/model/head.h"

typedef struct cli_signed_deploy {
    uint32_t number; /* of the release */
    rd_digest release_digest;
    rd_buf release; /* envelope JSON */
    uint64_t head_seq;
    rd_digest head_digest;
    rd_buf head; /* envelope JSON */
} cli_signed_deploy;

typedef struct cli_deploy_request {
    const rd_app_id *app;
    const rd_signing_key *key;
    const cli_manifest *manifest;
    rd_class class;
    rd_digest code_digest;
    uint64_t code_size;
} cli_deploy_request;

/* Fetches genesis, current head and the last release's number, verifies them, and signs the next ones. */
int cli_deploy_sign(cli_context *context, cli_client *client, const cli_deploy_request *request, cli_signed_deploy *ret,
                    rd_err *err) RD_NODISCARD;
void cli_signed_deploy_done(cli_signed_deploy *deploy);

#endif
