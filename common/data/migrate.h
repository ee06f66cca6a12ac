/* migrate: forward-only schema migrations, each its own transaction, recorded with its SHA-256.
 * Used by `redoubt-api migrate` and by tests. Refuses files that changed after they ran and formats newer than it
 * knows. */
#ifndef RD_DATA_MIGRATE_H
#define RD_DATA_MIGRATE_H

#include "common/base/err.h"

/* The schema format that these binaries speak (cluster.format). */
#define RD_SCHEMA_FORMAT_MIN 1
#define RD_SCHEMA_FORMAT_MAX 1

typedef struct rd_migrate_report {
    int applied; /* files run now */
    int total;   /* files known */
    int last;    /* highest number recorded in the database */
} rd_migrate_report;

/* Applies what is missing. conninfo logs in as a superuser, or as rd_migrate once the roles exist. dir: a folder of
 * NNNN-name.sql, or NULL for the files built into the program. Polls pg_try_advisory_lock for up to wait_ms, so that
 * two migrators take turns. Files whose first line is `-- redoubt: no-transaction` run statement by statement outside a
 * transaction and must be re-runnable. Errors: UNAVAILABLE, TIMEOUT (lock), MIGRATION (changed checksum, gap, newer
 * format, failed statement, with file and line). report may be NULL. */
int rd_migrate(const char *conninfo, const char *dir, int wait_ms, rd_migrate_report *report, rd_err *err) RD_NODISCARD;

/* 0 when the database has every built-in migration with the same checksums and a format in range; else -1 with
 * MIGRATION or UNAVAILABLE. For starts and readiness; needs SELECT on schema_migrations only. */
int rd_migrate_check(const char *conninfo, rd_err *err) RD_NODISCARD;

#endif
