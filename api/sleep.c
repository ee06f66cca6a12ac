#include "api/sleep.h"

#include "api/hold.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Idle times begin at five times this. */
#define USED_EVERY_US   2000000
#define A_STATEMENT_MAX 1000 /* apps */
/* While PostgreSQL is slow or away: what is wanted waits here, not in the queue that beats and jobs take as well. */
#define UNDER_WAY_MAX 4

#define USE                                                                                                            \
    "WITH a AS (SELECT * FROM apps_asleep($1::bytea[])),"                                                              \
    " put AS (INSERT INTO app_use AS u (app_id, org_id) SELECT app_id, org_id FROM a"                                  \
    "  ON CONFLICT (app_id) DO UPDATE SET at = greatest(u.at, excluded.at))"

static const rd_pg_stmt stmts[] = {
    /* What is written here may be lost with the database: the relay asks again, and calls are noted again. */
    { "sleep_lightly", "SET LOCAL synchronous_commit TO off", 0 },
    { "sleep_used", USE " SELECT 1 WHERE false", 1 },
    /* One evaluation that waits is enough, however many replicas ask. */
    { "sleep_wake",
      USE " SELECT a.home_shard, evaluate(a.home_shard, 1::smallint, a.app_id, 'wake') FROM a"
          " WHERE NOT EXISTS (SELECT 1 FROM evaluations e WHERE e.shard = a.home_shard AND e.kind = 1"
          "  AND e.subject = a.app_id)",
      1 },
};
const rd_pg_stmts api_sleep_stmts = { stmts, RD_ARRAY_LEN(stmts) };

struct api_sleep {
    rd_pg_async *pg;
    rd_redis *redis;
    api_targets *targets;
    rd_table *wanted; /* app ids of this turn */
    rd_table *told;   /* likewise, of which the scheduler knows already */
    rd_flusher *flusher;
    rd_timer *timer;
    unsigned due; /* answers */
    bool is_closing;
};

static void hint(api_sleep *sleep, int64_t shard)
{
    char key[32];
    snprintf(key, sizeof key, "wake:%" PRId64, shard);
    rd_err ignored = RD_ERR_INIT;
    if (sleep->redis)
        (void)!rd_redis_command(sleep->redis, NULL, NULL, &ignored, RD_BYTES_LIT("XADD"), rd_bytes_str(key),
                                RD_BYTES_LIT("MAXLEN"), RD_BYTES_LIT("~"), RD_BYTES_LIT("10000"), RD_BYTES_LIT("*"),
                                RD_BYTES_LIT("t"), RD_BYTES_LIT("1"));
}

static void on_written(void *context, rd_pg_outcome outcome, rd_pg_result **results, size_t count, size_t failed,
                       const rd_err *err)
{
    (void)failed;
    api_sleep *sleep = context;
    sleep->due--;
    if (sleep->is_closing) {
        if (sleep->due == 0)
            free(sleep);
        return;
    }
    if (outcome != RD_PG_SOME && outcome != RD_PG_NONE) {
        /* The relay asks again; for want of one use an app may sleep early, and wakes when it is called. */
        rd_log(RD_WARN, "app_use_not_written", RD_ERR(err));
        return;
    }
    for (size_t i = 0; count == 2 && i < rd_pg_rows(results[1]); i++)
        hint(sleep, rd_pg_get_i64(results[1], i, 0));
}

/* Takes what the array holds. */
static void submit(api_sleep *sleep, const char *stmt, rd_pg_array *apps)
{
    rd_pg_batch *batch = rd_pg_batch_new(NULL);
    rd_pg_batch_call(batch, "sleep_lightly");
    rd_pg_batch_call(batch, stmt, rd_pg_array_value(apps));
    rd_err err = RD_ERR_INIT;
    if (rd_pg_async_submit(sleep->pg, batch, on_written, sleep, &err) == 0)
        sleep->due++;
    else
        rd_log(RD_WARN, "app_use_not_written", RD_ERR(&err));
    rd_pg_array_done(apps);
    rd_pg_array_init(apps, RD_PG_T_BYTEA);
}

