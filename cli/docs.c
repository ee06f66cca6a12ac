#include "cli/docs.h"

#include "cli/steps.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/envelope.h"

#include <stdlib.h>
#include <string.h>

static char *known_path(const char *state_dir, const rd_app_id *app)
{
    char text[RD_APP_ID_TEXT_SIZE];
    rd_app_id_format(app, text);
    return rd_asprintf("%s/heads/%s.json", state_dir, text);
}

bool cli_head_known(const char *state_dir, const rd_app_id *app, rd_head_known *ret)
{
    RD_CLEANUP(rd_free_p) char *path = known_path(state_dir, app);
    json_t *document = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    const char *digest = json_string_value(json_object_get(document, "digest"));
    json_int_t seq = json_integer_value(json_object_get(document, "seq"));
    rd_err err = RD_ERR_INIT;
    bool is_known = digest && seq > 0 && rd_digest_parse(digest, strlen(digest), &ret->digest, &err) == 0;
    ret->seq = (uint64_t)seq;
    ret->owners_seq = (uint64_t)json_integer_value(json_object_get(document, "owners_seq"));
    json_decref(document);
    return is_known;
}

int cli_head_remember(const char *state_dir, const rd_app_id *app, const rd_head_known *known, rd_err *err)
{
    rd_head_known before;
    if (cli_head_known(state_dir, app, &before) && before.seq >= known->seq)
        return 0;
    RD_CLEANUP(rd_free_p) char *dir = rd_asprintf("%s/heads", state_dir);
    RD_CLEANUP(rd_free_p) char *path = known_path(state_dir, app);
    char digest[RD_DIGEST_TEXT_SIZE];
    rd_digest_format(&known->digest, digest);
    RD_CLEANUP(rd_free_p)
    char *text = rd_asprintf("{\"digest\":\"%s\",\"owners_seq\":%llu,\"seq\":%llu}\n", digest,
                             (unsigned long long)known->owners_seq, (unsigned long long)known->seq);
    if (cli_make_dirs(dir, err) < 0)
        return -1;
    return cli_write_file(path, text, strlen(text), 0600, err);
}

static int open_envelope(const json_t *docs, const char *name, rd_envelope *ret, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *text = json_dumps(json_object_get(docs, name), JSON_COMPACT);
    if (!text)
        return rd_err_set(err, RD_E_JSON_MISSING, "%s is missing", name);
    return rd_envelope_parse(rd_bytes_str(text), ret, err);
}

static int open_genesis(const json_t *docs, cli_docs *ret, rd_err *err)
{
    rd_buf genesis = { .data = NULL };
    int status = cli_json_b64(docs, "genesis", RD_DOCUMENT_SIZE_MAX, &genesis, err);
    if (status == 0)
        status = rd_genesis_open(rd_buf_bytes(&genesis), &ret->app, &ret->genesis, err);
    rd_buf_done(&genesis);
    return status;
}

static int open_head(const json_t *docs, const char *state_dir, const int64_t *now_us, cli_docs *ret, rd_err *err)
{
    rd_head_known known;
    bool is_known = state_dir && cli_head_known(state_dir, &ret->app, &known);
    const rd_head_check check = {
        .genesis = &ret->genesis,
        .app = &ret->app,
        .known = is_known ? &known : NULL,
        .now_us = now_us,
    };
    rd_envelope envelope = { .signatures_count = 0 };
    int status = open_envelope(docs, "head", &envelope, err);
    if (status == 0)
        status = rd_head_accept(&envelope, &check, &ret->head, &ret->head_digest, err);
    rd_envelope_done(&envelope);
    const rd_head_known seen = rd_head_known_of(&ret->head, &ret->head_digest);
    if (status == 0 && state_dir)
        status = cli_head_remember(state_dir, &ret->app, &seen, err);
    return status;
}

