#include "scheduler/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

static void free_results(rd_pg_result **results, size_t count)
{
    for (size_t i = 0; i < count; i++)
        rd_pg_result_free(results[i]);
}

static sched_size read_size(const rd_pg_result *res, size_t row, int column)
{
    return (sched_size){ rd_pg_get_i64(res, row, column), rd_pg_get_i64(res, row, column + 1),
                         rd_pg_get_i64(res, row, column + 2) };
}

/* Columns as in HOST_COLUMNS. */
static sched_host read_host(const rd_pg_result *res, size_t row)
{
    sched_host host = {
        .region = rd_strdup(rd_pg_get_text(res, row, 2)),
        .labels = rd_strdup(rd_pg_get_text(res, row, 3)),
        .tee = rd_strdup(rd_pg_get_text(res, row, 4)),
        .is_simulated = rd_pg_get_bool(res, row, 5),
        .is_retired = rd_pg_get_bool(res, row, 6) || rd_pg_get_bool(res, row, 21),
        .is_revoked = rd_pg_get_bool(res, row, 7),
        .is_known = rd_pg_get_bool(res, row, 8),
        .state = (rd_host_state)rd_pg_get_i64(res, row, 9),
        .state_gen = rd_pg_get_i64(res, row, 10),
        .granted = read_size(res, row, 11),
        .used = read_size(res, row, 14),
        .job_seq = rd_pg_get_i64(res, row, 17),
        .lost_session = rd_pg_get_i64(res, row, 18),
        .wants_cordon = rd_pg_get_bool(res, row, 19),
        .wants_drain = rd_pg_get_bool(res, row, 20),
        .link_up = rd_pg_get_bool(res, row, 22),
        .link_end = (sched_link_end)rd_pg_get_i64(res, row, 23),
        .session = rd_pg_get_i64(res, row, 24),
        .reconciled_session = rd_pg_get_i64(res, row, 25),
        .reported = read_size(res, row, 27),
        .is_clear = rd_pg_get_bool(res, row, 30),
        .is_marked = rd_pg_get_bool(res, row, 31),
    };
    (void)rd_pg_get_fixed(res, row, 0, host.id.b, 16);
    (void)rd_pg_get_fixed(res, row, 1, host.operator_org.b, 16);
    (void)rd_pg_get_fixed(res, row, 26, host.replica.b, 16);
    return host;
}

int sched_store_hosts(rd_pg *pg, int shard, const rd_id *ids, size_t count, sched_fleet *fleet, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *res = NULL;
    RD_CLEANUP(rd_pg_array_done) rd_pg_array array;
    rd_pg_array_init(&array, RD_PG_T_UUID);
    for (size_t i = 0; i < count; i++)
        rd_pg_array_bytes(&array, RD_BYTES_ARRAY(ids[i].b));
    rd_pg_outcome outcome =
        ids ? rd_pg_call(pg, "sched_hosts_some", &res, err, rd_pg_i64(shard), rd_pg_array_value(&array))
            : rd_pg_call(pg, "sched_hosts_all", &res, err, rd_pg_i64(shard));
    if (outcome != RD_PG_SOME && outcome != RD_PG_NONE)
        return -1;
    for (size_t row = 0; row < rd_pg_rows(res); row++) {
        sched_host host = read_host(res, row);
        (void)sched_fleet_put(fleet, &host);
    }
    return 0;
}

int sched_store_leases(rd_pg *pg, int shard, sched_fleet *fleet, sched_apps *apps, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *res = NULL;
    rd_pg_outcome outcome = rd_pg_call(pg, "sched_leases", &res, err, rd_pg_i64(shard));
    if (outcome != RD_PG_SOME && outcome != RD_PG_NONE)
        return -1;
    for (size_t row = 0; row < rd_pg_rows(res); row++) {
        rd_app_id app;
        rd_id host;
        sched_lease lease = {
            .epoch = rd_pg_get_i64(res, row, 1),
            .gen = rd_pg_get_i64(res, row, 4),
            .slot = (int32_t)rd_pg_get_i64(res, row, 5),
            .class = (int)rd_pg_get_i64(res, row, 7),
            .size = read_size(res, row, 8),
            .want = (rd_want)rd_pg_get_i64(res, row, 11),
            .head_seq = rd_pg_get_i64(res, row, 13),
            .ttl_us = rd_pg_get_i64(res, row, 14),
        };
        (void)rd_pg_get_fixed(res, row, 0, lease.instance.b, 16);
        (void)rd_pg_get_fixed(res, row, 2, app.b, 32);
        (void)rd_pg_get_fixed(res, row, 3, host.b, 16);
        (void)rd_pg_get_fixed(res, row, 6, lease.release.b, 32);
        (void)rd_pg_get_fixed(res, row, 12, lease.org.b, 16);
        lease.host = sched_fleet_find(fleet, &host);
        if (lease.host == SCHED_HOST_NONE)
            return rd_err_set(err, RD_E_INTERNAL, "a held lease lies on a host without identity");
        lease.app = sched_apps_get(apps, &app);
        (void)sched_apps_add(apps, &lease);
        sched_fleet_host(fleet, lease.host)->lease_count++;
    }
    return 0;
}

