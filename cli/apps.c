#include "cli/apps.h"

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/random.h"
#include "common/model/ids.h"

#include <stdlib.h>
#include <string.h>

int cli_post_once(cli_client *client, const char *path, rd_bytes json, json_t **ret, rd_err *err)
{
    uint8_t raw[16];
    char key[33];
    rd_random_bytes(raw, sizeof raw);
    rd_hex_encode(RD_BYTES_ARRAY(raw), key);
    RD_CLEANUP(rd_free_p) char *header = rd_asprintf("Idempotency-Key: %s", key);
    const char *const headers[] = { header, NULL };
    const cli_request request = {
        .method = "POST", .path = path, .body = json, .content_type = "application/json", .headers = headers
    };
    cli_answer answer;
    int status = cli_client_send(client, &request, &answer, err);
    if (status == 0 && ret) {
        *ret = json_loadb((const char *)answer.body.data, answer.body.size, JSON_REJECT_DUPLICATES, NULL);
        if (!*ret)
            status = rd_err_set(err, RD_E_JSON_SYNTAX, "POST %s: the answer is not JSON", path);
    }
    cli_answer_done(&answer);
    return status;
}

int cli_app_create(cli_client *client, const char *name, const rd_signing_key *key, json_t **ret, rd_err *err)
{
    rd_genesis genesis = { .owners = { *rd_signing_key_public(key) }, .owners_count = 1, .threshold = 1 };
    rd_random_bytes(genesis.salt, sizeof genesis.salt);
    rd_buf canonical;
    rd_buf_init(&canonical, 0);
    int status = rd_genesis_encode(&genesis, &canonical, err);
    if (status == 0) {
        rd_buf body;
        rd_buf_init(&body, 0);
        json_t *quoted = json_string(name);
        RD_CLEANUP(rd_free_p) char *name_text = quoted ? json_dumps(quoted, JSON_ENCODE_ANY) : NULL;
        json_decref(quoted);
        (void)rd_buf_printf(&body, "{\"name\":%s,\"genesis\":\"", name_text ? name_text : "\"\"");
        (void)rd_buf_append_base64url(&body, rd_buf_bytes(&canonical));
        (void)rd_buf_append_str(&body, "\"}");
        status = cli_post_once(client, "/v1/apps", rd_buf_bytes(&body), ret, err);
        rd_buf_done(&body);
    }
    rd_buf_done(&canonical);
    return status;
}

int cli_app_genesis(cli_client *client, const rd_app_id *app, rd_genesis *ret, rd_err *err)
{
    char id[RD_APP_ID_TEXT_SIZE];
    rd_app_id_format(app, id);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s/genesis", id);
    cli_answer answer;
    int status = cli_client_send(client, &(cli_request){ .method = "GET", .path = path }, &answer, err);
    if (status == 0)
        status = rd_genesis_open(rd_buf_bytes(&answer.body), app, ret, err);
    cli_answer_done(&answer);
    return status;
}