static int open_release(const json_t *docs, cli_docs *ret, rd_err *err)
{
    rd_envelope envelope = { .signatures_count = 0 };
    int status = open_envelope(docs, "release", &envelope, err);
    if (status == 0)
        status = rd_release_accept(&envelope, &ret->genesis, &ret->app, &ret->release, &ret->release_digest, err);
    rd_envelope_done(&envelope);
    if (status == 0 && !rd_head_lists(&ret->head, &ret->release_digest))
        status = rd_err_set(err, RD_E_RELEASE_NOT_ALLOWED, "head %llu does not list this release",
                            (unsigned long long)ret->head.seq);
    return status;
}

int cli_docs_parse(rd_bytes text, json_t **ret, rd_err *err)
{
    static const rd_json_limits limits = { .size_max = CLI_DOCS_MAX };
    return rd_json_parse(text, &limits, ret, err);
}

int cli_docs_open(const json_t *docs, const rd_app_id *app, const char *state_dir, const int64_t *now_us, cli_docs *ret,
                  json_t *steps, rd_err *err)
{
    *ret = (cli_docs){ .app = *app };
    rd_release_init(&ret->release);
    char text[RD_DIGEST_TEXT_SIZE];
    rd_app_id_format(app, text);
    if (open_genesis(docs, ret, err) < 0)
        return cli_step_failed(steps, "owner", err);
    cli_step(steps, "owner", true, "%s is the hash of its genesis, %u owner key%s", text, ret->genesis.owners_count,
             ret->genesis.owners_count == 1 ? "" : "s");
    if (open_head(docs, state_dir, now_us, ret, err) < 0)
        return cli_step_failed(steps, "head", err);
    char until[RD_TIME_TEXT_SIZE] = "";
    if (ret->head.has_expires)
        rd_time_format(ret->head.expires_us, until);
    cli_step(steps, "head", true, "number %llu, signed by %s%s%s%s", (unsigned long long)ret->head.seq,
             ret->head.owners_seq == ret->head.seq ? "the owner" : "a key that the owner delegated to",
             state_dir ? ", not older than any seen here" : "", *until ? ", until " : "", until);
    if (open_release(docs, ret, err) < 0)
        return cli_step_failed(steps, "release", err);
    rd_digest_format(&ret->release_digest, text);
    cli_step(steps, "release", true, "number %u, %.15s…, signed by the owner, listed by the head%s",
             ret->release.number, text, cli_docs_machine(ret->release.machine));
    return 0;
}

const char *cli_docs_machine(rd_machine machine)
{
    static const char *const texts[] = {
        [RD_MACHINE_FRESH] = "",
        [RD_MACHINE_KEPT] = ", its machine kept between requests",
        [RD_MACHINE_SHARED] = ", ONE MACHINE FOR ALL CALLERS",
    };
    return texts[machine];
}

int cli_docs_take_pin(cli_context *context, const cli_args *args, rd_err *err)
{
    const char *text = cli_args_value(args, "release");
    context->has_release = text != NULL;
    if (text && rd_digest_parse(text, strlen(text), &context->release, NULL) < 0)
        return rd_err_set(err, RD_E_USAGE,
                          "--release: \"%s\" is no digest (sha256:…; \"release\" of deploy --json and of receipts)",
                          text);
    return 0;
}

int cli_docs_check_pin(const cli_context *context, const cli_docs *docs, json_t *steps, rd_err *err)
{
    char text[RD_DIGEST_TEXT_SIZE];
    if (!context->has_release)
        return 0;
    rd_digest_format(&docs->release_digest, text);
    if (!rd_digest_equal(&docs->release_digest, &context->release)) {
        (void)rd_err_set(err, RD_E_RELEASE_PINNED,
                         "the owner's head %llu runs %s, not the release that --release names",
                         (unsigned long long)docs->head.seq, text);
        return cli_step_failed(steps, "pinned", err);
    }
    cli_step(steps, "pinned", true, "it is the release that --release names");
    return 0;
}

void cli_docs_done(cli_docs *docs)
{
    rd_release_done(&docs->release);
}
