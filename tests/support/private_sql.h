/* private_sql: plain SQL for tests: run a text, expect a state, read a number, wait for something to become true.
 * Used by integration tests beside the servers of private_pg. Never by the programs. */
#ifndef RD_TESTS_PRIVATE_SQL_H
#define RD_TESTS_PRIVATE_SQL_H

#include <stdbool.h>
#include <stddef.h>

typedef struct private_sql private_sql;

/* Aborts the test when it cannot connect. */
private_sql *private_sql_open(const char *conninfo);
void private_sql_close(private_sql *sql);

/* Runs one or more statements (printf form); aborts with the server's words when they fail. */
void private_sql_run(private_sql *sql, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Runs and returns the SQLSTATE, "00000" when all went well. Borrowed until the next call. */
const char *private_sql_state(private_sql *sql, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* First column of the first row as a number; -1 when there is no row or it is NULL. */
long long private_sql_number(private_sql *sql, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* First column of the first row as text, "" when there is none; borrowed until the next call. */
const char *private_sql_text(private_sql *sql, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Polls a boolean expression every 5 ms for at most timeout_ms; returns the milliseconds it took, or -1. */
int private_sql_wait(private_sql *sql, int timeout_ms, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
