#include "api/agents_private.h"

#include "common/model/receipt_record.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WAITING_BYTES  ((size_t)1 << 20)   /* of one host, waiting or under way; then its stream is paused */
#define BYTES_A_SECOND ((int64_t)16 << 20) /* of one host: more is lost at the host, not stored here */
#define LINE_COST      256                 /* of these bytes, for a line whatever is in it */
#define TURN_MS        100                 /* between a host's transactions, unless as much as this waits: */
#define TURN_BYTES     ((size_t)256 << 10)

/* Of leases that are or were this host's. What is there already is told again after a lost acknowledgement: each writer
 * keeps the records of a launch in the order of their numbers, so what is not above the last one is there. */
static const rd_pg_stmt stmts[] = {
    { "receipts_keep",
      "WITH u AS MATERIALIZED (SELECT * FROM unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::integer[], $6::bytea[])"
      " AS u(instance_id, epoch, first, count, record)),"
      " launches AS MATERIALIZED (SELECT d.instance_id, d.epoch, l.org_id, l.app_id, coalesce((SELECT r.first"
      " FROM receipt_log r WHERE r.instance_id = d.instance_id AND r.epoch = d.epoch AND r.at > now() - interval '1 "
      "day'"
      " ORDER BY r.first DESC LIMIT 1), 0) AS kept FROM (SELECT DISTINCT instance_id, epoch FROM u) d"
      " JOIN LATERAL (SELECT x.org_id, x.app_id FROM leases x WHERE x.instance_id = d.instance_id"
      " AND x.epoch = d.epoch AND x.host_id = $1 UNION ALL SELECT y.org_id, y.app_id FROM lease_history y"
      " WHERE y.instance_id = d.instance_id AND y.epoch = d.epoch AND y.host_id = $1 LIMIT 1) l ON true)"
      " INSERT INTO receipt_log (org_id, app_id, instance_id, epoch, first, count, record)"
      " SELECT l.org_id, l.app_id, u.instance_id, u.epoch, u.first, u.count, u.record"
      " FROM u JOIN launches l ON l.instance_id = u.instance_id AND l.epoch = u.epoch WHERE u.first > l.kept",
      6 },
};
const rd_pg_stmts api_receipts_stmts = { stmts, RD_ARRAY_LEN(stmts) };

struct api_receipts_waiting {
    api_receipts_line line;
    uint64_t first;
    uint32_t count;
    struct api_receipts_waiting *next;
};

static void keep(api_host_link *host);

static bool is_full(const api_host_link *host)
{
    return host->receipt_bytes >= WAITING_BYTES || host->receipt_tokens <= 0;
}

static void resume(api_host_link *host)
{
    if (!host->is_receipts_paused || !host->receipts || is_full(host))
        return;
    host->is_receipts_paused = false;
    rd_link_stream_resume(host->receipts);
}

/* ---- acknowledgement ---- */

static void on_acked(void *context, int status, rd_bytes body, const rd_err *error)
{
    (void)body;
    api_host_link *host = context;
    if (!error && status != 204)
        rd_log(RD_WARN, "receipts_ack_refused", RD_STR("host", host->name), RD_I64("status", status));
    api_host_release(host);
}

/* Cumulative; one that is lost costs a repetition on the next link. */
static void tell_ack(api_host_link *host, uint64_t number)
{
    char body[40];
    snprintf(body, sizeof body, "{\"n\":%" PRIu64 "}", number);
    rd_link_request request = { .method = "PUT", .path = "/receipts/ack", .body = rd_bytes_str(body) };
    host->receipt_acked = number;
    rd_err err = RD_ERR_INIT;
    if (host->link && rd_link_send(host->link, &request, on_acked, host, &err) == 0)
        api_host_hold(host);
}

/* ---- one transaction a host at a time ---- */

static void pop_kept(api_host_link *host)
{
    for (size_t i = 0; i < host->receipts_in_flight; i++) {
        struct api_receipts_waiting *one = host->first_receipts;
        host->first_receipts = one->next;
        host->receipt_bytes -= one->line.record.size;
        host->receipt_kept = one->line.number;
        api_receipts_line_done(&one->line);
        free(one);
    }
    if (!host->first_receipts)
        host->last_receipts = NULL;
    host->receipts_in_flight = 0;
}

/* What was left out is done with, too, when nothing before it waits. */
static void tell_done(api_host_link *host)
{
    uint64_t done = host->first_receipts ? host->receipt_kept : host->receipt_seen;
    if (done > host->receipt_acked)
        tell_ack(host, done);
}

static void on_kept(void *context, rd_pg_outcome outcome, rd_pg_result **results, size_t count, size_t failed,
                    const rd_err *err)
{
    (void)results;
    (void)count;
    (void)failed;
    api_host_link *host = context;
    if (outcome == RD_PG_SOME || outcome == RD_PG_NONE) {
        host->agents->receipts_kept += host->receipts_in_flight;
        pop_kept(host);
        tell_done(host);
        resume(host);
        keep(host);
    } else {
        host->receipts_in_flight = 0; /* once more with the next second */
        rd_log(RD_WARN, "receipts_not_kept", RD_STR("host", host->name), RD_ERR(err));
    }
    api_host_release(host);
}

