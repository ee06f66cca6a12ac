#include "cli/cmd.h"

#include "cli/client.h"
#include "cli/deploy_job.h"
#include "cli/signals.h"
#include "common/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What would be signed and where it could run; 10 when there is something to deploy. */
static int show_plan(cli_context *context, cli_deploy_job *job, rd_err *err)
{
    cli_forecast forecast;
    cli_deploy_job_show(job);
    if (cli_forecast_fetch(job->client, job->class, &job->manifest.release.resources, &forecast, err) < 0)
        return -1;
    cli_forecast_note(&context->out, &forecast, job->class, job->manifest.instances_max);
    if (context->out.form == CLI_JSON)
        cli_deploy_job_print_plan(job, &forecast);
    return cli_deploy_job_has_changes(job) ? 10 : 0;
}

static int deploy(cli_context *context, const cli_args *args, cli_deploy_job *job, rd_err *err)
{
    if (cli_deploy_job_load_key(job, err) < 0)
        return -1;
    cli_deploy_job_show(job);
    cli_forecast forecast;
    bool will_ask = context->out.may_ask && !context->out.assume_yes;
    if (will_ask) {
        if (cli_forecast_fetch(job->client, job->class, &job->manifest.release.resources, &forecast, err) < 0)
            return -1;
        cli_forecast_note(&context->out, &forecast, job->class, job->manifest.instances_max);
    }
    if (cli_deploy_job_confirm(job, err) < 0)
        return -1;
    return cli_deploy_job_launch(job, cli_args_has(args, "detach"), err);
}

static int run_deploy(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 0, 1, "[FILE|DIR]", err) < 0)
        return -1;
    cli_deploy_job job = { .context = context };
    rd_buf_init(&job.bundle, 0);
    int status = cli_manifest_load(args->positional_count ? args->positional[0] : NULL, &job.manifest, err);
    const char *engine = cli_args_value(args, "engine");
    if (status == 0 && engine)
        status = cli_manifest_set_engine(&job.manifest, engine, err);
    const char *policy = cli_args_value(args, "policy");
    if (status == 0 && policy)
        cli_manifest_set_policy(&job.manifest, policy);
    if (status == 0)
        status = cli_bundle_collect(&job.manifest, &job.bundle, err);
    if (status == 0)
        status = cli_deploy_job_prepare(&job, err);
    if (status == 0)
        status = cli_args_has(args, "plan") ? show_plan(context, &job, err) : deploy(context, args, &job, err);
    cli_deploy_job_done(&job);
    return status;
}

static int no_start(cli_watch *watch RD_UNUSED, void *start_context RD_UNUSED, rd_err *err)
{
    return rd_err_set(err, RD_E_USAGE, "which deployment?");
}

static int run_watch(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 1, 1, "DEPLOYMENT", err) < 0)
        return -1;
    cli_client *client = cli_context_client(context, err);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/deployments/%s", args->positional[0]);
    json_t *deployment = NULL;
    if (!client || cli_client_json(client, "GET", path, NULL, &deployment, err) < 0)
        return -1;
    cli_watch watch = { .context = context, .start = no_start };
    cli_interrupt_say("It goes on. Watch: %s deployments watch %s", context->program, args->positional[0]);
    const char *app = json_string_value(json_object_get(deployment, "app"));
    watch.app = app ? app : "";
    (void)snprintf(watch.deployment_id, sizeof watch.deployment_id, "%s", args->positional[0]);
    int status = cli_watch_run(&watch, context->timeout_us, err);
    if (watch.last && context->out.form == CLI_JSON)
        cli_print_json(&context->out, watch.last);
    json_decref(watch.last);
    json_decref(deployment);
    return status;
}

static int run_list(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 1, 1, "APP", err) < 0)
        return -1;
    cli_client *client = cli_context_client(context, err);
    json_t *app = NULL;
    if (!client || cli_client_find_app(client, args->positional[0], &app, err) < 0)
        return -1;
    RD_CLEANUP(rd_free_p)
    char *path = rd_asprintf("/v1/apps/%s/deployments", json_string_value(json_object_get(app, "id")));
    json_t *items = NULL;
    int status = cli_client_list(client, path, 1000, &items, err);
    if (status == 0 && context->out.form == CLI_JSON) {
        cli_print_json(&context->out, items);
    } else if (status == 0) {
        size_t count = json_array_size(items);
        int64_t now_us = rd_clock_wall_us(context->clock);
        RD_CLEANUP(rd_free_p) const char **cells = rd_alloc_array(count * 5 + 1, sizeof *cells);
        RD_CLEANUP(rd_free_p) char(*ages)[24] = rd_alloc_array(count + 1, sizeof *ages);
        for (size_t i = 0; i < count; i++) {
            const json_t *item = json_array_get(items, i);
            cells[i * 5] = cli_text(item, "id");
            cells[i * 5 + 1] = cli_text(item, "kind");
            cells[i * 5 + 2] = cli_text(item, "state");
            cells[i * 5 + 3] = cli_age(cli_text(item, "created_at"), now_us, ages[i], sizeof ages[i]);
            cells[i * 5 + 4] = cli_text(json_object_get(item, "reason"), "summary");
        }
        static const char *const header[] = { "DEPLOYMENT", "KIND", "STATE", "CREATED", "REASON" };
        status = cli_print_table(&context->out, header, 5, cells, count, err);
    }
    json_decref(items);
    json_decref(app);
    return status;
}

static const cli_flag deploy_flags[] = {
    { "engine", 'e', "NAME", "quickjs or jsc, whatever the manifest says (docs/engine-jsc.md)" },
    { "policy", 0, "FILE",
      "the policy of the next head (docs/policy.md), whatever the manifest says; profile: as for a "
      "new app, with the runtimes that the profile lists (default: the head's stays)" },
    { "detach", 'd', NULL, "return once it is accepted" },
    { "wait", 'w', NULL, "wait until it serves (the default)" },
    { "plan", 0, NULL,
      "show the changes and where it could run, change nothing; exit 10 when there are changes, else 0" },
    { NULL, 0, NULL, NULL },
};

const cli_command cli_deploy_commands[] = {
    { .name = "deploy",
      .purpose = "sign a release here; have it placed, attested and served",
      .arguments = "[FILE|DIR]",
      .examples = "redoubt deploy\nredoubt deploy examples/echo --detach\nredoubt deploy handler.js --json\nredoubt "
                  "deploy --policy policy.json",
      .flags = deploy_flags,
      .run = run_deploy },
    { .name = "deployments list",
      .purpose = "the deployments of an app, newest first",
      .arguments = "APP",
      .examples = "redoubt deployments list private-score",
      .run = run_list },
    { .name = "deployments watch",
      .purpose = "follow a deployment until it serves",
      .arguments = "DEPLOYMENT",
      .examples = "redoubt deployments watch dep_01jd…",
      .run = run_watch },
    { .name = NULL },
};
