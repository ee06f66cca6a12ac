#include "cli/deploy_sign.h"

#include "cli/apps.h"
#include "cli/docs.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/envelope.h"

#include <stdlib.h>
#include <string.h>

/* The highest release number that the plane holds; the numbers only need to grow. */
int cli_release_number_next(cli_client *client, const rd_app_id *app, uint32_t *ret, rd_err *err)
{
    char id[RD_APP_ID_TEXT_SIZE];
    rd_app_id_format(app, id);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s/releases", id);
    json_t *items = NULL;
    if (cli_client_list(client, path, 100000, &items, err) < 0)
        return -1;
    json_int_t highest = 0;
    size_t i;
    json_t *item;
    json_array_foreach(items, i, item) highest = RD_MAX(highest, json_integer_value(json_object_get(item, "number")));
    json_decref(items);
    if (highest < 0 || highest >= INT32_MAX)
        return rd_err_set(err, RD_E_JSON_RANGE, "release numbers are used up");
    *ret = (uint32_t)highest + 1;
    return 0;
}

static int seal_envelope(const cli_signer *signer, const rd_buf *document, rd_sign_label label, rd_bytes base,
                         rd_buf *ret, rd_err *err)
{
    rd_envelope envelope;
    int status = cli_signer_sign(signer, rd_buf_bytes(document), label, base, &envelope, err);
    if (status == 0)
        status = rd_envelope_encode(&envelope, ret, err);
    rd_envelope_done(&envelope);
    return status;
}

static int sign_release(const cli_deploy_request *request, cli_signed_deploy *ret, rd_err *err)
{
    rd_release release = request->manifest->release; /* borrows env */
    release.app = request->current->app;
    release.number = ret->number;
    release.code_digest = request->code_digest;
    release.code_size = request->code_size;
    release.is_sealed = request->is_sealed;
    rd_buf document;
    rd_buf_init(&document, 0);
    int status = rd_release_encode(&release, &document, err);
    if (status == 0) {
        rd_release_digest(rd_buf_bytes(&document), &ret->release_digest);
        status = seal_envelope(request->signer, &document, RD_SIGN_RELEASE, RD_BYTES_NULL, &ret->release, err);
    }
    rd_buf_done(&document);
    return status;
}

/* The release that was first until now stays allowed, so that it serves until the new one does. */
static void fill_releases(const cli_current *current, const rd_digest *release, rd_head *head)
{
    head->releases[head->releases_count++] = *release;
    if (current->has_head && current->head.releases_count > 0 && !rd_digest_equal(&current->head.releases[0], release))
        head->releases[head->releases_count++] = current->head.releases[0];
}

static void fill_kms(const cli_head_request *request, const cli_terms *terms, rd_head *head)
{
    if (!request->kms)
        return;
    head->kms[0] = *request->kms;
    head->kms_count = 1;
    head->grant_s = terms->grant_s;
    head->grant_requests = terms->grant_requests;
    if (request->secrets) {
        head->secrets_count = (uint32_t)request->secrets->count;
        rd_secrets_root(request->secrets->refs, request->secrets->count, &head->secrets_root);
    }
}

/* Signed, and judged as everybody will who sees it: what a delegation does not allow fails here. */
static int seal_head(const cli_head_request *request, const rd_buf *document, cli_signed_head *ret, rd_err *err)
{
    const cli_current *current = request->current;
    const rd_head_check check = { .genesis = &current->genesis, .app = &current->app };
    rd_envelope envelope;
    rd_head head;
    rd_digest digest;
    int status = cli_signer_sign(request->signer, rd_buf_bytes(document), RD_SIGN_HEAD,
                                 rd_buf_bytes(&current->owners_head), &envelope, err);
    if (status == 0)
        status = rd_head_accept(&envelope, &check, &head, &digest, err);
    if (status == 0)
        status = rd_envelope_encode(&envelope, &ret->envelope, err);
    if (status == 0)
        ret->known = rd_head_known_of(&head, &digest);
    rd_envelope_done(&envelope);
    return status;
}

