#include "scheduler/upkeep.h"

#include "common/base/log.h"
#include "common/base/mem.h"

static void run_plain(rd_pg *pg, const char *stmt)
{
    rd_err err = RD_ERR_INIT;
    rd_pg_outcome outcome = rd_pg_call(pg, stmt, NULL, &err);
    if (outcome != RD_PG_SOME && outcome != RD_PG_NONE)
        rd_log(RD_WARN, "upkeep_failed", RD_STR("statement", stmt), RD_ERR(&err));
}

typedef struct sweep {
    rd_pg_array instances, epochs;
} sweep;

/* History first, then in the order that the foreign keys ask for. */
static rd_pg_outcome sweep_leases(rd_pg *pg, void *context, rd_err *err)
{
    static const char *const statements[] = { "sched_sweep_history", "sched_sweep_status", "sched_sweep_verdicts",
                                              "sched_sweep_evidence", "sched_sweep_leases" };
    sweep *rows = context;
    for (size_t i = 0; i < RD_ARRAY_LEN(statements); i++)
        if (rd_pg_push(pg, statements[i], err, rd_pg_array_value(&rows->instances), rd_pg_array_value(&rows->epochs)) <
            0)
            return RD_PG_RETRY;
    return RD_PG_SOME;
}

static void sweep_ended(rd_pg *pg, int shard)
{
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *res = NULL;
    if (rd_pg_call(pg, "sched_sweep_pick", &res, &err, rd_pg_i64(shard)) != RD_PG_SOME)
        return;
    sweep rows;
    rd_pg_array_init(&rows.instances, RD_PG_T_UUID);
    rd_pg_array_init(&rows.epochs, RD_PG_T_INT8);
    for (size_t row = 0; row < rd_pg_rows(res); row++) {
        rd_pg_array_bytes(&rows.instances, rd_pg_get_bytes(res, row, 0));
        rd_pg_array_i64(&rows.epochs, rd_pg_get_i64(res, row, 1));
    }
    if (rd_pg_tx(pg, NULL, sweep_leases, &rows, &err) != RD_PG_SOME)
        rd_log(RD_WARN, "sweep_failed", RD_ERR(&err));
    rd_pg_array_done(&rows.instances);
    rd_pg_array_done(&rows.epochs);
}

void sched_upkeep_run(rd_pg *pg, int shard)
{
    sweep_ended(pg, shard);
    if (shard != 0)
        return;
    run_plain(pg, "sched_partitions");
    run_plain(pg, "sched_sweep_keys");
    run_plain(pg, "sched_sweep_sessions");
    run_plain(pg, "sched_sweep_prepared");
    run_plain(pg, "sched_sweep_enrol");
    run_plain(pg, "sched_sweep_replicas");
}
