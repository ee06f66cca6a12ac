/* journal: jobs, reports and acknowledgements on disk, so that a killed agent knows what it had promised.
 * Used by the agent alone: writes through, replays at the start, compacts when half full.
 * After a failed fsync it takes no new jobs; running instances stay. */
#ifndef AGENT_JOURNAL_H
#define AGENT_JOURNAL_H

#include "agent/jobs.h"
#include "agent/reports.h"
#include "common/io/spool.h"

typedef struct agent_journal agent_journal;

typedef struct agent_journal_config {
    const char *path;
    uint64_t size_max;    /* bytes; 0: 64 MiB */
    uint64_t incarnation; /* of a journal that begins now: larger than any before it, as the wall clock's seconds are */
    agent_jobs *jobs;
    agent_reports *reports;
    void *context;
    void (*on_durable)(void *context);                     /* more reports may be sent */
    void (*on_failed)(void *context, const rd_err *error); /* for good */
} agent_journal_config;

/* Replays into jobs and reports. SPOOL_CORRUPT names the place. */
int agent_journal_open(rd_loop *loop, const agent_journal_config *config, agent_journal **ret,
                       rd_err *err) RD_NODISCARD;
/* Outside the loop's callbacks. */
agent_journal *agent_journal_close(agent_journal *journal);
const uint8_t *agent_journal_id(const agent_journal *journal);
bool agent_journal_is_healthy(const agent_journal *journal);

/* Calls done when the record is on disk, or with the reason why it is not. */
int agent_journal_job(agent_journal *journal, rd_bytes record, rd_spool_done_fn done, void *context,
                      rd_err *err) RD_NODISCARD;
/* Writes a report that agent_reports_add has numbered; marks it durable later and calls on_durable. Never fails for the
 * caller: what a full journal refuses is written by the compaction that this starts. */
void agent_journal_report(agent_journal *journal, const agent_report *report);
/* Lazily: an acknowledgement that is lost is only given again. */
void agent_journal_ack(agent_journal *journal, uint64_t incarnation, uint64_t seq);

#endif
