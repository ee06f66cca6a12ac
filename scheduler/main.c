#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/crypto/random.h"
#include "common/data/redis.h"
#include "common/data/retention.h"
#include "common/io/config.h"
#include "common/io/loop.h"
#include "scheduler/worker.h"

typedef struct sched_config {
    const char *database;
    const char *redis;
    uint64_t shard;
    int log_level;
} sched_config;

static const char *const levels[] = { "debug", "info", "warning", "error", NULL };

#define FIELD(member) offsetof(sched_config, member)
static const rd_option options[] = {
    { "database", 0, RD_OPTION_STRING, FIELD(database), "dbname=redoubt", .flags = RD_OPTION_SECRET, .group = "Data",
      .help = "libpq connection string; role rd_sched logs in" },
    { "redis", 0, RD_OPTION_STRING, FIELD(redis), "127.0.0.1:6379", .group = "Data",
      .help = "host:port with a numeric host, or unix:/path" },
    { "shard", 0, RD_OPTION_U64, FIELD(shard), "0", .min = 0, .max = 63, .group = "Fleet",
      .help = "the shard of the fleet that this process may lead; any number of processes may run for one shard" },
    { "log-level", 0, RD_OPTION_ENUM, FIELD(log_level), "info", .names = levels, .group = "Logging",
      .help = "lowest level written" },
};

static const rd_config_spec spec = {
    .program = "redoubt-scheduler",
    .process = "SCHEDULER",
    .summary = "turns wanted instances into leases on hosts; one process leads a shard, further ones wait",
    .usage = "[options]",
    .options = options,
    .count = RD_ARRAY_LEN(options),
    .values_size = sizeof(sched_config),
    .file_standard = "/etc/redoubt/scheduler.conf",
};

#define RETENTION_FIRST_US INT64_C(60000000)
#define RETENTION_US       INT64_C(3600000000)

typedef struct process {
    const char *database;
    bool is_dropping; /* a retention is on the thread pool */
    rd_loop *loop;
    sched_worker *worker;
} process;

static void on_stop(void *context)
{
    rd_loop_stop(((process *)context)->loop);
}

static void on_wake(void *context, const rd_redis_entry *entry)
{
    process *self = context;
    rd_bytes called = entry ? rd_redis_entry_get(entry, "c") : RD_BYTES_NULL;
    rd_app_id app;
    if (called.size != sizeof app.b) {
        sched_worker_wake(self->worker);
        return;
    }
    memcpy(app.b, called.data, sizeof app.b);
    sched_worker_called(self->worker, &app);
}

/* On the thread pool: a detach may wait for readers. */
static void drop_partitions(void *context)
{
    rd_err err = RD_ERR_INIT;
    int dropped = rd_retention_run(((process *)context)->database, &err);
    if (dropped < 0)
        rd_log(RD_WARN, "retention_failed", RD_ERR(&err));
    else if (dropped > 0)
        rd_log(RD_INFO, "partitions_dropped", RD_I64("count", dropped));
}

static void on_dropped(void *context, bool is_cancelled RD_UNUSED)
{
    ((process *)context)->is_dropping = false;
}

static void on_retention(void *context)
{
    process *self = context;
    if (self->is_dropping)
        return;
    self->is_dropping = true;
    rd_loop_work(self->loop, drop_partitions, on_dropped, self);
}

static void on_closed(void *context)
{
    --*(int *)context;
}

static int serve(const sched_config *config, process *self, rd_err *err)
{
    char stream[32];
    (void)snprintf(stream, sizeof stream, "wake:%llu", (unsigned long long)config->shard);
    const rd_redis_options redis_options = { .address = config->redis };
    rd_redis *redis = rd_redis_new(rd_loop_uv(self->loop), &redis_options);
    sched_publish *publish = sched_publish_new(self->loop, redis);
    const sched_worker_options worker = {
        .database = config->database,
        .shard = (int)config->shard,
        .holder = rd_id_new(rd_clock_wall_us(rd_clock_system()), rd_random_system()),
        .clock = rd_clock_system(),
        .publish = publish,
    };
    self->database = config->database;
    rd_timer *retention = rd_timer_new(self->loop, on_retention, self);
    if (config->shard == 0)
        rd_timer_start(retention, RETENTION_FIRST_US, RETENTION_US);
    rd_redis_reader *reader = NULL;
    int status = sched_worker_start(&worker, &self->worker, err);
    if (status == 0) {
        reader = rd_redis_reader_new(rd_loop_uv(self->loop), &redis_options, rd_bytes_str(stream), on_wake, self);
        rd_log(RD_INFO, "ready", RD_U64("shard", config->shard));
        status = rd_loop_run(self->loop, err);
        sched_worker_stop(self->worker);
    }
    (void)rd_timer_free(retention);
    int open = 1 + (reader != NULL);
    if (reader)
        rd_redis_reader_close(reader, on_closed, &open);
    sched_publish_free(publish);
    rd_redis_close(redis, on_closed, &open);
    while (open > 0)
        rd_loop_turn(self->loop, true);
    return status;
}

int main(int argc, char **argv)
{
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_config_free_p) rd_config *config = NULL;
    int outcome = rd_config_load(&spec, argc, argv, &config, &err);
    if (outcome == RD_CONFIG_DONE)
        return 0;
    process self = { 0 };
    int status = -1;
    if (outcome == RD_CONFIG_RUN) {
        const sched_config *values = rd_config_values(config);
        rd_log_init("redoubt-scheduler", (rd_log_level)values->log_level, 2);
        status = rd_loop_new(&self.loop, &err);
        if (status == 0)
            status = rd_loop_on_signals(self.loop, on_stop, NULL, &self, &err);
        if (status == 0)
            status = serve(values, &self, &err);
    }
    rd_loop_free(self.loop);
    if (status == 0)
        return 0;
    (void)fprintf(stderr, "error: %s\n  hint   %s\n", err.text, rd_code_describe(err.code)->hint);
    return rd_code_describe(err.code)->exit_code;
}