/* In pieces, so that no statement grows with the number of apps. */
static void flush(api_sleep *sleep, const char *stmt, rd_table *table)
{
    size_t iterator = 0, count = 0;
    if (rd_table_count(table) == 0 || sleep->due >= UNDER_WAY_MAX)
        return;
    RD_CLEANUP(rd_pg_array_done) rd_pg_array apps;
    rd_pg_array_init(&apps, RD_PG_T_BYTEA);
    rd_bytes key;
    while (count < A_STATEMENT_MAX && rd_table_next(table, &iterator, &key, NULL)) {
        rd_pg_array_bytes(&apps, key);
        (void)rd_table_remove(table, key);
        count++;
    }
    submit(sleep, stmt, &apps);
}

static void on_flush(void *context)
{
    api_sleep *sleep = context;
    flush(sleep, "sleep_wake", sleep->wanted);
    flush(sleep, "sleep_used", sleep->told);
}

static void on_used(void *context)
{
    api_sleep *sleep = context;
    size_t iterator = 0, count = 0;
    RD_CLEANUP(rd_pg_array_done) rd_pg_array apps;
    rd_pg_array_init(&apps, RD_PG_T_BYTEA);
    api_app *app;
    while (sleep->due < UNDER_WAY_MAX && api_targets_next_app(sleep->targets, &iterator, &app)) {
        if (!app->sleeps || (!app->was_used && !api_app_is_busy(app)))
            continue;
        app->was_used = false;
        rd_pg_array_bytes(&apps, RD_BYTES_ARRAY(app->id.b));
        if (++count % A_STATEMENT_MAX == 0)
            submit(sleep, "sleep_used", &apps);
    }
    if (count % A_STATEMENT_MAX)
        submit(sleep, "sleep_used", &apps);
}

api_sleep *api_sleep_new(rd_loop *loop, rd_pg_async *pg, rd_redis *redis, api_targets *targets)
{
    api_sleep *sleep = rd_alloc(sizeof *sleep);
    sleep->pg = pg;
    sleep->redis = redis;
    sleep->targets = targets;
    sleep->wanted = rd_table_new(API_HOLD_MAX);
    sleep->told = rd_table_new(API_HOLD_MAX);
    sleep->flusher = rd_flusher_new(loop, on_flush, sleep);
    sleep->timer = rd_timer_new(loop, on_used, sleep);
    rd_timer_start(sleep->timer, USED_EVERY_US, USED_EVERY_US);
    return sleep;
}

api_sleep *api_sleep_free(api_sleep *sleep)
{
    if (!sleep)
        return NULL;
    sleep->flusher = rd_flusher_free(sleep->flusher);
    sleep->timer = rd_timer_free(sleep->timer);
    rd_table_free(sleep->wanted);
    rd_table_free(sleep->told);
    sleep->is_closing = true;
    if (sleep->due == 0)
        free(sleep);
    return NULL;
}

/* The scheduler hears of it ahead of PostgreSQL; false: it does not. */
static bool tell(const api_sleep *sleep, const rd_app_id *id)
{
    const api_app *app = api_targets_app(sleep->targets, id);
    char key[32];
    rd_err ignored = RD_ERR_INIT;
    if (!app || !sleep->redis || !rd_redis_is_connected(sleep->redis))
        return false;
    snprintf(key, sizeof key, "wake:%" PRId64, app->shard);
    return rd_redis_command(sleep->redis, NULL, NULL, &ignored, RD_BYTES_LIT("XADD"), rd_bytes_str(key),
                            RD_BYTES_LIT("MAXLEN"), RD_BYTES_LIT("~"), RD_BYTES_LIT("10000"), RD_BYTES_LIT("*"),
                            RD_BYTES_LIT("c"), RD_BYTES_ARRAY(id->b)) == 0;
}

void api_sleep_wake(api_sleep *sleep, const rd_app_id *app, bool is_again)
{
    rd_table *table = !is_again && tell(sleep, app) ? sleep->told : sleep->wanted;
    (void)rd_table_set(table, RD_BYTES_ARRAY(app->b), sleep, NULL); /* full: asked again soon */
}
