#include "common/data/pg_async.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/data/jitter.h"
#include "common/data/pg_batch.h"
#include "common/data/pg_priv.h"

#define BATCHES_MAX_STANDARD 256
#define BACKOFF_FIRST_MS     50
#define BACKOFF_MAX_MS       2000
/* The server ends statements after 10 s by itself; a peer that says nothing for longer is gone. */
#define SILENCE_MAX_MS 20000

/* away: no connection, the timer brings it back. connecting: libpq's handshake. preparing: statements are being parsed.
 * ready: nothing under way. busy: a batch is under way. rolling_back: a failed batch's transaction is being ended.
 * pausing: a failed batch waits a little before it is tried again. */
typedef enum conn_state { AWAY, CONNECTING, PREPARING, READY, BUSY, ROLLING_BACK, PAUSING } conn_state;

struct rd_pg_async {
    uv_loop_t *loop;
    rd_pg_config config;
    size_t batches_max;
    void (*on_state)(void *context, bool is_connected);
    void *context;

    conn_state state;
    PGconn *conn;
    uv_poll_t *poll; /* of the connection's socket; NULL without one */
    int poll_fd;
    uv_timer_t timer;
    uint64_t backoff_ms;
    bool is_closing;
    void (*on_closed)(void *context);
    void *closed_context;

    rd_pg_batch *head, *tail; /* waiting; head is also the one under way */
    size_t pending;
    int answered; /* statements answered so far, BEGIN and org included */
    rd_pg_result *results[RD_PG_QUEUE_MAX];
    size_t result_count;
    bool has_fault;
    size_t fault_index;
    rd_pg_outcome fault_outcome;
    bool is_committed;
    rd_err err;
};

static void on_timer(uv_timer_t *timer);
static void on_ready(uv_poll_t *poll, int status, int events);
static void start_next(rd_pg_async *pg);

static void set_timer(rd_pg_async *pg, uint64_t ms)
{
    (void)uv_timer_start(&pg->timer, on_timer, ms, 0);
}

/* --- the socket --- */

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle);
}

static void drop_poll(rd_pg_async *pg)
{
    if (!pg->poll)
        return;
    (void)uv_poll_stop(pg->poll);
    uv_close((uv_handle_t *)pg->poll, on_poll_closed);
    pg->poll = NULL;
}

/* Watches libpq's present socket; it may change while connecting. */
static bool watch(rd_pg_async *pg, bool want_write)
{
    int fd = PQsocket(pg->conn);
    if (pg->poll && pg->poll_fd != fd)
        drop_poll(pg);
    if (!pg->poll) {
        if (fd < 0)
            return false;
        pg->poll = rd_alloc(sizeof *pg->poll);
        if (uv_poll_init(pg->loop, pg->poll, fd) < 0) {
            free(pg->poll);
            pg->poll = NULL;
            return false;
        }
        pg->poll->data = pg;
        pg->poll_fd = fd;
    }
    return uv_poll_start(pg->poll, UV_READABLE | (want_write ? UV_WRITABLE : 0), on_ready) == 0;
}

/* --- the end of a batch --- */

static void free_results(rd_pg_result **results, size_t *count)
{
    for (size_t i = 0; i < *count; i++)
        rd_pg_result_free(results[i]);
    *count = 0;
}

/* Takes the head off the queue and calls back. The callback may submit, which may start the next batch at once, or
 * close the whole client: what this batch needs is taken out first. */
static void finish_head(rd_pg_async *pg, rd_pg_outcome outcome)
{
    rd_pg_batch *batch = pg->head;
    rd_pg_result *results[RD_PG_QUEUE_MAX];
    size_t count = pg->result_count;
    memcpy(results, pg->results, count * sizeof(rd_pg_result *));
    pg->result_count = 0;
    rd_err err = pg->err;
    size_t failed = outcome == RD_PG_SOME ? 0 : pg->fault_index;
    pg->head = batch->next;
    if (!pg->head)
        pg->tail = NULL;
    pg->pending--;
    batch->done(batch->context, outcome, results, outcome == RD_PG_SOME ? count : 0, failed, &err);
    free_results(results, &count);
    rd_pg_batch_free(batch);
}

