/* What the synchronous and the asynchronous connection share. */
#include "common/data/pg_priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/jitter.h"

static char *copy(const char *text)
{
    return text ? rd_strdup(text) : NULL;
}

static int or_default(int value, int standard)
{
    return value > 0 ? value : standard;
}

void rd_pg_config_init(rd_pg_config *config, const rd_pg_options *options)
{
    *config = (rd_pg_config){
        .conninfo = rd_strdup(options->conninfo),
        .role = copy(options->role),
        .application_name = copy(options->application_name),
        .tables = rd_alloc_array(options->table_count + 1, sizeof *config->tables),
        .table_count = options->table_count,
    };
    if (options->table_count > 0)
        memcpy(config->tables, options->tables, options->table_count * sizeof *config->tables);
    config->session_options = rd_asprintf(
        "-c lock_timeout=%d -c statement_timeout=%d -c idle_in_transaction_session_timeout=%d -c timezone=UTC"
        " -c search_path=public -c client_min_messages=warning -c plan_cache_mode=force_generic_plan",
        or_default(options->lock_timeout_ms, 2000), or_default(options->statement_timeout_ms, 10000),
        or_default(options->idle_timeout_ms, 2000));
    (void)snprintf(config->connect_timeout, sizeof config->connect_timeout, "%d",
                   or_default(options->connect_timeout_s, 5));
}

void rd_pg_config_done(rd_pg_config *config)
{
    /* A connection string may carry a password. */
    rd_wipe(config->conninfo, strlen(config->conninfo));
    free(config->conninfo);
    free(config->role);
    free(config->application_name);
    free(config->session_options);
    free(config->tables);
}

void rd_pg_config_params(const rd_pg_config *config, const char **keywords, const char **values)
{
    size_t n = 0;
    keywords[n] = "dbname", values[n++] = config->conninfo; /* expanded: keywords or URI */
    keywords[n] = "options", values[n++] = config->session_options;
    keywords[n] = "connect_timeout", values[n++] = config->connect_timeout;
    keywords[n] = "client_encoding", values[n++] = "UTF8";
    if (config->application_name)
        keywords[n] = "application_name", values[n++] = config->application_name;
    if (config->role)
        keywords[n] = "user", values[n++] = config->role;
    keywords[n] = NULL, values[n++] = NULL;
    assert(n <= RD_PG_KEYWORDS);
}

int rd_pg_config_prepare(const rd_pg_config *config, PGconn *conn)
{
    static const rd_pg_stmt own[] = {
        { RD_PG_BEGIN, "BEGIN ISOLATION LEVEL READ COMMITTED", 0 },
        { RD_PG_COMMIT, "COMMIT", 0 },
        { RD_PG_ROLLBACK, "ROLLBACK", 0 },
        { "rd_org", "SELECT set_config('rd.org', ($1::uuid)::text, true)", 1 },
    };
    int count = 0;
    for (size_t i = 0; i < RD_ARRAY_LEN(own); i++, count++)
        if (!PQsendPrepare(conn, own[i].name, own[i].text, 0, NULL))
            return -1;
    for (size_t t = 0; t < config->table_count; t++)
        for (size_t i = 0; i < config->tables[t].count; i++, count++)
            if (!PQsendPrepare(conn, config->tables[t].items[i].name, config->tables[t].items[i].text, 0, NULL))
                return -1;
    return count;
}

int rd_pg_send_prepared(PGconn *conn, const char *stmt, const rd_pg_value *args, size_t arg_count)
{
    assert(arg_count <= RD_PG_PARAMS_MAX);
    const char *values[RD_PG_PARAMS_MAX];
    int sizes[RD_PG_PARAMS_MAX];
    int formats[RD_PG_PARAMS_MAX];
    char numbers[RD_PG_PARAMS_MAX][RD_TIME_TEXT_SIZE];
    for (size_t i = 0; i < arg_count; i++) {
        values[i] = NULL;
        sizes[i] = 0;
        formats[i] = 0;
        switch (args[i].kind) {
        case RD_PG_NULL:
            break;
        case RD_PG_TEXT:
            values[i] = args[i].text;
            break;
        case RD_PG_BYTES:
            values[i] = args[i].bytes.size ? (const char *)args[i].bytes.data : "";
            sizes[i] = (int)args[i].bytes.size;
            formats[i] = 1;
            break;
        case RD_PG_I64:
            (void)snprintf(numbers[i], sizeof numbers[i], "%lld", (long long)args[i].number);
            values[i] = numbers[i];
            break;
        case RD_PG_TIME:
            rd_time_format(args[i].number, numbers[i]);
            values[i] = numbers[i];
            break;
        }
    }
    return PQsendQueryPrepared(conn, stmt, (int)arg_count, values, sizes, formats, 1);
}

rd_code rd_pg_code_of_sqlstate(const char *state)
{
    if (strcmp(state, "RD001") == 0)
        return RD_E_FENCED;
    if (strcmp(state, "RD002") == 0 || rd_starts_with(state, "23"))
        return RD_E_DB_CONFLICT;
    if (rd_pg_is_retryable(state) || rd_starts_with(state, "53") || rd_starts_with(state, "57") ||
        rd_starts_with(state, "08"))
        return RD_E_UNAVAILABLE;
    return RD_E_INTERNAL;
}

bool rd_pg_is_retryable(const char *state)
{
    return strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0 || strcmp(state, "55P03") == 0;
}

static void copy_field(const PGresult *res, int field, char *out, size_t size)
{
    const char *text = PQresultErrorField(res, field);
    (void)snprintf(out, size, "%s", text ? text : "");
}

rd_pg_outcome rd_pg_fault_of(const PGresult *res, const char *stmt, rd_pg_fault *fault, rd_err *err)
{
    copy_field(res, PG_DIAG_SQLSTATE, fault->sqlstate, sizeof fault->sqlstate);
    copy_field(res, PG_DIAG_CONSTRAINT_NAME, fault->constraint, sizeof fault->constraint);
    /* The primary message alone: DETAIL repeats values of the row. */
    const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    (void)rd_err_set(err, rd_pg_code_of_sqlstate(fault->sqlstate), "database: %s: %s (%s)", stmt,
                     text ? text : "no answer", fault->sqlstate[0] ? fault->sqlstate : "connection");
    bool is_gone = rd_starts_with(fault->sqlstate, "57P") || rd_starts_with(fault->sqlstate, "08");
    return rd_pg_is_retryable(fault->sqlstate) || is_gone ? RD_PG_RETRY : RD_PG_FAILED;
}

int64_t rd_pg_jitter_us(int tries)
{
    int64_t wait_us = (int64_t)tries * tries * rd_jitter_below(4000);
    return RD_MIN(wait_us, 100000);
}
