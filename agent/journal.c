#include "agent/journal.h"

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/model/json.h"

#include <stdlib.h>

#define RETRY_US     5000000
#define REPORT_BYTES 400 /* about what one takes on disk */
#define SIZE_DEFAULT ((uint64_t)64 << 20)

enum { RECORD_BIRTH = 1, RECORD_JOB = 2, RECORD_REPORT = 3, RECORD_ACK = 4, RECORD_FLOOR = 5, RECORD_KEPT = 6 };

struct agent_journal {
    agent_journal_config config;
    rd_spool *spool;
    rd_timer *retry;
    bool has_birth;
    bool is_compacting;
    bool has_refused; /* a report, since the last collection */
    uint64_t collected_seq;
};

typedef struct pair {
    uint64_t first, second;
} pair;

static const rd_json_field birth_fields[] = {
    { .name = "incarnation", .kind = RD_JSON_U64, .offset = offsetof(pair, first) },
    RD_JSON_END,
};
static const rd_json_field ack_fields[] = {
    { .name = "incarnation", .kind = RD_JSON_U64, .offset = offsetof(pair, first) },
    { .name = "seq", .kind = RD_JSON_U64, .offset = offsetof(pair, second) },
    RD_JSON_END,
};
static const rd_json_field floor_fields[] = {
    { .name = "era", .kind = RD_JSON_U64, .offset = offsetof(pair, first) },
    { .name = "job_seq", .kind = RD_JSON_U64, .offset = offsetof(pair, second) },
    RD_JSON_END,
};

/* ---- replay ---- */

static int read_pair(rd_bytes payload, const rd_json_field *fields, pair *ret, rd_err *err)
{
    return rd_json_load(payload, NULL, fields, RD_UNKNOWN_REFUSED, ret, err);
}

/* A job as it came is judged again, so that the outcome is what it was; one that compaction kept stands. */
static int replay_job(agent_journal *journal, bool was_kept, rd_bytes payload, rd_err *err)
{
    agent_job job;
    if (agent_job_record_read(payload, &job, err) < 0)
        return -1;
    bool is_taken = was_kept;
    if (was_kept)
        agent_jobs_restore(journal->config.jobs, &job);
    else
        is_taken = agent_jobs_apply(journal->config.jobs, &job) == AGENT_JOB_APPLIED;
    if (is_taken)
        agent_jobs_keep_record(journal->config.jobs, job.instance_text, payload);
    return 0;
}

static int replay_report(agent_journal *journal, rd_bytes payload, rd_err *err)
{
    agent_report report;
    if (agent_report_read(payload, &report, err) < 0)
        return -1;
    agent_reports_restore(journal->config.reports, &report);
    return 0;
}

static int on_record(void *context, const rd_spool_record *record, rd_err *err)
{
    agent_journal *journal = context;
    pair values = { 0 };
    switch (record->type) {
    case RECORD_BIRTH:
        if (read_pair(record->payload, birth_fields, &values, err) < 0)
            return -1;
        agent_reports_set_incarnation(journal->config.reports, values.first);
        journal->has_birth = true;
        return 0;
    case RECORD_JOB:
    case RECORD_KEPT:
        return replay_job(journal, record->type == RECORD_KEPT, record->payload, err);
    case RECORD_REPORT:
        return replay_report(journal, record->payload, err);
    case RECORD_ACK:
        if (read_pair(record->payload, ack_fields, &values, err) < 0)
            return -1;
        (void)agent_reports_ack(journal->config.reports, values.first, values.second);
        return 0;
    case RECORD_FLOOR:
        if (read_pair(record->payload, floor_fields, &values, err) < 0)
            return -1;
        agent_jobs_raise_floor(journal->config.jobs, (agent_floor){ .era = values.first, .job_seq = values.second });
        return 0;
    default:
        return rd_err_set(err, RD_E_SPOOL_CORRUPT, "a record of type %u, of a newer version", record->type);
    }
}

