/* jobs: what the plane wants of this host: the newest job of each instance, and the rules by which one is taken.
 * Used by the uplink for each PUT /jobs and by the journal's replay, so that both judge alike.
 * Pure: no file, no clock, no loop (data-model.md, section 8). */
#ifndef AGENT_JOBS_H
#define AGENT_JOBS_H

#include "common/model/ids.h"
#include "common/model/instance_state.h"

typedef struct agent_floor {
    uint64_t era;
    uint64_t job_seq; /* everything up to here has been taken */
} agent_floor;

typedef struct agent_job {
    uint64_t job_seq, era, prev, epoch;
    rd_id instance;
    char instance_text[RD_ID_TEXT_SIZE];
    int want; /* rd_want: run, drain or stop */
    bool has_app, has_release, has_nonce, has_blobs;
    rd_app_id app;
    rd_digest release;
    char class_[17]; /* "replicated", "exclusive"; "" when absent */
    uint32_t cpu_m;
    uint64_t memory_bytes;
    uint8_t nonce[32];
    rd_digest genesis_blob, head_blob, release_blob, code_blob;
    /* Of an app with a key service: it starts with a grant. */
    bool has_kms, has_kms_blob, has_grant_nonce;
    rd_kms_id kms;
    rd_digest kms_blob;      /* the genesis of the key service */
    uint8_t grant_nonce[32]; /* the key service's; without one the enclave asks for it */
} agent_job;

#define AGENT_JOB_BLOBS_MAX 5
/* What a job of want run needs; returns how many. */
size_t agent_job_blobs(const agent_job *job, const rd_digest *ret[AGENT_JOB_BLOBS_MAX]);

/* Reads the body of PUT /jobs/{job_seq} (link.md). A job of want run names app, release, nonce and its blobs. */
int agent_job_parse(uint64_t job_seq, rd_bytes body, agent_job *ret, rd_err *err) RD_NODISCARD;
/* Appends {"job_seq":…,"job":body}: the journal's form, which keeps the plane's MAC. */
int agent_job_record_write(uint64_t job_seq, rd_bytes body, rd_buf *out, rd_err *err) RD_NODISCARD;
int agent_job_record_read(rd_bytes record, agent_job *ret, rd_err *err) RD_NODISCARD;

typedef enum agent_job_outcome {
    AGENT_JOB_APPLIED,    /* the level changed */
    AGENT_JOB_DUPLICATE,  /* at or below the floor: no effect */
    AGENT_JOB_SUPERSEDED, /* a newer epoch or a further want is known: only the floor moves */
    AGENT_JOB_GAP,        /* prev is above the floor: something is missing */
    AGENT_JOB_OLD_ERA,    /* of an era before the journal's */
} agent_job_outcome;

/* known: the newest job of the instance, or NULL. */
agent_job_outcome agent_job_judge(const agent_floor *floor, const agent_job *known, const agent_job *job);

typedef struct agent_jobs agent_jobs;
agent_jobs *agent_jobs_new(void);
agent_jobs *agent_jobs_free(agent_jobs *jobs);
agent_floor agent_jobs_floor(const agent_jobs *jobs);
/* Raises the floor (replay of a compacted journal); never lowers it. */
void agent_jobs_raise_floor(agent_jobs *jobs, agent_floor floor);
/* Judges, and takes the job when it is to be taken. */
agent_job_outcome agent_jobs_apply(agent_jobs *jobs, const agent_job *job);
/* Takes a job that compaction kept, without asking what came before it. */
void agent_jobs_restore(agent_jobs *jobs, const agent_job *job);
/* The newest job of an instance, or NULL. */
const agent_job *agent_jobs_find(const agent_jobs *jobs, const char *instance);
void agent_jobs_forget(agent_jobs *jobs, const char *instance);
/* Start with *iterator = 0; false at the end. */
bool agent_jobs_next(const agent_jobs *jobs, size_t *iterator, const agent_job **ret);
/* The record of a job as it was applied, for compaction; NULL when the job was not kept with one. */
void agent_jobs_keep_record(agent_jobs *jobs, const char *instance, rd_bytes record);
rd_bytes agent_jobs_record(const agent_jobs *jobs, const char *instance);

#endif
