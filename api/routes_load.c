#include "api/routes_load.h"

#include "common/base/log.h"
#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define APPS_A_LOAD 256
#define PAGE        1000
#define RETRY_US    200000

static const rd_pg_stmt stmts[] = {
    { "routes_page", "SELECT app_id FROM apps WHERE state = 1 AND app_id > $1 ORDER BY app_id LIMIT 1000", 1 },
    /* Instances that serve, by the rule of data-model.md 4.3; a deployment's leases are one range of the primary key.
     */
    { "routes_load",
      "SELECT a.app_id, a.org_id, a.state, a.paused, t.instance_id, t.epoch, t.host_id, t.release_digest,"
      " t.valid_until, r.is_open, (m.j->'limits'->>'request_bytes')::bigint,"
      " (m.j->'limits'->>'response_bytes')::bigint, (m.j->'limits'->>'time_ms')::bigint, t.replica_id,"
      " coalesce(w.min = 0 AND w.kind <> 4, false), coalesce(w.is_open, false), (m.j->>'plain')::boolean, a.home_shard"
      " FROM apps a"
      " LEFT JOIN LATERAL (SELECT x.min, x.kind, y.is_open FROM deployments x LEFT JOIN releases y USING (release_id)"
      "  WHERE x.org_id = a.org_id AND x.app_id = a.app_id ORDER BY x.gen DESC LIMIT 1) w ON true"
      " LEFT JOIN LATERAL (SELECT l.instance_id, l.epoch, l.host_id, l.release_digest, v.valid_until, k.replica_id"
      "  FROM (SELECT x.deployment_id FROM deployments x WHERE x.org_id = a.org_id AND x.app_id = a.app_id"
      "  ORDER BY x.gen DESC LIMIT 50) d"
      "  JOIN leases l ON l.instance_id BETWEEN instances_from(d.deployment_id) AND instances_to(d.deployment_id)"
      "  JOIN lease_status s ON s.instance_id = l.instance_id AND s.epoch = l.epoch"
      "  JOIN lease_verdicts v ON v.instance_id = l.instance_id AND v.epoch = l.epoch"
      "  LEFT JOIN host_links k ON k.host_id = l.host_id AND k.state = 1"
      "  WHERE l.app_id = a.app_id AND l.live AND l.want = 1"
      "  AND s.phase = 4 AND v.result = 1 AND v.valid_until > clock_timestamp()) t ON true"
      " LEFT JOIN releases r ON r.org_id = a.org_id AND r.app_id = a.app_id AND r.digest = t.release_digest"
      " LEFT JOIN LATERAL (SELECT convert_from(r.manifest, 'UTF8')::jsonb AS j) m ON true"
      " WHERE a.app_id = ANY($1::bytea[]) ORDER BY a.app_id",
      1 },
};
const rd_pg_stmts api_routes_stmts = { stmts, RD_ARRAY_LEN(stmts) };

struct api_routes_load {
    rd_pg_async *pg;
    api_targets *targets;
    rd_table *dirty; /* app ids that wait */
    rd_flusher *flusher;
    rd_timer *timer;
    uint64_t version;
    bool is_busy, is_paging, is_ready, is_closing;
    rd_app_id page_after;
    /* of the load under way */
    rd_app_id asked[APPS_A_LOAD];
    size_t asked_count;
};

static void mark(api_routes_load *load, const rd_app_id *app)
{
    (void)rd_table_set(load->dirty, RD_BYTES_ARRAY(app->b), load, NULL);
}

void api_routes_load_app(api_routes_load *load, const rd_app_id *app)
{
    mark(load, app);
}

bool api_routes_load_is_ready(const api_routes_load *load)
{
    return load->is_ready;
}

static void read_row(const rd_pg_result *result, size_t row, api_target_row *ret)
{
    *ret = (api_target_row){ 0 };
    (void)rd_pg_get_fixed(result, row, 4, ret->instance.b, 16);
    ret->epoch = (uint64_t)rd_pg_get_i64(result, row, 5);
    (void)rd_pg_get_fixed(result, row, 6, ret->host.b, 16);
    (void)rd_pg_get_fixed(result, row, 7, ret->release.b, 32);
    ret->valid_until_us = rd_pg_get_time(result, row, 8);
    ret->limits.is_open = rd_pg_get_bool(result, row, 9);
    ret->limits.request_bytes = (uint64_t)rd_pg_get_i64(result, row, 10);
    ret->limits.response_bytes = (uint64_t)rd_pg_get_i64(result, row, 11);
    ret->limits.time_us = rd_pg_get_i64(result, row, 12) * 1000;
    (void)rd_pg_get_fixed(result, row, 13, ret->replica.b, 16); /* NULL leaves it zero */
    ret->limits.is_plain = rd_pg_get_bool(result, row, 16);
}

static void apply_app(api_routes_load *load, const rd_pg_result *result, size_t from, size_t to)
{
    api_app_row app = { .is_live = rd_pg_get_i64(result, from, 2) == 1,
                        .is_paused = rd_pg_get_bool(result, from, 3),
                        .sleeps = rd_pg_get_bool(result, from, 14),
                        .is_open_asleep = rd_pg_get_bool(result, from, 15),
                        .shard = rd_pg_get_i64(result, from, 17) };
    (void)rd_pg_get_fixed(result, from, 0, app.id.b, 32);
    (void)rd_pg_get_fixed(result, from, 1, app.org, 16);
    size_t count = 0;
    api_target_row *rows = rd_alloc_array(to - from, sizeof *rows);
    for (size_t i = from; i < to; i++)
        if (!rd_pg_is_null(result, i, 4))
            read_row(result, i, &rows[count++]);
    api_targets_replace(load->targets, load->version, &app, rows, count);
    free(rows);
}

