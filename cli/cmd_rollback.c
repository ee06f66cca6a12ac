#include "cli/cmd.h"

#include "cli/apps.h"
#include "cli/changes.h"
#include "cli/current.h"
#include "cli/deploy_sign.h"
#include "cli/docs.h"
#include "cli/signer.h"
#include "cli/signals.h"
#include "cli/watch.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WATCH_TIMEOUT_US 120000000
#define DEPLOYMENTS_MAX  200

typedef struct rollback {
    cli_context *context;
    cli_client *client;
    json_t *app;
    char id[RD_APP_ID_TEXT_SIZE];
    cli_signer signer;
    cli_current current;
    rd_digest target_digest;
    cli_version now, target;
    cli_terms terms; /* of the next head: as they are */
    cli_watch watch;
} rollback;

static void rollback_done(rollback *r)
{
    cli_version_done(&r->now);
    cli_version_done(&r->target);
    json_decref(r->app);
    json_decref(r->watch.last);
    cli_signer_done(&r->signer);
    cli_current_done(&r->current);
}

/* Whether an instance of the deployment ever served: the list does not say, the deployment itself does. */
static bool has_served(rollback *r, const json_t *listed)
{
    const char *id = cli_text(listed, "id");
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/deployments/%s", id ? id : "");
    rd_err ignored = RD_ERR_INIT;
    json_t *deployment = NULL;
    if (cli_client_json(r->client, "GET", path, NULL, &deployment, &ignored) < 0)
        return false;
    bool is_found = false;
    size_t i;
    json_t *stage;
    json_array_foreach(json_object_get(deployment, "stages"), i, stage)
    {
        const char *name = cli_text(stage, "name");
        is_found |= name && strcmp(name, "serving") == 0 && cli_text(stage, "at");
    }
    json_decref(deployment);
    return is_found;
}

/* Newest first: the last deployment of another release that served. */
static int choose_last(rollback *r, const char *running, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s/deployments", r->id);
    json_t *items = NULL;
    if (cli_client_list(r->client, path, DEPLOYMENTS_MAX, &items, err) < 0)
        return -1;
    const char *found = NULL;
    for (size_t i = 0; !found && i < json_array_size(items); i++) {
        const char *release = cli_text(json_array_get(items, i), "release");
        if (release && strcmp(release, running) != 0 && has_served(r, json_array_get(items, i)))
            found = release;
    }
    int status =
        found ? rd_digest_parse(found, strlen(found), &r->target_digest, err)
              : rd_err_set(err, RD_E_CLI_NOT_FOUND, "no earlier release of %s has served", cli_text(r->app, "name"));
    json_decref(items);
    return status;
}

static int choose_number(rollback *r, const char *text, rd_err *err)
{
    uint64_t number;
    if (rd_parse_u64(text, strlen(text), INT32_MAX, &number) < 0)
        return rd_err_set(err, RD_E_USAGE, "--to takes a release number, not %s", text);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s/releases", r->id);
    json_t *items = NULL;
    if (cli_client_list(r->client, path, 100000, &items, err) < 0)
        return -1;
    const char *found = NULL;
    for (size_t i = 0; !found && i < json_array_size(items); i++)
        if ((uint64_t)json_integer_value(json_object_get(json_array_get(items, i), "number")) == number)
            found = cli_text(json_array_get(items, i), "digest");
    int status = found ? rd_digest_parse(found, strlen(found), &r->target_digest, err)
                       : rd_err_set(err, RD_E_CLI_NOT_FOUND, "no release %s", text);
    json_decref(items);
    return status;
}

/* Both versions, each checked against the owners' signatures. */
static int fetch_versions(rollback *r, const cli_args *args, rd_err *err)
{
    const char *running = cli_text(json_object_get(r->app, "deployment"), "release");
    const char *to = cli_args_value(args, "to");
    rd_digest digest;
    if (!running || rd_digest_parse(running, strlen(running), &digest, err) < 0)
        return rd_err_set(err, RD_E_CLI_NOT_FOUND, "%s was never deployed, so there is nothing to go back to",
                          cli_text(r->app, "name"));
    if (cli_current_fetch(r->context, r->client, &r->current.app, &r->current, err) < 0 ||
        cli_terms_settle(r->context->profile, &r->current, r->current.head.class, NULL, &r->terms, err) < 0 ||
        cli_signer_check(&r->signer, &r->current, rd_clock_wall_us(r->context->clock), err) < 0)
        return -1;
    if ((to ? choose_number(r, to, err) : choose_last(r, running, err)) < 0)
        return -1;
    /* What counts now is the head's to say; what runs is the plane's. */
    if (r->current.has_head && r->current.head.releases_count > 0)
        digest = r->current.head.releases[0];
    if (cli_version_fetch(r->client, &r->current, &digest, &r->now, err) < 0)
        return -1;
    return cli_version_fetch(r->client, &r->current, &r->target_digest, &r->target, err);
}

