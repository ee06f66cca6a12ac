#include "agent/journal.h"

#include "common/base/log.h"
#include "common/base/mem.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define INSTANCE "ins_aaaaaaaaaaaaaaaaaaaaaaaaaa"

typedef struct world {
    char dir[64], path[96];
    rd_loop *loop;
    agent_jobs *jobs;
    agent_reports *reports;
    agent_journal *journal;
    int durable, written, refused;
} world;

static void on_durable(void *context)
{
    ((world *)context)->durable++;
}

static void on_failed(void *context, const rd_err *error)
{
    (void)context;
    (void)error;
}

static void open_journal(world *w, uint64_t incarnation, uint64_t size_max)
{
    rd_err err = RD_ERR_INIT;
    w->jobs = agent_jobs_new();
    w->reports = agent_reports_new(incarnation);
    const agent_journal_config config = { .path = w->path,
                                          .size_max = size_max,
                                          .incarnation = incarnation,
                                          .jobs = w->jobs,
                                          .reports = w->reports,
                                          .context = w,
                                          .on_durable = on_durable,
                                          .on_failed = on_failed };
    if (agent_journal_open(w->loop, &config, &w->journal, &err) < 0)
        fail_msg("%s", err.text);
}

static void close_journal(world *w)
{
    w->journal = agent_journal_close(w->journal);
    w->jobs = agent_jobs_free(w->jobs);
    w->reports = agent_reports_free(w->reports);
}

static int setup(void **state)
{
    world *w = rd_alloc(sizeof *w);
    rd_err err = RD_ERR_INIT;
    rd_log_init("test", RD_ERROR, open("/dev/null", O_WRONLY | O_CLOEXEC));
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/test-journal-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    (void)snprintf(w->path, sizeof w->path, "%s/journal", w->dir);
    assert_int_equal(0, rd_loop_new(&w->loop, &err));
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    close_journal(w);
    rd_loop_free(w->loop);
    char *command = rd_asprintf("rm -rf %s", w->dir);
    (void)!system(command);
    free(command);
    free(w);
    return 0;
}

typedef struct pending {
    world *w;
    agent_job job;
    rd_buf record;
} pending;

static void on_job_done(void *context, const rd_err *error)
{
    pending *p = context;
    if (!error && agent_jobs_apply(p->w->jobs, &p->job) == AGENT_JOB_APPLIED)
        agent_jobs_keep_record(p->w->jobs, p->job.instance_text, rd_buf_bytes(&p->record));
    p->w->written += !error;
    p->w->refused += error != NULL;
    rd_buf_done(&p->record);
    free(p);
}

/* As the uplink does it: journal, then apply. */
static void put_job(world *w, uint64_t seq, uint64_t prev, uint64_t epoch, const char *want)
{
    rd_err err = RD_ERR_INIT;
    pending *p = rd_alloc(sizeof *p);
    char *body = rd_asprintf("{\"era\":0,\"prev\":%llu,\"instance\":\"" INSTANCE "\",\"epoch\":%llu,\"want\":\"%s\"}",
                             (unsigned long long)prev, (unsigned long long)epoch, want);
    p->w = w;
    assert_int_equal(0, agent_job_parse(seq, rd_bytes_str(body), &p->job, &err));
    assert_int_equal(0, agent_job_record_write(seq, rd_bytes_str(body), &p->record, &err));
    assert_int_equal(0, agent_journal_job(w->journal, rd_buf_bytes(&p->record), on_job_done, p, &err));
    free(body);
}

static void put_report(world *w, uint64_t epoch, rd_phase phase)
{
    agent_report report = { .epoch = epoch, .phase = (int)phase };
    memcpy(report.instance, INSTANCE, sizeof report.instance);
    agent_journal_report(w->journal, agent_reports_add(w->reports, &report));
}

static void settle(world *w, int written, int durable)
{
    for (int i = 0; i < 2000 && (w->written < written || w->durable < durable); i++)
        rd_loop_turn(w->loop, true);
    assert_int_equal(written, w->written);
}

