#include "api/refresh.h"

#include "api/collateral.h"
#include "api/refresh_due.h"
#include "api/refresh_fetch.h"
#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/crypto/random.h"
#include "common/data/jitter.h"
#include "common/model/json.h"
#include "fetch/validators.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define IDLE_US     API_REFRESH_LONGEST_US  /* nothing to fetch: a new set wakes it */
#define LOCK_MS     360000                  /* another replica fetches, which takes it five minutes at most */
#define AWAY_MAX_US (INT64_C(60) * 1000000) /* the database does not answer */

/* The server gives the lock of a machine that is gone back within two minutes. */
static const rd_pg_stmt stmts[] = {
    { "refresh_last",
      "SELECT tried_at, next_at, failures::bigint, succeeded_at, validators, clock_timestamp() FROM (SELECT 1) AS one"
      " LEFT JOIN collateral_refresh ON true",
      0 },
    { "refresh_lock",
      "SELECT set_config('tcp_keepalives_idle', '60', false), set_config('tcp_keepalives_interval', '10', false),"
      " set_config('tcp_keepalives_count', '6', false),"
      " pg_advisory_lock(hashtextextended('collateral_refresh', 0))",
      0 },
    { "refresh_unlock", "SELECT pg_advisory_unlock(hashtextextended('collateral_refresh', 0))", 0 },
    { "refresh_done", "SELECT collateral_refreshed($1, $2, $3, $4, $5)", 5 },
};
static const rd_pg_stmts own_stmts = { stmts, RD_ARRAY_LEN(stmts) };

struct api_refresh {
    const api_context *context;
    api_refresh_sources sources;
    char source[256];
    fetch_http *http;
    rd_pg *pg;
    int64_t away_us; /* of the last wait for the database */
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    bool is_woken, must_end, has_ended;
    api_refresh_last last;
    int64_t succeeded_us;
    fetch_counts counts;
};

/* --- waiting --- */

static bool must_end(void *context)
{
    api_refresh *refresh = context;
    (void)pthread_mutex_lock(&refresh->lock);
    bool result = refresh->must_end;
    (void)pthread_mutex_unlock(&refresh->lock);
    return result;
}

/* False: it ends. */
static bool wait_us(api_refresh *refresh, int64_t us, bool may_wake)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + us % 1000000 * 1000;
    until.tv_sec += us / 1000000 + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    (void)pthread_mutex_lock(&refresh->lock);
    int status = 0;
    while (!(may_wake && refresh->is_woken) && !refresh->must_end && status == 0)
        status = pthread_cond_timedwait(&refresh->wake, &refresh->lock, &until);
    if (may_wake)
        refresh->is_woken = false;
    bool goes_on = !refresh->must_end;
    (void)pthread_mutex_unlock(&refresh->lock);
    return goes_on;
}

static bool wait_between_tries(void *context, int64_t us)
{
    return wait_us(context, us, false);
}

static uint32_t chance(void)
{
    uint32_t value = 0;
    rd_random_bytes(&value, sizeof value);
    return value;
}

/* --- the row --- */

/* The last fetch, and how long until the next, by the server's clock. validators may be NULL. */
static int read_last(api_refresh *refresh, int64_t expires_us, int64_t *ret_wait_us, rd_buf *validators, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    if (rd_pg_call(refresh->pg, "refresh_last", &row, err) != RD_PG_SOME)
        return -1;
    api_refresh_last last = { .was_tried = !rd_pg_is_null(row, 0, 0) };
    int64_t succeeded_us = 0;
    if (last.was_tried) {
        last.tried_us = rd_pg_get_time(row, 0, 0);
        last.next_us = rd_pg_get_time(row, 0, 1);
        last.failures = rd_pg_get_i64(row, 0, 2);
        succeeded_us = rd_pg_is_null(row, 0, 3) ? 0 : rd_pg_get_time(row, 0, 3);
        if (validators)
            (void)rd_buf_append_str(validators, rd_pg_get_text(row, 0, 4));
    }
    *ret_wait_us = api_refresh_due(&last, expires_us) - rd_pg_get_time(row, 0, 5);
    (void)pthread_mutex_lock(&refresh->lock);
    refresh->last = last;
    refresh->succeeded_us = succeeded_us;
    refresh->counts = fetch_http_counts(refresh->http);
    (void)pthread_mutex_unlock(&refresh->lock);
    return 0;
}