static void note_end(const cli_context *context, const cli_signer *signer)
{
    char until[RD_TIME_TEXT_SIZE];
    rd_time_format(signer->given.not_after_us, until);
    cli_note(&context->out,
             "This head ends with the delegation, %.10s: before then the owner deploys, or delegates again.", until);
}

int cli_head_sign(cli_context *context, const cli_head_request *request, cli_signed_head *ret, rd_err *err)
{
    const cli_current *current = request->current;
    rd_head head = {
        .app = current->app,
        .seq = current->has_head ? current->head.seq + 1 : 1,
        .has_prev = current->has_head,
        .prev = current->head_digest,
        .class = request->class,
        /* A minute back, so that a host whose clock is a little behind does not refuse it. */
        .not_before_us = (rd_clock_wall_us(context->clock) / 1000000 - 60) * 1000000,
        /* A key that was let sign says how long, an owner's does not. */
        .has_expires = cli_signer_is_delegated(request->signer),
        .expires_us = request->signer->given.not_after_us,
    };
    rd_buf_init(&ret->envelope, RD_ENVELOPE_SIZE_MAX);
    if (current->has_head && current->head.class != request->class)
        return rd_err_set(err, RD_E_CLASS_MISMATCH, "the app is %s; hardware and simulated never mix in one app",
                          rd_class_name(current->head.class));
    if (!request->keeps_releases) {
        fill_releases(current, request->release, &head);
    } else if (current->has_head) {
        memcpy(head.releases, current->head.releases, sizeof head.releases);
        head.releases_count = current->head.releases_count;
    }
    cli_terms terms;
    if (request->terms)
        terms = *request->terms;
    else if (cli_terms_settle(context->profile, current, request->class, NULL, &terms, err) < 0)
        return -1;
    head.policy = terms.policy;
    fill_kms(request, &terms, &head);
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    if (rd_head_encode(&head, &document, err) < 0 || seal_head(request, &document, ret, err) < 0)
        return -1;
    if (cli_signer_is_delegated(request->signer))
        note_end(context, request->signer);
    return 0;
}

int cli_head_publish(cli_context *context, cli_client *client, const cli_head_request *request, uint64_t *ret_seq,
                     rd_err *err)
{
    const rd_app_id *app = &request->current->app;
    char id[RD_APP_ID_TEXT_SIZE];
    rd_app_id_format(app, id);
    cli_signed_head head = { .envelope = { 0 } };
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s/heads", id);
    RD_CLEANUP(rd_buf_done) rd_buf body = { 0 };
    int status = cli_head_sign(context, request, &head, err);
    if (status == 0)
        status = cli_secrets_head_body(&head.envelope, request->secrets, &body, err);
    if (status == 0)
        status = cli_post_once(client, path, rd_buf_bytes(&body), NULL, err);
    if (status == 0)
        status = cli_head_remember(cli_profile_get(context->profile, CLI_SET_STATE_DIR), app, &head.known, err);
    if (status == 0 && ret_seq)
        *ret_seq = head.known.seq;
    rd_buf_done(&head.envelope);
    return status;
}

int cli_deploy_sign(cli_context *context, const cli_deploy_request *request, cli_signed_deploy *ret, rd_err *err)
{
    *ret = (cli_signed_deploy){ .number = request->number };
    rd_buf_init(&ret->release, 0);
    if (sign_release(request, ret, err) < 0)
        return -1;
    const cli_head_request head = {
        .current = request->current,
        .signer = request->signer,
        .class = request->class,
        .release = &ret->release_digest,
        .terms = request->terms,
        .kms = request->kms,
        .secrets = request->secrets,
    };
    return cli_head_sign(context, &head, &ret->head, err);
}

void cli_signed_deploy_done(cli_signed_deploy *deploy)
{
    rd_buf_done(&deploy->release);
    rd_buf_done(&deploy->head.envelope);
}
