#include "scheduler/commit_rows.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/table.h"
#include "scheduler/lease.h"

static void init_all(rd_pg_array *arrays, const rd_pg_type *types, size_t count)
{
    for (size_t i = 0; i < count; i++)
        rd_pg_array_init(&arrays[i], types[i]);
}

static void add_id(rd_pg_array *array, const rd_id *id)
{
    rd_pg_array_bytes(array, RD_BYTES_ARRAY(id->b));
}

static void add_hosts(sched_rows *rows, const sched_plan *plan, const sched_fleet *fleet)
{
    for (size_t i = 0; i < plan->host_count; i++) {
        const sched_host_change *change = &plan->hosts[i];
        add_id(&rows->hosts[0], &sched_fleet_host(fleet, change->host)->id);
        rd_pg_array_i64(&rows->hosts[1], change->state);
        rd_pg_array_i64(&rows->hosts[2], change->granted.cpu_m);
        rd_pg_array_i64(&rows->hosts[3], change->granted.mem);
        rd_pg_array_i64(&rows->hosts[4], change->granted.slots);
        rd_pg_array_i64(&rows->hosts[5], change->lost_session);
    }
}

static void add_ends(sched_rows *rows, const sched_plan *plan)
{
    for (size_t i = 0; i < plan->ending_count; i++) {
        const sched_ending *ending = &plan->endings[i];
        add_id(&rows->ends[0], &ending->lease->instance);
        rd_pg_array_i64(&rows->ends[1], ending->lease->epoch);
        rd_pg_array_bytes(&rows->ends[2], rd_bytes_str(ending->reason));
        rd_pg_array_i64(&rows->ends[3], ending->send_stop);
    }
    for (size_t i = 0; i < plan->change_count; i++) {
        const sched_change *change = &plan->changes[i];
        add_id(&rows->wants[0], &change->lease->instance);
        rd_pg_array_i64(&rows->wants[1], change->lease->epoch);
        rd_pg_array_i64(&rows->wants[2], change->want);
    }
}

static void add_places(sched_rows *rows, const sched_plan *plan, const sched_fleet *fleet)
{
    rd_pg_array *to = rows->places;
    for (size_t i = 0; i < plan->placement_count; i++) {
        const sched_lease *lease = &plan->placements[i].lease;
        add_id(&to[0], &lease->instance);
        add_id(&to[1], &lease->org);
        rd_pg_array_bytes(&to[2], RD_BYTES_ARRAY(lease->app->id.b));
        rd_pg_array_i64(&to[3], lease->gen);
        rd_pg_array_i64(&to[4], lease->slot);
        add_id(&to[5], &sched_fleet_host(fleet, lease->host)->id);
        rd_pg_array_i64(&to[6], plan->placements[i].state_gen);
        rd_pg_array_bytes(&to[7], RD_BYTES_ARRAY(lease->release.b));
        rd_pg_array_i64(&to[8], lease->class);
        rd_pg_array_i64(&to[9], lease->size.cpu_m);
        rd_pg_array_i64(&to[10], lease->size.mem);
        rd_pg_array_i64(&to[11], lease->size.slots);
        rd_pg_array_i64(&to[12], lease->head_seq);
    }
}

static void add_rollouts(sched_rows *rows, const sched_plan *plan)
{
    rd_pg_array *to = rows->rollouts;
    for (size_t i = 0; i < plan->rollout_count; i++) {
        const sched_rollout_row *row = &plan->rollouts[i];
        rd_pg_array_bytes(&to[0], RD_BYTES_ARRAY(row->app.b));
        rd_pg_array_i64(&to[1], row->gen);
        add_id(&to[2], &row->org);
        add_id(&to[3], &row->deployment);
        rd_pg_array_i64(&to[4], row->state);
        rd_pg_array_i64(&to[5], row->wanted);
        rd_pg_array_i64(&to[6], row->placed);
        rd_pg_array_i64(&to[7], row->healthy);
        if (row->reason)
            rd_pg_array_bytes(&to[8], rd_bytes_str(row->reason));
        else
            rd_pg_array_null(&to[8]);
        rd_pg_array_i64(&to[9], row->is_changed);
    }
}

