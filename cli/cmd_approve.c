#include "cli/cmd.h"

#include "cli/apps.h"
#include "cli/changes.h"
#include "cli/client.h"
#include "cli/deploy_job.h"
#include "cli/steps.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/code_bundle.h"

#include <stdlib.h>
#include <string.h>

static int read_prepared(const json_t *prepared, cli_deploy_job *job, rd_err *err)
{
    const char *kind = json_string_value(json_object_get(prepared, "kind"));
    const char *name = json_string_value(json_object_get(prepared, "name"));
    if (!kind || strcmp(kind, "deploy") != 0 || !name)
        return rd_err_set(err, RD_E_UNSUPPORTED, "prepared for \"%s\", which this version does not know",
                          kind ? kind : "");
    if (cli_manifest_from_settings(name, json_object_get(prepared, "settings"), &job->manifest, err) < 0)
        return -1;
    return cli_json_b64(prepared, "code", RD_CODE_BUNDLE_SIZE_MAX, &job->bundle, err);
}

static int run_approve(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 1, 1, "CODE", err) < 0)
        return -1;
    cli_client *client = cli_context_client(context, err);
    RD_CLEANUP(rd_free_p) char *code = cli_url_escape(args->positional[0]);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/prepared/%s", code);
    RD_CLEANUP(rd_free_p) char *done_path = rd_asprintf("/v1/prepared/%s/done", code);
    json_t *prepared = NULL;
    cli_deploy_job job = { .context = context };
    int status = client ? cli_client_json(client, "GET", path, NULL, &prepared, err) : -1;
    if (status == 0)
        status = read_prepared(prepared, &job, err);
    if (status == 0)
        status = cli_deploy_job_prepare(&job, err);
    if (status == 0)
        status = cli_deploy_job_load_key(&job, err);
    if (status == 0) {
        /* What a served page prepared is the plane's word: all of it is shown before it is signed, to the quiet, too.
         */
        context->out.is_quiet &= context->out.assume_yes;
        cli_changes_note_code(&context->out, job.has_version ? &job.version.code : NULL, &job.code);
        cli_deploy_job_show(&job);
        if (job.has_version)
            cli_note(&context->out, "  against       head %llu, release %u, signed by the owner",
                     (unsigned long long)job.current.head.seq, job.version.release.number);
        status = cli_deploy_job_confirm(&job, err);
    }
    if (status == 0)
        status = cli_deploy_job_launch(&job, cli_args_has(args, "detach"), err);
    if (status == 0)
        status = cli_post_once(client, done_path, RD_BYTES_LIT("{}"), NULL, err);
    cli_deploy_job_done(&job);
    json_decref(prepared);
    return status;
}

static const cli_flag approve_flags[] = {
    { "detach", 'd', NULL, "return once it is accepted" },
    { NULL, 0, NULL, NULL },
};

const cli_command cli_approve_commands[] = {
    { .name = "approve",
      .purpose = "show what the dashboard prepared, sign it, deploy it",
      .arguments = "CODE",
      .examples = "redoubt approve k3v9-2mxq",
      .flags = approve_flags,
      .run = run_approve },
    { .name = NULL },
};
