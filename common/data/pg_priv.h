/* pg_priv: what the files of the PostgreSQL client share; nothing outside common/data includes it. */
#ifndef RD_DATA_PG_PRIV_H
#define RD_DATA_PG_PRIV_H

#include <libpq-fe.h>

#include "common/data/pg.h"

#define RD_PG_PARAMS_MAX 64
#define RD_PG_TRIES_MAX  5

struct rd_pg_result {
    PGresult *res;
};

/* Takes res. */
rd_pg_result *rd_pg_result_new(PGresult *res);

/* Copies of what the caller's options point at, but for the statements themselves, which are static. */
typedef struct rd_pg_config {
    char *conninfo;
    char *role;
    char *application_name;
    char *session_options;
    char connect_timeout[12];
    rd_pg_stmts *tables;
    size_t table_count;
} rd_pg_config;

void rd_pg_config_init(rd_pg_config *config, const rd_pg_options *options);
void rd_pg_config_done(rd_pg_config *config);
/* Keywords and values for PQconnectStartParams, NULL-ended; both arrays hold RD_PG_KEYWORDS. */
#define RD_PG_KEYWORDS 8
void rd_pg_config_params(const rd_pg_config *config, const char **keywords, const char **values);
/* Sends Parse for every statement (pipeline mode); returns their count or -1. */
int rd_pg_config_prepare(const rd_pg_config *config, PGconn *conn);

/* Queues one prepared execution with binary results; 0 when libpq refused. */
int rd_pg_send_prepared(PGconn *conn, const char *stmt, const rd_pg_value *args, size_t arg_count);

/* What a server's refusal was; copied out of a result. */
typedef struct rd_pg_fault {
    char sqlstate[6];
    char constraint[64];
} rd_pg_fault;

/* Fills fault and err (code, sentence) from a failed result; returns the outcome: FAILED, or RETRY. */
rd_pg_outcome rd_pg_fault_of(const PGresult *res, const char *stmt, rd_pg_fault *fault, rd_err *err);

/* A wait of tries² × 0-4 ms (at most 100 ms), so that those who collided do not meet again. */
int64_t rd_pg_jitter_us(int tries);

#endif
