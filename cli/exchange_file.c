#include "cli/exchange.h"

#include "cli/kept.h"
#include "cli/profile.h"
#include "cli/steps.h"
#include "common/base/mem.h"
#include "common/model/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAVED_SIZE_MAX ((size_t)96 << 20)

int cli_exchange_save(const cli_exchange *exchange, const char *path, rd_err *err)
{
    json_t *document = json_object();
    rd_json_set_str(document, "type", CLI_EXCHANGE_TYPE);
    rd_json_set_app_id(document, "app", &exchange->app);
    rd_json_set_str(document, "receipt", exchange->receipt);
    rd_json_set_str(document, "instance", exchange->instance);
    rd_json_set_b64(document, "salt", RD_BYTES_ARRAY(exchange->salt));
    if (exchange->has_nonce)
        rd_json_set_b64(document, "nonce", RD_BYTES_ARRAY(exchange->nonce));
    if (exchange->is_sealed)
        rd_json_set_b64(document, "evidence_nonce", RD_BYTES_ARRAY(exchange->evidence_nonce));
    rd_json_set_str(document, "method", exchange->method);
    rd_json_set_str(document, "target", exchange->target);
    rd_json_set_str(document, "request_type", exchange->request_type);
    rd_json_set_b64(document, "request_body", rd_buf_bytes(&exchange->request_body));
    rd_json_set_int(document, "status", exchange->status);
    rd_json_set_str(document, "response_type", exchange->response_type);
    rd_json_set_b64(document, "response_body", rd_buf_bytes(&exchange->response_body));
    rd_json_set(document, "docs", json_incref(exchange->docs));
    rd_json_set_b64(document, "evidence", rd_buf_bytes(&exchange->evidence));
    rd_json_set_b64(document, "collateral", rd_buf_bytes(&exchange->collateral.json));
    RD_CLEANUP(rd_free_p) char *text = json_dumps(document, JSON_INDENT(1));
    json_decref(document);
    return cli_write_file(path, text, strlen(text), 0600, err);
}

static int read_fixed(const json_t *document, const char *name, uint8_t out[32], rd_err *err)
{
    rd_buf bytes = { .data = NULL };
    int status = cli_json_b64(document, name, 64, &bytes, err);
    if (status == 0 && bytes.size != 32)
        status = rd_err_set(err, RD_E_JSON_RANGE, "%s is not 32 bytes", name);
    if (status == 0)
        memcpy(out, bytes.data, 32);
    rd_buf_done(&bytes);
    return status;
}

static char *read_text(const json_t *document, const char *name)
{
    const char *text = json_string_value(json_object_get(document, name));
    return rd_strdup(text ? text : "");
}

static int read_document(const json_t *document, cli_exchange *ret, rd_err *err)
{
    const char *type = json_string_value(json_object_get(document, "type"));
    const char *app = json_string_value(json_object_get(document, "app"));
    json_int_t status = json_integer_value(json_object_get(document, "status"));
    if (type && strcmp(type, CLI_KEPT_TYPE) == 0)
        return rd_err_set(err, RD_E_JSON_TYPE, "receipts that the plane kept: redoubt receipts verify checks them");
    if (!type || strcmp(type, CLI_EXCHANGE_TYPE) != 0)
        return rd_err_set(err, RD_E_JSON_TYPE, "not a saved receipt (type %s)", type ? type : "missing");
    if (!app || rd_app_id_parse(app, strlen(app), &ret->app, err) < 0)
        return rd_err_set(err, RD_E_ID_FORMAT, "app is missing or malformed");
    if (status < 100 || status > 599)
        return rd_err_set(err, RD_E_JSON_RANGE, "status %lld is not an HTTP status", (long long)status);
    ret->status = (uint32_t)status;
    ret->method = read_text(document, "method");
    ret->target = read_text(document, "target");
    ret->request_type = read_text(document, "request_type");
    ret->response_type = read_text(document, "response_type");
    ret->receipt = read_text(document, "receipt");
    ret->instance = read_text(document, "instance");
    ret->is_saved = true;
    ret->docs = json_incref(json_object_get(document, "docs"));
    ret->has_nonce = json_object_get(document, "nonce") != NULL;
    if (ret->has_nonce && read_fixed(document, "nonce", ret->nonce, err) < 0)
        return -1;
    ret->is_sealed = json_object_get(document, "evidence_nonce") != NULL;
    if (ret->is_sealed && read_fixed(document, "evidence_nonce", ret->evidence_nonce, err) < 0)
        return -1;
    if (read_fixed(document, "salt", ret->salt, err) < 0 ||
        cli_json_b64(document, "request_body", CLI_ANSWER_MAX, &ret->request_body, err) < 0 ||
        cli_json_b64(document, "response_body", CLI_ANSWER_MAX, &ret->response_body, err) < 0)
        return -1;
    if (cli_json_b64(document, "evidence", CLI_EVIDENCE_MAX, &ret->evidence, err) < 0)
        return -1;
    (void)snprintf(ret->collateral.source, sizeof ret->collateral.source, "the file");
    return cli_json_b64(document, "collateral", CLI_COLLATERAL_MAX, &ret->collateral.json, err);
}

int cli_exchange_load(const char *path, cli_exchange *ret, rd_err *err)
{
    RD_CLEANUP(rd_free_p) uint8_t *data = NULL;
    size_t size;
    cli_exchange_init(ret);
    if (cli_read_file(path, SAVED_SIZE_MAX, &data, &size, err) < 0)
        return -1;
    RD_CLEANUP(rd_json_free_p) json_t *document = NULL;
    const rd_json_limits limits = { .size_max = SAVED_SIZE_MAX };
    if (rd_json_parse(rd_bytes_of(data, size), &limits, &document, err) < 0 || read_document(document, ret, err) < 0)
        return rd_err_wrap(err, "%s", path);
    return 0;
}
