#include "agent/uplink_private.h"

#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/json.h"

#include <stdlib.h>
#include <string.h>

static void answer_floor(agent_uplink *uplink, rd_link_stream *stream, int status, const char *code)
{
    json_t *object = json_object();
    json_t *needs = json_array();
    agent_instances_needs(uplink->config.instances, needs);
    rd_json_set(object, "floor", uplink_floor_json(agent_jobs_floor(uplink->config.jobs)));
    rd_json_set(object, "needs", needs);
    if (code)
        rd_json_set_str(object, "code", code);
    uplink_answer_json(stream, status, object);
}

typedef struct pending_job {
    agent_uplink *uplink;
    rd_link_stream *stream; /* NULL: the link has gone; the job stands all the same */
    agent_job job;
    rd_buf record;
} pending_job;

static void on_job_abandoned(void *context)
{
    pending_job *pending = context;
    pending->stream = NULL;
}

static void answer_outcome(agent_uplink *uplink, rd_link_stream *stream, agent_job_outcome outcome)
{
    if (outcome == AGENT_JOB_GAP)
        answer_floor(uplink, stream, 409, "job_gap");
    else if (outcome == AGENT_JOB_OLD_ERA)
        answer_floor(uplink, stream, 410, "job_era");
    else
        answer_floor(uplink, stream, 200, NULL);
}

static void take_job(pending_job *pending)
{
    agent_uplink *uplink = pending->uplink;
    const agent_job *job = &pending->job;
    agent_job_outcome outcome = agent_jobs_apply(uplink->config.jobs, job);
    rd_log(RD_INFO, "job", RD_U64("job_seq", job->job_seq), RD_STR("instance", job->instance_text),
           RD_U64("epoch", job->epoch), RD_STR("want", rd_want_name((rd_want)job->want)), RD_U64("outcome", outcome));
    if (outcome == AGENT_JOB_APPLIED) {
        agent_jobs_keep_record(uplink->config.jobs, job->instance_text, rd_buf_bytes(&pending->record));
        agent_instances_apply(uplink->config.instances, agent_jobs_find(uplink->config.jobs, job->instance_text),
                              RD_PHASE_NONE);
    }
    if (pending->stream)
        answer_outcome(uplink, pending->stream, outcome);
}

static void on_job_written(void *context, const rd_err *error)
{
    pending_job *pending = context;
    if (pending->uplink->is_closing) {
        rd_log(RD_INFO, "job_left_to_next_start", RD_U64("job_seq", pending->job.job_seq));
    } else if (!error) {
        (void)RD_FP(AGENT_AFTER_JOURNAL);
        take_job(pending);
    } else {
        /* What comes after it must not stand on it. */
        pending->uplink->floor = agent_jobs_floor(pending->uplink->config.jobs);
        rd_log(RD_ERROR, "job_not_written", RD_U64("job_seq", pending->job.job_seq), RD_ERR(error));
        if (pending->stream)
            rd_link_answer_error(pending->stream, error);
    }
    rd_buf_done(&pending->record);
    free(pending);
}

static void write_job(agent_uplink *uplink, rd_link_stream *stream, const agent_job *job, rd_bytes body)
{
    rd_err err = RD_ERR_INIT;
    (void)RD_FP(AGENT_BEFORE_JOURNAL);
    pending_job *pending = rd_alloc(sizeof *pending);
    *pending = (pending_job){ .uplink = uplink, .stream = stream, .job = *job };
    if (agent_job_record_write(job->job_seq, body, &pending->record, &err) < 0 ||
        agent_journal_job(uplink->config.journal, rd_buf_bytes(&pending->record), on_job_written, pending, &err) < 0) {
        rd_link_answer_error(stream, &err);
        rd_buf_done(&pending->record);
        free(pending);
        return;
    }
    rd_link_on_abandoned(stream, on_job_abandoned, pending);
    if (job->era > uplink->floor.era || job->job_seq > uplink->floor.job_seq)
        uplink->floor = (agent_floor){ .era = job->era, .job_seq = job->job_seq };
}

void uplink_on_job(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream, const rd_link_exchange *exchange,
                   const char *rest)
{
    (void)of;
    rd_err err = RD_ERR_INIT;
    uint64_t job_seq = 0;
    agent_job job;
    if (rd_parse_u64(rest, strlen(rest), (uint64_t)RD_JSON_INT_MAX, &job_seq) < 0) {
        uplink_answer_code(stream, RD_E_JSON_RANGE, "the job's number is not one");
        return;
    }
    if (agent_job_parse(job_seq, exchange->body, &job, &err) < 0) {
        rd_link_answer_error(stream, &err);
        return;
    }
    const agent_job *known = agent_jobs_find(uplink->config.jobs, job.instance_text);
    agent_job_outcome outcome = agent_job_judge(&uplink->floor, known, &job);
    agent_floor durable = agent_jobs_floor(uplink->config.jobs);
    bool is_on_its_way = outcome == AGENT_JOB_DUPLICATE && job_seq > durable.job_seq;
    if (outcome == AGENT_JOB_APPLIED || outcome == AGENT_JOB_SUPERSEDED || is_on_its_way)
        write_job(uplink, stream, &job, exchange->body);
    else
        answer_outcome(uplink, stream, outcome);
}