int sched_store_unsettled(rd_pg *pg, int shard, sched_apps *apps, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *res = NULL;
    rd_pg_outcome outcome = rd_pg_call(pg, "sched_unsettled", &res, err, rd_pg_i64(shard));
    if (outcome != RD_PG_SOME && outcome != RD_PG_NONE)
        return -1;
    for (size_t row = 0; row < rd_pg_rows(res); row++) {
        rd_app_id app;
        (void)rd_pg_get_fixed(res, row, 0, app.b, 32);
        sched_apps_enqueue(apps, sched_apps_get(apps, &app));
    }
    return 0;
}

int sched_store_evaluations(rd_pg *pg, int shard, sched_evaluation *ret, int max, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *res = NULL;
    rd_pg_outcome outcome = rd_pg_call(pg, "sched_evaluations", &res, err, rd_pg_i64(shard), rd_pg_i64(max));
    if (outcome != RD_PG_SOME && outcome != RD_PG_NONE)
        return -1;
    int count = (int)rd_pg_rows(res);
    for (int i = 0; i < count; i++) {
        ret[i] =
            (sched_evaluation){ .id = rd_pg_get_i64(res, (size_t)i, 0), .kind = (int)rd_pg_get_i64(res, (size_t)i, 1) };
        rd_bytes subject = rd_pg_get_bytes(res, (size_t)i, 2);
        memcpy(ret[i].subject, subject.data, RD_MIN(subject.size, sizeof ret[i].subject));
    }
    return count;
}

/* Columns as in sched_wishes. */
static void read_wish(const rd_pg_result *res, size_t row, sched_wish *ret)
{
    *ret = (sched_wish){
        .app_state = (int)rd_pg_get_i64(res, row, 2),
        .paused = rd_pg_get_bool(res, row, 3),
        .class = (int)rd_pg_get_i64(res, row, 4),
        .lease_ttl_us = rd_pg_get_i64(res, row, 5),
        .gen = rd_pg_get_i64(res, row, 7),
        .base_gen = rd_pg_get_i64(res, row, 8),
        .kind = (int)rd_pg_get_i64(res, row, 9),
        .min = (int)rd_pg_get_i64(res, row, 10),
        .max = (int)rd_pg_get_i64(res, row, 11),
        .surge = (int)rd_pg_get_i64(res, row, 12),
        .size = { rd_pg_get_i64(res, row, 14), rd_pg_get_i64(res, row, 15), 1 },
        .is_simulated = rd_pg_get_bool(res, row, 16),
        .tees = rd_strdup(rd_pg_get_text(res, row, 17)),
        .regions = rd_strdup(rd_pg_get_text(res, row, 18)),
        .labels = rd_strdup(rd_pg_get_text(res, row, 19)),
        .rollout_state = (int)rd_pg_get_i64(res, row, 20),
        .rollout_reason = rd_pg_is_null(res, row, 21) ? NULL : rd_strdup(rd_pg_get_text(res, row, 21)),
        .has_hold = rd_pg_get_bool(res, row, 22),
        .hold_gen = rd_pg_get_i64(res, row, 23),
        .hold_inst = rd_pg_get_i64(res, row, 24),
        .hold = { rd_pg_get_i64(res, row, 25), rd_pg_get_i64(res, row, 26), 0 },
        .has_been_healthy = rd_pg_get_bool(res, row, 27),
        .rollout_wanted = (int)rd_pg_get_i64(res, row, 28),
        .idle_us = rd_pg_get_i64(res, row, 29) * 1000000,
        .unused_us = rd_pg_get_i64(res, row, 30),
        .head_seq = rd_pg_get_i64(res, row, 31),
        .fits_from = rd_pg_get_i64(res, row, 32),
    };
    (void)rd_pg_get_fixed(res, row, 1, ret->org.b, 16);
    (void)rd_pg_get_fixed(res, row, 6, ret->deployment.b, 16);
    (void)rd_pg_get_fixed(res, row, 13, ret->release.b, 32);
}