/* ---- compaction ---- */

static int add_pair(rd_spool_writer *writer, uint16_t type, const char *first, uint64_t a, const char *second,
                    uint64_t b, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    (void)rd_buf_printf(&text, "{\"%s\":%llu", first, (unsigned long long)a);
    if (second)
        (void)rd_buf_printf(&text, ",\"%s\":%llu", second, (unsigned long long)b);
    (void)rd_buf_append_u8(&text, '}');
    return rd_spool_writer_add(writer, type, rd_buf_bytes(&text), err);
}

static int collect_reports(agent_journal *journal, rd_spool_writer *writer, rd_err *err)
{
    uint64_t at = 0;
    const agent_report *report = NULL;
    while (agent_reports_next(journal->config.reports, &at, &report)) {
        RD_CLEANUP(rd_buf_done) rd_buf line = { 0 };
        (void)agent_report_write(report, &line);
        if (rd_spool_writer_add(writer, RECORD_REPORT, rd_buf_bytes(&line), err) < 0)
            return -1;
    }
    return 0;
}

static int collect(void *context, rd_spool_writer *writer, rd_err *err)
{
    agent_journal *journal = context;
    agent_reports *reports = journal->config.reports;
    agent_floor floor = agent_jobs_floor(journal->config.jobs);
    uint64_t size_max = journal->config.size_max ? journal->config.size_max : SIZE_DEFAULT;
    if (agent_reports_count(reports) * REPORT_BYTES > size_max / 4)
        agent_reports_reduce(reports);
    journal->collected_seq = agent_reports_last(reports);
    journal->has_refused = false;
    if (add_pair(writer, RECORD_BIRTH, "incarnation", agent_reports_incarnation(reports), NULL, 0, err) < 0)
        return -1;
    size_t at = 0;
    const agent_job *job = NULL;
    while (agent_jobs_next(journal->config.jobs, &at, &job)) {
        rd_bytes record = agent_jobs_record(journal->config.jobs, job->instance_text);
        if (record.size > 0 && rd_spool_writer_add(writer, RECORD_KEPT, record, err) < 0)
            return -1;
    }
    if (add_pair(writer, RECORD_FLOOR, "era", floor.era, "job_seq", floor.job_seq, err) < 0 ||
        collect_reports(journal, writer, err) < 0)
        return -1;
    return add_pair(writer, RECORD_ACK, "incarnation", agent_reports_incarnation(reports), "seq",
                    agent_reports_acked(reports), err);
}

static void retry_later(agent_journal *journal)
{
    if (journal->retry) /* not while it is being closed */
        rd_timer_start(journal->retry, RETRY_US, 0);
}

static void compact(void *context);

static void on_compacted(void *context, const rd_err *error)
{
    agent_journal *journal = context;
    journal->is_compacting = false;
    if (error) {
        rd_log(RD_ERROR, "journal_compaction_failed", RD_ERR(error));
        retry_later(journal);
        return;
    }
    agent_reports_durable(journal->config.reports, journal->collected_seq);
    journal->config.on_durable(journal->config.context);
    if (journal->has_refused) /* reports that came too late for what was collected */
        compact(journal);
}

static void compact(void *context)
{
    agent_journal *journal = context;
    rd_err err = RD_ERR_INIT;
    if (journal->is_compacting)
        return;
    journal->is_compacting = rd_spool_compact(journal->spool, collect, on_compacted, journal, &err) == 0;
}

/* ---- writing ---- */

static int append(agent_journal *journal, uint16_t type, rd_bytes payload, rd_spool_done_fn done, void *context,
                  rd_err *err)
{
    int rc = rd_spool_append(journal->spool, type, payload, done, context, err);
    if ((rc < 0 && err->code == RD_E_SPOOL_FULL) || rd_spool_wants_compaction(journal->spool))
        compact(journal);
    return rc;
}

