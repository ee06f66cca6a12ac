#include "api/store.h"

#include <string.h>

#include "common/base/text.h"
#include "common/model/json.h"

void api_store_all(rd_pg_stmts out[API_STORE_COUNT])
{
    const rd_pg_stmts list[API_STORE_COUNT] = { api_store_apps,       api_store_deployments, api_store_fleet,
                                                api_store_hosts,      api_store_orgs,        api_store_changes,
                                                api_store_collateral, api_store_records,     api_store_receipts,
                                                api_store_secrets };
    memcpy(out, list, sizeof(list));
}

static rd_pg_outcome read_once(rd_pg *pg, const char *org, const char *stmt, const rd_pg_value *args, size_t count,
                               rd_pg_result *results[4], rd_err *err)
{
    rd_pg_value org_value = rd_pg_text(org);
    if (rd_pg_connect(pg, err) < 0)
        return err->code == RD_E_CONFIG ? RD_PG_FAILED : RD_PG_RETRY;
    if (rd_pg_queue(pg, RD_PG_BEGIN, NULL, 0, err) < 0 || rd_pg_queue(pg, "rd_org", &org_value, 1, err) < 0 ||
        rd_pg_queue(pg, stmt, args, count, err) < 0 || rd_pg_queue(pg, RD_PG_COMMIT, NULL, 0, err) < 0)
        return RD_PG_FAILED;
    return rd_pg_flush(pg, results, 4, err);
}

static void uuid_text(const uint8_t id[16], char out[37])
{
    char hex[33];
    rd_hex_encode(rd_bytes_of(id, 16), hex);
    snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

int api_store_read(api_worker *worker, const uint8_t org[16], const char *stmt, const rd_pg_value *args,
                   size_t arg_count, rd_pg_result **ret, rd_err *err)
{
    char org_text[37];
    uuid_text(org, org_text);
    for (int i = 0; i < 3; i++) {
        rd_pg_result *results[4] = { NULL };
        rd_err failure = RD_ERR_INIT;
        rd_pg_outcome outcome = read_once(worker->pg, org_text, stmt, args, arg_count, results, &failure);
        if (outcome == RD_PG_SOME || outcome == RD_PG_NONE) {
            *ret = results[2];
            results[2] = NULL;
        }
        for (size_t r = 0; r < 4; r++)
            rd_pg_result_free(results[r]);
        if (outcome == RD_PG_SOME || outcome == RD_PG_NONE)
            return 0;
        *err = failure;
        if (outcome == RD_PG_FAILED)
            return -1;
    }
    return rd_err_set(err, RD_E_UNAVAILABLE, "the database is busy");
}

rd_pg_outcome api_store_enter(rd_pg *pg, const uint8_t org[16], rd_err *err)
{
    return rd_pg_set_org(pg, org, err) < 0 ? RD_PG_FAILED : rd_pg_flush(pg, NULL, 0, err);
}

int api_store_need(rd_pg_result *result, const char *what, rd_err *err)
{
    return rd_pg_rows(result) > 0 ? 0 : rd_err_set(err, RD_E_NOT_FOUND, "no such %s", what);
}

int api_cursor_parse(const char *text, size_t id_size, api_cursor *ret, rd_err *err)
{
    *ret = (api_cursor){ 0 };
    uint8_t raw[8 + 32];
    if (rd_base64url_decode(text, strlen(text), raw, sizeof(raw)) != (ssize_t)(8 + id_size))
        return rd_err_set(err, RD_E_CURSOR, "the cursor is none of this list");
    uint64_t at = 0;
    for (size_t i = 0; i < 8; i++)
        at = at << 8 | raw[i];
    if (at > INT64_C(253402300799000000))
        return rd_err_set(err, RD_E_CURSOR, "the cursor is none of this list");
    ret->is_set = true;
    ret->at_us = (int64_t)at;
    ret->id_size = id_size;
    memcpy(ret->id, raw + 8, id_size);
    return 0;
}

int api_cursor_read(const api_request *request, size_t id_size, api_cursor *ret, rd_err *err)
{
    const char *text = api_request_query(request, "cursor");
    *ret = (api_cursor){ 0 };
    return text ? api_cursor_parse(text, id_size, ret, err) : 0;
}

rd_pg_value api_cursor_at(const api_cursor *cursor)
{
    return cursor->is_set ? rd_pg_time(cursor->at_us) : rd_pg_null();
}

rd_pg_value api_cursor_id(const api_cursor *cursor)
{
    return cursor->is_set ? rd_pg_bytes(rd_bytes_of(cursor->id, cursor->id_size)) : rd_pg_null();
}

json_t *api_list_new(json_t *items, size_t limit, int64_t last_at_us, rd_bytes last_id)
{
    bool has_more = json_array_size(items) == limit;
    json_t *list = json_object();
    rd_json_set(list, "items", items);
    if (!has_more) {
        rd_json_set_null(list, "next");
        return list;
    }
    uint8_t raw[8 + 32];
    for (size_t i = 0; i < 8; i++)
        raw[i] = (uint8_t)((uint64_t)last_at_us >> (56 - 8 * i));
    memcpy(raw + 8, last_id.data, last_id.size);
    rd_json_set_b64(list, "next", rd_bytes_of(raw, 8 + last_id.size));
    return list;
}

int api_if_match(const api_request *request, int64_t version, rd_err *err)
{
    const char *sent = api_request_header(request, "If-Match");
    if (!sent || strcmp(sent, "*") == 0)
        return 0;
    char want[32];
    snprintf(want, sizeof(want), "\"%lld.", (long long)version);
    if (!rd_starts_with(sent, want))
        return rd_err_set(err, RD_E_IF_MATCH_FAILED, "If-Match names another version");
    return 0;
}

int api_path_id(const api_request *request, const char *param, const char *prefix, rd_id *ret, rd_err *err)
{
    const char *text = api_request_param(request, param);
    rd_err ignored = RD_ERR_INIT;
    if (rd_id_parse(prefix, text, strlen(text), ret, &ignored) == 0)
        return 0;
    return rd_err_set(err, RD_E_NOT_FOUND, "no such %s", param);
}

int api_path_app(const api_request *request, rd_app_id *ret, rd_err *err)
{
    const char *text = api_request_param(request, "app");
    rd_err ignored = RD_ERR_INIT;
    if (rd_app_id_parse(text, strlen(text), ret, &ignored) == 0)
        return 0;
    return rd_err_set(err, RD_E_NOT_FOUND, "no such app");
}