static void add_touched(sched_rows *rows, const sched_plan *plan, const sched_fleet *fleet)
{
    RD_CLEANUP(rd_free_p) uint8_t *is_touched = rd_alloc(sched_fleet_count(fleet) + 1);
    for (size_t i = 0; i < plan->host_count; i++)
        is_touched[plan->hosts[i].host] = 1;
    for (size_t i = 0; i < plan->ending_count; i++)
        is_touched[plan->endings[i].lease->host] = 1;
    for (size_t i = 0; i < plan->change_count; i++)
        is_touched[plan->changes[i].lease->host] = 1;
    for (size_t i = 0; i < plan->placement_count; i++)
        is_touched[plan->placements[i].lease.host] = 1;
    for (uint32_t i = 0; i < sched_fleet_count(fleet); i++)
        if (is_touched[i])
            add_id(&rows->touched, &sched_fleet_host(fleet, i)->id);
}

void sched_rows_init(sched_rows *rows, const sched_plan *plan, const sched_fleet *fleet)
{
    static const rd_pg_type hosts[] = { RD_PG_T_UUID, RD_PG_T_INT2, RD_PG_T_INT8,
                                        RD_PG_T_INT8, RD_PG_T_INT8, RD_PG_T_INT8 };
    static const rd_pg_type ends[] = { RD_PG_T_UUID, RD_PG_T_INT8, RD_PG_T_TEXT, RD_PG_T_BOOL };
    static const rd_pg_type wants[] = { RD_PG_T_UUID, RD_PG_T_INT8, RD_PG_T_INT2 };
    static const rd_pg_type places[] = { RD_PG_T_UUID, RD_PG_T_UUID, RD_PG_T_BYTEA, RD_PG_T_INT8, RD_PG_T_INT4,
                                         RD_PG_T_UUID, RD_PG_T_INT8, RD_PG_T_BYTEA, RD_PG_T_INT2, RD_PG_T_INT8,
                                         RD_PG_T_INT8, RD_PG_T_INT8, RD_PG_T_INT8 };
    static const rd_pg_type rollouts[] = { RD_PG_T_BYTEA, RD_PG_T_INT8, RD_PG_T_UUID, RD_PG_T_UUID, RD_PG_T_INT2,
                                           RD_PG_T_INT4,  RD_PG_T_INT4, RD_PG_T_INT4, RD_PG_T_TEXT, RD_PG_T_BOOL };
    rd_pg_array_init(&rows->touched, RD_PG_T_UUID);
    rd_pg_array_init(&rows->seen, RD_PG_T_INT8);
    init_all(rows->hosts, hosts, RD_ARRAY_LEN(hosts));
    init_all(rows->ends, ends, RD_ARRAY_LEN(ends));
    init_all(rows->wants, wants, RD_ARRAY_LEN(wants));
    init_all(rows->places, places, RD_ARRAY_LEN(places));
    init_all(rows->rollouts, rollouts, RD_ARRAY_LEN(rollouts));
    for (size_t i = 0; i < plan->seen_count; i++)
        rd_pg_array_i64(&rows->seen, plan->seen[i]);
    add_touched(rows, plan, fleet);
    add_hosts(rows, plan, fleet);
    add_ends(rows, plan);
    add_places(rows, plan, fleet);
    add_rollouts(rows, plan);
}

static void done_all(rd_pg_array *arrays, size_t count)
{
    for (size_t i = 0; i < count; i++)
        rd_pg_array_done(&arrays[i]);
}

void sched_rows_done(sched_rows *rows)
{
    rd_pg_array_done(&rows->touched);
    rd_pg_array_done(&rows->seen);
    done_all(rows->hosts, RD_ARRAY_LEN(rows->hosts));
    done_all(rows->ends, RD_ARRAY_LEN(rows->ends));
    done_all(rows->wants, RD_ARRAY_LEN(rows->wants));
    done_all(rows->places, RD_ARRAY_LEN(rows->places));
    done_all(rows->rollouts, RD_ARRAY_LEN(rows->rollouts));
}

