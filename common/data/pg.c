#include "common/data/pg.h"

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/data/jitter.h"
#include "common/data/pg_priv.h"

#define BACKOFF_FIRST_US 50000
#define BACKOFF_MAX_US   2000000

struct rd_pg {
    rd_pg_config config;
    PGconn *conn;
    int64_t next_try_us;
    int64_t backoff_us;
    uint64_t connects;
    size_t queued;      /* statements sent to libpq since the last Sync */
    size_t leading;     /* of them, at the front, ours: BEGIN and rd_org */
    bool queued_commit; /* one of them is COMMIT */
    bool in_runner;     /* within rd_pg_tx, which rolls back by itself */
    const char *names[RD_PG_QUEUE_MAX];
    rd_pg_fault fault;
    pthread_mutex_t cancel_mutex;
    PGcancel *cancel;
};

rd_pg *rd_pg_new(const rd_pg_options *options)
{
    rd_pg *pg = rd_alloc(sizeof *pg);
    rd_pg_config_init(&pg->config, options);
    pg->backoff_us = BACKOFF_FIRST_US;
    (void)pthread_mutex_init(&pg->cancel_mutex, NULL);
    return pg;
}

void rd_pg_free(rd_pg *pg)
{
    if (!pg)
        return;
    rd_pg_close(pg);
    rd_pg_config_done(&pg->config);
    (void)pthread_mutex_destroy(&pg->cancel_mutex);
    free(pg);
}

void rd_pg_free_p(rd_pg **pg)
{
    rd_pg_free(*pg);
    *pg = NULL;
}

static void set_cancel(rd_pg *pg, PGcancel *cancel)
{
    (void)pthread_mutex_lock(&pg->cancel_mutex);
    if (pg->cancel)
        PQfreeCancel(pg->cancel);
    pg->cancel = cancel;
    (void)pthread_mutex_unlock(&pg->cancel_mutex);
}

void rd_pg_cancel(rd_pg *pg)
{
    char ignored[256];
    (void)pthread_mutex_lock(&pg->cancel_mutex);
    if (pg->cancel)
        (void)PQcancel(pg->cancel, ignored, sizeof ignored);
    (void)pthread_mutex_unlock(&pg->cancel_mutex);
}

void rd_pg_close(rd_pg *pg)
{
    set_cancel(pg, NULL);
    if (pg->conn)
        PQfinish(pg->conn);
    pg->conn = NULL;
    pg->queued = pg->leading = 0;
    pg->queued_commit = false;
}

static int away(rd_pg *pg, rd_code code, rd_err *err)
{
    /* libpq's text ends with a line feed and may have several lines; the first says it. */
    const char *text = pg->conn ? PQerrorMessage(pg->conn) : "";
    (void)rd_err_set(err, code, "database: %.*s", (int)strcspn(text, "\n"), text);
    rd_pg_close(pg);
    return -1;
}

static void ignore_notice(void *context RD_UNUSED, const PGresult *res RD_UNUSED)
{
}

/* Reads the answers of the Parse messages up to the Sync. */
static int read_prepared(rd_pg *pg, int count, rd_err *err)
{
    int failed = 0;
    for (int i = 0; i < count; i++) {
        PGresult *res = PQgetResult(pg->conn);
        ExecStatusType status = res ? PQresultStatus(res) : PGRES_FATAL_ERROR;
        if (!failed && status != PGRES_COMMAND_OK) {
            failed = 1;
            (void)rd_err_set(err, RD_E_CONFIG, "database: a statement does not prepare: %s",
                             res ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : "no answer");
        }
        PQclear(res);
        PQclear(PQgetResult(pg->conn)); /* the NULL between statements */
        if (PQstatus(pg->conn) != CONNECTION_OK)
            return away(pg, RD_E_UNAVAILABLE, err);
    }
    PQclear(PQgetResult(pg->conn)); /* the Sync */
    if (failed)
        rd_pg_close(pg);
    return failed ? -1 : 0;
}

