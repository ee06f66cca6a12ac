#include "common/data/migrate.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/hash.h"
#include "common/data/migrate_files.h"

/* "redoubt" in ASCII: the key of the migrators' advisory lock. */
#define LOCK_KEY "32190137412547188"

typedef struct session {
    PGconn *conn;
} session;

static void finish(session *s)
{
    if (s->conn)
        PQfinish(s->conn);
}

static void clear_p(PGresult **res)
{
    PQclear(*res);
}

static int refuse(session *s, rd_err *err, const char *what)
{
    const char *text = PQerrorMessage(s->conn);
    return rd_err_set(err, PQstatus(s->conn) == CONNECTION_OK ? RD_E_MIGRATION : RD_E_UNAVAILABLE, "%s: %.*s", what,
                      (int)strcspn(text, "\n"), text);
}

static int open_session(session *s, const char *conninfo, rd_err *err)
{
    const char *keywords[] = { "dbname", "application_name", "connect_timeout", "options", NULL };
    /* Other sessions must not queue behind a waiting lock for long. */
    const char *values[] = {
        conninfo, "redoubt-migrate", "5",
        "-c lock_timeout=2000 -c search_path=public -c timezone=UTC -c client_min_messages=warning", NULL
    };
    s->conn = PQconnectdbParams(keywords, values, 1);
    if (!s->conn || PQstatus(s->conn) != CONNECTION_OK)
        return refuse(s, err, "database");
    return 0;
}

static int run_sql(session *s, const char *what, const char *sql, rd_err *err)
{
    RD_CLEANUP(clear_p) PGresult *res = PQexec(s->conn, sql);
    ExecStatusType status = PQresultStatus(res);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY)
        return 0;
    const char *position = PQresultErrorField(res, PG_DIAG_STATEMENT_POSITION);
    const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    if (!text)
        return refuse(s, err, what);
    int line = 1;
    for (size_t i = 0, end = position ? strtoul(position, NULL, 10) : 0; i < end && sql[i]; i++)
        line += sql[i] == '\n';
    return rd_err_set(err, RD_E_MIGRATION, "%s, line %d: %s", what, line, text);
}

/* Polls: a session that waits for the lock would hold a snapshot, and an index build in the other would wait for it. */
static int take_lock(session *s, int wait_ms, rd_err *err)
{
    int64_t end_us = rd_clock_boot_us(rd_clock_system()) + (int64_t)wait_ms * 1000;
    for (;;) {
        RD_CLEANUP(clear_p) PGresult *res = PQexec(s->conn, "SELECT pg_try_advisory_lock(" LOCK_KEY ")");
        if (PQresultStatus(res) != PGRES_TUPLES_OK)
            return refuse(s, err, "migration lock");
        if (PQgetvalue(res, 0, 0)[0] == 't')
            return 0;
        if (rd_clock_boot_us(rd_clock_system()) >= end_us)
            return rd_err_set(err, RD_E_TIMEOUT, "another migration has run for more than %d ms", wait_ms);
        (void)nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
    }
}

static int is_recorded(session *s, const rd_migration *file, rd_err *err)
{
    char number[12];
    (void)snprintf(number, sizeof number, "%d", file->number);
    RD_CLEANUP(clear_p)
    PGresult *res = PQexecParams(s->conn, "SELECT checksum FROM schema_migrations WHERE number = $1", 1, NULL,
                                 (const char *const[]){ number }, NULL, NULL, 1);
    if (PQresultStatus(res) != PGRES_TUPLES_OK)
        return refuse(s, err, "schema_migrations");
    if (PQntuples(res) == 0)
        return 0;
    if (PQgetlength(res, 0, 0) != RD_SHA256_SIZE || memcmp(PQgetvalue(res, 0, 0), file->checksum, RD_SHA256_SIZE) != 0)
        return rd_err_set(err, RD_E_MIGRATION, "migration %s was changed after it ran", file->name);
    return 1;
}

static int record(session *s, const rd_migration *file, rd_err *err)
{
    char number[12];
    (void)snprintf(number, sizeof number, "%d", file->number);
    const char *values[] = { number, file->name, (const char *)file->checksum };
    RD_CLEANUP(clear_p)
    PGresult *res = PQexecParams(s->conn, "INSERT INTO schema_migrations (number, name, checksum) VALUES ($1, $2, $3)",
                                 3, NULL, values, (const int[]){ 0, 0, RD_SHA256_SIZE }, (const int[]){ 0, 0, 1 }, 0);
    return PQresultStatus(res) == PGRES_COMMAND_OK ? 0 : refuse(s, err, file->name);
}

