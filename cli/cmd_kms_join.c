/* kms join: carries the messages by which a replica on this machine gets the root of its key service from another host
 * (docs/protocol/kms.md). Both check each other; this carries, and is believed by neither. What was cut off at any
 * place begins again from the start: nonces are fresh, the root goes over once more, and who has it says so. */
#include "cli/cmd_kms.h"

#include "cli/kms.h"
#include "cli/kms_records.h"
#include "cli/kms_socket.h"
#include "cli/signals.h"
#include "cli/steps.h"
#include "common/base/mem.h"
#include "common/model/evidence.h"

#include <stdio.h>
#include <string.h>

#define PATIENCE_US  60000000 /* --timeout says otherwise */
#define SHOWN_MAX    ((size_t)1 << 20)
#define PAUSE_MIN_US 250000
#define PAUSE_MAX_US 4000000
#define PLANE_US     60000000

typedef struct join {
    cli_context *context;
    cli_client *client;
    const char *kms, *socket;
    rd_kms_id id;
    int fd;
    rd_buf genesis;
    rd_kms_genesis parsed; /* the same */
    json_t *records;       /* what the replica here put on record, once it has its root */
    int64_t end_us;
    bool was_met;  /* the replica here has been there in this run */
    bool is_older; /* it had its root before */
    char told[256];
} join;

static void join_done(join *j)
{
    rd_close_p(&j->fd);
    rd_buf_done(&j->genesis);
    json_decref(j->records);
}

/* ---- the other host's, by way of the plane ---- */

static int64_t left_us(const join *j)
{
    return j->end_us - rd_clock_boot_us(j->context->clock);
}

static int send_to_plane(const join *j, const char *method, const char *path, rd_bytes body, rd_buf *ret, rd_err *err)
{
    cli_answer answer;
    const cli_request request = { .method = method,
                                  .path = path,
                                  .body = body,
                                  .content_type = body.size > 0 ? "application/octet-stream" : NULL,
                                  .timeout_us = RD_MAX(RD_MIN(left_us(j), PLANE_US), 1000000) };
    int status = cli_client_send(j->client, &request, &answer, err);
    if (status == 0 && !rd_buf_append_bytes(ret, rd_buf_bytes(&answer.body)))
        status = rd_err_set(err, RD_E_TOO_LARGE, "%s: the answer is too large", path);
    cli_answer_done(&answer);
    return status;
}

static int ask_plane(const join *j, const char *what, rd_bytes body, rd_buf *ret, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/kms/%s/%s", j->kms, what);
    return send_to_plane(j, "POST", path, body, ret, err);
}

static int fetch_genesis(join *j, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/kms/%s", j->kms);
    RD_CLEANUP(rd_buf_done) rd_buf text = { .size_max = SHOWN_MAX };
    RD_CLEANUP(rd_json_free_p) json_t *shown = NULL;
    rd_buf_clear(&j->genesis);
    if (send_to_plane(j, "GET", path, RD_BYTES_NULL, &text, err) < 0 ||
        rd_json_parse(rd_buf_bytes(&text), &(rd_json_limits){ .size_max = SHOWN_MAX }, &shown, err) < 0 ||
        cli_json_b64(shown, "genesis", RD_JSON_SIZE_MAX, &j->genesis, err) < 0)
        return -1;
    return rd_kms_genesis_open(rd_buf_bytes(&j->genesis), &j->id, &j->parsed, err);
}

