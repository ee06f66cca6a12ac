#include "cli/deploy_job.h"

#include "cli/apps.h"
#include "cli/changes.h"
#include "cli/docs.h"
#include "cli/key_file.h"
#include "cli/keys.h"
#include "cli/signals.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/hash.h"
#include "common/crypto/secret.h"
#include "common/model/code_seal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WATCH_TIMEOUT_US 120000000

void cli_deploy_job_done(cli_deploy_job *job)
{
    cli_manifest_done(&job->manifest);
    cli_signer_done(&job->signer);
    cli_current_done(&job->current);
    json_decref(job->app_json);
    json_decref(job->changes);
    json_decref(job->policy_notes);
    json_decref(job->watch.last);
    rd_buf_done(&job->bundle);
    rd_buf_done(&job->sealed);
    rd_code_bundle_done(&job->code);
    if (job->has_version)
        cli_version_done(&job->version);
    cli_signed_deploy_done(&job->signed_deploy);
}

static rd_class choose_class(const cli_deploy_job *job)
{
    rd_class class;
    const char *given = cli_profile_get(job->context->profile, CLI_SET_CLASS);
    if (job->manifest.has_class)
        return job->manifest.class;
    if (given && rd_class_parse(given, &class))
        return class;
    return job->context->profile->simulation_root_count ? RD_CLASS_SIMULATED : RD_CLASS_HARDWARE;
}

/* The owner key, made on the spot for the first deploy of a new user who agrees. */
int cli_deploy_job_load_key(cli_deploy_job *job, rd_err *err)
{
    int status = cli_signer_load(job->context->profile, &job->signer, err);
    if (status == 0 || err->code != RD_E_CLI_NO_KEY || cli_signer_is_delegated(&job->signer))
        return status;
    if (!job->context->out.may_ask && !job->context->out.assume_yes)
        return -1;
    bool is_yes = false;
    if (cli_confirm(&job->context->out, "There is no owner key on this machine yet. Make one?", true, &is_yes, err) < 0)
        return -1;
    RD_CLEANUP(rd_free_p) char *path = cli_keys_path(job->context->profile);
    return is_yes ? cli_keys_create(path, &job->signer.key, err) : -1;
}

static int take_app(cli_deploy_job *job, rd_err *err)
{
    const char *id = cli_text(job->app_json, "id");
    if (!id || rd_app_id_parse(id, strlen(id), &job->current.app, err) < 0)
        return rd_err_set(err, RD_E_ID_FORMAT, "the control plane answered without a proper app id");
    rd_app_id_format(&job->current.app, job->app_text);
    return 0;
}

static int find_app(cli_deploy_job *job, rd_err *err)
{
    int status = cli_client_find_app(job->client, job->manifest.name, &job->app_json, err);
    job->is_new = status < 0 && err->code == RD_E_CLI_NOT_FOUND;
    if (job->is_new) {
        *err = (rd_err)RD_ERR_INIT;
        return 0;
    }
    return status < 0 ? -1 : take_app(job, err);
}

static uint64_t count_of(const cli_deploy_job *job, const char *name)
{
    json_int_t count = json_integer_value(json_object_get(json_object_get(job->app_json, "deployment"), name));
    return count > 0 ? (uint64_t)count : 0;
}

static cli_changed now_of(const cli_deploy_job *job, const cli_terms *terms)
{
    return (cli_changed){
        .release = &job->version.release,
        .code = &job->version.code,
        .is_sealed = job->version.release.is_sealed,
        .terms = terms,
        .kms = job->current.head.kms_count > 0 ? &job->current.head.kms[0] : NULL,
        .instances_min = count_of(job, "min"),
        .instances_max = count_of(job, "max"),
        .idle_s = count_of(job, "idle_s"),
    };
}

static cli_changed next_of(const cli_deploy_job *job)
{
    return (cli_changed){
        .release = &job->manifest.release,
        .code = &job->code,
        .is_sealed = job->is_sealed,
        .terms = &job->terms,
        .kms = job->has_kms ? &job->kms_id : NULL,
        .instances_min = job->manifest.instances_min,
        .instances_max = job->manifest.instances_max,
        .idle_s = job->manifest.idle_s,
    };
}