/* The arrays as parameters, and after them the numbers. */
static int push(rd_pg *pg, const char *stmt, rd_pg_array *arrays, size_t count, const int64_t *numbers,
                size_t number_count, rd_err *err)
{
    rd_pg_value values[SCHED_ROWS_COLUMNS + 4];
    for (size_t i = 0; i < count; i++)
        values[i] = rd_pg_array_value(&arrays[i]);
    for (size_t i = 0; i < number_count; i++)
        values[count + i] = rd_pg_i64(numbers[i]);
    return rd_pg_queue(pg, stmt, values, count + number_count, err);
}

int sched_rows_push_hosts(rd_pg *pg, sched_rows *rows, const sched_lead *lead, rd_err *err)
{
    return push(pg, "sched_hosts_set", rows->hosts, 6, (const int64_t[]){ lead->shard }, 1, err);
}

int sched_rows_push_ends(rd_pg *pg, sched_rows *rows, const sched_lead *lead, rd_err *err)
{
    return push(pg, "sched_end", rows->ends, 4, (const int64_t[]){ sched_job_base(lead->era) }, 1, err);
}

int sched_rows_push_wants(rd_pg *pg, sched_rows *rows, const sched_lead *lead, rd_err *err)
{
    return push(pg, "sched_want", rows->wants, 3, (const int64_t[]){ sched_job_base(lead->era) }, 1, err);
}

int sched_rows_push_places(rd_pg *pg, sched_rows *rows, const sched_lead *lead, rd_err *err)
{
    const int64_t numbers[] = { lead->shard, sched_epoch(lead->era, lead->plan_no + 1), sched_job_base(lead->era),
                                lead->plan_no + 1 };
    return push(pg, "sched_place", rows->places, SCHED_ROWS_COLUMNS, numbers, 4, err);
}

int sched_rows_push_rollouts(rd_pg *pg, sched_rows *rows, rd_err *err)
{
    return push(pg, "sched_rollouts", rows->rollouts, 10, NULL, 0, err);
}

static sched_job job_of(const sched_lease *lease, const sched_fleet *fleet, const sched_lead *lead)
{
    return (sched_job){ .host = sched_fleet_host(fleet, lease->host)->id,
                        .era = lead->era,
                        .instance = lease->instance,
                        .epoch = lease->epoch,
                        .want = lease->want,
                        .org = lease->org,
                        .app = lease->app->id,
                        .release = lease->release,
                        .class = lease->class,
                        .size = lease->size,
                        .gen = lease->gen };
}

/* Row of an id in column 0, by a table over the answer; -1 when it is not there. */
static rd_table *index_rows(const rd_pg_result *res)
{
    rd_table *table = rd_table_new(0);
    for (size_t row = 0; row < rd_pg_rows(res); row++)
        (void)rd_table_set(table, rd_pg_get_bytes(res, row, 0), (void *)(uintptr_t)(row + 1), NULL);
    return table;
}

static ssize_t row_of(const rd_table *table, const rd_id *id)
{
    return (ssize_t)(uintptr_t)rd_table_get(table, RD_BYTES_ARRAY(id->b)) - 1;
}

static void read_ends(const sched_plan *plan, const sched_fleet *fleet, const sched_lead *lead, const rd_pg_result *res,
                      sched_committed *ret)
{
    RD_CLEANUP(rd_table_free_p) rd_table *table = index_rows(res);
    ret->ended = rd_alloc_array(plan->ending_count + 1, sizeof *ret->ended);
    for (size_t i = 0; i < plan->ending_count; i++) {
        const sched_ending *ending = &plan->endings[i];
        ssize_t row = row_of(table, &ending->lease->instance);
        if (row < 0 || rd_pg_get_i64(res, (size_t)row, 1) != ending->lease->epoch)
            continue;
        ret->ended[i] = true;
        if (!ending->send_stop)
            continue;
        sched_job *job = &ret->jobs[ret->job_count++];
        *job = job_of(ending->lease, fleet, lead);
        job->want = RD_WANT_STOP;
        job->job_seq = rd_pg_get_i64(res, (size_t)row, 2);
    }
}

