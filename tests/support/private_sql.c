#include "tests/support/private_sql.h"

#include <libpq-fe.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct private_sql {
    PGconn *conn;
    char text[4096]; /* of the last answer */
};

static void ignore_notice(void *context, const PGresult *res)
{
    (void)context;
    (void)res;
}

private_sql *private_sql_open(const char *conninfo)
{
    private_sql *sql = calloc(1, sizeof *sql);
    sql->conn = PQconnectdb(conninfo);
    if (PQstatus(sql->conn) != CONNECTION_OK) {
        (void)fprintf(stderr, "private_sql: %s", PQerrorMessage(sql->conn));
        abort();
    }
    (void)PQsetNoticeReceiver(sql->conn, ignore_notice, NULL);
    return sql;
}

void private_sql_close(private_sql *sql)
{
    if (!sql)
        return;
    PQfinish(sql->conn);
    free(sql);
}

static PGresult *run(private_sql *sql, const char *fmt, va_list args)
{
    char *text = NULL;
    if (vasprintf(&text, fmt, args) < 0)
        abort();
    PGresult *res = PQexec(sql->conn, text);
    free(text);
    return res;
}

static bool is_good(const PGresult *res)
{
    ExecStatusType status = PQresultStatus(res);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY;
}

static void demand(private_sql *sql, PGresult *res, const char *fmt)
{
    if (is_good(res))
        return;
    (void)fprintf(stderr, "private_sql: %s in: %.200s\n", PQerrorMessage(sql->conn), fmt);
    abort();
}

void private_sql_run(private_sql *sql, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    PGresult *res = run(sql, fmt, args);
    va_end(args);
    demand(sql, res, fmt);
    PQclear(res);
}

const char *private_sql_state(private_sql *sql, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    PGresult *res = run(sql, fmt, args);
    va_end(args);
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    (void)snprintf(sql->text, sizeof sql->text, "%s", is_good(res) ? "00000" : state ? state : "lost");
    PQclear(res);
    if (PQtransactionStatus(sql->conn) != PQTRANS_IDLE)
        PQclear(PQexec(sql->conn, "ROLLBACK"));
    return sql->text;
}

static void read_text(private_sql *sql, const char *fmt, va_list args)
{
    PGresult *res = run(sql, fmt, args);
    demand(sql, res, fmt);
    bool has = PQntuples(res) > 0 && !PQgetisnull(res, 0, 0);
    (void)snprintf(sql->text, sizeof sql->text, "%s", has ? PQgetvalue(res, 0, 0) : "");
    PQclear(res);
}

long long private_sql_number(private_sql *sql, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    read_text(sql, fmt, args);
    va_end(args);
    return sql->text[0] ? atoll(sql->text) : -1;
}

const char *private_sql_text(private_sql *sql, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    read_text(sql, fmt, args);
    va_end(args);
    return sql->text;
}

static long long now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

int private_sql_wait(private_sql *sql, int timeout_ms, const char *fmt, ...)
{
    char expression[2048];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(expression, sizeof expression, fmt, args);
    va_end(args);
    long long start_ms = now_ms();
    for (;;) {
        if (private_sql_number(sql, "SELECT (%s)::int", expression) == 1)
            return (int)(now_ms() - start_ms);
        if (now_ms() - start_ms >= timeout_ms)
            return -1;
        (void)usleep(5000);
    }
}