/* The release that the verified head names first, against what would be signed now; a first one against nothing. */
static int compare(cli_deploy_job *job, rd_err *err)
{
    const cli_changed after = next_of(job);
    const rd_head *head = &job->current.head;
    cli_nothing nothing;
    cli_nothing_init(&nothing);
    cli_changed before = { .release = &nothing.release, .code = &nothing.code, .is_sealed = true };
    const cli_terms terms = { .policy = head->policy,
                              .grant_s = head->grant_s,
                              .grant_requests = head->grant_requests };
    int status = 0;
    job->has_version = job->current.has_head && head->releases_count > 0;
    if (job->has_version)
        status = cli_version_fetch(job->client, &job->current, &head->releases[0], &job->version, err);
    if (job->has_version)
        before = now_of(job, &terms);
    else if (job->current.has_head)
        before.terms = &terms;
    if (status == 0) {
        job->changes = cli_changes_list(&before, &after);
        job->policy_notes = cli_terms_notes(before.terms ? &terms.policy : NULL, &job->terms.policy);
    }
    cli_nothing_done(&nothing);
    return status;
}

/* What a delegated key may not change is refused before anything is sent. */
static int settle_terms(cli_deploy_job *job, rd_err *err)
{
    const cli_profile *profile = job->context->profile;
    if (cli_terms_settle(profile, &job->current, job->class, &job->manifest, &job->terms, err) < 0)
        return -1;
    if (!job->has_kms && (job->terms.grant_s > 0 || job->terms.grant_requests > 0))
        return rd_err_set(err, RD_E_CLI_MANIFEST,
                          "limits.grant_s and limits.grant_requests are of grants, and the app has no key service");
    if (!job->has_kms && job->terms.policy.webhook.is_set)
        return rd_err_set(err, RD_E_CLI_MANIFEST,
                          "a webhook is asked before grants, and the app has no key service; trust one with: %s kms "
                          "trust ID",
                          job->context->program);
    if (cli_profile_get(profile, CLI_SET_DELEGATION_FILE) && job->current.has_head &&
        !cli_terms_are_kept(&job->terms, &job->current))
        return rd_err_set(err, RD_E_DELEGATION, "policy and limits of grants are the owners' to change");
    return 0;
}

static int upload_code(cli_deploy_job *job, rd_err *err)
{
    char hex[65];
    rd_hex_encode(rd_bytes_of(job->is_sealed ? job->sealed_digest.b : job->code_digest.b, 32), hex);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/blobs/%s", hex);
    const cli_request request = { .method = "PUT",
                                  .path = path,
                                  .body = rd_buf_bytes(job->is_sealed ? &job->sealed : &job->bundle),
                                  .content_type = "application/octet-stream" };
    cli_answer answer;
    int status = cli_client_send(job->client, &request, &answer, err);
    cli_answer_done(&answer);
    return status < 0 ? rd_err_wrap(err, "uploading the code") : 0;
}

static int post_document(cli_deploy_job *job, const char *kind, rd_bytes body, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s/%s", job->app_text, kind);
    return cli_post_once(job->client, path, body, NULL, err);
}

/* SIMULATED has a line of its own. */
static void note_policy(const cli_deploy_job *job)
{
    const cli_out *out = &job->context->out;
    const char *title = "policy";
    size_t i;
    json_t *note;
    json_array_foreach(job->policy_notes, i, note)
    {
        const char *member = cli_text(note, "member");
        if (strcmp(member, "/simulated") == 0 && job->class == RD_CLASS_SIMULATED)
            continue;
        cli_note(out, "  %-12s  %-8s  %s  %s", title, cli_text(note, "effect"), member, cli_text(note, "text"));
        title = "";
    }
    size_t missing = cli_terms_missing(job->context->profile, &job->terms.policy);
    if (missing > 0)
        cli_note(out,
                 "  %-12s  it does not accept %zu of the runtimes that the profile lists; --policy profile takes them",
                 title, missing);
}

