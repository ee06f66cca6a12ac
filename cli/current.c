#include "cli/current.h"

#include "cli/apps.h"
#include "cli/docs.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/hash.h"
#include "common/model/envelope.h"

#include <stdlib.h>
#include <string.h>

/* An object of the plane with an envelope's two members among others. */
static int open_envelope(const cli_answer *answer, rd_envelope *ret, rd_err *err)
{
    json_t *shown = json_loadb((const char *)answer->body.data, answer->body.size, JSON_REJECT_DUPLICATES, NULL);
    json_t *envelope = json_pack("{s:O*, s:O*}", "document", json_object_get(shown, "document"), "signatures",
                                 json_object_get(shown, "signatures"));
    RD_CLEANUP(rd_free_p) char *text = envelope ? json_dumps(envelope, JSON_COMPACT) : NULL;
    json_decref(envelope);
    json_decref(shown);
    return rd_envelope_parse(rd_bytes_str(text ? text : ""), ret, err);
}

/* What a delegated head is built upon: this one, or what this one is built upon. */
static int keep_owners_head(const rd_envelope *envelope, rd_buf *ret, rd_err *err)
{
    if (!rd_envelope_is_delegated(envelope))
        return rd_envelope_encode(envelope, ret, err);
    (void)rd_buf_append_bytes(ret, rd_buf_bytes(&envelope->signatures[0].base));
    return 0;
}

static int fetch_head(cli_context *context, cli_client *client, cli_current *ret, rd_err *err)
{
    char id[RD_APP_ID_TEXT_SIZE];
    rd_app_id_format(&ret->app, id);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s/heads/current", id);
    const char *state_dir = cli_profile_get(context->profile, CLI_SET_STATE_DIR);
    rd_head_known known;
    bool is_known = cli_head_known(state_dir, &ret->app, &known);
    cli_answer answer;
    int status = cli_client_send(client, &(cli_request){ .method = "GET", .path = path, .accept_any_status = true },
                                 &answer, err);
    if (status == 0 && answer.status == 404) {
        cli_answer_done(&answer);
        return is_known ? rd_err_set(err, RD_E_HEAD_ROLLBACK, "the plane shows no head, but number %llu was seen here",
                                     (unsigned long long)known.seq)
                        : 0;
    }
    if (status == 0 && answer.status != 200)
        status = rd_err_set(err, RD_E_UNAVAILABLE, "reading the current head: HTTP %d", answer.status);
    rd_envelope envelope = { .signatures_count = 0 };
    const rd_head_check check = { .genesis = &ret->genesis, .app = &ret->app, .known = is_known ? &known : NULL };
    if (status == 0)
        status = open_envelope(&answer, &envelope, err);
    if (status == 0)
        status = rd_head_accept(&envelope, &check, &ret->head, &ret->head_digest, err);
    if (status == 0)
        status = keep_owners_head(&envelope, &ret->owners_head, err);
    rd_envelope_done(&envelope);
    cli_answer_done(&answer);
    ret->has_head = status == 0;
    return status < 0 ? rd_err_wrap(err, "the plane's current head") : 0;
}

int cli_current_fetch(cli_context *context, cli_client *client, const rd_app_id *app, cli_current *ret, rd_err *err)
{
    *ret = (cli_current){ .app = *app };
    if (cli_app_genesis(client, app, &ret->genesis, err) < 0)
        return -1;
    return fetch_head(context, client, ret, err);
}

void cli_current_done(cli_current *current)
{
    rd_buf_done(&current->owners_head);
}

int cli_current_check_sole_owner(const cli_current *current, const char *name, rd_err *err)
{
    if (current->genesis.owners_count == 1 || rd_starts_with(name, "app_"))
        return 0;
    char id[RD_APP_ID_TEXT_SIZE];
    rd_app_id_format(&current->app, id);
    return rd_err_set(
        err, RD_E_SIGNATURE,
        "%s has %u owners, who all could read what is sealed to it; if it is yours, name it by its id: %s", name,
        current->genesis.owners_count, id);
}

static int fetch_release(cli_client *client, const cli_current *current, cli_version *ret, rd_err *err)
{
    char id[RD_APP_ID_TEXT_SIZE];
    char wanted[RD_DIGEST_TEXT_SIZE];
    rd_app_id_format(&current->app, id);
    rd_digest_format(&ret->digest, wanted);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s/releases/%s", id, wanted);
    rd_digest digest;
    rd_envelope envelope = { .signatures_count = 0 };
    cli_answer answer;
    int status = cli_client_send(client, &(cli_request){ .method = "GET", .path = path }, &answer, err);
    if (status == 0)
        status = open_envelope(&answer, &envelope, err);
    if (status == 0)
        status = rd_release_accept(&envelope, &current->genesis, &current->app, &ret->release, &digest, err);
    if (status == 0 && !rd_digest_equal(&digest, &ret->digest))
        status = rd_err_set(err, RD_E_DIGEST_MISMATCH, "the plane answered with another release");
    rd_envelope_done(&envelope);
    cli_answer_done(&answer);
    return status;
}

static int fetch_code(cli_client *client, cli_version *ret, rd_err *err)
{
    if (ret->release.is_sealed)
        return 0; /* its key went to the key service alone: what is in it cannot be compared */
    char hex[65];
    rd_hex_encode(RD_BYTES_ARRAY(ret->release.code_digest.b), hex);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/blobs/%s", hex);
    rd_digest digest;
    cli_answer answer;
    int status = cli_client_send(client, &(cli_request){ .method = "GET", .path = path }, &answer, err);
    if (status == 0) {
        rd_sha256(rd_buf_bytes(&answer.body), digest.b);
        if (!rd_digest_equal(&digest, &ret->release.code_digest))
            status = rd_err_set(err, RD_E_DIGEST_MISMATCH, "the plane answered with other code");
    }
    if (status == 0)
        status = rd_code_bundle_parse(rd_buf_bytes(&answer.body), &ret->code, err);
    cli_answer_done(&answer);
    return status;
}

int cli_version_fetch(cli_client *client, const cli_current *current, const rd_digest *digest, cli_version *ret,
                      rd_err *err)
{
    *ret = (cli_version){ .digest = *digest };
    rd_release_init(&ret->release);
    if (fetch_release(client, current, ret, err) < 0 || fetch_code(client, ret, err) < 0) {
        char text[RD_DIGEST_TEXT_SIZE];
        rd_digest_format(digest, text);
        return rd_err_wrap(err, "release %.15s…", text);
    }
    return 0;
}

void cli_version_done(cli_version *version)
{
    rd_release_done(&version->release);
    rd_code_bundle_done(&version->code);
}
