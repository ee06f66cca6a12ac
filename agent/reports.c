#include "agent/reports.h"

#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/model/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEPT_MAX 10000

typedef struct node {
    struct node *next, *previous;
    agent_report report;
    bool is_newest; /* of its lease */
} node;

struct agent_reports {
    uint64_t incarnation, last, acked, durable;
    node *head, *tail; /* by seq */
    size_t count;
    rd_table *newest; /* "ins_….epoch" → node */
};

/* ---- JSON ---- */

bool agent_report_write(const agent_report *report, rd_buf *out)
{
    return agent_report_tell(report, RD_BYTES_NULL, out);
}

bool agent_report_tell(const agent_report *report, rd_bytes bundle, rd_buf *out)
{
    json_t *object = json_object();
    rd_json_set_int(object, "seq", (int64_t)report->seq);
    rd_json_set_int(object, "incarnation", (int64_t)report->incarnation);
    rd_json_set_str(object, "instance", report->instance);
    rd_json_set_int(object, "epoch", (int64_t)report->epoch);
    rd_json_set_str(object, "phase", rd_phase_name(report->phase));
    rd_json_set_str(object, "reason", report->reason);
    rd_json_set_str(object, "detail", report->detail);
    rd_json_set_digest(object, "evidence", report->has_evidence ? &report->evidence : NULL);
    rd_json_set_time(object, "at", report->at_us);
    if (bundle.size > 0)
        rd_json_set_b64(object, "bundle", bundle);
    bool is_ok = rd_json_dump(object, out);
    json_decref(object);
    return is_ok;
}

static const char *const phase_names[] = { "",         "delivered", "launching", "attesting", "serving", "unhealthy",
                                           "stopping", "refused",   "failed",    "stopped",   NULL };

static const rd_json_field report_fields[] = {
    { .name = "seq", .kind = RD_JSON_U64, .offset = offsetof(agent_report, seq) },
    { .name = "incarnation", .kind = RD_JSON_U64, .offset = offsetof(agent_report, incarnation) },
    { .name = "instance",
      .kind = RD_JSON_TEXT,
      .offset = offsetof(agent_report, instance),
      .min = 30,
      .max = RD_ID_TEXT_SIZE - 1 },
    { .name = "epoch", .kind = RD_JSON_U64, .offset = offsetof(agent_report, epoch) },
    { .name = "phase", .kind = RD_JSON_ENUM, .offset = offsetof(agent_report, phase), .names = phase_names },
    { .name = "reason", .kind = RD_JSON_TEXT, .offset = offsetof(agent_report, reason), .max = AGENT_REASON_MAX },
    { .name = "detail", .kind = RD_JSON_TEXT, .offset = offsetof(agent_report, detail), .max = AGENT_DETAIL_MAX },
    { .name = "evidence",
      .kind = RD_JSON_DIGEST,
      .offset = offsetof(agent_report, evidence),
      .flags = RD_NULLABLE,
      .has = RD_HAS(agent_report, has_evidence) },
    { .name = "at", .kind = RD_JSON_TIME, .offset = offsetof(agent_report, at_us) },
    RD_JSON_END,
};

int agent_report_read(rd_bytes line, agent_report *ret, rd_err *err)
{
    agent_report report = { 0 };
    if (rd_json_load(line, NULL, report_fields, RD_UNKNOWN_REFUSED, &report, err) < 0)
        return -1;
    *ret = report;
    return 0;
}

/* ---- list ---- */

agent_reports *agent_reports_new(uint64_t incarnation)
{
    agent_reports *reports = rd_alloc(sizeof *reports);
    reports->incarnation = incarnation;
    reports->newest = rd_table_new(0);
    return reports;
}

agent_reports *agent_reports_free(agent_reports *reports)
{
    if (!reports)
        return NULL;
    while (reports->head) {
        node *next = reports->head->next;
        free(reports->head);
        reports->head = next;
    }
    rd_table_free(reports->newest);
    free(reports);
    return NULL;
}

static rd_bytes lease_key(const char *instance, uint64_t epoch, char out[64])
{
    int size = snprintf(out, 64, "%s.%llu", instance, (unsigned long long)epoch);
    return rd_bytes_of(out, (size_t)size);
}

