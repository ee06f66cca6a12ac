/* store_sql: the statements of the tables that the scheduler owns, and its reads of what the API wishes and agents say.
 * Used by store and commit. Numbers of states stand in docs/data.md. */
#ifndef SCHED_STORE_SQL_H
#define SCHED_STORE_SQL_H

#include "common/data/pg_value.h"

extern const rd_pg_stmts sched_store_reads;
extern const rd_pg_stmts sched_store_plans;
extern const rd_pg_stmts sched_store_leads;
extern const rd_pg_stmts sched_store_upkeep;

#endif