static int record(api_refresh *refresh, const api_refresh_outcome *outcome, const char *detail, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf validators = { 0 };
    RD_CLEANUP(rd_json_free_p) json_t *json = fetch_validators_to_json(refresh->http);
    bool is_good = outcome->first.code == RD_OK;
    int64_t left_us = outcome->expires_us ? outcome->expires_us - rd_clock_wall_us(refresh->context->clock) : INT64_MAX;
    int64_t delay_us = is_good ? api_refresh_after_success(left_us, chance())
                               : api_refresh_after_failure(refresh->last.failures + 1, chance());
    rd_buf_init(&validators, FETCH_VALIDATORS_SIZE_MAX);
    if (!rd_json_dump(json, &validators))
        rd_buf_clear(&validators);
    rd_log(is_good ? RD_INFO : RD_WARN, "collateral_refreshed",
           RD_STR("code", is_good ? "" : rd_code_describe(outcome->first.code)->name), RD_STR("detail", detail),
           RD_I64("next_s", delay_us / 1000000));
    rd_pg_outcome done =
        rd_pg_call(refresh->pg, "refresh_done", NULL, err, rd_pg_i64(delay_us),
                   rd_pg_text(is_good ? "" : rd_code_describe(outcome->first.code)->name), rd_pg_text(detail),
                   rd_pg_text(refresh->source), rd_pg_text(rd_buf_text(&validators)));
    return done == RD_PG_SOME || done == RD_PG_NONE ? 0 : -1;
}

/* --- a fetch --- */

/* The set in use, from the database: this replica may not have heard of it yet. NULL when there is none. */
static int read_current(api_refresh *refresh, rd_collateral_set **ret, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    rd_err unreadable = RD_ERR_INIT;
    rd_pg_outcome outcome = rd_pg_call(refresh->pg, "collateral_current", &row, err);
    if (outcome != RD_PG_SOME && outcome != RD_PG_NONE)
        return -1;
    if (rd_pg_rows(row) > 0 && rd_collateral_set_parse(rd_pg_get_bytes(row, 0, 4), ret, &unreadable) < 0)
        rd_log(RD_WARN, "collateral_not_read", RD_ERR(&unreadable));
    return 0;
}

static void adopt(api_refresh *refresh, api_refresh_outcome *outcome)
{
    RD_CLEANUP(rd_free_p) api_adoption *a = rd_alloc(sizeof *a);
    rd_err err = RD_ERR_INIT;
    a->context = refresh->context;
    a->brought = outcome->set;
    a->source = "refresh";
    a->keeps_newer = true;
    (void)RD_FP(REFRESH_FETCHED);
    rd_pg_outcome done = rd_pg_tx(refresh->pg, NULL, api_collateral_adopt, a, &err);
    (void)RD_FP(REFRESH_ADOPTED);
    if (done != RD_PG_SOME && done != RD_PG_NONE) {
        if (outcome->first.code == RD_OK)
            outcome->first = err;
        return;
    }
    if (a->left_out > 0)
        rd_log(RD_WARN, "collateral_source_is_behind", RD_I64("pieces", a->left_out));
}

/* Under the lock. */
static int fetch_now(api_refresh *refresh, rd_bytes validators, rd_err *err)
{
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *current = NULL;
    RD_CLEANUP(rd_free_p) fetch_scopes *scopes = rd_alloc(sizeof *scopes);
    api_refresh_outcome outcome;
    rd_err ignored = RD_ERR_INIT;
    char detail[sizeof outcome.first.text];
    if (read_current(refresh, &current, err) < 0)
        return -1;
    if (current && validators.size > 0)
        (void)!fetch_validators_load(refresh->http, validators, current, &ignored);
    api_refresh_scopes(&refresh->sources, current, scopes);
    fetch_counts before = fetch_http_counts(refresh->http);
    api_refresh_fetch(refresh->context, refresh->http, &refresh->sources, scopes, current, &outcome);
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *fetched = outcome.set;
    if (must_end(refresh))
        return 0;
    if (fetched)
        adopt(refresh, &outcome);
    fetch_counts after = fetch_http_counts(refresh->http);
    (void)snprintf(detail, sizeof detail,
                   "%zu of %zu platforms, %" PRIu64 " requests, %" PRIu64 " answered as unchanged", outcome.good_count,
                   scopes->count, after.requests - before.requests, after.unchanged - before.unchanged);
    return record(refresh, &outcome, outcome.first.code == RD_OK ? detail : outcome.first.text, err);
}