void cli_deploy_job_show(const cli_deploy_job *job)
{
    const cli_out *out = &job->context->out;
    char key[CLI_KEY_TEXT_SIZE] = "";
    char digest[RD_DIGEST_TEXT_SIZE];
    char id[32];
    if (job->signer.key)
        cli_keys_text(job->signer.key, key);
    rd_digest_format(&job->code_digest, digest);
    bool is_long = strlen(job->manifest.path) > 24;
    cli_note(out, "%s   %s%s%.8s%s%s%s%s", job->manifest.name,
             job->is_new ? "a new app" : cli_short_id(job->app_text, id, sizeof id),
             job->signer.key ? cli_signer_is_delegated(&job->signer) ? "   delegated key " : "   owner key " : "", key,
             job->signer.key ? "…" : "", is_long ? "\n  manifest      " : "   (", job->manifest.path,
             is_long ? "" : ")");
    cli_note(out, "  release %-5u code %.15s…   %.1f kB, %zu module%s, %s code", job->number, digest,
             (double)job->bundle.size / 1000, job->code.modules_count, job->code.modules_count == 1 ? "" : "s",
             job->is_sealed ? "sealed" : "public");
    if (job->manifest.release.logs == RD_LOGS_SEALED)
        cli_note(out, "  logs          sealed to the log key: %s logs %s opens them", job->context->program,
                 job->manifest.name);
    if (job->manifest.release.machine == RD_MACHINE_SHARED)
        cli_note(out,
                 "  %smachine       SHARED: one for all callers; what the handler keeps of one can reach another%s",
                 cli_style_code(out, CLI_YELLOW), cli_style_code(out, CLI_PLAIN));
    if (job->changes)
        cli_changes_note(out, job->changes);
    note_policy(job);
    if (job->class == RD_CLASS_SIMULATED)
        cli_note(out, "  %sclass         SIMULATED: everything is checked, nothing is confidential%s",
                 cli_style_code(out, CLI_MAGENTA), cli_style_code(out, CLI_PLAIN));
}

bool cli_deploy_job_has_changes(const cli_deploy_job *job)
{
    return !job->changes || json_array_size(job->changes) > 0;
}

/* As the release has it: nothing for a fresh one. */
static const char *machine_of(const cli_deploy_job *job)
{
    rd_machine machine = job->manifest.release.machine;
    return machine == RD_MACHINE_FRESH ? NULL : rd_machine_names[machine];
}

void cli_deploy_job_print_plan(const cli_deploy_job *job, const cli_forecast *forecast)
{
    char digest[RD_DIGEST_TEXT_SIZE];
    rd_digest_format(&job->code_digest, digest);
    json_t *document = json_pack("{s:s, s:s*, s:i, s:s, s:s, s:s*, s:b, s:O*, s:O*, s:o*}", "name", job->manifest.name,
                                 "app", job->is_new ? NULL : job->app_text, "number", (int)job->number, "code", digest,
                                 "class", rd_class_name(job->class), "machine", machine_of(job), "has_changes",
                                 cli_deploy_job_has_changes(job), "changes", job->changes, "policy", job->policy_notes,
                                 "placement", forecast ? cli_forecast_to_json(forecast) : NULL);
    cli_print_json(&job->context->out, document);
    json_decref(document);
}