static int open_session(rd_pg *pg, rd_err *err)
{
    const char *keywords[RD_PG_KEYWORDS];
    const char *values[RD_PG_KEYWORDS];
    rd_pg_config_params(&pg->config, keywords, values);
    pg->conn = PQconnectdbParams(keywords, values, 1);
    if (!pg->conn || PQstatus(pg->conn) != CONNECTION_OK)
        return away(pg, RD_E_UNAVAILABLE, err);
    (void)PQsetNoticeReceiver(pg->conn, ignore_notice, NULL);
    if (!PQenterPipelineMode(pg->conn))
        return away(pg, RD_E_INTERNAL, err);
    int count = rd_pg_config_prepare(&pg->config, pg->conn);
    if (count < 0 || !PQpipelineSync(pg->conn))
        return away(pg, RD_E_UNAVAILABLE, err);
    return read_prepared(pg, count, err);
}

/* The server may have gone while we were idle: a readable idle socket says so without a round trip. */
static bool is_stale(rd_pg *pg)
{
    struct pollfd fd = { .fd = PQsocket(pg->conn), .events = POLLIN };
    if (poll(&fd, 1, 0) <= 0)
        return false;
    return !PQconsumeInput(pg->conn) || PQstatus(pg->conn) != CONNECTION_OK;
}

int rd_pg_connect(rd_pg *pg, rd_err *err)
{
    if (pg->conn && PQstatus(pg->conn) == CONNECTION_OK) {
        bool is_idle = pg->queued == 0 && PQtransactionStatus(pg->conn) == PQTRANS_IDLE;
        if (!is_idle || !is_stale(pg))
            return 0;
    }
    rd_pg_close(pg);
    int64_t now_us = rd_clock_boot_us(rd_clock_system());
    if (now_us < pg->next_try_us)
        return rd_err_set(err, RD_E_UNAVAILABLE, "database: away, next attempt in %lld ms",
                          (long long)((pg->next_try_us - now_us) / 1000 + 1));
    if (open_session(pg, err) < 0) {
        pg->next_try_us =
            rd_clock_boot_us(rd_clock_system()) + pg->backoff_us / 2 + rd_jitter_below((uint32_t)pg->backoff_us);
        pg->backoff_us = RD_MIN(pg->backoff_us * 2, BACKOFF_MAX_US);
        return -1;
    }
    pg->backoff_us = BACKOFF_FIRST_US;
    pg->next_try_us = 0;
    pg->connects++;
    set_cancel(pg, PQgetCancel(pg->conn));
    return 0;
}

bool rd_pg_is_connected(const rd_pg *pg)
{
    return pg->conn && PQstatus(pg->conn) == CONNECTION_OK;
}

int64_t rd_pg_next_try_us(const rd_pg *pg)
{
    return pg->next_try_us;
}

uint64_t rd_pg_connects(const rd_pg *pg)
{
    return pg->connects;
}

int rd_pg_backend_pid(const rd_pg *pg)
{
    return pg->conn ? PQbackendPID(pg->conn) : 0;
}

const char *rd_pg_sqlstate(const rd_pg *pg)
{
    return pg->fault.sqlstate;
}

const char *rd_pg_constraint(const rd_pg *pg)
{
    return pg->fault.constraint;
}

int rd_pg_queue(rd_pg *pg, const char *stmt, const rd_pg_value *args, size_t arg_count, rd_err *err)
{
    assert(pg->queued < RD_PG_QUEUE_MAX);
    /* Within a transaction a lost connection is not mended here: the transaction went with it. */
    if (pg->in_runner || pg->queued) {
        if (!rd_pg_is_connected(pg))
            return rd_err_set(err, RD_E_UNAVAILABLE, "database: connection lost");
    } else if (rd_pg_connect(pg, err) < 0) {
        return -1;
    }
    if (!rd_pg_send_prepared(pg->conn, stmt, args, arg_count)) {
        (void)away(pg, RD_E_UNAVAILABLE, err);
        return rd_err_wrap(err, "%s", stmt);
    }
    pg->names[pg->queued++] = stmt;
    pg->queued_commit |= strcmp(stmt, RD_PG_COMMIT) == 0;
    return 0;
}

