#include "agent/uplink_private.h"

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/json.h"

#include <string.h>

#define BUNDLE_MAX ((size_t)40 << 10) /* evidence that a line has room for; larger is fetched by its digest */

/* Evidence goes along with what is judged by it, so that a start waits for no round trip. */
static bool write_report(agent_uplink *uplink, const agent_report *report, rd_buf *out)
{
    RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
    rd_err err = RD_ERR_INIT; /* what is not here is not told, and missed by who fetches it */
    if (report->has_evidence && report->phase == RD_PHASE_SERVING)
        (void)!agent_blobs_get(uplink->config.evidence, &report->evidence, &bundle, &err);
    if (bundle.size > BUNDLE_MAX)
        rd_buf_clear(&bundle);
    return agent_report_tell(report, rd_buf_bytes(&bundle), out) && rd_buf_append_u8(out, '\n');
}

void uplink_pump_events(agent_uplink *uplink, uplink_session *of)
{
    const agent_report *report = NULL;
    while (of->events && rd_link_stream_room(of->events) >= RD_LINK_LINE_MAX &&
           (report = agent_reports_after(uplink->config.reports, of->sent_seq)) != NULL) {
        RD_CLEANUP(rd_buf_done) rd_buf line = { .size_max = RD_LINK_LINE_MAX };
        rd_err err = RD_ERR_INIT;
        of->sent_seq = report->seq;
        (void)write_report(uplink, report, &line);
        if (rd_link_stream_write(of->events, rd_buf_bytes(&line), &err) < 0)
            return;
    }
}

void uplink_pump_logs(agent_uplink *uplink, uplink_session *of)
{
    while (of->logs) {
        rd_err err = RD_ERR_INIT;
        rd_bytes line = agent_logs_take(uplink->config.logs, rd_link_stream_room(of->logs));
        if (line.size == 0 || rd_link_stream_write(of->logs, line, &err) < 0)
            return;
    }
}

void uplink_pump_receipts(agent_uplink *uplink, uplink_session *of)
{
    while (of->receipts) {
        rd_err err = RD_ERR_INIT;
        uint64_t number = of->sent_receipt;
        rd_bytes line = agent_receipts_after(uplink->config.receipts, &number);
        if (line.size == 0 || line.size > rd_link_stream_room(of->receipts) ||
            rd_link_stream_write(of->receipts, line, &err) < 0)
            return;
        of->sent_receipt = number;
    }
}

static uplink_session *session_of(rd_link_stream *stream)
{
    return rd_link_context(rd_link_stream_link(stream));
}

static void on_events_room(rd_link_stream *stream, void *context)
{
    uplink_pump_events(context, session_of(stream));
}

static void on_logs_room(rd_link_stream *stream, void *context)
{
    uplink_pump_logs(context, session_of(stream));
}

static void on_receipts_room(rd_link_stream *stream, void *context)
{
    uplink_pump_receipts(context, session_of(stream));
}

static void on_feed_closed(rd_link_stream *stream, void *context, const rd_err *error)
{
    (void)context;
    (void)error;
    uplink_session *of = session_of(stream);
    if (!of)
        return;
    if (of->events == stream)
        of->events = NULL;
    if (of->logs == stream)
        of->logs = NULL;
    if (of->receipts == stream)
        of->receipts = NULL;
}

static void on_feed_end(rd_link_stream *stream, void *context)
{
    (void)stream; /* a GET ends its side at once: the answer is what is endless */
    (void)context;
}

static const rd_link_stream_events events_feed = {
    .on_room = on_events_room,
    .on_end = on_feed_end,
    .on_closed = on_feed_closed,
};
static const rd_link_stream_events logs_feed = {
    .on_room = on_logs_room,
    .on_end = on_feed_end,
    .on_closed = on_feed_closed,
};

static const rd_link_stream_events receipts_feed = {
    .on_room = on_receipts_room,
    .on_end = on_feed_end,
    .on_closed = on_feed_closed,
};