static void read_wants(const sched_plan *plan, const sched_fleet *fleet, const sched_lead *lead,
                       const rd_pg_result *res, sched_committed *ret)
{
    RD_CLEANUP(rd_table_free_p) rd_table *table = index_rows(res);
    for (size_t i = 0; i < plan->change_count; i++) {
        const sched_change *change = &plan->changes[i];
        ssize_t row = row_of(table, &change->lease->instance);
        if (row < 0 || rd_pg_get_i64(res, (size_t)row, 1) != change->lease->epoch)
            continue;
        sched_job *job = &ret->jobs[ret->job_count++];
        *job = job_of(change->lease, fleet, lead);
        job->want = change->want;
        job->job_seq = rd_pg_get_i64(res, (size_t)row, 2);
    }
}

static void read_places(const sched_plan *plan, const sched_fleet *fleet, const sched_lead *lead,
                        const rd_pg_result *res, sched_committed *ret)
{
    RD_CLEANUP(rd_table_free_p) rd_table *table = index_rows(res);
    ret->placed = rd_alloc_array(plan->placement_count + 1, sizeof *ret->placed);
    for (size_t i = 0; i < plan->placement_count; i++) {
        const sched_lease *lease = &plan->placements[i].lease;
        ssize_t row = row_of(table, &lease->instance);
        if (row < 0)
            continue;
        ret->placed[i] = true;
        sched_job *job = &ret->jobs[ret->job_count++];
        *job = job_of(lease, fleet, lead);
        job->epoch = ret->epoch;
        job->job_seq = rd_pg_get_i64(res, (size_t)row, 1);
    }
}

static int by_host_and_number(const void *a, const void *b)
{
    const sched_job *x = a, *y = b;
    int order = memcmp(x->host.b, y->host.b, sizeof x->host.b);
    return order ? order : (x->job_seq > y->job_seq) - (x->job_seq < y->job_seq);
}

/* Each job says what came before it on its host; the first one what the host's row said under the lock. */
static void chain_jobs(const sched_answers *answers, sched_committed *ret)
{
    RD_CLEANUP(rd_table_free_p) rd_table *locked = index_rows(answers->locked);
    RD_CLEANUP(rd_table_free_p) rd_table *links = index_rows(answers->links);
    qsort(ret->jobs, ret->job_count, sizeof *ret->jobs, by_host_and_number);
    for (size_t i = 0; i < ret->job_count; i++) {
        sched_job *job = &ret->jobs[i];
        bool is_first = i == 0 || !rd_id_equal(&job->host, &ret->jobs[i - 1].host);
        ssize_t row = row_of(locked, &job->host);
        job->prev = !is_first ? ret->jobs[i - 1].job_seq : row < 0 ? 0 : rd_pg_get_i64(answers->locked, (size_t)row, 1);
        ssize_t link = row_of(links, &job->host);
        job->has_replica = link >= 0 && rd_pg_get_fixed(answers->links, (size_t)link, 1, job->replica.b, 16);
    }
}

void sched_rows_read(const sched_plan *plan, const sched_fleet *fleet, const sched_lead *lead,
                     const sched_answers *answers, sched_committed *ret)
{
    ret->jobs = rd_alloc_array(plan->ending_count + plan->change_count + plan->placement_count + 1, sizeof *ret->jobs);
    ret->state_gens = rd_alloc_array(plan->host_count + 1, sizeof *ret->state_gens);
    RD_CLEANUP(rd_table_free_p) rd_table *hosts = index_rows(answers->hosts);
    for (size_t i = 0; i < plan->host_count; i++) {
        ssize_t row = row_of(hosts, &sched_fleet_host(fleet, plan->hosts[i].host)->id);
        ret->state_gens[i] = row < 0 ? 0 : rd_pg_get_i64(answers->hosts, (size_t)row, 1);
    }
    read_ends(plan, fleet, lead, answers->ends, ret);
    read_wants(plan, fleet, lead, answers->wants, ret);
    read_places(plan, fleet, lead, answers->places, ret);
    if (ret->job_count > 0)
        chain_jobs(answers, ret);
}