int agent_journal_job(agent_journal *journal, rd_bytes record, rd_spool_done_fn done, void *context, rd_err *err)
{
    return append(journal, RECORD_JOB, record, done, context, err);
}

typedef struct waiting {
    agent_journal *journal;
    uint64_t seq;
} waiting;

static void on_report_written(void *context, const rd_err *error)
{
    waiting *report = context;
    agent_journal *journal = report->journal;
    if (error) {
        rd_log(RD_ERROR, "report_not_written", RD_U64("seq", report->seq), RD_ERR(error));
        retry_later(journal);
    } else {
        agent_reports_durable(journal->config.reports, report->seq);
        journal->config.on_durable(journal->config.context);
    }
    free(report);
}

void agent_journal_report(agent_journal *journal, const agent_report *report)
{
    RD_CLEANUP(rd_buf_done) rd_buf line = { 0 };
    rd_err err = RD_ERR_INIT;
    waiting *wait = rd_alloc(sizeof *wait);
    *wait = (waiting){ .journal = journal, .seq = report->seq };
    (void)agent_report_write(report, &line);
    if (append(journal, RECORD_REPORT, rd_buf_bytes(&line), on_report_written, wait, &err) == 0)
        return;
    if (!journal->has_refused)
        rd_log(RD_ERROR, "report_waits_for_compaction", RD_U64("seq", report->seq), RD_ERR(&err));
    journal->has_refused = true;
    free(wait);
}

void agent_journal_ack(agent_journal *journal, uint64_t incarnation, uint64_t seq)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_err err = RD_ERR_INIT;
    (void)rd_buf_printf(&text, "{\"incarnation\":%llu,\"seq\":%llu}", (unsigned long long)incarnation,
                        (unsigned long long)seq);
    (void)append(journal, RECORD_ACK, rd_buf_bytes(&text), NULL, NULL, &err);
}

/* ---- life ---- */

static void on_spool_failed(void *context, const rd_err *error)
{
    agent_journal *journal = context;
    journal->config.on_failed(journal->config.context, error);
}

static int write_birth(agent_journal *journal, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    agent_reports_set_incarnation(journal->config.reports, journal->config.incarnation);
    (void)rd_buf_printf(&text, "{\"incarnation\":%llu}", (unsigned long long)journal->config.incarnation);
    return rd_spool_append(journal->spool, RECORD_BIRTH, rd_buf_bytes(&text), NULL, NULL, err);
}

int agent_journal_open(rd_loop *loop, const agent_journal_config *config, agent_journal **ret, rd_err *err)
{
    agent_journal *journal = rd_alloc(sizeof *journal);
    journal->config = *config;
    const rd_spool_config spool = { .path = config->path,
                                    .size_max = config->size_max,
                                    .context = journal,
                                    .on_record = on_record,
                                    .on_failed = on_spool_failed };
    if (rd_spool_open(loop, &spool, &journal->spool, err) < 0) {
        free(journal);
        return -1;
    }
    journal->retry = rd_timer_new(loop, compact, journal);
    if (rd_spool_torn_bytes(journal->spool) > 0)
        rd_log(RD_WARN, "journal_torn_tail", RD_U64("bytes", rd_spool_torn_bytes(journal->spool)));
    if (!journal->has_birth && write_birth(journal, err) < 0) {
        agent_journal_close(journal);
        return -1;
    }
    *ret = journal;
    return 0;
}

agent_journal *agent_journal_close(agent_journal *journal)
{
    if (!journal)
        return NULL;
    journal->retry = rd_timer_free(journal->retry);
    rd_spool_close(journal->spool);
    free(journal);
    return NULL;
}

const uint8_t *agent_journal_id(const agent_journal *journal)
{
    return rd_spool_id(journal->spool);
}

bool agent_journal_is_healthy(const agent_journal *journal)
{
    return rd_spool_is_healthy(journal->spool);
}