static void lose_connection(rd_pg_async *pg)
{
    bool was_connected = pg->state >= READY;
    bool was_sent = pg->state == BUSY;
    bool was_failed = pg->state == ROLLING_BACK;
    drop_poll(pg);
    PQfinish(pg->conn);
    pg->conn = NULL;
    pg->state = AWAY;
    if (pg->is_closing)
        return;
    set_timer(pg, pg->backoff_ms / 2 + rd_jitter_below((uint32_t)pg->backoff_ms));
    pg->backoff_ms = RD_MIN(pg->backoff_ms * 2, (uint64_t)BACKOFF_MAX_MS);
    if (was_connected && pg->on_state)
        pg->on_state(pg->context, false);
    if (was_failed && !pg->is_closing)
        finish_head(pg, pg->fault_outcome); /* its transaction ended with the connection */
    if (was_sent && !pg->is_closing) {
        (void)rd_err_set(&pg->err, RD_E_UNAVAILABLE,
                         "database: the connection broke while a transaction was under way");
        pg->fault_index = 0;
        finish_head(pg, RD_PG_UNKNOWN);
    }
}

/* --- connecting --- */

static void begin_connect(rd_pg_async *pg)
{
    const char *keywords[RD_PG_KEYWORDS];
    const char *values[RD_PG_KEYWORDS];
    rd_pg_config_params(&pg->config, keywords, values);
    pg->conn = PQconnectStartParams(keywords, values, 1);
    pg->state = CONNECTING;
    set_timer(pg, SILENCE_MAX_MS);
    if (!pg->conn || PQstatus(pg->conn) == CONNECTION_BAD || !watch(pg, true))
        lose_connection(pg);
}

static bool flush(rd_pg_async *pg)
{
    int left = PQflush(pg->conn);
    return left >= 0 && watch(pg, left > 0);
}

static void begin_prepare(rd_pg_async *pg)
{
    pg->state = PREPARING;
    pg->has_fault = false;
    pg->answered = 0;
    bool is_ok = PQsetnonblocking(pg->conn, 1) == 0 && PQenterPipelineMode(pg->conn) == 1;
    int count = is_ok ? rd_pg_config_prepare(&pg->config, pg->conn) : -1;
    if (count < 0 || PQpipelineSync(pg->conn) != 1 || !flush(pg))
        lose_connection(pg);
}

static void go_on_connecting(rd_pg_async *pg)
{
    switch (PQconnectPoll(pg->conn)) {
    case PGRES_POLLING_READING:
        if (!watch(pg, false))
            lose_connection(pg);
        break;
    case PGRES_POLLING_WRITING:
        if (!watch(pg, true))
            lose_connection(pg);
        break;
    case PGRES_POLLING_OK:
        begin_prepare(pg);
        break;
    default:
        lose_connection(pg);
        break;
    }
}

/* --- a batch --- */

static bool send_batch(rd_pg_async *pg, const rd_pg_batch *batch)
{
    if (!rd_pg_send_prepared(pg->conn, RD_PG_BEGIN, NULL, 0))
        return false;
    rd_pg_value org = rd_pg_uuid(batch->org);
    if (batch->has_org && !rd_pg_send_prepared(pg->conn, "rd_org", &org, 1))
        return false;
    for (size_t i = 0; i < batch->count; i++)
        if (!rd_pg_send_prepared(pg->conn, batch->items[i].stmt, batch->items[i].values, batch->items[i].count))
            return false;
    return rd_pg_send_prepared(pg->conn, RD_PG_COMMIT, NULL, 0) && PQpipelineSync(pg->conn) == 1;
}

static void start_next(rd_pg_async *pg)
{
    if (pg->is_closing || pg->state != READY || !pg->head)
        return;
    pg->state = BUSY;
    pg->answered = 0;
    pg->result_count = 0;
    pg->has_fault = false;
    pg->is_committed = false;
    pg->err = (rd_err)RD_ERR_INIT;
    set_timer(pg, SILENCE_MAX_MS);
    if (!send_batch(pg, pg->head) || !flush(pg))
        lose_connection(pg);
}

