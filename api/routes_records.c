#include <string.h>

#include "api/reply.h"
#include "api/routes.h"
#include "api/store.h"
#include "common/base/text.h"

/* "sha256:<hex>" as everywhere in answers, or the hex digits alone as in the names of blobs. */
static int path_digest(const api_request *request, const char *what, rd_digest *ret, rd_err *err)
{
    const char *text = api_request_param(request, "digest");
    rd_err ignored = RD_ERR_INIT;
    if (rd_digest_parse(text, strlen(text), ret, &ignored) == 0)
        return 0;
    if (strlen(text) == 64 && rd_hex_decode(text, 64, ret->b, sizeof ret->b) >= 0)
        return 0;
    return rd_err_set(err, RD_E_NOT_FOUND, "no such %s", what);
}

/* Bytes that are named by their digest never change. */
static int reply_bytes(api_request *request, api_worker *worker, const char *stmt, const char *what, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    const api_principal *p = api_request_principal(request);
    rd_digest digest;
    if (path_digest(request, what, &digest, err) < 0 ||
        api_store_get(worker, p->org_id, stmt, &row, err, rd_pg_bytes(RD_BYTES_ARRAY(digest.b)),
                      rd_pg_uuid(p->org_id)) < 0 ||
        api_store_need(row, what, err) < 0)
        return -1;
    char text[RD_DIGEST_TEXT_SIZE], etag[RD_DIGEST_TEXT_SIZE + 2];
    rd_digest_format(&digest, text);
    snprintf(etag, sizeof etag, "\"%s\"", text);
    api_reply_header(request, "ETag", etag);
    api_reply_header(request, "Cache-Control", "private, max-age=31536000, immutable");
    const char *known = api_request_header(request, "If-None-Match");
    if (known && strcmp(known, etag) == 0)
        api_reply_empty(request, 304);
    else
        api_reply_bytes(request, 200, "application/json", rd_pg_get_bytes(row, 0, 0));
    return 0;
}

int api_evidence_by_digest(api_request *request, api_worker *worker, rd_err *err)
{
    return reply_bytes(request, worker, "evidence_by_digest", "evidence", err);
}

int api_records_get(api_request *request, api_worker *worker, rd_err *err)
{
    return reply_bytes(request, worker, "record_get", "record", err);
}

static void set_digest(json_t *object, const char *name, const rd_pg_result *row, size_t r, int column)
{
    rd_digest digest;
    if (rd_pg_get_fixed(row, r, column, digest.b, sizeof digest.b))
        rd_json_set_digest(object, name, &digest);
    else
        rd_json_set_null(object, name);
}

static json_t *record_json(const rd_pg_result *row, size_t r)
{
    json_t *record = json_object();
    rd_id instance = { { 0 } }, host = { { 0 } };
    rd_pg_get_fixed(row, r, 3, instance.b, sizeof instance.b);
    rd_pg_get_fixed(row, r, 5, host.b, sizeof host.b);
    set_digest(record, "digest", row, r, 2);
    rd_json_set_time(record, "at", rd_pg_get_time(row, r, 0));
    rd_json_set_id(record, "instance", RD_PREFIX_INSTANCE, &instance);
    rd_json_set_int(record, "epoch", rd_pg_get_i64(row, r, 4));
    rd_json_set_id(record, "host", RD_PREFIX_HOST, &host);
    rd_json_set_str(record, "result", rd_pg_get_bool(row, r, 6) ? "accepted" : "refused");
    rd_json_set_str(record, "reason", rd_pg_get_text(row, r, 7));
    set_digest(record, "evidence", row, r, 8);
    set_digest(record, "policy", row, r, 9);
    set_digest(record, "collateral", row, r, 10);
    if (rd_pg_is_null(row, r, 11))
        rd_json_set_null(record, "valid_until");
    else
        rd_json_set_time(record, "valid_until", rd_pg_get_time(row, r, 11));
    return record;
}

/* ?instance=: nothing given is nothing wanted. */
static int read_instance(const api_request *request, rd_id *ret, bool *ret_has, rd_err *err)
{
    const char *text = api_request_query(request, "instance");
    *ret_has = text != NULL;
    if (!text || rd_id_parse(RD_PREFIX_INSTANCE, text, strlen(text), ret, err) == 0)
        return 0;
    return rd_err_at(err, "?instance");
}

