#include "agent/jobs.h"

#include "common/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define INSTANCE "ins_aaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OTHER    "ins_aaaaaaaaaaaaaaaaaaaaaaaabe"
#define ERA(n)   ((uint64_t)(n) << 40)
#define D        "sha256:00000000000000000000000000000000000000000000000000000000000000aa"
#define RUN_REST                                                                                                       \
    ",\"app\":\"app_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"release\":\"" D                           \
    "\",\"class\":\"simulated\",\"cpu_m\":100,\"memory_bytes\":1048576,"                                               \
    "\"nonce\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"mac\":\"xx\","                                        \
    "\"blobs\":{\"genesis\":\"" D "\",\"head\":\"" D "\",\"release\":\"" D "\",\"code\":\"" D "\"}"

static agent_job job_of(uint64_t seq, uint64_t era, uint64_t prev, const char *instance, uint64_t epoch, rd_want want)
{
    agent_job job = { .job_seq = seq, .era = era, .prev = prev, .epoch = epoch, .want = (int)want, .has_blobs = true };
    memcpy(job.instance_text, instance, sizeof job.instance_text);
    return job;
}

/* One host, floor (1, 20), instance under epoch 5 with want drain; each row spoils or repeats. */
static void test_rules(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t seq, era, prev, epoch;
        const char *instance;
        rd_want want;
        agent_job_outcome outcome;
        uint64_t floor;
    } rows[] = {
        { "next", ERA(1) + 21, 1, ERA(1) + 20, 6, INSTANCE, RD_WANT_RUN, AGENT_JOB_APPLIED, ERA(1) + 21 },
        { "numbers may be missing", ERA(1) + 30, 1, ERA(1) + 20, 6, INSTANCE, RD_WANT_RUN, AGENT_JOB_APPLIED,
          ERA(1) + 30 },
        { "prev below the floor", ERA(1) + 21, 1, ERA(1) + 3, 6, INSTANCE, RD_WANT_RUN, AGENT_JOB_APPLIED,
          ERA(1) + 21 },
        { "the same again", ERA(1) + 20, 1, ERA(1) + 19, 5, INSTANCE, RD_WANT_DRAIN, AGENT_JOB_DUPLICATE, ERA(1) + 20 },
        { "an older one, late", ERA(1) + 7, 1, ERA(1) + 6, 9, INSTANCE, RD_WANT_RUN, AGENT_JOB_DUPLICATE, ERA(1) + 20 },
        { "one came before its predecessor", ERA(1) + 22, 1, ERA(1) + 21, 6, INSTANCE, RD_WANT_RUN, AGENT_JOB_GAP,
          ERA(1) + 20 },
        { "an epoch that is over", ERA(1) + 21, 1, ERA(1) + 20, 4, INSTANCE, RD_WANT_RUN, AGENT_JOB_SUPERSEDED,
          ERA(1) + 21 },
        { "back from drain to run", ERA(1) + 21, 1, ERA(1) + 20, 5, INSTANCE, RD_WANT_RUN, AGENT_JOB_SUPERSEDED,
          ERA(1) + 21 },
        { "forward from drain to stop", ERA(1) + 21, 1, ERA(1) + 20, 5, INSTANCE, RD_WANT_STOP, AGENT_JOB_APPLIED,
          ERA(1) + 21 },
        { "another instance", ERA(1) + 21, 1, ERA(1) + 20, 1, OTHER, RD_WANT_RUN, AGENT_JOB_APPLIED, ERA(1) + 21 },
        { "an era that is over", ERA(0) + 99, 0, ERA(0) + 98, 9, INSTANCE, RD_WANT_RUN, AGENT_JOB_OLD_ERA,
          ERA(1) + 20 },
        { "an era that is over, larger number", ERA(1) + 99, 0, ERA(1) + 20, 9, INSTANCE, RD_WANT_RUN,
          AGENT_JOB_OLD_ERA, ERA(1) + 20 },
        { "a new era begins a new floor", ERA(2) + 1, 2, ERA(1) + 90, ERA(2) + 1, INSTANCE, RD_WANT_RUN,
          AGENT_JOB_APPLIED, ERA(2) + 1 },
        { "a gap inside the new era", ERA(2) + 5, 2, ERA(2) + 4, ERA(2) + 1, INSTANCE, RD_WANT_RUN, AGENT_JOB_GAP,
          ERA(1) + 20 },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        agent_jobs *jobs = agent_jobs_new();
        agent_job first = job_of(ERA(1) + 19, 1, 0, INSTANCE, 5, RD_WANT_RUN);
        agent_job second = job_of(ERA(1) + 20, 1, ERA(1) + 19, INSTANCE, 5, RD_WANT_DRAIN);
        assert_int_equal(AGENT_JOB_APPLIED, agent_jobs_apply(jobs, &first));
        assert_int_equal(AGENT_JOB_APPLIED, agent_jobs_apply(jobs, &second));
        agent_job job = job_of(rows[i].seq, rows[i].era, rows[i].prev, rows[i].instance, rows[i].epoch, rows[i].want);
        agent_job_outcome outcome = agent_jobs_apply(jobs, &job);
        if (outcome != rows[i].outcome)
            fail_msg("%s: outcome %d", rows[i].name, outcome);
        if (agent_jobs_floor(jobs).job_seq != rows[i].floor)
            fail_msg("%s: floor", rows[i].name);
        const agent_job *kept = agent_jobs_find(jobs, rows[i].instance);
        bool is_new = kept && kept->job_seq == job.job_seq && job.job_seq != second.job_seq;
        if (is_new != (outcome == AGENT_JOB_APPLIED))
            fail_msg("%s: kept", rows[i].name);
        assert_int_equal(outcome == AGENT_JOB_APPLIED      ? AGENT_JOB_DUPLICATE
                         : outcome == AGENT_JOB_SUPERSEDED ? AGENT_JOB_DUPLICATE
                                                           : outcome,
                         agent_jobs_apply(jobs, &job)); /* twice is as good as once */
        agent_jobs_free(jobs);
    }
}