static void read_statuses(const rd_pg_result *res, sched_apps *apps)
{
    for (size_t row = 0; row < rd_pg_rows(res); row++) {
        rd_id instance;
        (void)rd_pg_get_fixed(res, row, 0, instance.b, 16);
        sched_lease *lease = sched_apps_find(apps, &instance, rd_pg_get_i64(res, row, 1));
        if (!lease)
            continue;
        lease->phase = (rd_phase)rd_pg_get_i64(res, row, 2);
        (void)snprintf(lease->reason, sizeof lease->reason, "%s", rd_pg_get_text(res, row, 3));
        lease->is_serving = rd_pg_get_bool(res, row, 4);
    }
}

int sched_store_wishes(rd_pg *pg, sched_apps *apps, sched_app *const *list, size_t count, sched_wish *ret, rd_err *err)
{
    RD_CLEANUP(rd_pg_array_done) rd_pg_array ids, instances, epochs;
    rd_pg_array_init(&ids, RD_PG_T_BYTEA);
    rd_pg_array_init(&instances, RD_PG_T_UUID);
    rd_pg_array_init(&epochs, RD_PG_T_INT8);
    for (size_t i = 0; i < count; i++) {
        ret[i] = (sched_wish){ 0 };
        rd_pg_array_bytes(&ids, RD_BYTES_ARRAY(list[i]->id.b));
        for (size_t k = 0; k < list[i]->lease_count; k++) {
            rd_pg_array_bytes(&instances, RD_BYTES_ARRAY(list[i]->leases[k]->instance.b));
            rd_pg_array_i64(&epochs, list[i]->leases[k]->epoch);
        }
    }
    if (rd_pg_push(pg, "sched_wishes", err, rd_pg_array_value(&ids)) < 0 ||
        rd_pg_push(pg, "sched_statuses", err, rd_pg_array_value(&instances), rd_pg_array_value(&epochs)) < 0)
        return -1;
    rd_pg_result *results[2];
    if (rd_pg_flush(pg, results, 2, err) != RD_PG_SOME)
        return -1;
    for (size_t row = 0; row < rd_pg_rows(results[0]); row++) {
        rd_app_id app;
        (void)rd_pg_get_fixed(results[0], row, 0, app.b, 32);
        for (size_t i = 0; i < count; i++)
            if (rd_app_id_equal(&list[i]->id, &app))
                read_wish(results[0], row, &ret[i]);
    }
    read_statuses(results[1], apps);
    free_results(results, 2);
    return 0;
}

int sched_store_replicas(rd_pg *pg, sched_beat *ret, int max, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *res = NULL;
    rd_pg_outcome outcome = rd_pg_call(pg, "sched_replicas", &res, err);
    if (outcome != RD_PG_SOME && outcome != RD_PG_NONE)
        return -1;
    int count = RD_MIN((int)rd_pg_rows(res), max);
    for (int i = 0; i < count; i++) {
        (void)rd_pg_get_fixed(res, (size_t)i, 0, ret[i].replica.b, 16);
        ret[i].beat = rd_pg_get_i64(res, (size_t)i, 1);
    }
    return count;
}

ssize_t sched_store_lagging(rd_pg *pg, int shard, sched_lag **ret, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *res = NULL;
    rd_pg_outcome outcome = rd_pg_call(pg, "sched_lagging", &res, err, rd_pg_i64(shard));
    if (outcome != RD_PG_SOME && outcome != RD_PG_NONE)
        return -1;
    size_t count = rd_pg_rows(res);
    *ret = rd_alloc_array(count + 1, sizeof **ret);
    for (size_t i = 0; i < count; i++) {
        (void)rd_pg_get_fixed(res, i, 0, (*ret)[i].host.b, 16);
        (void)rd_pg_get_fixed(res, i, 1, (*ret)[i].replica.b, 16);
        (*ret)[i].acked_seq = rd_pg_get_i64(res, i, 2);
    }
    return (ssize_t)count;
}