static int64_t cursor_number(const api_cursor *cursor)
{
    uint64_t number = 0;
    for (size_t i = 0; i < 8; i++)
        number = number << 8 | cursor->id[i];
    return (int64_t)number;
}

static void put_number(int64_t number, uint8_t out[8])
{
    for (size_t i = 0; i < 8; i++)
        out[i] = (uint8_t)((uint64_t)number >> (56 - 8 * i));
}

/* A page of a log of the app's; its statement gives time and number of the row first. */
static int reply_list(api_request *request, api_worker *worker, const char *stmt,
                      json_t *(*row_json)(const rd_pg_result *row, size_t r), rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *known = NULL;
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *rows = NULL;
    const api_principal *p = api_request_principal(request);
    rd_app_id app;
    rd_id instance;
    bool has_instance;
    api_cursor cursor;
    size_t limit;
    if (api_path_app(request, &app, err) < 0 || api_request_limit(request, &limit, err) < 0 ||
        api_cursor_read(request, 8, &cursor, err) < 0 || read_instance(request, &instance, &has_instance, err) < 0 ||
        api_store_get(worker, p->org_id, "app_genesis", &known, err, rd_pg_bytes(RD_BYTES_ARRAY(app.b))) < 0 ||
        api_store_need(known, "app", err) < 0 ||
        api_store_get(worker, p->org_id, stmt, &rows, err, rd_pg_uuid(p->org_id), rd_pg_bytes(RD_BYTES_ARRAY(app.b)),
                      api_cursor_at(&cursor), cursor.is_set ? rd_pg_i64(cursor_number(&cursor)) : rd_pg_null(),
                      rd_pg_i64((int64_t)limit), has_instance ? rd_pg_uuid(instance.b) : rd_pg_null()) < 0)
        return -1;
    json_t *items = json_array();
    size_t count = rd_pg_rows(rows);
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(items, row_json(rows, i));
    uint8_t last[8] = { 0 };
    if (count)
        put_number(rd_pg_get_i64(rows, count - 1, 1), last);
    api_reply_resource(request, 200,
                       api_list_new(items, limit, count ? rd_pg_get_time(rows, count - 1, 0) : 0, RD_BYTES_ARRAY(last)),
                       0);
    return 0;
}

int api_records_list(api_request *request, api_worker *worker, rd_err *err)
{
    return reply_list(request, worker, "record_list", record_json, err);
}

static json_t *grant_json(const rd_pg_result *row, size_t r)
{
    json_t *grant = json_object();
    rd_kms_id kms = { { 0 } };
    rd_id instance = { { 0 } };
    rd_pg_get_fixed(row, r, 2, kms.b, sizeof kms.b);
    rd_pg_get_fixed(row, r, 6, instance.b, sizeof instance.b);
    rd_json_set_time(grant, "at", rd_pg_get_time(row, r, 0));
    rd_json_set_kms_id(grant, "kms", &kms);
    rd_json_set_b64(grant, "replica", rd_pg_get_bytes(row, r, 3));
    rd_json_set_int(grant, "number", rd_pg_get_i64(row, r, 4));
    rd_json_set_str(grant, "kind", rd_pg_get_bool(row, r, 5) ? "grant" : "refusal");
    rd_json_set_id(grant, "instance", RD_PREFIX_INSTANCE, &instance);
    rd_json_set_int(grant, "epoch", rd_pg_get_i64(row, r, 7));
    rd_json_set_str(grant, "reason", rd_pg_is_null(row, r, 8) ? NULL : rd_pg_get_text(row, r, 8));
    if (rd_pg_is_null(row, r, 9))
        rd_json_set_null(grant, "until");
    else
        rd_json_set_time(grant, "until", rd_pg_get_time(row, r, 9));
    if (rd_pg_is_null(row, r, 10))
        rd_json_set_null(grant, "certificate");
    else
        rd_json_set_b64(grant, "certificate", rd_pg_get_bytes(row, r, 10));
    rd_json_set_b64(grant, "record", rd_pg_get_bytes(row, r, 11));
    return grant;
}

int api_grants_list(api_request *request, api_worker *worker, rd_err *err)
{
    return reply_list(request, worker, "grant_list", grant_json, err);
}
