/* deploy_job: one deploy from a manifest and its code to a serving instance.
 * Used by deploy and approve, which differ only in where manifest and code come from. */
#ifndef CLI_DEPLOY_JOB_H
#define CLI_DEPLOY_JOB_H

#include "cli/deploy_sign.h"
#include "cli/forecast.h"
#include "cli/watch.h"

typedef struct cli_deploy_job {
    cli_context *context;
    cli_client *client;
    cli_manifest manifest; /* filled by the caller */
    rd_buf bundle;         /* filled by the caller: the code bundle */
    rd_code_bundle code;   /* the same, parsed */
    rd_digest code_digest;
    rd_class class;
    cli_signer signer; /* without a key until it is loaded */
    bool is_new;       /* there is no app of this name yet */
    json_t *app_json;
    char app_text[RD_APP_ID_TEXT_SIZE];
    cli_current current;
    uint32_t number;     /* of the release to sign */
    cli_version version; /* what is current; has_version false: nothing is */
    bool has_version;
    json_t *changes;      /* against it, or against nothing */
    cli_terms terms;      /* of the head to sign */
    json_t *policy_notes; /* what its policy loosens and tightens against the one before; of a first one, what it
                             loosens */
    bool has_kms;         /* the head will name this key service */
    rd_kms_id kms_id;
    bool is_sealed; /* so its code is uploaded as ciphertext */
    cli_kms kms;
    cli_secret_list secrets;
    rd_buf sealed;
    rd_digest sealed_digest;
    cli_signed_deploy signed_deploy;
    cli_watch watch;
} cli_deploy_job;

/* Finds the app, verifies what is current and compares. Changes nothing anywhere. */
int cli_deploy_job_prepare(cli_deploy_job *job, rd_err *err) RD_NODISCARD;
/* Loads the owner key; offers to make one when there is none. */
int cli_deploy_job_load_key(cli_deploy_job *job, rd_err *err) RD_NODISCARD;
/* What would be signed, on stderr. */
void cli_deploy_job_show(const cli_deploy_job *job);
bool cli_deploy_job_has_changes(const cli_deploy_job *job);
/* The release, the changes and the forecast (may be NULL) as one document on stdout, with --json. */
void cli_deploy_job_print_plan(const cli_deploy_job *job, const cli_forecast *forecast);
/* Asks unless --yes; CANCELLED when the answer is no. Where nobody can be asked, what lies in the owner's own files is
 * his word already; what was prepared elsewhere is not: then USAGE, which says --yes. */
int cli_deploy_job_confirm(const cli_deploy_job *job, rd_err *err) RD_NODISCARD;
/* Registers the app when it is new, signs, uploads, posts and follows until it serves (or returns once accepted when
 * detached), and prints the result. */
int cli_deploy_job_launch(cli_deploy_job *job, bool is_detached, rd_err *err) RD_NODISCARD;
void cli_deploy_job_done(cli_deploy_job *job);

#endif