static int apply_in_transaction(session *s, const rd_migration *file, rd_err *err)
{
    if (run_sql(s, file->name, "BEGIN", err) < 0)
        return -1;
    if (run_sql(s, file->name, file->sql, err) < 0 || run_sql(s, file->name, "RESET ROLE", err) < 0 ||
        record(s, file, err) < 0) {
        rd_err ignored = RD_ERR_INIT;
        (void)!run_sql(s, file->name, "ROLLBACK", &ignored);
        return -1;
    }
    return run_sql(s, file->name, "COMMIT", err);
}

/* Statements end with a semicolon at the end of a line. */
static int apply_apart(session *s, const rd_migration *file, rd_err *err)
{
    const char *at = file->sql;
    while (*at) {
        const char *end = strstr(at, ";\n");
        size_t size = end ? (size_t)(end - at) + 2 : strlen(at);
        RD_CLEANUP(rd_free_p) char *statement = rd_strndup(at, size);
        if (run_sql(s, file->name, statement, err) < 0)
            return -1;
        at += size;
    }
    return record(s, file, err);
}

static int apply(session *s, const rd_migration *file, rd_err *err)
{
    return rd_starts_with(file->sql, "-- redoubt: no-transaction") ? apply_apart(s, file, err)
                                                                   : apply_in_transaction(s, file, err);
}

/* What the database has that these binaries do not know, and the format that it speaks. */
static int check_format(session *s, const rd_migrations *files, int *ret_last, rd_err *err)
{
    RD_CLEANUP(clear_p) PGresult *res = PQexec(s->conn, "SELECT coalesce(max(number), 0) FROM schema_migrations");
    if (PQresultStatus(res) != PGRES_TUPLES_OK)
        return refuse(s, err, "schema_migrations");
    *ret_last = atoi(PQgetvalue(res, 0, 0));
    if (*ret_last == 0)
        return 0;
    RD_CLEANUP(clear_p) PGresult *format = PQexec(s->conn, "SELECT format FROM cluster");
    if (PQresultStatus(format) != PGRES_TUPLES_OK || PQntuples(format) != 1)
        return refuse(s, err, "cluster");
    int value = atoi(PQgetvalue(format, 0, 0));
    if (value < RD_SCHEMA_FORMAT_MIN || value > RD_SCHEMA_FORMAT_MAX)
        return rd_err_set(err, RD_E_MIGRATION, "the database speaks format %d, these binaries %d to %d", value,
                          RD_SCHEMA_FORMAT_MIN, RD_SCHEMA_FORMAT_MAX);
    (void)files;
    return 0;
}

static int migrate_all(session *s, const rd_migrations *files, rd_migrate_report *report, rd_err *err)
{
    if (run_sql(s, "schema_migrations",
                "CREATE TABLE IF NOT EXISTS schema_migrations (number integer PRIMARY KEY, name text NOT NULL,"
                " checksum bytea NOT NULL CHECK (octet_length(checksum) = 32),"
                " at timestamptz NOT NULL DEFAULT clock_timestamp())",
                err) < 0)
        return -1;
    if (check_format(s, files, &report->last, err) < 0)
        return -1;
    for (size_t i = 0; i < files->count; i++) {
        const rd_migration *file = &files->items[i];
        int known = is_recorded(s, file, err);
        if (known < 0)
            return -1;
        if (known == 0 && file->number < report->last)
            return rd_err_set(err, RD_E_MIGRATION, "migration %s comes before number %d, which has run", file->name,
                              report->last);
        if (known == 0) {
            if (apply(s, file, err) < 0)
                return -1;
            report->applied++;
            report->last = file->number;
        }
    }
    return 0;
}

int rd_migrate(const char *conninfo, const char *dir, int wait_ms, rd_migrate_report *report, rd_err *err)
{
    rd_migrate_report local = { 0 };
    RD_CLEANUP(rd_migrations_done) rd_migrations files = { 0 };
    if (rd_migrations_load(dir, &files, err) < 0)
        return -1;
    local.total = (int)files.count;
    RD_CLEANUP(finish) session s = { 0 };
    if (open_session(&s, conninfo, err) < 0 || take_lock(&s, wait_ms, err) < 0 ||
        migrate_all(&s, &files, &local, err) < 0)
        return -1;
    if (report)
        *report = local;
    return 0;
}

int rd_migrate_check(const char *conninfo, rd_err *err)
{
    RD_CLEANUP(rd_migrations_done) rd_migrations files = { 0 };
    if (rd_migrations_load(NULL, &files, err) < 0)
        return -1;
    RD_CLEANUP(finish) session s = { 0 };
    int last = 0;
    if (open_session(&s, conninfo, err) < 0 || check_format(&s, &files, &last, err) < 0)
        return -1;
    for (size_t i = 0; i < files.count; i++) {
        int known = is_recorded(&s, &files.items[i], err);
        if (known < 0)
            return -1;
        if (known == 0)
            return rd_err_set(err, RD_E_MIGRATION, "migration %s has not run", files.items[i].name);
    }
    return 0;
}