static void roll_back(rd_pg_async *pg)
{
    pg->state = ROLLING_BACK;
    if (!rd_pg_send_prepared(pg->conn, RD_PG_ROLLBACK, NULL, 0) || PQpipelineSync(pg->conn) != 1 || !flush(pg))
        lose_connection(pg);
}

/* Which statement of the batch an answer belongs to; -1 for BEGIN, org and COMMIT. */
static int item_of(const rd_pg_async *pg)
{
    int index = pg->answered - 1 - (pg->head->has_org ? 1 : 0);
    return index >= 0 && (size_t)index < pg->head->count ? index : -1;
}

static void take_batch_result(rd_pg_async *pg, PGresult *res)
{
    int item = item_of(pg);
    pg->answered++; /* every statement has exactly one answer */
    ExecStatusType status = PQresultStatus(res);
    if (status == PGRES_FATAL_ERROR && !pg->has_fault) {
        rd_pg_fault fault;
        pg->has_fault = true;
        pg->fault_index = item < 0 ? pg->head->count : (size_t)item;
        pg->fault_outcome =
            rd_pg_fault_of(res, item < 0 ? "transaction" : pg->head->items[item].stmt, &fault, &pg->err);
    }
    if (item < 0 && status == PGRES_COMMAND_OK && strcmp(PQcmdStatus(res), "COMMIT") == 0)
        pg->is_committed = true;
    if (item >= 0 && (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK))
        pg->results[pg->result_count++] = rd_pg_result_new(res);
    else
        PQclear(res);
}

/* The sync after a batch: it is committed, or its transaction has to be ended. */
static void end_batch(rd_pg_async *pg)
{
    if (!pg->has_fault && pg->is_committed && pg->result_count == pg->head->count) {
        pg->state = READY;
        finish_head(pg, RD_PG_SOME);
        start_next(pg);
        return;
    }
    free_results(pg->results, &pg->result_count);
    if (!pg->has_fault) {
        pg->fault_outcome = RD_PG_FAILED;
        pg->fault_index = pg->head->count;
        (void)rd_err_set(&pg->err, RD_E_INTERNAL, "database: the transaction was not committed");
    }
    roll_back(pg);
}

static void end_roll_back(rd_pg_async *pg)
{
    if (pg->fault_outcome == RD_PG_RETRY && ++pg->head->tries < RD_PG_TRIES_MAX) {
        pg->state = PAUSING;
        set_timer(pg, (uint64_t)(rd_pg_jitter_us(pg->head->tries) / 1000) + 1);
        return;
    }
    pg->state = READY;
    finish_head(pg, pg->fault_outcome);
    start_next(pg);
}

static void end_prepare(rd_pg_async *pg)
{
    if (pg->has_fault) {
        lose_connection(pg);
        return;
    }
    pg->state = READY;
    pg->backoff_ms = BACKOFF_FIRST_MS;
    (void)uv_timer_stop(&pg->timer);
    if (pg->on_state)
        pg->on_state(pg->context, true);
    start_next(pg);
}

static void take_sync(rd_pg_async *pg)
{
    if (pg->state == BUSY)
        end_batch(pg);
    else if (pg->state == ROLLING_BACK)
        end_roll_back(pg);
    else if (pg->state == PREPARING)
        end_prepare(pg);
}

static void take_result(rd_pg_async *pg, PGresult *res)
{
    if (PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
        PQclear(res);
        if (pg->state != CONNECTING && pg->state != AWAY)
            take_sync(pg);
        return;
    }
    if (pg->state == BUSY) {
        take_batch_result(pg, res);
        return;
    }
    pg->has_fault |= pg->state == PREPARING && PQresultStatus(res) != PGRES_COMMAND_OK;
    PQclear(res);
}