/* What the replica here is to judge the other by. */
static int bring_collateral(const join *j, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf collateral = { .size_max = CLI_COLLATERAL_MAX };
    RD_CLEANUP(rd_buf_done) rd_buf nothing = { 0 };
    if (send_to_plane(j, "GET", "/v1/collateral", RD_BYTES_NULL, &collateral, err) < 0)
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

static int carry(join *j, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf nonce = { .size_max = RD_NONCE_SIZE };
    RD_CLEANUP(rd_buf_done) rd_buf admitted = { .size_max = RD_NONCE_SIZE + RD_EVIDENCE_SIZE_MAX };
    RD_CLEANUP(rd_buf_done) rd_buf evidence = { .size_max = RD_EVIDENCE_SIZE_MAX };
    RD_CLEANUP(rd_buf_done) rd_buf root = { .size_max = RD_KMS_ROOT_MAX };
    RD_CLEANUP(rd_buf_done) rd_buf records = { .size_max = RD_KMS_RECORDS_MAX };
    if (bring_collateral(j, err) < 0 || cli_kms_ask(j->fd, RD_KMS_JOIN_NONCE, RD_BYTES_NULL, &nonce, err) < 0 ||
        ask_plane(j, "admit", rd_buf_bytes(&nonce), &admitted, err) < 0 || prove(j, &admitted, &evidence, err) < 0 ||
        ask_plane(j, "root", rd_buf_bytes(&evidence), &root, err) < 0)
        return -1;
    if (cli_kms_ask(j->fd, RD_KMS_JOINED, rd_buf_bytes(&root), &records, err) < 0)
        return -1;
    return cli_kms_records_read(rd_buf_bytes(&records), &j->parsed, &j->id, rd_clock_wall_us(j->context->clock),
                                &j->records, err);
}

static int try_once(join *j, rd_err *err)
{
    rd_close_p(&j->fd);
    if (cli_kms_dial(j->socket, &j->fd, err) < 0)
        return -1;
    j->was_met = true;
    if (cli_kms_has_root(j->fd, &j->id, &j->is_older, err) < 0)
        return -1;
    if (j->is_older) /* of a join whose last answer was lost, or of one before */
        return 0;
    return fetch_genesis(j, err) < 0 ? -1 : carry(j, err);
}

/* Once for each reason. */
static void tell(join *j, const rd_err *why)
{
    if (strncmp(j->told, why->text, sizeof j->told - 1) == 0)
        return;
    (void)snprintf(j->told, sizeof j->told, "%s", why->text);
    cli_note(&j->context->out, "Not yet: %s. Trying again for %d s; Ctrl-C loses nothing.", why->text,
             (int)(left_us(j) / 1000000));
}

/* Somebody else's join came between, or a replica is starting again: fresh nonces mend that. */
static bool may_pass(rd_code code)
{
    return rd_code_describe(code)->is_retryable || code == RD_E_NONCE || code == RD_E_KMS_NONCE ||
           code == RD_E_KMS_JOIN || code == RD_E_KMS_WAITS;
}

/* Until both replicas and the plane are there at once. What is refused for good ends it, as does a replica here that
 * never was there. */
static int join_within(join *j, rd_err *err)
{
    int64_t pause_us = PAUSE_MIN_US;
    for (;;) {
        rd_err why = RD_ERR_INIT;
        if (try_once(j, &why) == 0)
            return 0;
        bool may_come = j->was_met && may_pass(why.code);
        if (!may_come || left_us(j) <= 0) {
            *err = why;
            return may_come ? rd_err_wrap(err, "the time is up; nothing is lost: the same command begins again") : -1;
        }
        tell(j, &why);
        (void)cli_pause(RD_MAX(RD_MIN(pause_us, left_us(j)), 1));
        pause_us = RD_MIN(2 * pause_us, PAUSE_MAX_US);
    }
}

static void show(const join *j)
{
    const cli_out *out = &j->context->out;
    if (out->form == CLI_JSON) {
        RD_CLEANUP(rd_json_free_p)
        json_t *document = json_pack("{s:s, s:b, s:b}", "kms", j->kms, "joined", 1, "already", j->is_older);
        if (json_array_size(j->records) > 0)
            rd_json_set(document, "records", json_incref(j->records));
        cli_print_json(out, document);
        return;
    }
    if (j->is_older)
        cli_note(out, "This host is a replica of %s already.", j->kms);
    else
        cli_note(out, "Joined: this host starts as a replica of %s now.", j->kms);
    cli_kms_records_note(out, j->records);
    cli_note(out, "Each gives grants; losing one loses no key. See: %s kms list", j->context->program);
}

int cli_kms_run_join(cli_context *context, const cli_args *args, rd_err *err)
{
    const char *socket = cli_args_value(args, "socket");
    RD_CLEANUP(join_done) join j = { .context = context, .socket = socket ? socket : CLI_KMS_SOCKET, .fd = -1 };
    if (cli_args_expect(args, 1, 1, "ID", err) < 0 || cli_kms_parse_id(args->positional[0], &j.id, err) < 0)
        return -1;
    j.kms = args->positional[0];
    j.end_us = rd_clock_boot_us(context->clock) + (context->timeout_us > 0 ? context->timeout_us : PATIENCE_US);
    j.client = cli_context_client(context, err);
    if (!j.client || join_within(&j, err) < 0)
        return -1;
    show(&j);
    return 0;
}