static void drop(agent_reports *reports, node *one)
{
    if (one->previous)
        one->previous->next = one->next;
    else
        reports->head = one->next;
    if (one->next)
        one->next->previous = one->previous;
    else
        reports->tail = one->previous;
    reports->count--;
    free(one);
}

static bool is_needed(const agent_reports *reports, const node *one)
{
    return one->is_newest || one->report.seq > reports->acked;
}

void agent_reports_reduce(agent_reports *reports)
{
    for (node *one = reports->head, *next; one; one = next) {
        next = one->next;
        if (!one->is_newest)
            drop(reports, one);
    }
}

size_t agent_reports_count(const agent_reports *reports)
{
    return reports->count;
}

static const agent_report *append(agent_reports *reports, const agent_report *report)
{
    node *one = rd_alloc(sizeof *one);
    one->report = *report;
    one->is_newest = true;
    one->previous = reports->tail;
    if (reports->tail)
        reports->tail->next = one;
    else
        reports->head = one;
    reports->tail = one;
    reports->count++;
    char text[64];
    void *before = NULL;
    (void)rd_table_set(reports->newest, lease_key(report->instance, report->epoch, text), one, &before);
    node *older = before;
    if (older) {
        older->is_newest = false;
        if (!is_needed(reports, older))
            drop(reports, older);
    }
    if (reports->count > KEPT_MAX)
        agent_reports_reduce(reports);
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the newest is never dropped. */
    return &one->report;
}

const agent_report *agent_reports_add(agent_reports *reports, const agent_report *report)
{
    agent_report numbered = *report;
    numbered.seq = ++reports->last;
    numbered.incarnation = reports->incarnation;
    return append(reports, &numbered);
}

void agent_reports_restore(agent_reports *reports, const agent_report *report)
{
    if (report->seq <= reports->last)
        return;
    reports->last = reports->durable = report->seq;
    (void)append(reports, report);
}

void agent_reports_durable(agent_reports *reports, uint64_t seq)
{
    reports->durable = RD_MAX(reports->durable, RD_MIN(seq, reports->last));
}

bool agent_reports_ack(agent_reports *reports, uint64_t incarnation, uint64_t seq)
{
    if (incarnation != reports->incarnation || seq > reports->durable)
        return false;
    if (seq <= reports->acked)
        return true;
    reports->acked = seq;
    for (node *one = reports->head, *next; one && one->report.seq <= seq; one = next) {
        next = one->next;
        if (!is_needed(reports, one))
            drop(reports, one);
    }
    return true;
}

const agent_report *agent_reports_after(const agent_reports *reports, uint64_t seq)
{
    for (const node *one = reports->tail, *found = NULL; one; one = one->previous) {
        if (one->report.seq <= seq)
            return found ? &found->report : NULL;
        if (one->report.seq <= reports->durable)
            found = one;
        if (!one->previous)
            return found ? &found->report : NULL;
    }
    return NULL;
}

const agent_report *agent_reports_newest(const agent_reports *reports, const char *instance, uint64_t epoch)
{
    char text[64];
    const node *one = rd_table_get(reports->newest, lease_key(instance, epoch, text));
    return one ? &one->report : NULL;
}

void agent_reports_forget(agent_reports *reports, const char *instance, uint64_t epoch)
{
    char text[64];
    node *one = rd_table_remove(reports->newest, lease_key(instance, epoch, text));
    if (!one)
        return;
    one->is_newest = false;
    if (!is_needed(reports, one))
        drop(reports, one);
}

bool agent_reports_next(const agent_reports *reports, uint64_t *iterator, const agent_report **ret)
{
    for (const node *one = reports->head; one; one = one->next) {
        if (one->report.seq > *iterator) {
            *iterator = one->report.seq;
            *ret = &one->report;
            return true;
        }
    }
    return false;
}

uint64_t agent_reports_incarnation(const agent_reports *reports)
{
    return reports->incarnation;
}

void agent_reports_set_incarnation(agent_reports *reports, uint64_t incarnation)
{
    reports->incarnation = incarnation;
}

uint64_t agent_reports_last(const agent_reports *reports)
{
    return reports->last;
}

uint64_t agent_reports_acked(const agent_reports *reports)
{
    return reports->acked;
}
