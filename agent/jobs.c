#include "agent/jobs.h"

#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/model/json.h"

#include <stdlib.h>
#include <string.h>

#define ERA_SHIFT     40
#define INSTANCES_MAX 65536
#define BODY_MAX      ((size_t)16 << 10)

typedef struct kept {
    agent_job job;
    rd_buf record;
} kept;

struct agent_jobs {
    agent_floor floor;
    rd_table *newest; /* instance text → kept */
};

/* ---- JSON ---- */

static const char *const want_names[] = { "", "run", "drain", "stop", NULL };

static const rd_json_field blob_fields[] = {
    { .name = "genesis", .kind = RD_JSON_DIGEST, .offset = offsetof(agent_job, genesis_blob) },
    { .name = "head", .kind = RD_JSON_DIGEST, .offset = offsetof(agent_job, head_blob) },
    { .name = "release", .kind = RD_JSON_DIGEST, .offset = offsetof(agent_job, release_blob) },
    { .name = "code", .kind = RD_JSON_DIGEST, .offset = offsetof(agent_job, code_blob) },
    { .name = "kms",
      .kind = RD_JSON_DIGEST,
      .offset = offsetof(agent_job, kms_blob),
      .flags = RD_OPTIONAL,
      .has = RD_HAS(agent_job, has_kms_blob) },
    RD_JSON_END,
};

static const rd_json_field grant_fields[] = {
    { .name = "kms", .kind = RD_JSON_KMS_ID, .offset = offsetof(agent_job, kms) },
    { .name = "nonce",
      .kind = RD_JSON_B64,
      .offset = offsetof(agent_job, grant_nonce),
      .flags = RD_NULLABLE,
      .max = 32,
      .has = RD_HAS(agent_job, has_grant_nonce) },
    RD_JSON_END,
};

static int read_blobs(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_json_read(value, blob_fields, RD_UNKNOWN_IGNORED, pointer, into, err);
}

#define MAY_MISS (RD_OPTIONAL | RD_NULLABLE)

/* Members that we do not know are left aside: the plane's MAC covers them, not our reading. */
static const rd_json_field job_fields[] = {
    { .name = "era", .kind = RD_JSON_U64, .offset = offsetof(agent_job, era), .max = 8191 },
    { .name = "prev", .kind = RD_JSON_U64, .offset = offsetof(agent_job, prev) },
    { .name = "instance", .kind = RD_JSON_ID, .offset = offsetof(agent_job, instance), .text = RD_PREFIX_INSTANCE },
    { .name = "epoch", .kind = RD_JSON_U64, .offset = offsetof(agent_job, epoch) },
    { .name = "want", .kind = RD_JSON_ENUM, .offset = offsetof(agent_job, want), .names = want_names },
    { .name = "app",
      .kind = RD_JSON_APP_ID,
      .offset = offsetof(agent_job, app),
      .flags = MAY_MISS,
      .has = RD_HAS(agent_job, has_app) },
    { .name = "release",
      .kind = RD_JSON_DIGEST,
      .offset = offsetof(agent_job, release),
      .flags = MAY_MISS,
      .has = RD_HAS(agent_job, has_release) },
    { .name = "class", .kind = RD_JSON_TEXT, .offset = offsetof(agent_job, class_), .flags = MAY_MISS, .max = 16 },
    { .name = "cpu_m", .kind = RD_JSON_U32, .offset = offsetof(agent_job, cpu_m), .flags = MAY_MISS, .max = 1000000 },
    { .name = "memory_bytes", .kind = RD_JSON_U64, .offset = offsetof(agent_job, memory_bytes), .flags = MAY_MISS },
    { .name = "nonce",
      .kind = RD_JSON_B64,
      .offset = offsetof(agent_job, nonce),
      .flags = MAY_MISS,
      .max = 32,
      .has = RD_HAS(agent_job, has_nonce) },
    { .name = "blobs",
      .kind = RD_JSON_CUSTOM,
      .offset = 0,
      .flags = MAY_MISS,
      .parse = read_blobs,
      .has = RD_HAS(agent_job, has_blobs) },
    { .name = "grant",
      .kind = RD_JSON_OBJECT,
      .offset = 0,
      .flags = MAY_MISS,
      .fields = grant_fields,
      .has = RD_HAS(agent_job, has_kms) },
    RD_JSON_END,
};

