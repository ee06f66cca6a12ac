/* commit_rows: a plan as statement parameters, and the answers as jobs.
 * Used by commit alone. */
#ifndef SCHED_COMMIT_ROWS_H
#define SCHED_COMMIT_ROWS_H

#include "scheduler/commit.h"

#define SCHED_ROWS_COLUMNS 13

typedef struct sched_rows {
    rd_pg_array touched; /* hosts to lock */
    rd_pg_array seen;
    rd_pg_array hosts[6];
    rd_pg_array ends[4];
    rd_pg_array wants[3];
    rd_pg_array places[SCHED_ROWS_COLUMNS];
    rd_pg_array rollouts[10];
} sched_rows;

void sched_rows_init(sched_rows *rows, const sched_plan *plan, const sched_fleet *fleet);
void sched_rows_done(sched_rows *rows);

int sched_rows_push_hosts(rd_pg *pg, sched_rows *rows, const sched_lead *lead, rd_err *err) RD_NODISCARD;
int sched_rows_push_ends(rd_pg *pg, sched_rows *rows, const sched_lead *lead, rd_err *err) RD_NODISCARD;
int sched_rows_push_wants(rd_pg *pg, sched_rows *rows, const sched_lead *lead, rd_err *err) RD_NODISCARD;
/* With plan_no + 1, the number that this plan gets. */
int sched_rows_push_places(rd_pg *pg, sched_rows *rows, const sched_lead *lead, rd_err *err) RD_NODISCARD;
int sched_rows_push_rollouts(rd_pg *pg, sched_rows *rows, rd_err *err) RD_NODISCARD;

typedef struct sched_answers {
    const rd_pg_result *locked, *links, *hosts, *ends, *wants, *places;
} sched_answers;

/* lead->plan_no is the committed plan's. Fills everything of ret but epoch, which is set. */
void sched_rows_read(const sched_plan *plan, const sched_fleet *fleet, const sched_lead *lead,
                     const sched_answers *answers, sched_committed *ret);

#endif