static void apply(api_routes_load *load, const rd_pg_result *result)
{
    size_t rows = rd_pg_rows(result);
    for (size_t from = 0, to; from < rows; from = to) {
        rd_bytes app = rd_pg_get_bytes(result, from, 0);
        for (to = from + 1; to < rows && rd_bytes_equal(rd_pg_get_bytes(result, to, 0), app); to++)
            ;
        apply_app(load, result, from, to);
    }
}

static void on_loaded(void *context, rd_pg_outcome outcome, rd_pg_result **results, size_t count, size_t failed,
                      const rd_err *err)
{
    (void)failed;
    api_routes_load *load = context;
    load->is_busy = false;
    if (load->is_closing) {
        (void)api_routes_load_free(load);
        return;
    }
    if ((outcome == RD_PG_SOME || outcome == RD_PG_NONE) && count == 1) {
        apply(load, results[0]);
        return;
    }
    rd_log(RD_WARN, "routes_load_failed", RD_U64("apps", load->asked_count), RD_ERR(err));
    for (size_t i = 0; i < load->asked_count; i++)
        mark(load, &load->asked[i]);
    rd_timer_start(load->timer, RETRY_US, 0);
}

static void load_some(api_routes_load *load)
{
    rd_pg_array apps;
    rd_pg_array_init(&apps, RD_PG_T_BYTEA);
    load->asked_count = 0;
    size_t iterator = 0;
    rd_bytes key;
    while (load->asked_count < APPS_A_LOAD && rd_table_next(load->dirty, &iterator, &key, NULL)) {
        rd_app_id *app = &load->asked[load->asked_count++];
        memcpy(app->b, key.data, sizeof app->b);
        rd_pg_array_bytes(&apps, RD_BYTES_ARRAY(app->b));
    }
    for (size_t i = 0; i < load->asked_count; i++)
        (void)rd_table_remove(load->dirty, RD_BYTES_ARRAY(load->asked[i].b));
    rd_pg_batch *batch = rd_pg_batch_new(NULL);
    rd_pg_batch_call(batch, "routes_load", rd_pg_array_value(&apps));
    rd_pg_array_done(&apps);
    rd_err err = RD_ERR_INIT;
    load->version++;
    load->is_busy = rd_pg_async_submit(load->pg, batch, on_loaded, load, &err) == 0;
    if (load->is_busy)
        return;
    for (size_t i = 0; i < load->asked_count; i++)
        mark(load, &load->asked[i]);
    rd_timer_start(load->timer, RETRY_US, 0);
}

static void on_page(void *context, rd_pg_outcome outcome, rd_pg_result **results, size_t count, size_t failed,
                    const rd_err *err)
{
    (void)failed;
    api_routes_load *load = context;
    load->is_busy = false;
    if (load->is_closing) {
        (void)api_routes_load_free(load);
        return;
    }
    if ((outcome != RD_PG_SOME && outcome != RD_PG_NONE) || count != 1) {
        rd_log(RD_WARN, "routes_load_failed", RD_ERR(err));
        rd_timer_start(load->timer, RETRY_US, 0);
        return;
    }
    size_t rows = rd_pg_rows(results[0]);
    for (size_t i = 0; i < rows; i++) {
        (void)rd_pg_get_fixed(results[0], i, 0, load->page_after.b, sizeof load->page_after.b);
        mark(load, &load->page_after);
    }
    load->is_paging = rows == PAGE;
}

static void load_page(api_routes_load *load)
{
    rd_pg_batch *batch = rd_pg_batch_new(NULL);
    rd_pg_batch_call(batch, "routes_page", rd_pg_bytes(RD_BYTES_ARRAY(load->page_after.b)));
    rd_err err = RD_ERR_INIT;
    load->is_busy = rd_pg_async_submit(load->pg, batch, on_page, load, &err) == 0;
    if (!load->is_busy)
        rd_timer_start(load->timer, RETRY_US, 0);
}

void api_routes_load_host(api_routes_load *load, const rd_id *host)
{
    size_t iterator = 0;
    api_target *target;
    while (api_targets_next(load->targets, &iterator, &target))
        if (rd_id_equal(&target->host, host))
            mark(load, &target->app->id);
}

static void on_flush(void *context)
{
    api_routes_load *load = context;
    if (load->is_busy || load->is_closing)
        return;
    if (rd_table_count(load->dirty) > 0)
        load_some(load);
    else if (load->is_paging)
        load_page(load);
    else
        load->is_ready = true;
}

static void on_timer(void *context)
{
    (void)context; /* the turn that it makes runs the flusher */
}

api_routes_load *api_routes_load_new(rd_loop *loop, rd_pg_async *pg, api_targets *targets)
{
    api_routes_load *load = rd_alloc(sizeof *load);
    load->pg = pg;
    load->targets = targets;
    load->dirty = rd_table_new(0);
    load->flusher = rd_flusher_new(loop, on_flush, load);
    load->timer = rd_timer_new(loop, on_timer, load);
    load->is_paging = true;
    return load;
}

api_routes_load *api_routes_load_free(api_routes_load *load)
{
    if (!load)
        return NULL;
    if (load->flusher) {
        load->flusher = rd_flusher_free(load->flusher);
        load->timer = rd_timer_free(load->timer);
    }
    load->is_closing = true;
    if (load->is_busy)
        return NULL; /* freed by the answer that is still due */
    rd_table_free(load->dirty);
    free(load);
    return NULL;
}
