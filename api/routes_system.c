#include <string.h>

#include "api/collateral.h"
#include "api/links.h"
#include "api/metrics.h"
#include "api/openapi.h"
#include "api/plane.h"
#include "api/reply.h"
#include "api/routes.h"
#include "api/server.h"
#include "api/store.h"
#include "common/data/redis.h"

void api_livez(api_request *request)
{
    api_reply_bytes(request, 200, "text/plain; charset=utf-8", RD_BYTES_LIT("ok\n"));
}

static void add_check(json_t *checks, const char *name, bool is_ok, bool is_needed, const char *detail, bool *all)
{
    json_t *check = json_object();
    rd_json_set_str(check, "name", name);
    rd_json_set_bool(check, "ok", is_ok);
    rd_json_set_bool(check, "needed", is_needed);
    rd_json_set_str(check, "detail", detail);
    (void)json_array_append_new(checks, check);
    *all = *all && (is_ok || !is_needed);
}

/* Redis carries hints only, so this replica is ready without it; the answer says so all the same. */
int api_readyz(api_request *request, api_worker *worker, rd_err *err)
{
    (void)err;
    const api_context *context = worker->context;
    static const uint8_t nobody[16] = { 0 };
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    rd_err why = RD_ERR_INIT;
    bool all = true;
    json_t *checks = json_array();
    bool has_database = api_store_get(worker, nobody, "ready_check", &row, &why) == 0;
    add_check(checks, "database", has_database, true, has_database ? "" : why.text, &all);
    int64_t ahead_s = has_database ? rd_pg_get_i64(row, 0, 0) : 0;
    add_check(checks, "partitions", ahead_s > 3 * 86400, true, "log tables reach at least three days ahead", &all);
    bool has_redis = context->redis && rd_redis_is_connected(context->redis);
    add_check(checks, "redis", has_redis, false, has_redis ? "" : "hints are late, nothing is lost", &all);
    char text[128] = "";
    bool has_links = !context->links || api_links_is_ready(context->links, text);
    add_check(checks, "links", has_links, true, text, &all);
    RD_CLEANUP(api_collateral_drop_p)
    api_collateral_state *collateral = api_collateral_hold(context->collateral);
    bool has_collateral = collateral != NULL;
    add_check(checks, "collateral", has_collateral, false,
              has_collateral ? "" : "no machine can enrol and no instance is verified", &all);
    json_t *answer = json_object();
    rd_json_set_bool(answer, "ready", all);
    rd_json_set(answer, "checks", checks);
    api_reply_json(request, all ? 200 : 503, answer);
    return 0;
}

void api_metrics_get(api_request *request)
{
    rd_buf text;
    rd_buf_init(&text, (size_t)4 << 20);
    api_metrics_write(api_request_context(request)->metrics, &text);
    api_reply_buf(request, 200, "text/plain; version=0.0.4; charset=utf-8", &text);
}

void api_version_get(api_request *request)
{
    const api_context *context = api_request_context(request);
    json_t *answer = json_object();
    rd_json_set_str(answer, "version", REDOUBT_VERSION);
    rd_json_set_str(answer, "api", "v1");
    rd_json_set_str(answer, "plane_id", api_plane_id(context->plane));
    rd_json_set_b64(answer, "record_key",
                    RD_BYTES_ARRAY(rd_signing_key_public(api_plane_record_key(context->plane))->b));
    rd_json_set_str(answer, "apps_domain", context->config->apps_domain);
    bool has_root = context->config->simulation_root && context->config->simulation_root[0];
    rd_json_set_str(answer, "simulation_root", has_root ? context->config->simulation_root : NULL);
    const char *measured = context->config->runtime_measurement;
    json_t *measurements = json_array();
    if (measured && measured[0])
        (void)json_array_append_new(measurements, json_string(measured));
    rd_json_set(answer, "runtime_measurements", measurements);
    rd_json_set_time(answer, "time", rd_clock_wall_us(context->clock));
    api_reply_json(request, 200, answer);
}

void api_openapi_get(api_request *request)
{
    api_reply_header(request, "Cache-Control", "public, max-age=300");
    api_reply_bytes(request, 200, "application/json", rd_bytes_of(api_openapi_text, api_openapi_size));
}

/* --- /problems --- */

static void put_problem(rd_buf *page, const rd_code_info *info)
{
    rd_buf_printf(page, "<article id=\"%s\"><h2><a href=\"/problems/%s\">%s</a></h2><p>HTTP %d. %s</p>", info->name,
                  info->name, info->name, info->http_status,
                  info->is_retryable ? "The same request may succeed later."
                                     : "The same request will be refused again.");
    if (info->hint[0])
        rd_buf_printf(page, "<p>What helps: %s.</p>", info->hint);
    rd_buf_append_str(page, "</article>");
}

static void begin_page(rd_buf *page, const char *title)
{
    rd_buf_printf(page,
                  "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
                  "content=\"width=device-width\"><title>%s - Redoubt</title></head><body><main><h1>%s</h1>",
                  title, title);
}

void api_problems_get(api_request *request)
{
    const char *name = api_request_param(request, "code");
    rd_code code = name[0] ? rd_code_by_name(name) : RD_OK;
    rd_err err = RD_ERR_INIT;
    if (name[0] && code == RD_OK) {
        (void)rd_err_set(&err, RD_E_NOT_FOUND, "no such problem");
        api_reply_problem(request, &err);
        return;
    }
    rd_buf page;
    rd_buf_init(&page, (size_t)1 << 20);
    begin_page(&page, name[0] ? name : "Problems");
    for (int c = 1; c < RD_CODE_COUNT; c++)
        if (!name[0] || c == (int)code)
            put_problem(&page, rd_code_describe((rd_code)c));
    rd_buf_append_str(&page, "</main></body></html>\n");
    api_reply_header(request, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'");
    api_reply_header(request, "Cache-Control", "public, max-age=300");
    api_reply_buf(request, 200, "text/html; charset=utf-8", &page);
}