static int64_t first_end(const api_refresh *refresh)
{
    RD_CLEANUP(api_collateral_drop_p)
    api_collateral_state *state = api_collateral_hold(refresh->context->collateral);
    return state ? api_refresh_first_end(&refresh->sources, &state->facts) : 0;
}

static bool has_work(const api_refresh *refresh)
{
    RD_CLEANUP(api_collateral_drop_p)
    api_collateral_state *state = api_collateral_hold(refresh->context->collateral);
    RD_CLEANUP(rd_free_p) fetch_scopes *scopes = rd_alloc(sizeof *scopes);
    api_refresh_scopes(&refresh->sources, state ? state->set : NULL, scopes);
    return scopes->count > 0;
}

/* The lock is there: the row says whether it is still due, since another replica may just have been at it. */
static int fetch_when_due(api_refresh *refresh, int64_t *ret_wait_us, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf validators = { 0 };
    int64_t expires_us = first_end(refresh);
    if (read_last(refresh, expires_us, ret_wait_us, &validators, err) < 0)
        return -1;
    if (*ret_wait_us > 0)
        return 0;
    if (fetch_now(refresh, rd_buf_bytes(&validators), err) < 0)
        return -1;
    return must_end(refresh) ? 0 : read_last(refresh, first_end(refresh), ret_wait_us, NULL, err);
}

/* Looks, fetches when it is due, and says how long to wait. */
static int turn(api_refresh *refresh, int64_t *ret_wait_us, rd_err *err)
{
    *ret_wait_us = IDLE_US;
    if (read_last(refresh, first_end(refresh), ret_wait_us, NULL, err) < 0)
        return -1;
    if (!has_work(refresh))
        *ret_wait_us = IDLE_US;
    if (*ret_wait_us > 0)
        return 0;
    /* Where another replica fetches, this waits until it is done, or dead. */
    if (rd_pg_call(refresh->pg, "refresh_lock", NULL, err) != RD_PG_SOME)
        return -1;
    int rc = fetch_when_due(refresh, ret_wait_us, err);
    rd_err lost = RD_ERR_INIT; /* with the connection the lock is gone as well */
    (void)!rd_pg_call(refresh->pg, "refresh_unlock", NULL, &lost);
    return rc;
}

static void *run(void *context)
{
    api_refresh *refresh = context;
    for (int64_t us = 0; wait_us(refresh, us, true);) {
        rd_err err = RD_ERR_INIT;
        if (turn(refresh, &us, &err) == 0) {
            refresh->away_us = 0;
            us = RD_MAX(us, 1000000); /* whatever the row says: not in a tight loop */
            continue;
        }
        if (!must_end(refresh))
            rd_log(RD_WARN, "collateral_refresh_waits", RD_ERR(&err));
        refresh->away_us = RD_MIN(RD_MAX(2 * refresh->away_us, 1000000), AWAY_MAX_US);
        us = refresh->away_us / 2 + rd_jitter_below((uint32_t)(refresh->away_us / 2));
    }
    (void)pthread_mutex_lock(&refresh->lock);
    refresh->has_ended = true;
    (void)pthread_cond_broadcast(&refresh->wake);
    (void)pthread_mutex_unlock(&refresh->lock);
    return NULL;
}

/* --- life --- */