static void test_restart(void **state)
{
    world *w = *state;
    open_journal(w, 100, 0);
    uint8_t id[RD_SPOOL_ID_SIZE];
    memcpy(id, agent_journal_id(w->journal), sizeof id);
    put_job(w, 5, 0, 7, "stop");
    put_job(w, 9, 8, 8, "stop"); /* 8 never came: journaled, judged a gap, and judged so again */
    put_job(w, 6, 5, 8, "drain");
    put_report(w, 8, RD_PHASE_LAUNCHING);
    put_report(w, 8, RD_PHASE_SERVING);
    settle(w, 3, 2);
    assert_true(agent_reports_ack(w->reports, 100, 1));
    agent_journal_ack(w->journal, 100, 1);
    close_journal(w);

    open_journal(w, 200, 0); /* the incarnation is the journal's, not the process's */
    assert_int_equal(100, agent_reports_incarnation(w->reports));
    assert_memory_equal(id, agent_journal_id(w->journal), sizeof id);
    assert_int_equal(6, agent_jobs_floor(w->jobs).job_seq);
    assert_int_equal(RD_WANT_DRAIN, agent_jobs_find(w->jobs, INSTANCE)->want);
    assert_int_equal(8, agent_jobs_find(w->jobs, INSTANCE)->epoch);
    assert_int_equal(1, agent_reports_acked(w->reports));
    assert_int_equal(2, agent_reports_after(w->reports, 0)->seq);
    assert_int_equal(RD_PHASE_SERVING, agent_reports_newest(w->reports, INSTANCE, 8)->phase);
}

/* Thousands of changes in a journal of 64 KiB: compaction keeps the levels, the floor and the unacknowledged. */
static void test_compaction(void **state)
{
    world *w = *state;
    open_journal(w, 100, 65536);
    uint64_t seq = 0;
    for (int round = 0; round < 60; round++) {
        int before = w->written, durable = w->durable;
        for (int i = 0; i < 10; i++, seq++)
            put_job(w, seq + 1, seq, seq + 1, "stop");
        put_report(w, seq, RD_PHASE_STOPPED);
        settle(w, before + 10, durable + 1);
        uint64_t last = agent_reports_last(w->reports);
        assert_true(agent_reports_ack(w->reports, 100, last - 1) || last == 1);
        for (uint64_t epoch = 1; epoch < seq; epoch++)
            agent_reports_forget(w->reports, INSTANCE, epoch);
    }
    assert_int_equal(0, w->refused);
    uint64_t last = agent_reports_last(w->reports);
    close_journal(w);
    open_journal(w, 200, 65536);
    assert_int_equal(seq, agent_jobs_floor(w->jobs).job_seq);
    assert_int_equal(seq, agent_jobs_find(w->jobs, INSTANCE)->epoch);
    assert_int_equal(last, agent_reports_last(w->reports));
    assert_int_equal(100, agent_reports_incarnation(w->reports));
    assert_int_equal(last, agent_reports_after(w->reports, last - 1)->seq);
}

/* Full of reports that nobody acknowledges: the newest of each lease survive, in time for the plane. */
static void test_full_of_unacknowledged(void **state)
{
    world *w = *state;
    open_journal(w, 100, 65536);
    for (int i = 0; i < 2000; i++) {
        put_report(w, 1, i % 2 ? RD_PHASE_SERVING : RD_PHASE_UNHEALTHY);
        if (i % 50 == 0)
            rd_loop_turn(w->loop, false);
    }
    uint64_t last = agent_reports_last(w->reports);
    for (int i = 0; i < 2000 && !agent_reports_after(w->reports, last - 1); i++)
        rd_loop_turn(w->loop, true);
    assert_int_equal(last, agent_reports_after(w->reports, last - 1)->seq); /* durable, although appends were refused */
    assert_true(agent_journal_is_healthy(w->journal));
    close_journal(w);
    open_journal(w, 200, 65536);
    assert_int_equal(last, agent_reports_last(w->reports));
    assert_int_equal(RD_PHASE_SERVING, agent_reports_newest(w->reports, INSTANCE, 1)->phase);
}

int main(void)
{
#define ROW(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = { ROW(test_restart), ROW(test_compaction), ROW(test_full_of_unacknowledged) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
