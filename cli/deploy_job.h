/* deploy_job: one deploy from a manifest and its code to a serving instance.
 * Used by deploy and approve, which differ only in where manifest and code come from. */
#ifndef CLI_DEPLOY_JOB_H
#define CLI_DEPLOY_JOB_H

#include "cli/deploy_sign.h"
#include "cli/watch.h"

typedef struct cli_deploy_job {
    cli_context *context;
    cli_client *client;
    cli_manifest manifest; /* filled by the caller */
    rd_buf bundle;         /* filled by the caller: the code bundle */
    size_t modules;
    rd_signing_key *key;
    rd_app_id app;
    char app_text[RD_APP_ID_TEXT_SIZE];
    json_t *app_json;
    rd_class class;
    rd_digest code_digest;
    cli_signed_deploy signed_deploy;
    cli_watch watch;
} cli_deploy_job;

/* Loads the key (offering to make one), finds or registers the app, signs release and head. Nothing is sent yet but the
 * app's registration. */
int cli_deploy_job_prepare(cli_deploy_job *job, rd_err *err) RD_NODISCARD;
/* What will be signed, on stderr. */
void cli_deploy_job_show(const cli_deploy_job *job);
/* Asks unless --yes; CANCELLED when the answer is no. */
int cli_deploy_job_confirm(const cli_deploy_job *job, rd_err *err) RD_NODISCARD;
/* Uploads, posts and follows until it serves (or returns once accepted when detached), and prints the result. */
int cli_deploy_job_launch(cli_deploy_job *job, bool is_detached, rd_err *err) RD_NODISCARD;
void cli_deploy_job_done(cli_deploy_job *job);

#endif
