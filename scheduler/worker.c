#include "scheduler/worker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "scheduler/cycle.h"
#include "scheduler/leader.h"
#include "scheduler/store_sql.h"
#include "scheduler/upkeep.h"

/* Nothing depends on a single wake: without one the worker looks four times a second (data-model, section 7). */
#define LOOK_US   250000
#define TICK_US   1000000
#define UPKEEP_US 60000000

#define CALLED_MAX 64

struct sched_worker {
    sched_worker_options options;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_woken;
    bool must_end;
    rd_app_id called[CALLED_MAX];
    size_t called_count;
    rd_pg *pg;
    sched_leader *leader;
};

static bool must_end(sched_worker *worker)
{
    (void)pthread_mutex_lock(&worker->lock);
    bool result = worker->must_end;
    (void)pthread_mutex_unlock(&worker->lock);
    return result;
}

static void wait_us(sched_worker *worker, int64_t us)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + us * 1000;
    until.tv_sec += ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    (void)pthread_mutex_lock(&worker->lock);
    int status = 0;
    while (!worker->is_woken && !worker->must_end && status == 0)
        status = pthread_cond_timedwait(&worker->wake, &worker->lock, &until);
    worker->is_woken = false;
    (void)pthread_mutex_unlock(&worker->lock);
}

/* NULL: what nobody led for is forgotten. */
static void hand_called(sched_worker *worker, sched_cycle *cycle)
{
    (void)pthread_mutex_lock(&worker->lock);
    for (size_t i = 0; cycle && i < worker->called_count; i++)
        sched_cycle_called(cycle, &worker->called[i]);
    worker->called_count = 0;
    (void)pthread_mutex_unlock(&worker->lock);
}

static void on_publish(void *context, const sched_job *jobs, size_t count)
{
    sched_publish_jobs(((sched_worker *)context)->options.publish, jobs, count);
}

static void on_resync(void *context, const rd_id *host, const rd_id *replica)
{
    sched_publish_resync(((sched_worker *)context)->options.publish, host, replica);
}

static void lead(sched_worker *worker, const sched_lead *taken)
{
    const sched_cycle_options options = {
        .pg = worker->pg, .clock = worker->options.clock, .publish = on_publish, .resync = on_resync, .context = worker
    };
    sched_cycle *cycle = sched_cycle_new(&options, taken);
    int64_t tick_us = 0, upkeep_us = 0;
    rd_log(RD_INFO, "leading", RD_I64("shard", taken->shard), RD_I64("epoch", taken->epoch));
    while (!must_end(worker) && !sched_leader_is_stale(worker->leader)) {
        hand_called(worker, cycle);
        sched_turn turn = sched_cycle_turn(cycle);
        if (turn == SCHED_TURN_FENCED)
            break;
        int64_t now_us = rd_clock_boot_us(worker->options.clock);
        if (now_us - tick_us >= TICK_US) {
            sched_cycle_tick(cycle);
            tick_us = now_us;
        }
        if (turn == SCHED_TURN_MORE)
            continue;
        if (now_us - upkeep_us >= UPKEEP_US) {
            sched_upkeep_run(worker->pg, taken->shard);
            upkeep_us = now_us;
        }
        wait_us(worker, LOOK_US);
    }
    rd_log(RD_WARN, "not_leading", RD_I64("shard", taken->shard), RD_I64("epoch", taken->epoch));
    sched_cycle_free(cycle);
}

static void *run(void *context)
{
    sched_worker *worker = context;
    while (!must_end(worker)) {
        sched_lead taken;
        rd_err err = RD_ERR_INIT;
        int status = sched_leader_try(worker->leader, worker->pg, &taken, &err);
        if (status < 0)
            rd_log(RD_WARN, "cannot_lead", RD_ERR(&err));
        if (status == 1 && sched_leader_start_beats(worker->leader, taken.epoch, &err) == 0) {
            lead(worker, &taken);
            sched_leader_resign(worker->leader, worker->pg);
            continue;
        }
        wait_us(worker, LOOK_US);
        hand_called(worker, NULL);
    }
    return NULL;
}

int sched_worker_start(const sched_worker_options *options, sched_worker **ret, rd_err *err)
{
    const rd_pg_stmts tables[] = { sched_store_reads, sched_store_plans, sched_store_leads, sched_store_upkeep };
    sched_worker *worker = rd_alloc(sizeof *worker);
    worker->options = *options;
    worker->pg = rd_pg_new(&(rd_pg_options){ .conninfo = options->database,
                                             .role = "rd_sched",
                                             .application_name = SCHED_COMMITTER_NAME,
                                             .tables = tables,
                                             .table_count = RD_ARRAY_LEN(tables) });
    worker->leader = sched_leader_new(options->database, options->shard, &options->holder, options->clock);
    (void)pthread_mutex_init(&worker->lock, NULL);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&worker->wake, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    int status = rd_pg_connect(worker->pg, err);
    int failure = status == 0 ? pthread_create(&worker->thread, NULL, run, worker) : 0;
    if (status < 0 || failure) {
        if (failure)
            (void)rd_err_set_errno(err, RD_E_INTERNAL, failure, "worker thread");
        sched_leader_free(worker->leader);
        rd_pg_free(worker->pg);
        free(worker);
        return -1;
    }
    *ret = worker;
    return 0;
}

void sched_worker_wake(sched_worker *worker)
{
    (void)pthread_mutex_lock(&worker->lock);
    worker->is_woken = true;
    (void)pthread_cond_signal(&worker->wake);
    (void)pthread_mutex_unlock(&worker->lock);
}

void sched_worker_called(sched_worker *worker, const rd_app_id *app)
{
    (void)pthread_mutex_lock(&worker->lock);
    if (worker->called_count < CALLED_MAX)
        worker->called[worker->called_count++] = *app;
    worker->is_woken = true;
    (void)pthread_cond_signal(&worker->wake);
    (void)pthread_mutex_unlock(&worker->lock);
}

void sched_worker_stop(sched_worker *worker)
{
    if (!worker)
        return;
    (void)pthread_mutex_lock(&worker->lock);
    worker->must_end = true;
    (void)pthread_cond_signal(&worker->wake);
    (void)pthread_mutex_unlock(&worker->lock);
    (void)pthread_join(worker->thread, NULL);
    sched_leader_free(worker->leader);
    rd_pg_free(worker->pg);
    (void)pthread_mutex_destroy(&worker->lock);
    (void)pthread_cond_destroy(&worker->wake);
    free(worker);
}