static int start_deployment(cli_watch *watch, void *start_context, rd_err *err)
{
    cli_deploy_job *job = start_context;
    char digest[RD_DIGEST_TEXT_SIZE];
    rd_digest_format(&job->signed_deploy.release_digest, digest);
    RD_CLEANUP(rd_free_p)
    char *body = rd_asprintf("{\"release\":\"%s\",\"min\":%llu,\"max\":%llu,\"idle_s\":%llu,\"kind\":\"deploy\"}",
                             digest, (unsigned long long)job->manifest.instances_min,
                             (unsigned long long)job->manifest.instances_max, (unsigned long long)job->manifest.idle_s);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s/deployments", job->app_text);
    json_t *accepted = NULL;
    if (cli_post_once(job->client, path, rd_bytes_str(body), &accepted, err) < 0)
        return -1;
    const char *id = json_string_value(json_object_get(accepted, "id"));
    (void)snprintf(watch->deployment_id, sizeof watch->deployment_id, "%s", id ? id : "");
    json_decref(watch->last);
    watch->last = accepted;
    if (id)
        cli_interrupt_say("Still deploying. Watch: %s deployments watch %s", job->context->program,
                          watch->deployment_id);
    return id ? 0 : rd_err_set(err, RD_E_JSON_MISSING, "the deployment has no id");
}

/* A call that works as it is printed: with the request that lies beside the manifest, if one does. */
static void note_try(const cli_deploy_job *job)
{
    const char *path = job->manifest.path ? job->manifest.path : "";
    const char *slash = strrchr(path, '/');
    RD_CLEANUP(rd_free_p)
    char *request = rd_asprintf("%.*srequest.json", slash ? (int)(slash + 1 - path) : 0, path);
    bool has_request = access(request, R_OK) == 0;
    cli_note(&job->context->out, "  try: %s invoke %s%s%s", job->context->program, job->manifest.name,
             has_request ? " --data @" : "", has_request ? request : "");
}

static void print_result(cli_deploy_job *job, int64_t elapsed_us)
{
    const char *url = json_string_value(json_object_get(job->app_json, "url"));
    if (job->context->out.form == CLI_JSON) {
        char digest[RD_DIGEST_TEXT_SIZE];
        rd_digest_format(&job->signed_deploy.release_digest, digest);
        json_t *document =
            json_pack("{s:s, s:s, s:s, s:i, s:I, s:s*, s:s*, s:I, s:O*}", "app", job->app_text, "name",
                      job->manifest.name, "release", digest, "number", (int)job->signed_deploy.number, "head_seq",
                      (json_int_t)job->signed_deploy.head.known.seq, "machine", machine_of(job), "url", url,
                      "elapsed_us", (json_int_t)elapsed_us, "deployment", job->watch.last);
        cli_print_json(&job->context->out, document);
        json_decref(document);
        return;
    }
    if (url)
        cli_print(&job->context->out, "%s", url);
    note_try(job);
}

static int follow(cli_deploy_job *job, rd_err *err)
{
    int64_t timeout_us = job->context->timeout_us ? job->context->timeout_us : WATCH_TIMEOUT_US;
    job->watch.context = job->context;
    job->watch.app = job->app_text;
    job->watch.start = start_deployment;
    job->watch.start_context = job;
    int status = cli_watch_run(&job->watch, timeout_us, err);
    int64_t elapsed_us = rd_clock_boot_us(job->context->clock) - job->watch.start_us;
    if (status < 0) {
        if (job->watch.deployment_id[0] && err->code == RD_E_TIMEOUT)
            cli_note(&job->context->out, "Still deploying. Watch: %s deployments watch %s", job->context->program,
                     job->watch.deployment_id);
        return -1;
    }
    cli_note(&job->context->out, "  serving after %.1f ms", (double)elapsed_us / 1000);
    print_result(job, elapsed_us);
    return 0;
}

/* A fresh key for this code; ciphertext goes to the plane, the key as a secret to the app's key service. Keys of
 * releases that no head lists any more are left behind once there is no room for them. */