static int read_job(uint64_t job_seq, const json_t *body, agent_job *ret, rd_err *err)
{
    agent_job job = { 0 };
    if (rd_json_read(body, job_fields, RD_UNKNOWN_IGNORED, "", &job, err) < 0)
        return -1;
    job.job_seq = job_seq;
    if (job.want == RD_WANT_RUN && (!job.has_app || !job.has_release || !job.has_nonce || !job.has_blobs))
        return rd_err_set(err, RD_E_JSON_MISSING, "a job of want run names app, release, nonce and blobs");
    if (job.has_kms != job.has_kms_blob)
        return rd_err_set(err, RD_E_JSON_MISSING, "a grant and the genesis of its key service come together");
    if (job_seq == 0 || job.prev >= job_seq)
        return rd_err_set(err, RD_E_JSON_RANGE, "prev %llu is not below job %llu", (unsigned long long)job.prev,
                          (unsigned long long)job_seq);
    rd_id_format(RD_PREFIX_INSTANCE, &job.instance, job.instance_text);
    *ret = job;
    return 0;
}

size_t agent_job_blobs(const agent_job *job, const rd_digest *ret[AGENT_JOB_BLOBS_MAX])
{
    size_t count = 0;
    ret[count++] = &job->genesis_blob;
    ret[count++] = &job->head_blob;
    ret[count++] = &job->release_blob;
    ret[count++] = &job->code_blob;
    if (job->has_kms)
        ret[count++] = &job->kms_blob;
    return count;
}

int agent_job_parse(uint64_t job_seq, rd_bytes body, agent_job *ret, rd_err *err)
{
    static const rd_json_limits limits = { .size_max = BODY_MAX };
    RD_CLEANUP(rd_json_free_p) json_t *object = NULL;
    if (rd_json_parse(body, &limits, &object, err) < 0)
        return -1;
    return read_job(job_seq, object, ret, err);
}

int agent_job_record_write(uint64_t job_seq, rd_bytes body, rd_buf *out, rd_err *err)
{
    if (!rd_buf_printf(out, "{\"job_seq\":%llu,\"job\":", (unsigned long long)job_seq) ||
        !rd_buf_append_bytes(out, body) || !rd_buf_append_u8(out, '}'))
        return rd_err_set(err, RD_E_TOO_LARGE, "a job of %zu bytes", body.size);
    return 0;
}

int agent_job_record_read(rd_bytes record, agent_job *ret, rd_err *err)
{
    static const rd_json_limits limits = { .size_max = BODY_MAX + 64, .depth_max = RD_JSON_DEPTH_MAX + 1 };
    RD_CLEANUP(rd_json_free_p) json_t *object = NULL;
    if (rd_json_parse(record, &limits, &object, err) < 0)
        return -1;
    const json_t *seq = json_object_get(object, "job_seq");
    const json_t *body = json_object_get(object, "job");
    if (!json_is_integer(seq) || json_integer_value(seq) <= 0 || !json_is_object(body))
        return rd_err_set(err, RD_E_JSON_MISSING, "a job record has job_seq and job");
    return read_job((uint64_t)json_integer_value(seq), body, ret, err);
}

/* ---- rules ---- */

agent_job_outcome agent_job_judge(const agent_floor *floor, const agent_job *known, const agent_job *job)
{
    if (job->era < floor->era)
        return AGENT_JOB_OLD_ERA;
    /* A higher era begins a new floor: what its first job follows was numbered in an era that is over. */
    uint64_t floor_seq = job->era > floor->era ? (job->era << ERA_SHIFT) : floor->job_seq;
    if (job->era == floor->era && job->job_seq <= floor_seq)
        return AGENT_JOB_DUPLICATE;
    if (job->prev > floor_seq)
        return AGENT_JOB_GAP;
    if (known && (job->epoch < known->epoch ||
                  (job->epoch == known->epoch && job->want != known->want && !rd_want_ok(known->want, job->want))))
        return AGENT_JOB_SUPERSEDED;
    return AGENT_JOB_APPLIED;
}

