#include "scheduler/publish.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/failpoint.h"
#include "common/base/mem.h"

#define QUEUE_MAX 20000

typedef struct hint {
    rd_id host, replica;
    int64_t seq, prev; /* both 0: look at the host */
} hint;

struct sched_publish {
    rd_redis *redis;
    rd_wake *wake;
    pthread_mutex_t lock;
    hint *queue;
    size_t count, capacity;
    bool has_events; /* something was committed since the last tick of the tail */
};

static void send_hint(sched_publish *publish, const hint *one)
{
    char key[8 + RD_ID_TEXT_SIZE] = "jobs:";
    char host[RD_ID_TEXT_SIZE], seq[24], prev[24];
    rd_id_format(RD_PREFIX_REPLICA, &one->replica, key + 5);
    rd_id_format(RD_PREFIX_HOST, &one->host, host);
    (void)snprintf(seq, sizeof seq, "%lld", (long long)one->seq);
    (void)snprintf(prev, sizeof prev, "%lld", (long long)one->prev);
    const rd_bytes args[] = { RD_BYTES_LIT("XADD"),   rd_bytes_str(key), RD_BYTES_LIT("MAXLEN"), RD_BYTES_LIT("~"),
                              RD_BYTES_LIT("100000"), RD_BYTES_LIT("*"), RD_BYTES_LIT("host"),   rd_bytes_str(host),
                              RD_BYTES_LIT("seq"),    rd_bytes_str(seq), RD_BYTES_LIT("prev"),   rd_bytes_str(prev) };
    rd_err err = RD_ERR_INIT;
    /* A hint that does not go out is healed from PostgreSQL within a second or two. */
    (void)!rd_redis_send(publish->redis, args, one->seq ? RD_ARRAY_LEN(args) : 8, NULL, NULL, &err);
}

static void on_wake(void *context)
{
    sched_publish *publish = context;
    (void)pthread_mutex_lock(&publish->lock);
    hint *queue = RD_TAKE(publish->queue);
    size_t count = publish->count;
    bool has_events = publish->has_events;
    publish->count = publish->capacity = 0;
    publish->has_events = false;
    (void)pthread_mutex_unlock(&publish->lock);
    for (size_t i = 0; i < count; i++) {
        send_hint(publish, &queue[i]);
        (void)RD_FP(PUBLISH);
    }
    free(queue);
    rd_err err = RD_ERR_INIT;
    if (has_events)
        (void)!rd_redis_command(publish->redis, NULL, NULL, &err, RD_BYTES_LIT("PUBLISH"), RD_BYTES_LIT("tail"),
                                RD_BYTES_LIT(""));
}

sched_publish *sched_publish_new(rd_loop *loop, rd_redis *redis)
{
    sched_publish *publish = rd_alloc(sizeof *publish);
    publish->redis = redis;
    (void)pthread_mutex_init(&publish->lock, NULL);
    publish->wake = rd_wake_new(loop, on_wake, publish);
    return publish;
}

void sched_publish_free(sched_publish *publish)
{
    if (!publish)
        return;
    (void)rd_wake_free(publish->wake);
    (void)pthread_mutex_destroy(&publish->lock);
    free(publish->queue);
    free(publish);
}

static void push_locked(sched_publish *publish, const hint *one)
{
    if (publish->count == QUEUE_MAX)
        return;
    if (publish->count == publish->capacity) {
        publish->capacity = publish->capacity ? publish->capacity * 2 : 64;
        publish->queue = rd_realloc(publish->queue, publish->capacity * sizeof *publish->queue);
    }
    publish->queue[publish->count++] = *one;
}

void sched_publish_jobs(sched_publish *publish, const sched_job *jobs, size_t count)
{
    (void)pthread_mutex_lock(&publish->lock);
    for (size_t i = 0; i < count; i++)
        if (jobs[i].has_replica)
            push_locked(publish, &(hint){ jobs[i].host, jobs[i].replica, jobs[i].job_seq, jobs[i].prev });
    publish->has_events = true;
    (void)pthread_mutex_unlock(&publish->lock);
    rd_wake_send(publish->wake);
}

void sched_publish_resync(sched_publish *publish, const rd_id *host, const rd_id *replica)
{
    (void)pthread_mutex_lock(&publish->lock);
    push_locked(publish, &(hint){ *host, *replica, 0, 0 });
    (void)pthread_mutex_unlock(&publish->lock);
    rd_wake_send(publish->wake);
}
