#include "api/pool.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <uv.h>

#include "api/worker.h"
#include "common/base/clock.h"
#include "common/base/mem.h"

#define THREADS_MAX 64

typedef struct job_list {
    api_job *first, *last;
} job_list;

typedef struct worker_thread {
    api_worker *worker;
    bool is_connected; /* as counted by the pool */
} worker_thread;

struct api_pool {
    api_context *context;
    uv_async_t wake;
    bool is_closed;
    pthread_mutex_t lock;
    /* Workers with a connection wait for has_work; the others wait for their next attempt, and for work only while none
     * has one: a worker that fails at once would otherwise draw the jobs to itself. */
    pthread_cond_t has_work, is_away;
    size_t connected;    /* workers; under lock */
    job_list waiting;    /* under lock */
    job_list finished;   /* under lock */
    atomic_size_t depth; /* of waiting */
    size_t queue_max;
    bool is_stopping; /* under lock */
    size_t threads;
    pthread_t ids[THREADS_MAX];
};

static void list_push(job_list *list, api_job *job)
{
    job->next = NULL;
    if (list->last)
        list->last->next = job;
    else
        list->first = job;
    list->last = job;
}

static api_job *list_pop(job_list *list)
{
    api_job *job = list->first;
    if (!job)
        return NULL;
    list->first = job->next;
    if (!list->first)
        list->last = NULL;
    return job;
}

static void finish_all(api_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    job_list done = pool->finished;
    pool->finished = (job_list){ NULL, NULL };
    pthread_mutex_unlock(&pool->lock);
    for (api_job *job = list_pop(&done); job; job = list_pop(&done))
        job->done(job->arg, false);
}

static void on_wake(uv_async_t *handle)
{
    finish_all(handle->data);
}

/* Under lock. */
static void wake_one(api_pool *pool)
{
    pthread_cond_signal(pool->connected > 0 ? &pool->has_work : &pool->is_away);
}

/* Under lock: what the worker's last use of the database showed. */
static void note_connection(api_pool *pool, worker_thread *self)
{
    bool is_connected = rd_pg_is_connected(self->worker->pg);
    if (is_connected == self->is_connected)
        return;
    self->is_connected = is_connected;
    pool->connected = is_connected ? pool->connected + 1 : pool->connected - 1;
    if (pool->waiting.first)
        wake_one(pool);
}

/* Under lock, which is let go meanwhile. */
static void connect_or_wait(api_pool *pool, worker_thread *self)
{
    int64_t wait_us = rd_pg_next_try_us(self->worker->pg) - rd_clock_boot_us(rd_clock_system());
    if (wait_us > 0) {
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        int64_t ns = until.tv_nsec + wait_us % 1000000 * 1000;
        until.tv_sec += wait_us / 1000000 + ns / 1000000000;
        until.tv_nsec = ns % 1000000000;
        (void)pthread_cond_timedwait(&pool->is_away, &pool->lock, &until);
        return;
    }
    pthread_mutex_unlock(&pool->lock);
    rd_err ignored = RD_ERR_INIT; /* who needs the database says so to its caller */
    (void)!rd_pg_connect(self->worker->pg, &ignored);
    pthread_mutex_lock(&pool->lock);
    note_connection(pool, self);
}

static api_job *wait_for_job(api_pool *pool, worker_thread *self)
{
    pthread_mutex_lock(&pool->lock);
    note_connection(pool, self);
    while (!pool->is_stopping && !(pool->waiting.first && (self->is_connected || pool->connected == 0))) {
        if (self->is_connected)
            pthread_cond_wait(&pool->has_work, &pool->lock);
        else
            connect_or_wait(pool, self);
    }
    api_job *job = pool->is_stopping ? NULL : list_pop(&pool->waiting);
    pthread_mutex_unlock(&pool->lock);
    if (job)
        atomic_fetch_sub(&pool->depth, 1);
    return job;
}

static void hand_back(api_pool *pool, api_job *job)
{
    pthread_mutex_lock(&pool->lock);
    bool was_empty = !pool->finished.first;
    list_push(&pool->finished, job);
    pthread_mutex_unlock(&pool->lock);
    if (was_empty)
        uv_async_send(&pool->wake);
}

static void *run_thread(void *arg)
{
    api_pool *pool = arg;
    worker_thread self = { .worker = api_worker_new(pool->context) };
    for (api_job *job = wait_for_job(pool, &self); job; job = wait_for_job(pool, &self)) {
        job->run(self.worker, job->arg);
        hand_back(pool, job);
    }
    api_worker_free(self.worker);
    return NULL;
}

int api_pool_new(api_context *context, size_t threads, size_t queue_max, api_pool **ret, rd_err *err)
{
    assert(threads > 0 && threads <= THREADS_MAX);
    api_pool *pool = rd_alloc(sizeof(*pool));
    pool->context = context;
    pool->queue_max = queue_max;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->has_work, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->is_away, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pool->wake.data = pool;
    int rc = uv_async_init(context->loop, &pool->wake, on_wake);
    if (rc < 0) {
        free(pool);
        return rd_err_set(err, RD_E_INTERNAL, "uv_async_init: %s", uv_strerror(rc));
    }
    for (; pool->threads < threads; pool->threads++) {
        rc = pthread_create(&pool->ids[pool->threads], NULL, run_thread, pool);
        if (rc != 0) {
            api_pool_stop(pool);
            return rd_err_set_errno(err, RD_E_INTERNAL, rc, "worker thread");
        }
    }
    *ret = pool;
    return 0;
}

bool api_pool_submit(api_pool *pool, api_job *job)
{
    if (atomic_load(&pool->depth) >= pool->queue_max)
        return false;
    pthread_mutex_lock(&pool->lock);
    bool is_stopping = pool->is_stopping;
    if (!is_stopping) {
        list_push(&pool->waiting, job);
        atomic_fetch_add(&pool->depth, 1);
        wake_one(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    return !is_stopping;
}

static void on_closed(uv_handle_t *handle)
{
    ((api_pool *)handle->data)->is_closed = true;
}

void api_pool_stop(api_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    bool was_stopping = pool->is_stopping;
    pool->is_stopping = true;
    pthread_mutex_unlock(&pool->lock);
    if (was_stopping)
        return;
    pthread_cond_broadcast(&pool->has_work);
    pthread_cond_broadcast(&pool->is_away);
    for (size_t i = 0; i < pool->threads; i++)
        pthread_join(pool->ids[i], NULL);
    finish_all(pool);
    for (api_job *job = list_pop(&pool->waiting); job; job = list_pop(&pool->waiting))
        job->done(job->arg, true);
    uv_close((uv_handle_t *)&pool->wake, on_closed);
}

api_pool *api_pool_free(api_pool *pool)
{
    if (!pool)
        return NULL;
    assert(pool->is_closed);
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->has_work);
    pthread_cond_destroy(&pool->is_away);
    free(pool);
    return NULL;
}

size_t api_pool_depth(const api_pool *pool)
{
    return atomic_load(&((api_pool *)pool)->depth);
}

size_t api_pool_threads(const api_pool *pool)
{
    return pool->threads;
}
