/* kms recovery-key, kms recover: one holder's part of a recovery (docs/protocol/kms.md, "Recovery"). A run opens one
 * share with one key, and seals it again to a replica whose evidence it has checked; no run ever has two. */
#include "cli/cmd_kms.h"

#include "cli/key_file.h"
#include "cli/kms.h"
#include "cli/kms_records.h"
#include "cli/kms_socket.h"
#include "cli/steps.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/kms_share.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY_TYPE    "redoubt/recovery-key/v1"
#define SHARES_TYPE "redoubt/kms-shares/v1"

/* ---- the holder's key ---- */

int cli_kms_run_recovery_key(cli_context *context, const cli_args *args, rd_err *err)
{
    uint8_t public_key[RD_X25519_SIZE];
    char text[44];
    if (cli_args_expect(args, 1, 1, "FILE", err) < 0)
        return -1;
    const char *path = args->positional[0];
    if (cli_key_file_create(path, KEY_TYPE, public_key, err) < 0)
        return -1;
    rd_base64url_encode(RD_BYTES_ARRAY(public_key), text);
    if (context->out.form == CLI_JSON) {
        RD_CLEANUP(rd_json_free_p) json_t *shown = json_pack("{s:s, s:s}", "file", path, "public", text);
        cli_print_json(&context->out, shown);
        return 0;
    }
    cli_note(&context->out, "Keep %s where only its holder can have it. Its public half, for kms-recovery-keys:", path);
    (void)printf("%s\n", text);
    return 0;
}

/* ---- the share ---- */

typedef struct recovery {
    cli_kms kms;
    rd_buf genesis;
    rd_secret *key;
    rd_buf plain; /* the share */
    rd_kms_share share;
    int fd;
} recovery;

static void recovery_done(recovery *r)
{
    rd_buf_done(&r->genesis);
    rd_secret_free(r->key);
    rd_buf_wipe(&r->plain);
    rd_wipe(&r->share, sizeof r->share);
    rd_close_p(&r->fd);
}

/* Which of the genesis's keys it is; recovery_count: none. */
static size_t find_holder(const recovery *r)
{
    size_t at = 0;
    uint8_t public_key[RD_X25519_SIZE];
    rd_x25519_public(r->key, public_key);
    while (at < r->kms.genesis.recovery_count && memcmp(r->kms.genesis.recovery_keys[at], public_key, 32) != 0)
        at++;
    return at;
}

/* The holder's own, opened and found to be this key service's. */
static int open_share(recovery *r, const json_t *document, rd_err *err)
{
    uint8_t sealed[RD_KMS_SHARE_SEALED_SIZE];
    size_t at = find_holder(r);
    if (at == r->kms.genesis.recovery_count)
        return rd_err_set(err, RD_E_RECOVERY, "the key is none of the %zu that the genesis lists", at);
    if (rd_json_b64(json_array_get(json_object_get(document, "shares"), at), "/shares", sealed, sizeof sealed, err) < 0)
        return -1;
    (void)rd_buf_reserve(&r->plain, sizeof sealed);
    if (rd_kms_share_open(r->key, &r->kms.id, RD_BYTES_ARRAY(sealed), &r->plain, err) < 0)
        return -1;
    return rd_kms_share_accept(rd_buf_bytes(&r->plain), &r->kms.id, &r->kms.genesis, &r->share, err);
}

static int read_all(recovery *r, const cli_args *args, rd_err *err)
{
    const char *shares = cli_args_value(args, "shares"), *key = cli_args_value(args, "key");
    RD_CLEANUP(rd_json_free_p) json_t *document = NULL;
    if (!shares || !key)
        return rd_err_set(err, RD_E_USAGE, "--shares FILE and --key FILE are needed");
    if (cli_document_read(shares, SHARES_TYPE, &document, err) < 0 ||
        cli_key_file_read(key, KEY_TYPE, &r->key, err) < 0 ||
        cli_json_b64(document, "genesis", RD_JSON_SIZE_MAX, &r->genesis, err) < 0)
        return -1;
    if (rd_kms_genesis_open(rd_buf_bytes(&r->genesis), &r->kms.id, &r->kms.genesis, err) < 0)
        return rd_err_set(err, RD_E_RECOVERY, "%s holds the shares of another key service", shares);
    return open_share(r, document, err);
}

/* ---- the replica ---- */