static void show(const rollback *r)
{
    const cli_out *out = &r->context->out;
    const rd_head *head = &r->current.head;
    const rd_kms_id *kms = head->kms_count > 0 ? &head->kms[0] : NULL;
    const cli_terms terms = { .policy = head->policy,
                              .grant_s = head->grant_s,
                              .grant_requests = head->grant_requests };
    const cli_changed before = { .release = &r->now.release,
                                 .code = &r->now.code,
                                 .is_sealed = r->now.release.is_sealed,
                                 .terms = &terms,
                                 .kms = kms };
    const cli_changed after = { .release = &r->target.release,
                                .code = &r->target.code,
                                .is_sealed = r->target.release.is_sealed,
                                .terms = &r->terms,
                                .kms = kms };
    json_t *changes = cli_changes_list(&before, &after);
    cli_note(out, "%s   from release %u back to release %u", cli_text(r->app, "name"), r->now.release.number,
             r->target.release.number);
    cli_changes_note(out, changes);
    json_decref(changes);
}

static int start(cli_watch *watch, void *context, rd_err *err)
{
    rollback *r = context;
    char digest[RD_DIGEST_TEXT_SIZE];
    rd_digest_format(&r->target_digest, digest);
    RD_CLEANUP(rd_free_p) char *body = rd_asprintf("{\"release\":\"%s\",\"kind\":\"rollback\"}", digest);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s/deployments", r->id);
    json_t *accepted = NULL;
    if (cli_post_once(r->client, path, rd_bytes_str(body), &accepted, err) < 0)
        return -1;
    const char *id = cli_text(accepted, "id");
    (void)snprintf(watch->deployment_id, sizeof watch->deployment_id, "%s", id ? id : "");
    cli_interrupt_say("It goes on. Watch: %s deployments watch %s", watch->context->program, watch->deployment_id);
    json_decref(watch->last);
    watch->last = accepted;
    return id ? 0 : rd_err_set(err, RD_E_JSON_MISSING, "the deployment has no id");
}

/* A new head puts the earlier release first: which release counts is the owner's word, not the plane's. */
static int publish_head(rollback *r, rd_err *err)
{
    RD_CLEANUP(rd_free_p) cli_secret_list *list = rd_alloc(sizeof *list);
    if (cli_secrets_fetch(r->client, &r->current, list, err) < 0)
        return -1;
    const cli_head_request request = {
        .current = &r->current,
        .signer = &r->signer,
        .class = r->current.head.class,
        .release = &r->target_digest,
        .terms = &r->terms,
        .kms = r->current.head.kms_count > 0 ? &r->current.head.kms[0] : NULL,
        .secrets = list,
    };
    return cli_head_publish(r->context, r->client, &request, NULL, err);
}

static int carry_out(rollback *r, bool is_detached, rd_err *err)
{
    bool is_yes = true;
    const cli_out *out = &r->context->out;
    /* Which release served last is the plane's word, so somebody looks at it. */
    if (cli_confirm(out, "Roll back?", true, &is_yes, err) < 0)
        return -1;
    if (!is_yes)
        return rd_err_set(err, RD_E_CANCELLED, "not confirmed; nothing was changed");
    if (publish_head(r, err) < 0)
        return -1;
    r->watch.context = r->context;
    r->watch.app = r->id;
    r->watch.start = start;
    r->watch.start_context = r;
    int64_t timeout_us = r->context->timeout_us ? r->context->timeout_us : WATCH_TIMEOUT_US;
    int status = is_detached ? start(&r->watch, r, err) : cli_watch_run(&r->watch, timeout_us, err);
    if (status < 0)
        return -1;
    if (out->form == CLI_JSON)
        cli_print_json(out, r->watch.last);
    else if (is_detached)
        cli_note(out, "Accepted. Watch: %s deployments watch %s", r->context->program, r->watch.deployment_id);
    return 0;
}

static int run_rollback(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 1, 1, "APP", err) < 0)
        return -1;
    rollback r = { .context = context, .client = cli_context_client(context, err) };
    rd_release_init(&r.now.release);
    rd_release_init(&r.target.release);
    int status = r.client ? cli_client_find_app(r.client, args->positional[0], &r.app, err) : -1;
    const char *id = cli_text(r.app, "id");
    if (status == 0)
        status = id ? rd_app_id_parse(id, strlen(id), &r.current.app, err)
                    : rd_err_set(err, RD_E_ID_FORMAT, "the control plane answered without a proper app id");
    if (status == 0) {
        rd_app_id_format(&r.current.app, r.id);
        status = cli_signer_load(context->profile, &r.signer, err);
    }
    if (status == 0)
        status = fetch_versions(&r, args, err);
    if (status == 0) {
        show(&r);
        status = carry_out(&r, cli_args_has(args, "detach"), err);
    }
    rollback_done(&r);
    return status;
}

static const cli_flag rollback_flags[] = {
    { "to", 0, "NUMBER", "the release to go back to (default: the last other one that served)" },
    { "detach", 'd', NULL, "return once it is accepted" },
    { NULL, 0, NULL, NULL },
};

const cli_command cli_rollback_commands[] = {
    { .name = "rollback",
      .purpose = "go back to an earlier release; shows what changes first",
      .arguments = "APP",
      .examples = "redoubt rollback private-score\nredoubt rollback private-score --to 3 --yes",
      .flags = rollback_flags,
      .run = run_rollback },
    { .name = NULL },
};