static int seal_code(cli_deploy_job *job, rd_err *err)
{
    RD_CLEANUP(rd_secret_free_p) rd_secret *key = rd_secret_random(RD_CODE_KEY_SIZE);
    char name[RD_SECRET_NAME_MAX + 1], kept[RD_SECRET_NAME_MAX + 1] = "";
    rd_buf_init(&job->sealed, RD_CODE_SIZE_MAX);
    if (rd_code_sealed_size(job->bundle.size) > RD_CODE_SIZE_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "the code is too large to be sealed");
    if (rd_code_seal(rd_secret_bytes(key).data, rd_buf_bytes(&job->bundle), &job->sealed, err) < 0)
        return -1;
    rd_sha256(rd_buf_bytes(&job->sealed), job->sealed_digest.b);
    rd_secret_code_name(&job->sealed_digest, name);
    if (job->has_version && job->version.release.is_sealed)
        rd_secret_code_name(&job->version.release.code_digest, kept);
    for (size_t i = job->secrets.count; i > 0 && job->secrets.count >= RD_SECRETS_MAX - 1; i--) {
        const char *one = job->secrets.refs[i - 1].name;
        if (!rd_secret_name_is_ok(one) && strcmp(one, kept) != 0)
            cli_secrets_remove(&job->secrets, one);
    }
    return cli_secrets_seal(job->client, &job->kms, &job->current.app, name, 1, rd_secret_bytes(key), &job->secrets,
                            err);
}

/* A text of the manifest would stand in the place of the secret, and the function read the wrong one. */
static int check_names(const cli_deploy_job *job, rd_err *err)
{
    const rd_release *release = &job->manifest.release;
    for (size_t i = 0; i < release->env_count; i++)
        if (cli_secrets_find(&job->secrets, release->env[i].name))
            return rd_err_set(err, RD_E_CLI_MANIFEST,
                              "env.%s is the name of a secret, too: rename it, or: %s secrets unset",
                              release->env[i].name, job->context->program);
    return 0;
}

static int prepare_kms(cli_deploy_job *job, rd_err *err)
{
    if (!job->has_kms)
        return 0;
    if (cli_kms_demand(job->context, job->client, &job->kms_id, &job->kms, err) < 0 ||
        cli_secrets_fetch(job->client, &job->current, &job->secrets, err) < 0 || check_names(job, err) < 0)
        return -1;
    return job->is_sealed ? seal_code(job, err) : 0;
}

/* A new app gets its id here; everything that is signed names it. */
static int sign(cli_deploy_job *job, rd_err *err)
{
    if (job->is_new && cli_signer_is_delegated(&job->signer))
        return rd_err_set(err, RD_E_DELEGATION,
                          "no app is named %s, and a delegation is for one that its owner deployed before",
                          job->manifest.name);
    if (job->is_new && (cli_app_create(job->client, job->manifest.name, job->signer.key, &job->app_json, err) < 0 ||
                        take_app(job, err) < 0 ||
                        cli_current_fetch(job->context, job->client, &job->current.app, &job->current, err) < 0))
        return -1;
    if (job->is_new && job->current.has_head)
        return rd_err_set(err, RD_E_HEAD_FORK,
                          "the control plane said that there is no app named %s, and shows its head",
                          job->manifest.name);
    if (cli_signer_check(&job->signer, &job->current, rd_clock_wall_us(job->context->clock), err) < 0 ||
        prepare_kms(job, err) < 0)
        return -1;
    const cli_deploy_request request = {
        .current = &job->current,
        .signer = &job->signer,
        .manifest = &job->manifest,
        .class = job->class,
        .number = job->number,
        .code_digest = job->is_sealed ? job->sealed_digest : job->code_digest,
        .code_size = job->is_sealed ? job->sealed.size : job->bundle.size,
        .is_sealed = job->is_sealed,
        .terms = &job->terms,
        .kms = job->has_kms ? &job->kms_id : NULL,
        .secrets = &job->secrets,
    };
    return cli_deploy_sign(job->context, &request, &job->signed_deploy, err);
}

static int publish(cli_deploy_job *job, rd_err *err)
{
    const char *state_dir = cli_profile_get(job->context->profile, CLI_SET_STATE_DIR);
    RD_CLEANUP(rd_buf_done) rd_buf head = { 0 };
    if (cli_secrets_head_body(&job->signed_deploy.head.envelope, &job->secrets, &head, err) < 0 ||
        upload_code(job, err) < 0 ||
        post_document(job, "releases", rd_buf_bytes(&job->signed_deploy.release), err) < 0 ||
        post_document(job, "heads", rd_buf_bytes(&head), err) < 0)
        return -1;
    return cli_head_remember(state_dir, &job->current.app, &job->signed_deploy.head.known, err);
}

