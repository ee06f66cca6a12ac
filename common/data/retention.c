#include "common/data/retention.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"

static void finish_p(PGconn **conn)
{
    if (*conn)
        PQfinish(*conn);
}

static void clear_p(PGresult **res)
{
    PQclear(*res);
}

static void freemem_p(char **text)
{
    PQfreemem(*text);
}

static int refuse(PGconn *conn, rd_err *err, const char *what)
{
    const char *text = PQerrorMessage(conn);
    return rd_err_set(err, PQstatus(conn) == CONNECTION_OK ? RD_E_INTERNAL : RD_E_UNAVAILABLE, "retention: %s: %.*s",
                      what, (int)strcspn(text, "\n"), text);
}

static int run_sql(PGconn *conn, const char *what, const char *sql, rd_err *err)
{
    RD_CLEANUP(clear_p) PGresult *res = PQexec(conn, sql);
    return PQresultStatus(res) == PGRES_COMMAND_OK ? 0 : refuse(conn, err, what);
}

/* Concurrently: a plain detach, or the drop of an attached partition, would queue behind one long reader and stop every
 * later one. */
static int detach(PGconn *conn, const char *parent, const char *child, bool is_pending, rd_err *err)
{
    RD_CLEANUP(freemem_p) char *parent_name = PQescapeIdentifier(conn, parent, strlen(parent));
    RD_CLEANUP(freemem_p) char *child_name = PQescapeIdentifier(conn, child, strlen(child));
    RD_CLEANUP(rd_free_p)
    char *sql = rd_asprintf("ALTER TABLE %s DETACH PARTITION %s %s", parent_name, child_name,
                            is_pending ? "FINALIZE" : "CONCURRENTLY");
    return run_sql(conn, child, sql, err);
}

static int drop(PGconn *conn, const char *child, rd_err *err)
{
    RD_CLEANUP(freemem_p) char *name = PQescapeIdentifier(conn, child, strlen(child));
    RD_CLEANUP(rd_free_p) char *sql = rd_asprintf("DROP TABLE %s", name);
    return run_sql(conn, child, sql, err);
}

static int drop_due(PGconn *conn, rd_err *err)
{
    RD_CLEANUP(clear_p)
    PGresult *due = PQexec(conn, "SELECT parent, child, pending, detached FROM partitions_due LIMIT 32");
    if (PQresultStatus(due) != PGRES_TUPLES_OK)
        return refuse(conn, err, "partitions_due");
    /* What is due is read without rights; from here on with the owner's. */
    if (run_sql(conn, "role", "SET ROLE rd_owner", err) < 0)
        return -1;
    int dropped = 0, refused = 0;
    for (int row = 0; row < PQntuples(due); row++) {
        const char *child = PQgetvalue(due, row, 1);
        bool is_pending = PQgetvalue(due, row, 2)[0] == 't';
        bool is_detached = PQgetvalue(due, row, 3)[0] == 't';
        if ((!is_detached && detach(conn, PQgetvalue(due, row, 0), child, is_pending, err) < 0) ||
            drop(conn, child, err) < 0)
            refused++;
        else
            dropped++;
    }
    return dropped == 0 && refused > 0 ? -1 : dropped;
}

int rd_retention_run(const char *conninfo, rd_err *err)
{
    const char *keywords[] = { "dbname", "user", "application_name", "connect_timeout", "options", NULL };
    const char *values[] = { conninfo,
                             "rd_maint",
                             "redoubt-retention",
                             "5",
                             "-c lock_timeout=200 -c statement_timeout=30000 -c timezone=UTC -c search_path=public",
                             NULL };
    RD_CLEANUP(finish_p) PGconn *conn = PQconnectdbParams(keywords, values, 1);
    if (!conn || PQstatus(conn) != CONNECTION_OK)
        return refuse(conn, err, "connection");
    return drop_due(conn, err);
}