/* ---- table ---- */

agent_jobs *agent_jobs_new(void)
{
    agent_jobs *jobs = rd_alloc(sizeof *jobs);
    jobs->newest = rd_table_new(INSTANCES_MAX);
    return jobs;
}

static void kept_free(kept *one)
{
    if (!one)
        return;
    rd_buf_done(&one->record);
    free(one);
}

agent_jobs *agent_jobs_free(agent_jobs *jobs)
{
    if (!jobs)
        return NULL;
    size_t at = 0;
    rd_bytes key;
    void *value = NULL;
    while (rd_table_next(jobs->newest, &at, &key, &value))
        kept_free(value);
    rd_table_free(jobs->newest);
    free(jobs);
    return NULL;
}

agent_floor agent_jobs_floor(const agent_jobs *jobs)
{
    return jobs->floor;
}

void agent_jobs_raise_floor(agent_jobs *jobs, agent_floor floor)
{
    if (floor.era > jobs->floor.era)
        jobs->floor = floor;
    else if (floor.era == jobs->floor.era && floor.job_seq > jobs->floor.job_seq)
        jobs->floor.job_seq = floor.job_seq;
}

static kept *find(const agent_jobs *jobs, const char *instance)
{
    return rd_table_get(jobs->newest, rd_bytes_str(instance));
}

const agent_job *agent_jobs_find(const agent_jobs *jobs, const char *instance)
{
    kept *one = find(jobs, instance);
    return one ? &one->job : NULL;
}

/* Makes the job the newest of its instance. False when there is no room for another instance. */
static bool keep(agent_jobs *jobs, kept *known, const agent_job *job)
{
    if (!known) {
        known = rd_alloc(sizeof *known);
        if (!rd_table_set(jobs->newest, rd_bytes_str(job->instance_text), known, NULL)) {
            kept_free(known);
            return false;
        }
    }
    agent_job before = known->job;
    known->job = *job;
    if (before.epoch == job->epoch && before.has_blobs && !job->has_blobs) {
        /* A job that ends an instance may leave out what its start named. */
        known->job = before;
        known->job.job_seq = job->job_seq;
        known->job.era = job->era;
        known->job.prev = job->prev;
        known->job.want = job->want;
    }
    return true;
}

agent_job_outcome agent_jobs_apply(agent_jobs *jobs, const agent_job *job)
{
    kept *known = find(jobs, job->instance_text);
    agent_job_outcome outcome = agent_job_judge(&jobs->floor, known ? &known->job : NULL, job);
    if (outcome == AGENT_JOB_APPLIED && !keep(jobs, known, job))
        return AGENT_JOB_GAP; /* nothing moves: the plane will come again */
    if (outcome == AGENT_JOB_APPLIED || outcome == AGENT_JOB_SUPERSEDED)
        agent_jobs_raise_floor(jobs, (agent_floor){ .era = job->era, .job_seq = job->job_seq });
    return outcome;
}

void agent_jobs_restore(agent_jobs *jobs, const agent_job *job)
{
    (void)keep(jobs, find(jobs, job->instance_text), job);
    agent_jobs_raise_floor(jobs, (agent_floor){ .era = job->era, .job_seq = job->job_seq });
}

void agent_jobs_forget(agent_jobs *jobs, const char *instance)
{
    kept_free(rd_table_remove(jobs->newest, rd_bytes_str(instance)));
}

bool agent_jobs_next(const agent_jobs *jobs, size_t *iterator, const agent_job **ret)
{
    rd_bytes key;
    void *value = NULL;
    if (!rd_table_next(jobs->newest, iterator, &key, &value))
        return false;
    *ret = &((const kept *)value)->job;
    return true;
}

void agent_jobs_keep_record(agent_jobs *jobs, const char *instance, rd_bytes record)
{
    kept *one = find(jobs, instance);
    if (!one)
        return;
    rd_buf_clear(&one->record);
    (void)rd_buf_append_bytes(&one->record, record);
}

rd_bytes agent_jobs_record(const agent_jobs *jobs, const char *instance)
{
    kept *one = find(jobs, instance);
    return one ? rd_buf_bytes(&one->record) : RD_BYTES_NULL;
}