/* Where the lines go is in the release. Until the key is made, at the launch, it is all zeros there. */
static int settle_logs(cli_deploy_job *job, bool may_create, rd_err *err)
{
    rd_release *release = &job->manifest.release;
    bool is_new = false;
    release->logs = job->manifest.logs;
    if (release->logs == RD_LOGS_UNSAID && job->class == RD_CLASS_HARDWARE)
        release->logs = RD_LOGS_SEALED;
    if (release->logs != RD_LOGS_SEALED)
        return 0;
    if (cli_log_key_public(job->context->profile, may_create, release->log_key, &is_new, err) < 0) {
        if (may_create || err->code != RD_E_CLI_NOT_FOUND)
            return -1;
        *err = (rd_err)RD_ERR_INIT;
    }
    RD_CLEANUP(rd_free_p) char *path = cli_log_key_path(job->context->profile);
    if (is_new)
        cli_note(&job->context->out, "Log key made at %s: whoever has it reads the logs, and nobody else.", path);
    return 0;
}

int cli_deploy_job_launch(cli_deploy_job *job, bool is_detached, rd_err *err)
{
    if (settle_logs(job, true, err) < 0 || sign(job, err) < 0 || publish(job, err) < 0)
        return -1;
    if (!is_detached)
        return follow(job, err);
    if (start_deployment(&job->watch, job, err) < 0)
        return -1;
    cli_note(&job->context->out, "Accepted. Watch: %s deployments watch %s", job->context->program,
             job->watch.deployment_id);
    print_result(job, 0);
    return 0;
}

/* The one that the head names already, else the one that is trusted here: then code is sealed unless the manifest says
 * that it is public. */
static int choose_kms(cli_deploy_job *job, rd_err *err)
{
    job->has_kms = job->current.has_head && job->current.head.kms_count > 0;
    if (job->has_kms)
        job->kms_id = job->current.head.kms[0];
    else if (cli_kms_choose(job->context, job->client, job->class, &job->has_kms, &job->kms_id, err) < 0) {
        if (!job->manifest.is_public_code)
            return rd_err_wrap(err, "the code would be public (public_code: true says that it may)");
        *err = (rd_err)RD_ERR_INIT;
    }
    job->is_sealed = job->has_kms && !job->manifest.is_public_code;
    return job->is_sealed && !job->is_new ? cli_current_check_sole_owner(&job->current, job->manifest.name, err) : 0;
}

int cli_deploy_job_prepare(cli_deploy_job *job, rd_err *err)
{
    job->client = cli_context_client(job->context, err);
    job->class = choose_class(job);
    job->number = 1;
    rd_sha256(rd_buf_bytes(&job->bundle), job->code_digest.b);
    if (!job->client || rd_code_bundle_parse(rd_buf_bytes(&job->bundle), &job->code, err) < 0 || find_app(job, err) < 0)
        return -1;
    if (!job->is_new && (cli_current_fetch(job->context, job->client, &job->current.app, &job->current, err) < 0 ||
                         cli_release_number_next(job->client, &job->current.app, &job->number, err) < 0))
        return -1;
    if (choose_kms(job, err) < 0 || settle_logs(job, false, err) < 0 || settle_terms(job, err) < 0)
        return -1;
    return compare(job, err);
}

int cli_deploy_job_confirm(const cli_deploy_job *job, rd_err *err)
{
    bool is_yes = true;
    if (!job->manifest.is_prepared && !job->context->out.may_ask)
        return 0;
    if (cli_confirm(&job->context->out, "Deploy?", true, &is_yes, err) < 0)
        return -1;
    return is_yes ? 0 : rd_err_set(err, RD_E_CANCELLED, "not confirmed; nothing was changed");
}
