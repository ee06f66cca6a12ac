// link: agent_core
#include "agent/jobs.h"
#include "agent/reports.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A job that is taken comes back from the journal as it was. */
static void take_job(rd_bytes bytes)
{
    rd_err err = RD_ERR_INIT;
    agent_job job = { 0 }, again = { 0 };
    rd_buf record = { 0 };
    if (agent_job_parse(UINT64_C(9007199254740991), bytes, &job, &err) == 0 &&
        agent_job_record_write(job.job_seq, bytes, &record, &err) == 0) {
        int rc = agent_job_record_read(rd_buf_bytes(&record), &again, &err);
        assert(rc == 0 && memcmp(&job, &again, sizeof job) == 0);
        agent_jobs *jobs = agent_jobs_new();
        (void)agent_jobs_apply(jobs, &job);
        agent_jobs_free(jobs);
    }
    rd_buf_done(&record);
}

/* A report that is read is written as a line that reads the same. */
static void take_report(rd_bytes bytes)
{
    rd_err err = RD_ERR_INIT;
    agent_report report, again;
    rd_buf line = { 0 };
    memset(&report, 0, sizeof report);
    memset(&again, 0, sizeof again);
    if (agent_report_read(bytes, &report, &err) == 0 && agent_report_write(&report, &line)) {
        assert(!memchr(line.data, '\n', line.size));
        int rc = agent_report_read(rd_buf_bytes(&line), &again, &err);
        assert(rc == 0 && again.seq == report.seq && again.phase == report.phase);
    }
    rd_buf_done(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rd_err err = RD_ERR_INIT;
    agent_job job;
    rd_bytes bytes = rd_bytes_of(data, size);
    take_job(bytes);
    take_report(bytes);
    (void)agent_job_record_read(bytes, &job, &err);
    return 0;
}
