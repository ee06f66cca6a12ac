/* deploy_sign: the release and the head of one deploy, made and signed here.
 * Used by deploy, approve and rollback. Built upon the current head, which was verified before (current.h). */
#ifndef CLI_DEPLOY_SIGN_H
#define CLI_DEPLOY_SIGN_H

#include "cli/current.h"
#include "cli/manifest.h"
#include "cli/secrets.h"
#include "cli/signer.h"
#include "cli/terms.h"

typedef struct cli_signed_head {
    rd_head_known known; /* what it is to whoever has seen it */
    rd_buf envelope;     /* JSON; rd_buf_done */
} cli_signed_head;

typedef struct cli_signed_deploy {
    uint32_t number; /* of the release */
    rd_digest release_digest;
    rd_buf release; /* envelope JSON */
    cli_signed_head head;
} cli_signed_deploy;

typedef struct cli_head_request {
    const cli_current *current;
    const cli_signer *signer; /* checked */
    rd_class class;
    const rd_digest *release; /* the one that counts from now on; the first one so far stays allowed */
    bool keeps_releases;      /* instead: releases stay as they are */
    const cli_terms *terms;   /* NULL: as the current head has them; for a first head from the profile */
    const rd_kms_id *kms;     /* NULL: the app has no key service, and no secrets */
    const cli_secret_list *secrets;
} cli_head_request;

typedef struct cli_deploy_request {
    const cli_current *current;
    const cli_signer *signer; /* checked */
    const cli_manifest *manifest;
    rd_class class;
    uint32_t number;
    rd_digest code_digest;
    uint64_t code_size;
    bool is_sealed;         /* digest and size are of the ciphertext */
    const cli_terms *terms; /* as above */
    const rd_kms_id *kms;
    const cli_secret_list *secrets;
} cli_deploy_request;

/* One more than the highest release number that the plane holds: the numbers only need to grow. */
int cli_release_number_next(cli_client *client, const rd_app_id *app, uint32_t *ret, rd_err *err) RD_NODISCARD;
int cli_head_sign(cli_context *context, const cli_head_request *request, cli_signed_head *ret,
                  rd_err *err) RD_NODISCARD;
/* Signs the head, hands it to the plane with the list of its secrets, and remembers that it was the newest. ret_seq
 * (may be NULL): its number. */
int cli_head_publish(cli_context *context, cli_client *client, const cli_head_request *request, uint64_t *ret_seq,
                     rd_err *err) RD_NODISCARD;
int cli_deploy_sign(cli_context *context, const cli_deploy_request *request, cli_signed_deploy *ret,
                    rd_err *err) RD_NODISCARD;
void cli_signed_deploy_done(cli_signed_deploy *deploy);

#endif
