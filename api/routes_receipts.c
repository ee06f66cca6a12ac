#include <string.h>

#include "api/reply.h"
#include "api/routes.h"
#include "api/store.h"
#include "common/base/cursor.h"
#include "common/base/mem.h"
#include "common/base/text.h"

static json_t *record_json(const rd_pg_result *row, size_t r)
{
    json_t *record = json_object();
    rd_app_id app = { { 0 } };
    rd_id instance = { { 0 } };
    rd_pg_get_fixed(row, r, 2, app.b, sizeof app.b);
    rd_pg_get_fixed(row, r, 3, instance.b, sizeof instance.b);
    rd_json_set_time(record, "at", rd_pg_get_time(row, r, 0));
    rd_json_set_app_id(record, "app", &app);
    rd_json_set_id(record, "instance", RD_PREFIX_INSTANCE, &instance);
    rd_json_set_int(record, "epoch", rd_pg_get_i64(row, r, 4));
    rd_json_set_int(record, "first", rd_pg_get_i64(row, r, 5));
    rd_json_set_int(record, "count", rd_pg_get_i64(row, r, 6));
    rd_json_set_b64(record, "record", rd_pg_get_bytes(row, r, 7));
    return record;
}

static json_t *records_json(const rd_pg_result *rows)
{
    json_t *items = json_array();
    for (size_t i = 0; i < rd_pg_rows(rows); i++)
        (void)json_array_append_new(items, record_json(rows, i));
    return items;
}

static int read_instance(const api_request *request, rd_pg_value *ret, rd_id *ret_id, rd_err *err)
{
    const char *text = api_request_query(request, "instance");
    *ret = rd_pg_null();
    if (!text)
        return 0;
    if (rd_id_parse(RD_PREFIX_INSTANCE, text, strlen(text), ret_id, err) < 0)
        return rd_err_at(err, "?instance");
    *ret = rd_pg_uuid(ret_id->b);
    return 0;
}

static int read_since(const api_request *request, rd_pg_value *ret, rd_err *err)
{
    const char *text = api_request_query(request, "since");
    int64_t since_us;
    *ret = rd_pg_null();
    if (!text)
        return 0;
    if (rd_time_parse(text, strlen(text), &since_us) < 0) {
        (void)rd_err_set(err, RD_E_JSON_RANGE, "since is a time like 2026-11-22T20:00:00Z");
        return rd_err_at(err, "?since");
    }
    *ret = rd_pg_time(since_us);
    return 0;
}

static int read_number(const api_request *request, const char *name, const char *pointer, rd_pg_value *ret, rd_err *err)
{
    const char *text = api_request_query(request, name);
    uint64_t number;
    *ret = rd_pg_null();
    if (!text)
        return 0;
    if (rd_parse_u64(text, strlen(text), (uint64_t)RD_JSON_INT_MAX, &number) < 0 || number == 0) {
        (void)rd_err_set(err, RD_E_JSON_RANGE, "%s is a number from 1", name);
        return rd_err_at(err, pointer);
    }
    *ret = rd_pg_i64((int64_t)number);
    return 0;
}

static int64_t cursor_number(const api_cursor *cursor)
{
    rd_cursor id = rd_cursor_of(rd_bytes_of(cursor->id, sizeof(uint64_t)));
    return (int64_t)rd_cursor_u64be(&id);
}

int api_receipts_list(api_request *request, api_worker *worker, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *known = NULL;
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *rows = NULL;
    RD_CLEANUP(rd_buf_done) rd_buf last = { 0 };
    const api_principal *p = api_request_principal(request);
    rd_app_id app;
    rd_id instance_id;
    rd_pg_value instance, since;
    api_cursor cursor;
    size_t limit;
    if (api_path_app(request, &app, err) < 0 || api_request_limit(request, &limit, err) < 0 ||
        api_cursor_read(request, 8, &cursor, err) < 0 || read_instance(request, &instance, &instance_id, err) < 0 ||
        read_since(request, &since, err) < 0 ||
        api_store_get(worker, p->org_id, "app_genesis", &known, err, rd_pg_bytes(RD_BYTES_ARRAY(app.b))) < 0 ||
        api_store_need(known, "app", err) < 0 ||
        api_store_get(worker, p->org_id, "receipt_list", &rows, err, rd_pg_uuid(p->org_id),
                      rd_pg_bytes(RD_BYTES_ARRAY(app.b)), api_cursor_at(&cursor),
                      cursor.is_set ? rd_pg_i64(cursor_number(&cursor)) : rd_pg_null(), rd_pg_i64((int64_t)limit),
                      instance, since) < 0)
        return -1;
    size_t count = rd_pg_rows(rows);
    (void)rd_buf_append_u64be(&last, count ? (uint64_t)rd_pg_get_i64(rows, count - 1, 1) : 0);
    api_reply_resource(
        request, 200,
        api_list_new(records_json(rows), limit, count ? rd_pg_get_time(rows, count - 1, 0) : 0, rd_buf_bytes(&last)),
        0);
    return 0;
}

/* An instance of another organisation has no receipts here, as one that never was. */
int api_receipts_chain(api_request *request, api_worker *worker, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *rows = NULL;
    const api_principal *p = api_request_principal(request);
    rd_id instance;
    rd_pg_value epoch, from;
    api_cursor cursor;
    size_t limit;
    if (api_path_id(request, "ins", RD_PREFIX_INSTANCE, &instance, err) < 0 ||
        api_request_limit(request, &limit, err) < 0 || api_cursor_read(request, 0, &cursor, err) < 0 ||
        read_number(request, "epoch", "?epoch", &epoch, err) < 0 ||
        read_number(request, "from", "?from", &from, err) < 0 ||
        api_store_get(worker, p->org_id, "receipt_chain", &rows, err, rd_pg_uuid(p->org_id), rd_pg_uuid(instance.b),
                      epoch, cursor.is_set ? rd_pg_i64(cursor.at_us) : rd_pg_null(), from,
                      rd_pg_i64((int64_t)limit)) < 0)
        return -1;
    size_t count = rd_pg_rows(rows);
    api_reply_resource(
        request, 200,
        api_list_new(records_json(rows), limit, count ? rd_pg_get_i64(rows, count - 1, 5) : 0, RD_BYTES_NULL), 0);
    return 0;
}