static int start_thread(api_refresh *refresh, rd_err *err)
{
    pthread_condattr_t attributes;
    (void)pthread_mutex_init(&refresh->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&refresh->wake, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    int failure = pthread_create(&refresh->thread, NULL, run, refresh);
    return failure ? rd_err_set_errno(err, RD_E_INTERNAL, failure, "refresh thread") : 0;
}

static void free_parts(api_refresh *refresh)
{
    rd_pg_free(refresh->pg);
    fetch_http_free(refresh->http);
    free(refresh);
}

int api_refresh_start(const api_context *context, api_refresh **ret, rd_err *err)
{
    const api_config *config = context->config;
    RD_CLEANUP(rd_free_p) api_refresh *refresh = rd_alloc(sizeof *refresh);
    refresh->context = context;
    *ret = NULL;
    if (api_refresh_sources_read(config, &refresh->sources, err) < 0)
        return -1;
    if (!api_refresh_sources_any(&refresh->sources))
        return 0;
    api_refresh_sources_format(&refresh->sources, refresh->source, sizeof refresh->source);
    const fetch_http_options http = { .ca_file = config->collateral_ca,
                                      .allows_tls12 = config->collateral_tls12,
                                      .clock = context->clock,
                                      .wait = wait_between_tries,
                                      .is_stopping = must_end,
                                      .context = refresh };
    const rd_pg_stmts tables[] = { own_stmts, api_store_collateral };
    const rd_pg_options pg = { .conninfo = config->database,
                               .role = "rd_api",
                               .application_name = "redoubt-api refresh",
                               .tables = tables,
                               .table_count = RD_ARRAY_LEN(tables),
                               .lock_timeout_ms = LOCK_MS,
                               .statement_timeout_ms = LOCK_MS };
    if (fetch_http_new(&http, &refresh->http, err) < 0)
        return rd_err_wrap(err, "collateral-pcs, collateral-kds");
    refresh->pg = rd_pg_new(&pg);
    if (start_thread(refresh, err) < 0) {
        free_parts(RD_TAKE(refresh));
        return -1;
    }
    *ret = RD_TAKE(refresh);
    return 0;
}

void api_refresh_wake(api_refresh *refresh)
{
    if (!refresh)
        return;
    (void)pthread_mutex_lock(&refresh->lock);
    refresh->is_woken = true;
    (void)pthread_cond_signal(&refresh->wake);
    (void)pthread_mutex_unlock(&refresh->lock);
}

api_refresh *api_refresh_stop(api_refresh *refresh)
{
    if (!refresh)
        return NULL;
    (void)pthread_mutex_lock(&refresh->lock);
    refresh->must_end = true;
    (void)pthread_cond_broadcast(&refresh->wake);
    /* A cancel that comes just before the thread waits for the database is lost. */
    while (!refresh->has_ended) {
        struct timespec until;
        (void)pthread_mutex_unlock(&refresh->lock);
        rd_pg_cancel(refresh->pg);
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec++;
        (void)pthread_mutex_lock(&refresh->lock);
        if (!refresh->has_ended)
            (void)pthread_cond_timedwait(&refresh->wake, &refresh->lock, &until);
    }
    (void)pthread_mutex_unlock(&refresh->lock);
    (void)pthread_join(refresh->thread, NULL);
    (void)pthread_mutex_destroy(&refresh->lock);
    (void)pthread_cond_destroy(&refresh->wake);
    free_parts(refresh);
    return NULL;
}

void api_refresh_metrics(void *arg, rd_buf *out)
{
    api_refresh *refresh = arg;
    (void)pthread_mutex_lock(&refresh->lock);
    api_refresh_last last = refresh->last;
    int64_t succeeded_us = refresh->succeeded_us;
    fetch_counts counts = refresh->counts;
    (void)pthread_mutex_unlock(&refresh->lock);
    rd_buf_printf(
        out,
        "# HELP redoubt_collateral_refresh_failures Fetches of the plane that failed in a row.\n"
        "# TYPE redoubt_collateral_refresh_failures gauge\nredoubt_collateral_refresh_failures %" PRId64 "\n"
        "# HELP redoubt_collateral_refresh_timestamp_seconds The last fetch, the last that went well, the next.\n"
        "# TYPE redoubt_collateral_refresh_timestamp_seconds gauge\n"
        "redoubt_collateral_refresh_timestamp_seconds{what=\"tried\"} %" PRId64 "\n"
        "redoubt_collateral_refresh_timestamp_seconds{what=\"succeeded\"} %" PRId64 "\n"
        "redoubt_collateral_refresh_timestamp_seconds{what=\"next\"} %" PRId64 "\n"
        "# HELP redoubt_collateral_requests_total Requests of this replica to collateral services.\n"
        "# TYPE redoubt_collateral_requests_total counter\nredoubt_collateral_requests_total %" PRIu64 "\n"
        "# HELP redoubt_collateral_unchanged_total Those answered as unchanged (304).\n"
        "# TYPE redoubt_collateral_unchanged_total counter\nredoubt_collateral_unchanged_total %" PRIu64 "\n",
        last.failures, last.tried_us / 1000000, succeeded_us / 1000000, last.next_us / 1000000, counts.requests,
        counts.unchanged);
}
