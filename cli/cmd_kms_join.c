/* kms join: carries the messages by which a replica on this machine gets the root of its key service from another host
 * (docs/protocol/kms.md). Both check each other; this carries, and is believed by neither. */
#include "cli/cmd_kms.h"

#include "cli/kms.h"
#include "cli/kms_socket.h"
#include "cli/steps.h"
#include "common/base/mem.h"
#include "common/model/evidence.h"

#include <string.h>

typedef struct join {
    cli_client *client;
    const char *kms;
    int fd;
    rd_buf genesis;
} join;

static void join_done(join *j)
{
    rd_close_p(&j->fd);
    rd_buf_done(&j->genesis);
}

/* ---- the other host's, by way of the plane ---- */

static int ask_plane(const join *j, const char *what, rd_bytes body, rd_buf *ret, rd_err *err)
{
    cli_answer answer;
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/kms/%s/%s", j->kms, what);
    const cli_request request = {
        .method = "POST", .path = path, .body = body, .content_type = "application/octet-stream", .timeout_us = 60000000
    };
    int status = cli_client_send(j->client, &request, &answer, err);
    if (status == 0 && !rd_buf_append_bytes(ret, rd_buf_bytes(&answer.body)))
        status = rd_err_set(err, RD_E_TOO_LARGE, "%s: the answer is too large", path);
    cli_answer_done(&answer);
    return status;
}

static int fetch_genesis(join *j, const rd_kms_id *id, rd_err *err)
{
    rd_kms_genesis parsed;
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/kms/%s", j->kms);
    RD_CLEANUP(rd_json_free_p) json_t *shown = NULL;
    if (cli_client_json(j->client, "GET", path, NULL, &shown, err) < 0 ||
        cli_json_b64(shown, "genesis", RD_JSON_SIZE_MAX, &j->genesis, err) < 0)
        return -1;
    return rd_kms_genesis_open(rd_buf_bytes(&j->genesis), id, &parsed, err);
}

int cli_kms_collateral(cli_context *context, rd_buf *ret, rd_err *err)
{
    cli_answer answer = { .status = 0 };
    cli_client *client = cli_context_client(context, err);
    if (!client ||
        cli_client_send(client, &(cli_request){ .method = "GET", .path = "/v1/collateral" }, &answer, err) < 0)
        return -1;
    bool is_ok = rd_buf_append_bytes(ret, rd_buf_bytes(&answer.body));
    cli_answer_done(&answer);
    return is_ok ? 0 : rd_err_set(err, RD_E_TOO_LARGE, "collateral");
}

/* What the replica here is to judge the other by. */
static int bring_collateral(cli_context *context, const join *j, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf collateral = { .size_max = 2 << 20 };
    RD_CLEANUP(rd_buf_done) rd_buf nothing = { 0 };
    if (cli_kms_collateral(context, &collateral, err) < 0)
        return -1;
    return cli_kms_ask(j->fd, RD_KMS_COLLATERAL, rd_buf_bytes(&collateral), &nothing, err);
}

/* ---- the join ---- */

static int prove(const join *j, const rd_buf *admitted, rd_buf *ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf message = { .size_max = RD_KMS_JOIN_MAX };
    if (admitted->size <= RD_NONCE_SIZE)
        return rd_err_set(err, RD_E_KMS_JOIN, "the other replica answered with %zu bytes", admitted->size);
    const rd_kms_join_message what = { .genesis = rd_buf_bytes(&j->genesis),
                                       .nonce = rd_bytes_of(admitted->data, RD_NONCE_SIZE),
                                       .evidence = rd_bytes_of(admitted->data + RD_NONCE_SIZE,
                                                               admitted->size - RD_NONCE_SIZE) };
    if (rd_kms_join_message_encode(&what, &message, err) < 0)
        return -1;
    return cli_kms_ask(j->fd, RD_KMS_JOIN, rd_buf_bytes(&message), ret, err);
}

static int carry(cli_context *context, const join *j, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf nonce = { .size_max = RD_NONCE_SIZE };
    RD_CLEANUP(rd_buf_done) rd_buf admitted = { .size_max = RD_NONCE_SIZE + RD_EVIDENCE_SIZE_MAX };
    RD_CLEANUP(rd_buf_done) rd_buf evidence = { .size_max = RD_EVIDENCE_SIZE_MAX };
    RD_CLEANUP(rd_buf_done) rd_buf root = { .size_max = RD_KMS_ROOT_MAX };
    RD_CLEANUP(rd_buf_done) rd_buf nothing = { 0 };
    if (bring_collateral(context, j, err) < 0 ||
        cli_kms_ask(j->fd, RD_KMS_JOIN_NONCE, RD_BYTES_NULL, &nonce, err) < 0 ||
        ask_plane(j, "admit", rd_buf_bytes(&nonce), &admitted, err) < 0 || prove(j, &admitted, &evidence, err) < 0 ||
        ask_plane(j, "root", rd_buf_bytes(&evidence), &root, err) < 0)
        return -1;
    return cli_kms_ask(j->fd, RD_KMS_JOINED, rd_buf_bytes(&root), &nothing, err);
}

int cli_kms_run_join(cli_context *context, const cli_args *args, rd_err *err)
{
    rd_kms_id id;
    const char *socket = cli_args_value(args, "socket");
    RD_CLEANUP(join_done) join j = { .fd = -1 };
    if (cli_args_expect(args, 1, 1, "ID", err) < 0 || cli_kms_parse_id(args->positional[0], &id, err) < 0)
        return -1;
    j.kms = args->positional[0];
    j.client = cli_context_client(context, err);
    if (!j.client || fetch_genesis(&j, &id, err) < 0 ||
        cli_kms_dial(socket ? socket : CLI_KMS_SOCKET, &j.fd, err) < 0 || carry(context, &j, err) < 0)
        return -1;
    if (context->out.form == CLI_JSON) {
        RD_CLEANUP(rd_json_free_p) json_t *document = json_pack("{s:s, s:b}", "kms", j.kms, "joined", 1);
        cli_print_json(&context->out, document);
        return 0;
    }
    cli_note(&context->out, "Joined: this host starts as a replica of %s now.", j.kms);
    cli_note(&context->out, "Either gives grants; losing one loses no key. See: %s kms list", context->program);
    return 0;
}