/* Everything that has arrived. A NULL ends one statement's answer; two in a row end what is there. */
static void read_answers(rd_pg_async *pg)
{
    for (int nulls = 0; pg->conn && !pg->is_closing && nulls < 2 && !PQisBusy(pg->conn);) {
        PGresult *res = PQgetResult(pg->conn);
        if (!res) {
            nulls++;
            continue;
        }
        nulls = PQresultStatus(res) == PGRES_PIPELINE_SYNC ? 1 : 0;
        take_result(pg, res);
    }
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    rd_pg_async *pg = poll->data;
    if (pg->poll != poll)
        return;
    if (pg->state == CONNECTING) {
        go_on_connecting(pg);
        return;
    }
    if (status < 0 || ((events & UV_WRITABLE) && !flush(pg)) || !PQconsumeInput(pg->conn)) {
        lose_connection(pg);
        return;
    }
    read_answers(pg);
    if (pg->conn && !pg->is_closing && PQstatus(pg->conn) == CONNECTION_BAD)
        lose_connection(pg);
    else if (pg->conn && !pg->is_closing && pg->state == READY && !pg->head)
        (void)uv_timer_stop(&pg->timer);
}

static void on_timer(uv_timer_t *timer)
{
    rd_pg_async *pg = timer->data;
    switch (pg->state) {
    case AWAY:
        begin_connect(pg);
        break;
    case PAUSING:
        pg->state = READY;
        start_next(pg);
        break;
    case READY:
        break;
    default:
        lose_connection(pg); /* silent for too long */
        break;
    }
}

/* --- for callers --- */

rd_pg_async *rd_pg_async_new(uv_loop_t *loop, const rd_pg_async_options *options)
{
    rd_pg_async *pg = rd_alloc(sizeof *pg);
    pg->loop = loop;
    pg->batches_max = options->batches_max ? options->batches_max : BATCHES_MAX_STANDARD;
    pg->on_state = options->on_state;
    pg->context = options->context;
    pg->backoff_ms = BACKOFF_FIRST_MS;
    rd_pg_config_init(&pg->config, &options->pg);
    (void)uv_timer_init(loop, &pg->timer);
    pg->timer.data = pg;
    set_timer(pg, 0);
    return pg;
}

static void on_timer_closed(uv_handle_t *handle)
{
    rd_pg_async *pg = handle->data;
    void (*on_closed)(void *) = pg->on_closed;
    void *context = pg->closed_context;
    rd_pg_config_done(&pg->config);
    free(pg);
    if (on_closed)
        on_closed(context);
}

void rd_pg_async_close(rd_pg_async *pg, void (*on_closed)(void *context), void *context)
{
    assert(!pg->is_closing);
    pg->is_closing = true;
    pg->on_closed = on_closed;
    pg->closed_context = context;
    drop_poll(pg);
    PQfinish(pg->conn);
    pg->conn = NULL;
    free_results(pg->results, &pg->result_count);
    (void)rd_err_set(&pg->err, RD_E_CANCELLED, "database: the client is closing");
    pg->fault_index = 0;
    while (pg->head)
        finish_head(pg, RD_PG_FAILED);
    uv_close((uv_handle_t *)&pg->timer, on_timer_closed);
}

bool rd_pg_async_is_connected(const rd_pg_async *pg)
{
    return pg->state >= READY;
}

size_t rd_pg_async_pending(const rd_pg_async *pg)
{
    return pg->pending;
}

int rd_pg_async_submit(rd_pg_async *pg, rd_pg_batch *batch, rd_pg_batch_fn done, void *context, rd_err *err)
{
    if (pg->is_closing || pg->pending >= pg->batches_max) {
        rd_pg_batch_free(batch);
        return rd_err_set(err, RD_E_UNAVAILABLE, "database: %zu transactions are waiting already", pg->batches_max);
    }
    batch->done = done;
    batch->context = context;
    if (pg->tail)
        pg->tail->next = batch;
    else
        pg->head = batch;
    pg->tail = batch;
    pg->pending++;
    start_next(pg);
    return 0;
}