/* Evidence of the one that waits, and out of it the key that the share is sealed to. */
static int meet(cli_context *context, const recovery *r, json_t *steps, uint8_t ret_key[RD_X25519_SIZE], rd_err *err)
{
    uint8_t nonce[RD_NONCE_SIZE];
    RD_CLEANUP(rd_buf_done) rd_buf question = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf evidence = { .size_max = RD_EVIDENCE_SIZE_MAX };
    RD_CLEANUP(cli_collateral_done) cli_collateral collateral;
    RD_CLEANUP(rd_free_p) rd_attest_report *report = rd_alloc(sizeof *report);
    cli_client *client = cli_context_client(context, err);
    rd_random_bytes(nonce, sizeof nonce);
    rd_buf_append(&question, nonce, sizeof nonce);
    rd_buf_append_bytes(&question, rd_buf_bytes(&r->genesis));
    cli_collateral_init(&collateral);
    if (!client || cli_kms_ask(r->fd, RD_KMS_RECOVER, rd_buf_bytes(&question), &evidence, err) < 0 ||
        cli_collateral_get(context, client, rd_buf_bytes(&evidence), &collateral, err) < 0 ||
        cli_kms_check(context, &r->kms, rd_buf_bytes(&evidence), &collateral, RD_PURPOSE_JOIN, nonce, steps, report,
                      err) < 0)
        return -1;
    memcpy(ret_key, report->statement.grant_key, RD_X25519_SIZE);
    return 0;
}

/* ret: how many shares it has, of how many; the same twice when it has its root. ret_records: what it put on record
 * when it got it. */
static int give(cli_context *context, const recovery *r, json_t *steps, uint8_t ret[2], json_t **ret_records,
                rd_err *err)
{
    bool has_root;
    uint8_t key[RD_X25519_SIZE];
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf answer = { .size_max = 2 + RD_KMS_RECORDS_MAX };
    if (cli_kms_has_root(r->fd, &r->kms.id, &has_root, err) < 0)
        return -1;
    if (has_root) { /* of a share whose answer was lost, or another holder's */
        ret[0] = ret[1] = (uint8_t)r->kms.genesis.recovery_threshold;
        return 0;
    }
    if (meet(context, r, steps, key, err) < 0 ||
        rd_kms_share_seal(key, &r->kms.id, rd_buf_bytes(&r->plain), &sealed, err) < 0 ||
        cli_kms_ask(r->fd, RD_KMS_SHARE, rd_buf_bytes(&sealed), &answer, err) < 0)
        return -1;
    if (answer.size < 2)
        return rd_err_set(err, RD_E_KMS_FRAME, "the key service answered with %zu bytes", answer.size);
    memcpy(ret, answer.data, 2);
    return cli_kms_records_read(rd_bytes_of(answer.data + 2, answer.size - 2), &r->kms.genesis, &r->kms.id,
                                rd_clock_wall_us(context->clock), ret_records, err);
}

static void show(cli_context *context, const recovery *r, const uint8_t counts[2], json_t *records)
{
    if (context->out.form == CLI_JSON) {
        RD_CLEANUP(rd_json_free_p)
        json_t *document = json_pack("{s:s, s:i, s:i, s:i, s:b}", "kms", r->kms.text, "share", r->share.index, "given",
                                     counts[0], "needed", counts[1], "recovered", counts[0] >= counts[1]);
        if (json_array_size(records) > 0)
            rd_json_set(document, "records", json_incref(records));
        cli_print_json(&context->out, document);
        return;
    }
    if (counts[0] < counts[1])
        cli_note(&context->out, "Share %u is given: %u of %u.", r->share.index, counts[0], counts[1]);
    if (counts[0] >= counts[1])
        cli_note(&context->out, "Recovered: this host starts as a replica of %s now.", r->kms.text);
    else
        cli_note(&context->out, "The replica keeps it for as long as it runs; the next holder goes on.");
    cli_kms_records_note(&context->out, records);
}

int cli_kms_run_recover(cli_context *context, const cli_args *args, rd_err *err)
{
    uint8_t counts[2];
    const char *socket = cli_args_value(args, "socket");
    RD_CLEANUP(rd_json_free_p) json_t *steps = json_array();
    RD_CLEANUP(rd_json_free_p) json_t *records = NULL;
    RD_CLEANUP(recovery_done) recovery r = { .fd = -1 };
    if (cli_args_expect(args, 1, 1, "ID", err) < 0 || cli_kms_parse_id(args->positional[0], &r.kms.id, err) < 0)
        return -1;
    rd_kms_id_format(&r.kms.id, r.kms.text);
    if (read_all(&r, args, err) < 0 || cli_kms_dial(socket ? socket : CLI_KMS_SOCKET, &r.fd, err) < 0 ||
        give(context, &r, steps, counts, &records, err) < 0)
        return -1;
    show(context, &r, counts, records);
    return 0;
}
