#include "api/routes.h"

#include "api/links_private.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdlib.h>
#include <string.h>

/* A question to a key service for a request that may be cancelled. */
typedef struct question {
    api_request *request; /* NULL: cancelled */
    void (*answer)(api_request *request, rd_bytes payload);
} question;

static void on_cancel(api_request *request, void *arg)
{
    (void)request;
    ((question *)arg)->request = NULL;
}

static void on_answer(void *context, rd_bytes payload, const rd_err *error)
{
    question *q = context;
    if (q->request && error)
        api_reply_problem(q->request, error);
    else if (q->request)
        q->answer(q->request, payload);
    free(q);
}

static void ask(api_request *request, const rd_kms_id *kms, rd_kms_type type, rd_bytes payload,
                void (*answer)(api_request *request, rd_bytes payload))
{
    question *q = rd_alloc(sizeof *q);
    *q = (question){ request, answer };
    rd_err err = RD_ERR_INIT;
    if (api_kms_ask(api_request_context(request)->links->kms, kms, type, payload, on_answer, q, &err) < 0) {
        free(q);
        api_reply_problem(request, &err);
        return;
    }
    api_request_on_cancel(request, on_cancel, q);
}

static bool parse_kms(api_request *request, rd_kms_id *ret)
{
    const char *text = api_request_param(request, "kms");
    rd_err err = RD_ERR_INIT;
    if (rd_kms_id_parse(text, strlen(text), ret, &err) == 0)
        return true;
    (void)rd_err_set(&err, RD_E_NOT_FOUND, "no such key service");
    api_reply_problem(request, &err);
    return false;
}

static void refuse_at(api_request *request, rd_code code, const char *pointer, const char *text)
{
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, code, "%s", text);
    (void)rd_err_at(&err, pointer);
    api_reply_problem(request, &err);
}

/* ---- GET /v1/kms/{kms}/evidence?nonce= ---- */

static void answer_evidence(api_request *request, rd_bytes payload)
{
    api_reply_bytes(request, 200, "application/json", payload);
}

void api_kms_evidence(struct api_request *request)
{
    rd_kms_id kms;
    uint8_t nonce[32];
    const char *text = api_request_query(request, "nonce");
    if (!parse_kms(request, &kms))
        return;
    if (!text || rd_base64url_decode(text, strlen(text), nonce, sizeof nonce) != (ssize_t)sizeof nonce)
        refuse_at(request, RD_E_ENCODING, "?nonce", "nonce must be base64url of 32 bytes");
    else
        ask(request, &kms, RD_KMS_EVIDENCE, RD_BYTES_ARRAY(nonce), answer_evidence);
}

/* ---- GET /v1/kms/{kms}/seal-key?app=&version= ---- */

static void answer_seal_key(api_request *request, rd_bytes payload)
{
    rd_err err = RD_ERR_INIT;
    if (payload.size != 32 + 64) {
        (void)rd_err_set(&err, RD_E_LINK_PROTOCOL, "the key service answered with %zu bytes", payload.size);
        api_reply_problem(request, &err);
        return;
    }
    json_t *answer = json_object();
    rd_json_set_b64(answer, "key", rd_bytes_of(payload.data, 32));
    rd_json_set_b64(answer, "signature", rd_bytes_of(payload.data + 32, 64));
    api_reply_json(request, 200, answer);
}

void api_kms_seal_key(struct api_request *request)
{
    rd_kms_id kms;
    rd_app_id app;
    uint64_t version = 1;
    rd_err err = RD_ERR_INIT;
    const char *app_text = api_request_query(request, "app"), *version_text = api_request_query(request, "version");
    RD_CLEANUP(rd_buf_done) rd_buf payload = { 0 };
    if (!parse_kms(request, &kms))
        return;
    if (!app_text || rd_app_id_parse(app_text, strlen(app_text), &app, &err) < 0) {
        refuse_at(request, RD_E_ID_FORMAT, "?app", "an app id is needed");
    } else if (version_text &&
               (rd_parse_u64(version_text, strlen(version_text), INT64_MAX, &version) < 0 || version == 0)) {
        refuse_at(request, RD_E_JSON_RANGE, "?version", "a version is a number from 1");
    } else {
        (void)rd_buf_append(&payload, app.b, sizeof app.b);
        (void)rd_buf_append_u64be(&payload, version);
        ask(request, &kms, RD_KMS_SEAL_KEY, rd_buf_bytes(&payload), answer_seal_key);
    }
}

/* ---- POST /v1/kms/{kms}/admit, /root: a replica joins; the bytes of docs/protocol/kms.md as they are ---- */

static void answer_bytes(api_request *request, rd_bytes payload)
{
    api_reply_bytes(request, 200, "application/octet-stream", payload);
}

static void pass_on(api_request *request, rd_kms_type type)
{
    rd_kms_id kms;
    if (parse_kms(request, &kms))
        ask(request, &kms, type, api_request_body(request), answer_bytes);
}

void api_kms_admit(struct api_request *request)
{
    pass_on(request, RD_KMS_ADMIT);
}

void api_kms_root(struct api_request *request)
{
    pass_on(request, RD_KMS_ROOT);
}