int rd_pg_set_org(rd_pg *pg, const uint8_t org[16], rd_err *err)
{
    return rd_pg_push(pg, "rd_org", err, rd_pg_uuid(org));
}

typedef struct flush_state {
    rd_pg_outcome outcome;
    bool was_lost;
} flush_state;

/* Reads the answer of statement i; hands it out through *ret or drops it. */
static void read_answer(rd_pg *pg, size_t i, flush_state *state, rd_pg_result **ret, rd_err *err)
{
    PGresult *res = PQgetResult(pg->conn);
    if (!res) {
        state->was_lost = true;
        return;
    }
    ExecStatusType status = PQresultStatus(res);
    bool is_commit = strcmp(pg->names[i], RD_PG_COMMIT) == 0;
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
        if (is_commit && strcmp(PQcmdStatus(res), "COMMIT") != 0 && state->outcome == RD_PG_SOME) {
            (void)rd_err_set(err, RD_E_INTERNAL, "database: the transaction had failed before its commit");
            state->outcome = RD_PG_FAILED;
        }
        if (ret)
            *ret = rd_pg_result_new(RD_TAKE(res));
    } else if (status != PGRES_PIPELINE_ABORTED && state->outcome == RD_PG_SOME) {
        rd_pg_outcome refusal = rd_pg_fault_of(res, pg->names[i], &pg->fault, err);
        bool is_gone = PQstatus(pg->conn) != CONNECTION_OK;
        /* Without an SQLSTATE it is libpq that lost the server: what the later statements did is open. */
        if (!pg->fault.sqlstate[0] && is_gone)
            state->was_lost = true;
        else
            state->outcome = is_commit && is_gone ? RD_PG_UNKNOWN : refusal;
    }
    PQclear(res);
    PQclear(PQgetResult(pg->conn)); /* the NULL between statements */
    if (PQstatus(pg->conn) != CONNECTION_OK)
        state->was_lost = true;
}

static void free_results(rd_pg_result **results, size_t count)
{
    for (size_t i = 0; results && i < count; i++)
        rd_pg_result_free_p(&results[i]);
}

static rd_pg_outcome lost(rd_pg *pg, flush_state *state, bool was_in_transaction, rd_err *err)
{
    bool had_commit = pg->queued_commit;
    rd_err ignored = RD_ERR_INIT;
    (void)away(pg, RD_E_UNAVAILABLE, state->outcome == RD_PG_SOME ? err : &ignored);
    if (state->outcome == RD_PG_FAILED || state->outcome == RD_PG_RETRY)
        return state->outcome;
    /* Without COMMIT in this write an open transaction is certainly gone. */
    return had_commit || !was_in_transaction ? RD_PG_UNKNOWN : RD_PG_RETRY;
}

static void roll_back(rd_pg *pg)
{
    rd_err ignored = RD_ERR_INIT;
    if (rd_pg_push(pg, RD_PG_ROLLBACK, &ignored) == 0)
        (void)!rd_pg_flush(pg, NULL, 0, &ignored);
}

rd_pg_outcome rd_pg_flush(rd_pg *pg, rd_pg_result **results, size_t count, rd_err *err)
{
    assert(!results || count == pg->queued - pg->leading);
    for (size_t i = 0; results && i < count; i++)
        results[i] = NULL;
    if (!rd_pg_is_connected(pg)) {
        (void)rd_err_set(err, RD_E_UNAVAILABLE, "database: connection lost");
        return RD_PG_RETRY;
    }
    flush_state state = { .outcome = RD_PG_SOME };
    bool in_transaction = pg->in_runner || (pg->queued && strcmp(pg->names[0], RD_PG_BEGIN) == 0) ||
                          PQtransactionStatus(pg->conn) == PQTRANS_INTRANS;
    pg->fault = (rd_pg_fault){ "", "" };
    if (!PQpipelineSync(pg->conn))
        state.was_lost = true;
    for (size_t i = 0; i < pg->queued && !state.was_lost; i++)
        read_answer(pg, i, &state, results && i >= pg->leading ? &results[i - pg->leading] : NULL, err);
    if (!state.was_lost) {
        PQclear(PQgetResult(pg->conn)); /* the Sync */
        state.was_lost = PQstatus(pg->conn) != CONNECTION_OK && state.outcome != RD_PG_SOME;
    }
    if (state.was_lost)
        state.outcome = lost(pg, &state, in_transaction, err);
    pg->queued = pg->leading = 0;
    pg->queued_commit = false;
    if (state.outcome != RD_PG_SOME) {
        free_results(results, count);
        if (!pg->in_runner && pg->conn && PQtransactionStatus(pg->conn) == PQTRANS_INERROR) {
            rd_pg_fault fault = pg->fault;
            roll_back(pg);
            pg->fault = fault;
        }
    }
    return state.outcome;
}