void uplink_on_events(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream,
                      const rd_link_exchange *exchange, const char *rest)
{
    (void)exchange;
    uint64_t after = 0;
    if (rest[0] && (!rd_starts_with(rest, "?after=") ||
                    rd_parse_u64(rest + 7, strlen(rest + 7), (uint64_t)RD_JSON_INT_MAX, &after) < 0)) {
        uplink_answer_code(stream, RD_E_USAGE, "expected ?after=N");
        return;
    }
    if (of->events)
        rd_link_stream_end(of->events);
    of->events = stream;
    of->sent_seq = after;
    rd_link_accept(stream, &events_feed, uplink);
    uplink_pump_events(uplink, of);
}

void uplink_on_logs(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream, const rd_link_exchange *exchange,
                    const char *rest)
{
    (void)exchange;
    (void)rest;
    if (of->logs)
        rd_link_stream_end(of->logs);
    of->logs = stream;
    rd_link_accept(stream, &logs_feed, uplink);
    uplink_pump_logs(uplink, of);
}

/* All that is kept, from its begin: what this reader does not acknowledge stays for the next. */
void uplink_on_receipts(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream,
                        const rd_link_exchange *exchange, const char *rest)
{
    (void)exchange;
    (void)rest;
    if (of->receipts)
        rd_link_stream_end(of->receipts);
    of->receipts = stream;
    of->sent_receipt = 0;
    rd_link_accept(stream, &receipts_feed, uplink);
    uplink_pump_receipts(uplink, of);
}

typedef struct receipts_ack {
    uint64_t number;
} receipts_ack;

static const rd_json_field receipts_ack_fields[] = {
    { .name = "n", .kind = RD_JSON_U64, .offset = offsetof(receipts_ack, number) },
    RD_JSON_END,
};

void uplink_on_receipts_ack(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream,
                            const rd_link_exchange *exchange, const char *rest)
{
    (void)rest;
    rd_err err = RD_ERR_INIT;
    receipts_ack body = { 0 };
    if (rd_json_load(exchange->body, NULL, receipts_ack_fields, RD_UNKNOWN_IGNORED, &body, &err) < 0) {
        rd_link_answer_error(stream, &err);
        return;
    }
    if (body.number > of->sent_receipt) {
        uplink_answer_code(stream, RD_E_CLI_CONFLICT, "the acknowledgement is ahead of what was sent on this link");
        return;
    }
    agent_receipts_forget(uplink->config.receipts, body.number);
    rd_link_answer(stream, 204, RD_BYTES_NULL);
}

typedef struct ack {
    uint64_t incarnation, seq;
} ack;

static const rd_json_field ack_fields[] = {
    { .name = "incarnation", .kind = RD_JSON_U64, .offset = offsetof(ack, incarnation) },
    { .name = "seq", .kind = RD_JSON_U64, .offset = offsetof(ack, seq) },
    RD_JSON_END,
};

void uplink_on_ack(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream, const rd_link_exchange *exchange,
                   const char *rest)
{
    (void)of;
    (void)rest;
    rd_err err = RD_ERR_INIT;
    ack body = { 0 };
    if (rd_json_load(exchange->body, NULL, ack_fields, RD_UNKNOWN_IGNORED, &body, &err) < 0) {
        rd_link_answer_error(stream, &err);
        return;
    }
    uint64_t before = agent_reports_acked(uplink->config.reports);
    if (!agent_reports_ack(uplink->config.reports, body.incarnation, body.seq)) {
        uplink_answer_code(stream, RD_E_CLI_CONFLICT, "the acknowledgement is not of this journal's events");
        return;
    }
    if (body.seq > before)
        agent_journal_ack(uplink->config.journal, body.incarnation, body.seq);
    rd_link_answer(stream, 204, RD_BYTES_NULL);
}
