#include "api/pool.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <uv.h>

#include "api/worker.h"
#include "common/base/mem.h"

#define THREADS_MAX 64

typedef struct job_list {
    api_job *first, *last;
} job_list;

struct api_pool {
    api_context *context;
    uv_async_t wake;
    bool is_closed;
    pthread_mutex_t lock;
    pthread_cond_t has_work;
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

static api_job *wait_for_job(api_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    while (!pool->waiting.first && !pool->is_stopping)
        pthread_cond_wait(&pool->has_work, &pool->lock);
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
    api_worker *worker = api_worker_new(pool->context);
    for (api_job *job = wait_for_job(pool); job; job = wait_for_job(pool)) {
        job->run(worker, job->arg);
        hand_back(pool, job);
    }
    api_worker_free(worker);
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
    if (!is_stopping)
        list_push(&pool->waiting, job);
    pthread_mutex_unlock(&pool->lock);
    if (is_stopping)
        return false;
    atomic_fetch_add(&pool->depth, 1);
    pthread_cond_signal(&pool->has_work);
    return true;
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
