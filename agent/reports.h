/* reports: what this host says of its instances: numbered state changes, kept until the plane has committed them.
 * Used by instances, which report, by the uplink, which streams, and by the journal's replay and compaction.
 * Only durable reports are shown to a reader. Pure: the caller writes the journal. */
#ifndef AGENT_REPORTS_H
#define AGENT_REPORTS_H

#include "common/base/bytes.h"
#include "common/model/ids.h"
#include "common/model/instance_state.h"

#define AGENT_REASON_MAX 64
#define AGENT_DETAIL_MAX 400

typedef struct agent_report {
    uint64_t seq, incarnation, epoch;
    char instance[RD_ID_TEXT_SIZE];
    int phase; /* rd_phase */
    char reason[AGENT_REASON_MAX + 1];
    char detail[AGENT_DETAIL_MAX + 1];
    bool has_evidence;
    rd_digest evidence;
    int64_t at_us; /* wall */
} agent_report;

/* The journal's payload. */
bool agent_report_write(const agent_report *report, rd_buf *out);
/* One line of GET /events, without newline; bundle: what the report's evidence is the digest of, or nothing. */
bool agent_report_tell(const agent_report *report, rd_bytes bundle, rd_buf *out);
int agent_report_read(rd_bytes line, agent_report *ret, rd_err *err) RD_NODISCARD;

typedef struct agent_reports agent_reports;
agent_reports *agent_reports_new(uint64_t incarnation);
agent_reports *agent_reports_free(agent_reports *reports);
uint64_t agent_reports_incarnation(const agent_reports *reports);
void agent_reports_set_incarnation(agent_reports *reports, uint64_t incarnation);
/* Highest number given out, and the highest that the plane has acknowledged. */
uint64_t agent_reports_last(const agent_reports *reports);
uint64_t agent_reports_acked(const agent_reports *reports);

/* Numbers a report (seq and incarnation are set) and keeps it as not durable; the copy kept is returned. */
const agent_report *agent_reports_add(agent_reports *reports, const agent_report *report);
/* From the journal: durable already. */
void agent_reports_restore(agent_reports *reports, const agent_report *report);
/* Everything up to seq is on disk. */
void agent_reports_durable(agent_reports *reports, uint64_t seq);
/* Cumulative; of another incarnation: no effect. False then. */
bool agent_reports_ack(agent_reports *reports, uint64_t incarnation, uint64_t seq);
/* The next durable report after seq, or NULL; borrowed until the next change. */
const agent_report *agent_reports_after(const agent_reports *reports, uint64_t seq);
/* The newest report of a lease, durable or not, or NULL. */
const agent_report *agent_reports_newest(const agent_reports *reports, const char *instance, uint64_t epoch);
void agent_reports_forget(agent_reports *reports, const char *instance, uint64_t epoch);
/* Kept ones. */
size_t agent_reports_count(const agent_reports *reports);
/* Drops all but the newest of each lease: levels say all when the steps have become too many. */
void agent_reports_reduce(agent_reports *reports);
/* For compaction, in order: what is unacknowledged or newest of its lease. Past 10,000 only the newest of each lease
 * stay (levels). Start with *iterator = 0. */
bool agent_reports_next(const agent_reports *reports, uint64_t *iterator, const agent_report **ret);

#endif