rd_pg_outcome rd_pg_run(rd_pg *pg, const char *stmt, const rd_pg_value *args, size_t arg_count, rd_pg_result **ret,
                        rd_err *err)
{
    size_t before = pg->queued - pg->leading;
    assert(before == 0 && "flush what is queued first");
    if (rd_pg_queue(pg, stmt, args, arg_count, err) < 0)
        return RD_PG_RETRY;
    rd_pg_result *result = NULL;
    rd_pg_outcome outcome = rd_pg_flush(pg, &result, 1, err);
    if (outcome != RD_PG_SOME)
        return outcome;
    bool is_some = rd_pg_rows(result) > 0 || rd_pg_affected(result) > 0;
    if (ret)
        *ret = RD_TAKE(result);
    rd_pg_result_free(result);
    return is_some ? RD_PG_SOME : RD_PG_NONE;
}

/* One try: everything from BEGIN to COMMIT or ROLLBACK. */
static rd_pg_outcome try_once(rd_pg *pg, const uint8_t org[16], rd_pg_tx_fn work, void *context, rd_err *err)
{
    if (rd_pg_connect(pg, err) < 0)
        return err->code == RD_E_CONFIG ? RD_PG_FAILED : RD_PG_RETRY;
    pg->in_runner = true;
    if (rd_pg_push(pg, RD_PG_BEGIN, err) < 0 || (org && rd_pg_set_org(pg, org, err) < 0)) {
        pg->in_runner = false;
        return RD_PG_RETRY;
    }
    pg->leading = pg->queued;
    rd_pg_outcome outcome = work(pg, context, err);
    if (outcome == RD_PG_SOME || outcome == RD_PG_NONE) {
        rd_pg_outcome end = rd_pg_push(pg, RD_PG_COMMIT, err) < 0 ? RD_PG_RETRY : rd_pg_flush(pg, NULL, 0, err);
        if (end != RD_PG_SOME)
            outcome = end;
    }
    rd_pg_fault fault = pg->fault;
    if (outcome != RD_PG_SOME && outcome != RD_PG_NONE && rd_pg_is_connected(pg))
        roll_back(pg);
    pg->fault = fault;
    pg->in_runner = false;
    return outcome;
}

static void pause_us(int64_t us)
{
    struct timespec wait = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };
    (void)nanosleep(&wait, NULL);
}

rd_pg_outcome rd_pg_tx(rd_pg *pg, const uint8_t org[16], rd_pg_tx_fn work, void *context, rd_err *err)
{
    assert(!pg->in_runner && pg->queued == 0);
    rd_err last = RD_ERR_INIT;
    for (int tries = 1;; tries++) {
        rd_pg_outcome outcome = try_once(pg, org, work, context, &last);
        if (outcome == RD_PG_SOME || outcome == RD_PG_NONE)
            return outcome;
        if (outcome != RD_PG_RETRY || tries == RD_PG_TRIES_MAX) {
            if (err)
                *err = last;
            if (outcome != RD_PG_RETRY)
                return outcome;
            (void)rd_err_wrap(err, "after %d tries", tries);
            return RD_PG_FAILED;
        }
        pause_us(rd_pg_jitter_us(tries));
    }
}