/* A stop that names no blobs keeps what the start had named. */
static void test_stop_keeps_documents(void **state)
{
    (void)state;
    agent_jobs *jobs = agent_jobs_new();
    agent_job run = job_of(1, 0, 0, INSTANCE, 5, RD_WANT_RUN), stop = job_of(2, 0, 1, INSTANCE, 5, RD_WANT_STOP);
    run.cpu_m = 250;
    stop.has_blobs = false;
    assert_int_equal(AGENT_JOB_APPLIED, agent_jobs_apply(jobs, &run));
    assert_int_equal(AGENT_JOB_APPLIED, agent_jobs_apply(jobs, &stop));
    const agent_job *kept = agent_jobs_find(jobs, INSTANCE);
    assert_int_equal(RD_WANT_STOP, kept->want);
    assert_int_equal(250, kept->cpu_m);
    assert_true(kept->has_blobs);
    agent_jobs_forget(jobs, INSTANCE);
    assert_null(agent_jobs_find(jobs, INSTANCE));
    agent_jobs_free(jobs);
}

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *name, *body;
        uint64_t seq;
        rd_code code;
    } rows[] = {
        { "run", "{\"era\":0,\"prev\":1,\"instance\":\"" INSTANCE "\",\"epoch\":3,\"want\":\"run\"" RUN_REST "}", 2,
          RD_OK },
        { "stop", "{\"era\":0,\"prev\":1,\"instance\":\"" INSTANCE "\",\"epoch\":3,\"want\":\"stop\"}", 2, RD_OK },
        { "nulls", "{\"era\":0,\"prev\":1,\"instance\":\"" INSTANCE "\",\"epoch\":3,\"want\":\"stop\",\"blobs\":null}",
          2, RD_OK },
        { "members of later versions are left aside",
          "{\"era\":0,\"prev\":1,\"instance\":\"" INSTANCE "\",\"epoch\":3,\"want\":\"stop\",\"ttl\":5}", 2, RD_OK },
        { "run without documents", "{\"era\":0,\"prev\":1,\"instance\":\"" INSTANCE "\",\"epoch\":3,\"want\":\"run\"}",
          2, RD_E_JSON_MISSING },
        { "prev is not before it", "{\"era\":0,\"prev\":2,\"instance\":\"" INSTANCE "\",\"epoch\":3,\"want\":\"stop\"}",
          2, RD_E_JSON_RANGE },
        { "job 0", "{\"era\":0,\"prev\":0,\"instance\":\"" INSTANCE "\",\"epoch\":3,\"want\":\"stop\"}", 0,
          RD_E_JSON_RANGE },
        { "want ended", "{\"era\":0,\"prev\":1,\"instance\":\"" INSTANCE "\",\"epoch\":3,\"want\":\"ended\"}", 2,
          RD_E_JSON_RANGE },
        { "want empty", "{\"era\":0,\"prev\":1,\"instance\":\"" INSTANCE "\",\"epoch\":3,\"want\":\"\"}", 2,
          RD_E_JSON_RANGE },
        { "foreign id",
          "{\"era\":0,\"prev\":1,\"instance\":\"hst_aaaaaaaaaaaaaaaaaaaaaaaaaa\",\"epoch\":3,\"want\":\"stop\"}", 2,
          RD_E_ID_FORMAT },
        { "negative epoch", "{\"era\":0,\"prev\":1,\"instance\":\"" INSTANCE "\",\"epoch\":-1,\"want\":\"stop\"}", 2,
          RD_E_JSON_RANGE },
        { "era too high", "{\"era\":8192,\"prev\":1,\"instance\":\"" INSTANCE "\",\"epoch\":1,\"want\":\"stop\"}", 2,
          RD_E_JSON_RANGE },
        { "member missing", "{\"era\":0,\"instance\":\"" INSTANCE "\",\"epoch\":3,\"want\":\"stop\"}", 2,
          RD_E_JSON_MISSING },
        { "twice", "{\"era\":0,\"era\":1,\"prev\":1,\"instance\":\"" INSTANCE "\",\"epoch\":3,\"want\":\"stop\"}", 2,
          RD_E_JSON_DUPLICATE },
        { "as deep as a body may be",
          "{\"era\":0,\"prev\":1,\"instance\":\"" INSTANCE
          "\",\"epoch\":3,\"want\":\"stop\",\"x\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}",
          2, RD_OK },
        { "deeper",
          "{\"era\":0,\"prev\":1,\"instance\":\"" INSTANCE
          "\",\"epoch\":3,\"want\":\"stop\",\"x\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}",
          2, RD_E_JSON_DEPTH },
        { "not an object", "[1]", 2, RD_E_JSON_TYPE },
        { "not JSON", "{]", 2, RD_E_JSON_SYNTAX },
        { "half of it", "{", 2, RD_E_TRUNCATED },
        { "empty", "", 2, RD_E_TRUNCATED },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        rd_err err = RD_ERR_INIT;
        agent_job job = { 0 };
        int rc = agent_job_parse(rows[i].seq, rd_bytes_str(rows[i].body), &job, &err);
        if ((rc == 0) != (rows[i].code == RD_OK) || (rc < 0 && err.code != rows[i].code))
            fail_msg("%s: %s (%s)", rows[i].name, err.text, rd_code_describe(err.code)->name);
        if (rc < 0)
            continue;
        /* and through the journal */
        rd_buf record = { 0 };
        agent_job again = { 0 };
        assert_int_equal(0, agent_job_record_write(rows[i].seq, rd_bytes_str(rows[i].body), &record, &err));
        assert_int_equal(0, agent_job_record_read(rd_buf_bytes(&record), &again, &err));
        assert_memory_equal(&job, &again, sizeof job);
        rd_buf_done(&record);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_stop_keeps_documents),
        cmocka_unit_test(test_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