static rd_pg_batch *batch_of(api_host_link *host)
{
    enum { INSTANCE, EPOCH, FIRST, COUNT, RECORD, COLUMNS };
    static const rd_pg_type types[COLUMNS] = { RD_PG_T_UUID, RD_PG_T_INT8, RD_PG_T_INT8, RD_PG_T_INT4, RD_PG_T_BYTEA };
    rd_pg_array columns[COLUMNS];
    for (size_t c = 0; c < COLUMNS; c++)
        rd_pg_array_init(&columns[c], types[c]);
    for (const struct api_receipts_waiting *one = host->first_receipts; one; one = one->next) {
        rd_pg_array_bytes(&columns[INSTANCE], RD_BYTES_ARRAY(one->line.instance.b));
        rd_pg_array_i64(&columns[EPOCH], (int64_t)one->line.epoch);
        rd_pg_array_i64(&columns[FIRST], (int64_t)one->first);
        rd_pg_array_i64(&columns[COUNT], one->count);
        rd_pg_array_bytes(&columns[RECORD], rd_buf_bytes(&one->line.record));
        host->receipts_in_flight++;
    }
    rd_pg_batch *batch = rd_pg_batch_new(NULL);
    rd_pg_batch_call(batch, "receipts_keep", rd_pg_uuid(host->host.b), rd_pg_array_value(&columns[INSTANCE]),
                     rd_pg_array_value(&columns[EPOCH]), rd_pg_array_value(&columns[FIRST]),
                     rd_pg_array_value(&columns[COUNT]), rd_pg_array_value(&columns[RECORD]));
    for (size_t c = 0; c < COLUMNS; c++)
        rd_pg_array_done(&columns[c]);
    return batch;
}

static uint64_t now_ms(const api_host_link *host)
{
    return rd_loop_now_ms(host->agents->options.loop);
}

/* A transaction costs as much as keeping some hundred records. */
static bool is_turn(api_host_link *host)
{
    if (host->receipt_bytes >= TURN_BYTES || now_ms(host) >= host->receipts_turn_ms)
        return true;
    if (!host->agents->is_receipts_armed)
        rd_timer_start(host->agents->receipts_turn, TURN_MS * 1000, 0);
    host->agents->is_receipts_armed = true;
    return false;
}

/* Everything that came since the one before. */
static void keep(api_host_link *host)
{
    if (host->receipts_in_flight > 0 || !host->first_receipts || !host->link || !is_turn(host))
        return;
    rd_err err = RD_ERR_INIT;
    host->receipts_turn_ms = now_ms(host) + TURN_MS;
    api_host_hold(host);
    rd_pg_batch *batch = batch_of(host);
    if (rd_pg_async_submit(host->agents->options.receipts_pg, batch, on_kept, host, &err) < 0)
        on_kept(host, RD_PG_FAILED, NULL, 0, 0, &err);
}

void api_receipts_turn(void *context)
{
    api_agents *agents = context;
    agents->is_receipts_armed = false;
    for (api_host_link *host = agents->first; host; host = host->next)
        keep(host);
}

void api_receipts_second(api_host_link *host)
{
    host->receipt_tokens = BYTES_A_SECOND;
    tell_done(host);
    resume(host);
    keep(host);
}

/* ---- the stream ---- */

/* An enclave's word, not the agent's: it is left out, and the link goes on. Said at doublings. */
static void note_malformed(api_host_link *host, const rd_err *malformed)
{
    uint64_t count = ++host->agents->receipts_malformed;
    if ((count & (count - 1)) == 0)
        rd_log(RD_WARN, "receipts_malformed", RD_STR("host", host->name), RD_U64("count", count), RD_ERR(malformed));
}

static int take_line(api_host_link *host, api_receipts_line *line, rd_err *err)
{
    RD_CLEANUP(rd_free_p) rd_receipt_record *record = rd_alloc(sizeof *record);
    rd_err malformed = RD_ERR_INIT;
    if (line->number <= host->receipt_seen)
        return rd_err_set(err, RD_E_LINK_PROTOCOL, "a record of receipts out of order");
    host->receipt_seen = line->number;
    if (rd_receipt_record_parse(rd_buf_bytes(&line->record), record, &malformed) < 0) {
        note_malformed(host, &malformed);
        return 0;
    }
    struct api_receipts_waiting *one = rd_alloc(sizeof *one);
    one->line = *line;
    one->first = record->root.first;
    one->count = record->root.count;
    line->record = (rd_buf){ 0 };
    host->receipt_bytes += one->line.record.size;
    *(host->last_receipts ? &host->last_receipts->next : &host->first_receipts) = one;
    host->last_receipts = one;
    return 0;
}

static bool on_line(rd_link_stream *stream, void *context, rd_bytes bytes)
{
    (void)stream;
    api_host_link *host = context;
    api_receipts_line line = { .epoch = 0 };
    rd_err err = RD_ERR_INIT;
    host->receipt_tokens -= LINE_COST + (int64_t)bytes.size;
    if (api_receipts_line_read(bytes, &line, &err) < 0 || take_line(host, &line, &err) < 0)
        api_host_fail(host, "receipts", &err);
    api_receipts_line_done(&line);
    keep(host);
    host->is_receipts_paused = is_full(host);
    return !host->is_receipts_paused;
}

static void on_closed(void *context, const rd_err *error)
{
    (void)error;
    api_host_link *host = context;
    host->receipts = NULL;
    api_host_release(host);
}

static const rd_link_line_events stream_events = { on_line, on_closed };

void api_receipts_begin(api_host_link *host)
{
    rd_err err = RD_ERR_INIT;
    host->receipt_tokens = BYTES_A_SECOND;
    if (!host->link || rd_link_lines(host->link, "/receipts", &stream_events, host, &host->receipts, &err) < 0)
        return; /* its answers have theirs all the same */
    api_host_hold(host);
}

void api_receipts_free(api_host_link *host)
{
    struct api_receipts_waiting *next;
    for (struct api_receipts_waiting *one = host->first_receipts; one; one = next) {
        next = one->next;
        api_receipts_line_done(&one->line);
        free(one);
    }
}
