/* pg: one synchronous PostgreSQL connection for a worker thread; prepared statements, pipelined transactions.
 * Used by API handlers and by the scheduler's committer. Not thread-safe: one connection, one thread.
 * Builds no SQL: statements stand in tables of their stores and are prepared on connect. */
#ifndef RD_DATA_PG_H
#define RD_DATA_PG_H

#include "common/base/err.h"
#include "common/data/pg_result.h"
#include "common/data/pg_value.h"

/* Outcomes. FAILED is not to be repeated as it is; RETRY may be (serialisation, deadlock, lock timeout, connection lost
 * before COMMIT was sent); UNKNOWN: the connection broke while COMMIT was under way, look before you repeat. */
typedef enum rd_pg_outcome {
    RD_PG_FAILED = -1,
    RD_PG_NONE = 0,
    RD_PG_SOME = 1,
    RD_PG_RETRY = 2,
    RD_PG_UNKNOWN = 3
} rd_pg_outcome;

typedef struct rd_pg rd_pg;

typedef struct rd_pg_options {
    const char *conninfo;         /* libpq keywords or URI; contains the role to log in as */
    const char *role;             /* user when conninfo has none that counts: overrides; may be NULL */
    const char *application_name; /* may be NULL */
    const rd_pg_stmts *tables;    /* prepared on every connect; the statements are static */
    size_t table_count;
    int lock_timeout_ms;      /* 0: 2000 */
    int statement_timeout_ms; /* 0: 10000 */
    int idle_timeout_ms;      /* idle in transaction; 0: 2000 */
    int connect_timeout_s;    /* 0: 5 */
} rd_pg_options;

/* Makes the object without connecting; the first use connects, and every use after a loss reconnects (with a back-off
 * of 50 ms doubling to 2 s between attempts: within the back-off a use fails at once with UNAVAILABLE). */
rd_pg *rd_pg_new(const rd_pg_options *options);
void rd_pg_free(rd_pg *pg);
void rd_pg_free_p(rd_pg **pg);

/* Connects when not connected. -1 with UNAVAILABLE (server away) or CONFIG (login refused, a statement does not
 * prepare: the schema is not of this version). */
int rd_pg_connect(rd_pg *pg, rd_err *err) RD_NODISCARD;
bool rd_pg_is_connected(const rd_pg *pg);
/* When rd_pg_connect may try again after it failed, on the clock of rd_clock_boot_us; 0: at once. */
int64_t rd_pg_next_try_us(const rd_pg *pg);
/* Closes; the next use connects again. */
void rd_pg_close(rd_pg *pg);
/* Counts connects since rd_pg_new, so that a caller sees that session state is new. */
uint64_t rd_pg_connects(const rd_pg *pg);
/* Server process of this session, 0 when not connected. */
int rd_pg_backend_pid(const rd_pg *pg);
/* Ends a wait of the owning thread in this connection from another thread (cancel request); for shutdown. */
void rd_pg_cancel(rd_pg *pg);

/* One statement, in the open transaction or on its own. NONE: no row returned or changed; SOME: at least one.
 * *ret (may be NULL) gets the result for SOME and NONE. Errors: see rd_pg_code_of_sqlstate. */
rd_pg_outcome rd_pg_run(rd_pg *pg, const char *stmt, const rd_pg_value *args, size_t arg_count, rd_pg_result **ret,
                        rd_err *err) RD_NODISCARD;

/* rd_pg_call(pg, "app_get", &res, err, rd_pg_bytes(app), rd_pg_i64(gen)) */
#define rd_pg_call(pg, stmt, ret, err, ...)                                                                            \
    rd_pg_run((pg), (stmt), (const rd_pg_value[]){ rd_pg_null(), ##__VA_ARGS__ } + 1,                                  \
              sizeof((const rd_pg_value[]){ rd_pg_null(), ##__VA_ARGS__ }) / sizeof(rd_pg_value) - 1, (ret), (err))

/* Queues a statement without waiting: all queued ones travel in one write with one Sync. At most RD_PG_QUEUE_MAX.
 * Outside a transaction they form one implicit transaction. */
#define RD_PG_QUEUE_MAX 256
int rd_pg_queue(rd_pg *pg, const char *stmt, const rd_pg_value *args, size_t arg_count, rd_err *err) RD_NODISCARD;
#define rd_pg_push(pg, stmt, err, ...)                                                                                 \
    rd_pg_queue((pg), (stmt), (const rd_pg_value[]){ rd_pg_null(), ##__VA_ARGS__ } + 1,                                \
                sizeof((const rd_pg_value[]){ rd_pg_null(), ##__VA_ARGS__ }) / sizeof(rd_pg_value) - 1, (err))
/* Sends what is queued and reads the answers in order into results (count as queued; the caller frees; NULL array
 * drops them). The first failure decides the outcome and the rest did not run. SOME when all went well. */
rd_pg_outcome rd_pg_flush(rd_pg *pg, rd_pg_result **results, size_t count, rd_err *err) RD_NODISCARD;

/* The work of a transaction: SQL and nothing else, as it may run several times. Returns SOME or NONE to commit, FAILED
 * (error set) to roll back, RETRY (as got from a statement) to roll back and try again. Statements still queued on
 * return travel in one write with COMMIT. */
typedef rd_pg_outcome (*rd_pg_tx_fn)(rd_pg *pg, void *context, rd_err *err);

/* Runs a transaction (READ COMMITTED): BEGIN and, when org is not NULL, set_config('rd.org', org, true) go out with
 * the first statement. RETRY outcomes are repeated with jitter, at most 5 tries in all; then FAILED with UNAVAILABLE.
 * Returns what the callback returned, FAILED, or UNKNOWN. */
rd_pg_outcome rd_pg_tx(rd_pg *pg, const uint8_t org[16], rd_pg_tx_fn work, void *context, rd_err *err) RD_NODISCARD;

/* Within a transaction: rows of this organisation from here on. Queued. */
int rd_pg_set_org(rd_pg *pg, const uint8_t org[16], rd_err *err) RD_NODISCARD;

/* For whoever lays out a whole transaction by hand (the committer): queue "rd_begin", statements, "rd_commit", flush.
 * Those names, "rd_rollback" and "rd_org" ($1: uuid as text) are prepared on every connection. */
#define RD_PG_BEGIN    "rd_begin"
#define RD_PG_COMMIT   "rd_commit"
#define RD_PG_ROLLBACK "rd_rollback"

/* SQLSTATE of the last failed statement, "" when it was not the server's. */
const char *rd_pg_sqlstate(const rd_pg *pg);
/* Name of the constraint that the last failed statement broke, or "". */
const char *rd_pg_constraint(const rd_pg *pg);
/* The error code of an SQLSTATE: RD001 FENCED, RD002 and 23xxx DB_CONFLICT, 40001 40P01 55P03 57014 UNAVAILABLE,
 * 53* UNAVAILABLE, 57P* UNAVAILABLE, 08* UNAVAILABLE, others INTERNAL. */
rd_code rd_pg_code_of_sqlstate(const char *sqlstate);
/* 40001, 40P01, 55P03. */
bool rd_pg_is_retryable(const char *sqlstate);

#endif
