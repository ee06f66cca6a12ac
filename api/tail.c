#include "api/tail.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PAGE       500
#define BUFFER_MAX ((size_t)256 << 10)
#define CUT_ROOM   256 /* kept free for the last words */

#define EVENT_COLUMNS "era, xid, id, org_id, app_id, kind, subject, body::text, at"

static const rd_pg_stmt stmts[] = {
    /* Where the log ends: everything below this horizon is committed or will never be. */
    { "tail_horizon", "SELECT c.era, (pg_snapshot_xmin(pg_current_snapshot())::text::bigint) - 1 FROM cluster c", 0 },
    { "tail_next",
      "SELECT " EVENT_COLUMNS " FROM events WHERE (xid, id) > ($1::xid8, $2::bigint)"
      " AND xid < pg_snapshot_xmin(pg_current_snapshot()) AND at > clock_timestamp() - interval '1 day'"
      " ORDER BY xid, id LIMIT 500",
      2 },
    { "tail_of_org",
      "SELECT " EVENT_COLUMNS " FROM events WHERE org_id = $1 AND (xid, id) > ($2::xid8, $3::bigint)"
      " AND (xid, id) <= ($4::xid8, $5::bigint) AND ($6::bytea IS NULL OR app_id = $6)"
      " ORDER BY xid, id LIMIT 500",
      6 },
    { "tail_oldest",
      "SELECT e.xid, c.era FROM cluster c LEFT JOIN LATERAL (SELECT xid FROM events ORDER BY xid, id"
      " LIMIT 1) e ON true",
      0 },
};
const rd_pg_stmts api_tail_stmts = { stmts, RD_ARRAY_LEN(stmts) };

typedef struct cursor {
    uint64_t xid, id;
} cursor;

typedef enum reader_state { READER_CHECKING, READER_CATCHING, READER_LIVE, READER_ENDED } reader_state;

typedef struct reader {
    api_tail *tail; /* NULL: the tail is gone */
    reader_state state;
    api_stream *stream; /* NULL: closed */
    uint8_t org[16];
    bool has_app;
    rd_app_id app;
    cursor at, upto;
    int64_t era;
    unsigned holders; /* queries under way */
    int64_t last_write_us;
    struct reader *next, *previous;
} reader;

struct api_tail {
    api_tail_options options;
    rd_redis_listener *listener;
    rd_timer *poll;
    cursor at;
    int64_t era;
    bool is_placed, is_busy, is_again, is_closing;
    int64_t looked_us, beat_us;
    reader *readers;
    size_t reader_count;
    uint64_t events, cut, gone;
};

static int64_t boot_us(void)
{
    return rd_clock_boot_us(rd_clock_system());
}

static int compare(cursor a, cursor b)
{
    if (a.xid != b.xid)
        return a.xid < b.xid ? -1 : 1;
    return a.id < b.id ? -1 : a.id > b.id;
}

/* ---- readers ---- */

static void reader_release(reader *r)
{
    if (r->stream || r->holders > 0)
        return;
    if (r->tail) {
        if (r->next)
            r->next->previous = r->previous;
        *(r->previous ? &r->previous->next : &r->tail->readers) = r->next;
        r->tail->reader_count--;
    }
    free(r);
}

static void on_stream_closed(void *arg)
{
    reader *r = arg;
    r->stream = NULL;
    r->state = READER_ENDED;
    reader_release(r);
}

static void reader_end(reader *r, const char *event, const char *code)
{
    char text[CUT_ROOM];
    snprintf(text, sizeof text, "event: %s\ndata: {\"code\":\"%s\"}\n\n", event, code);
    r->state = READER_ENDED;
    if (!r->stream)
        return;
    (void)api_stream_write(r->stream, rd_bytes_str(text));
    api_stream_end(r->stream);
}

static bool reader_write(reader *r, rd_bytes bytes)
{
    if (!r->stream || r->state == READER_ENDED)
        return false;
    if (api_stream_room(r->stream) < bytes.size + CUT_ROOM || !api_stream_write(r->stream, bytes)) {
        r->tail->cut++;
        reader_end(r, "cut", "slow_reader");
        return false;
    }
    r->last_write_us = boot_us();
    return true;
}

/* ---- events as text ---- */

static void append_subject(rd_buf *out, const api_tail_event *event)
{
    char text[RD_APP_ID_TEXT_SIZE] = "";
    const char *prefix = strcmp(event->kind, "instance") == 0     ? RD_PREFIX_INSTANCE
                         : strcmp(event->kind, "deployment") == 0 ? RD_PREFIX_DEPLOY
                         : strcmp(event->kind, "host") == 0       ? RD_PREFIX_HOST
                                                                  : NULL;
    if (event->subject.size == 32)
        rd_app_id_format((const rd_app_id *)(const void *)event->subject.data, text);
    else if (event->subject.size == 16 && prefix)
        rd_id_format(prefix, (const rd_id *)(const void *)event->subject.data, text);
    (void)rd_buf_append_str(out, text);
}

/* WHATWG HTML, 9.2.5; data is one line, as JSON holds no raw line end. */
static void format_event(rd_buf *out, const api_tail_event *event)
{
    char app[RD_APP_ID_TEXT_SIZE], at[RD_TIME_TEXT_SIZE];
    rd_time_format(event->at_us, at);
    (void)rd_buf_printf(out,
                        "event: %s\nid: %" PRId64 "-%" PRIu64 "-%" PRIu64 "\ndata: {\"kind\":\"%s\",\"subject\":\"",
                        event->kind, event->era, event->xid, event->id, event->kind);
    append_subject(out, event);
    if (event->has_app) {
        rd_app_id_format(&event->app, app);
        (void)rd_buf_printf(out, "\",\"app\":\"%s\"", app);
    } else {
        (void)rd_buf_append_str(out, "\",\"app\":null");
    }
    (void)rd_buf_printf(out, ",\"at\":\"%s\",\"body\":", at);
    (void)rd_buf_append_str(out, event->body);
    (void)rd_buf_append_str(out, "}\n\n");
}

static void read_event(const rd_pg_result *result, size_t row, api_tail_event *ret)
{
    *ret = (api_tail_event){ .era = rd_pg_get_i64(result, row, 0),
                             .xid = (uint64_t)rd_pg_get_i64(result, row, 1),
                             .id = (uint64_t)rd_pg_get_i64(result, row, 2),
                             .kind = rd_pg_get_text(result, row, 5),
                             .subject = rd_pg_get_bytes(result, row, 6),
                             .body = rd_pg_get_text(result, row, 7),
                             .at_us = rd_pg_get_time(result, row, 8) };
    ret->has_org = rd_pg_get_fixed(result, row, 3, ret->org, sizeof ret->org);
    ret->has_app = rd_pg_get_fixed(result, row, 4, ret->app.b, sizeof ret->app.b);
}

static bool is_in_scope(const reader *r, const api_tail_event *event)
{
    if (!event->has_org || memcmp(event->org, r->org, sizeof r->org) != 0)
        return false;
    return !r->has_app || (event->has_app && rd_app_id_equal(&event->app, &r->app));
}

static void give(api_tail *tail, const api_tail_event *event)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    cursor at = { event->xid, event->id };
    for (reader *r = tail->readers, *next; r; r = next) {
        next = r->next;
        if (r->state != READER_LIVE || compare(at, r->at) <= 0)
            continue;
        r->at = at;
        if (!is_in_scope(r, event))
            continue;
        if (text.size == 0)
            format_event(&text, event);
        (void)reader_write(r, rd_buf_bytes(&text));
    }
}

/* ---- following the log ---- */

static void look(api_tail *tail);

static void tail_done(api_tail *tail)
{
    tail->is_busy = false;
    if (tail->is_closing) {
        free(tail);
        return;
    }
    if (tail->is_again) {
        tail->is_again = false;
        look(tail);
    }
}

static void on_rows(void *context, rd_pg_outcome outcome, rd_pg_result **results, size_t count, size_t failed,
                    const rd_err *err)
{
    (void)failed;
    api_tail *tail = context;
    if ((outcome != RD_PG_SOME && outcome != RD_PG_NONE) || count != 1) {
        if (!tail->is_closing)
            rd_log(RD_WARN, "tail_failed", RD_ERR(err));
        tail->is_again = false; /* the poll looks again */
        tail_done(tail);
        return;
    }
    if (!tail->is_closing) {
        size_t rows = rd_pg_rows(results[0]);
        tail->looked_us = boot_us();
        for (size_t i = 0; i < rows; i++) {
            api_tail_event event;
            read_event(results[0], i, &event);
            tail->at = (cursor){ event.xid, event.id };
            tail->events++;
            tail->options.on_event(tail->options.context, &event);
            give(tail, &event);
        }
        tail->is_again |= rows == PAGE;
    }
    tail_done(tail);
}

static void on_horizon(void *context, rd_pg_outcome outcome, rd_pg_result **results, size_t count, size_t failed,
                       const rd_err *err)
{
    (void)failed;
    api_tail *tail = context;
    if ((outcome == RD_PG_SOME || outcome == RD_PG_NONE) && count == 1 && rd_pg_rows(results[0]) == 1) {
        tail->era = rd_pg_get_i64(results[0], 0, 0);
        tail->at = (cursor){ (uint64_t)rd_pg_get_i64(results[0], 0, 1), INT64_MAX };
        tail->is_placed = true;
        tail->looked_us = boot_us();
    } else if (!tail->is_closing) {
        rd_log(RD_WARN, "tail_failed", RD_ERR(err));
    }
    tail_done(tail);
}

static void look(api_tail *tail)
{
    if (tail->is_busy) {
        tail->is_again = true;
        return;
    }
    rd_pg_batch *batch = rd_pg_batch_new(NULL);
    if (tail->is_placed)
        rd_pg_batch_call(batch, "tail_next", rd_pg_i64((int64_t)tail->at.xid), rd_pg_i64((int64_t)tail->at.id));
    else
        rd_pg_batch_add(batch, "tail_horizon", NULL, 0);
    rd_err err = RD_ERR_INIT;
    tail->is_busy =
        rd_pg_async_submit(tail->options.pg, batch, tail->is_placed ? on_rows : on_horizon, tail, &err) == 0;
}

/* ---- resuming readers ---- */

static void catch_up(reader *r);

static void on_caught(void *context, rd_pg_outcome outcome, rd_pg_result **results, size_t count, size_t failed,
                      const rd_err *err)
{
    (void)failed;
    (void)err;
    reader *r = context;
    r->holders--;
    if (!r->tail || !r->stream || r->state != READER_CATCHING) {
        reader_release(r);
        return;
    }
    if ((outcome != RD_PG_SOME && outcome != RD_PG_NONE) || count != 1) {
        reader_end(r, "cut", "unavailable");
        return;
    }
    size_t rows = rd_pg_rows(results[0]);
    for (size_t i = 0; i < rows; i++) {
        api_tail_event event;
        RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
        read_event(results[0], i, &event);
        format_event(&text, &event);
        if (!api_stream_write(r->stream, rd_buf_bytes(&text)))
            return; /* on_drain goes on from here */
        r->at = (cursor){ event.xid, event.id };
    }
    if (rows < PAGE)
        r->at = r->upto;
    catch_up(r);
}

/* From its place to where the tail stands; then it is live. */
static void catch_up(reader *r)
{
    api_tail *tail = r->tail;
    if (compare(r->at, tail->at) >= 0) {
        r->state = READER_LIVE;
        return;
    }
    r->upto = tail->at;
    rd_pg_batch *batch = rd_pg_batch_new(NULL);
    rd_pg_batch_call(batch, "tail_of_org", rd_pg_uuid(r->org), rd_pg_i64((int64_t)r->at.xid),
                     rd_pg_i64((int64_t)r->at.id), rd_pg_i64((int64_t)tail->at.xid), rd_pg_i64((int64_t)tail->at.id),
                     r->has_app ? rd_pg_bytes(RD_BYTES_ARRAY(r->app.b)) : rd_pg_null());
    rd_err err = RD_ERR_INIT;
    if (rd_pg_async_submit(tail->options.pg, batch, on_caught, r, &err) < 0)
        reader_end(r, "cut", "unavailable");
    else
        r->holders++;
}

static void on_stream_drained(void *arg)
{
    reader *r = arg;
    if (r->tail && r->state == READER_CATCHING && r->holders == 0)
        catch_up(r);
}

/* The place may be gone: another era (xids start anew), or a partition that was dropped. */
static void on_oldest(void *context, rd_pg_outcome outcome, rd_pg_result **results, size_t count, size_t failed,
                      const rd_err *err)
{
    (void)failed;
    (void)err;
    reader *r = context;
    r->holders--;
    if (!r->tail || !r->stream || r->state != READER_CHECKING) {
        reader_release(r);
        return;
    }
    if ((outcome != RD_PG_SOME && outcome != RD_PG_NONE) || count != 1 || rd_pg_rows(results[0]) != 1) {
        reader_end(r, "cut", "unavailable");
        return;
    }
    bool has_oldest = !rd_pg_is_null(results[0], 0, 0);
    bool is_gone = r->era != rd_pg_get_i64(results[0], 0, 1) ||
                   (has_oldest && r->at.xid < (uint64_t)rd_pg_get_i64(results[0], 0, 0)) ||
                   compare(r->at, r->tail->at) > 0;
    if (is_gone) {
        r->tail->gone++;
        reader_end(r, "gone", "gone");
        return;
    }
    r->state = READER_CATCHING;
    catch_up(r);
}

/* "era-xid-id", each strict decimal. */
static int parse_place(const char *text, int64_t *ret_era, cursor *ret)
{
    uint64_t parts[3];
    for (int i = 0; i < 3; i++) {
        size_t size = strcspn(text, "-");
        if (rd_parse_u64(text, size, INT64_MAX, &parts[i]) < 0 || (i < 2) != (text[size] == '-'))
            return -1;
        text += size + (i < 2);
    }
    *ret_era = (int64_t)parts[0];
    *ret = (cursor){ parts[1], parts[2] };
    return *text == 0 ? 0 : -1;
}

static void check_place(reader *r)
{
    rd_pg_batch *batch = rd_pg_batch_new(NULL);
    rd_pg_batch_add(batch, "tail_oldest", NULL, 0);
    rd_err err = RD_ERR_INIT;
    if (rd_pg_async_submit(r->tail->options.pg, batch, on_oldest, r, &err) < 0)
        reader_end(r, "cut", "unavailable");
    else
        r->holders++;
}

void api_tail_read(api_tail *tail, struct api_request *request, const api_tail_scope *scope)
{
    rd_err err = RD_ERR_INIT;
    reader *r = rd_alloc(sizeof *r);
    if (!tail->is_placed || tail->reader_count >= API_TAIL_READERS_MAX)
        (void)rd_err_set(&err, RD_E_UNAVAILABLE, "the event log is not followed now, or by too many");
    else if (scope->last_event_id && parse_place(scope->last_event_id, &r->era, &r->at) < 0)
        (void)rd_err_set(&err, RD_E_JSON_RANGE, "Last-Event-ID must be era-xid-id");
    if (err.code != RD_OK) {
        free(r);
        api_reply_problem(request, &err);
        return;
    }
    r->tail = tail;
    memcpy(r->org, scope->org, sizeof r->org);
    r->has_app = scope->app != NULL;
    if (scope->app)
        r->app = *scope->app;
    r->state = scope->last_event_id ? READER_CHECKING : READER_LIVE;
    if (!scope->last_event_id)
        r->at = tail->at;
    r->last_write_us = boot_us();
    r->next = tail->readers;
    if (r->next)
        r->next->previous = r;
    tail->readers = r;
    tail->reader_count++;
    api_stream_options options = { .status = 200,
                                   .content_type = "text/event-stream",
                                   .content_length = -1,
                                   .buffer_max = BUFFER_MAX,
                                   .on_close = on_stream_closed,
                                   .on_drain = on_stream_drained,
                                   .arg = r };
    api_reply_header(request, "Cache-Control", "no-store");
    r->stream = api_reply_stream(request, &options);
    /* The place to resume from is told at once, so that a reader that saw no event yet misses none. */
    RD_CLEANUP(rd_buf_done) rd_buf hello = { 0 };
    (void)rd_buf_append_str(&hello, ": events\n");
    if (!scope->last_event_id)
        (void)rd_buf_printf(&hello, "id: %" PRId64 "-%" PRIu64 "-%" PRIu64 "\n", tail->era, tail->at.xid, tail->at.id);
    (void)rd_buf_append_str(&hello, "\n");
    if (reader_write(r, rd_buf_bytes(&hello)) && r->state == READER_CHECKING)
        check_place(r);
}

/* ---- life ---- */

static void on_poll(void *context)
{
    api_tail *tail = context;
    look(tail);
    int64_t now_us = boot_us();
    if (now_us - tail->beat_us < 1000000)
        return;
    tail->beat_us = now_us;
    for (reader *r = tail->readers, *next; r; r = next) {
        next = r->next;
        if (r->state == READER_LIVE && now_us - r->last_write_us > API_TAIL_BEAT_US - 1500000)
            (void)reader_write(r, RD_BYTES_LIT(": beat\n\n"));
    }
}

static void on_wake(void *context, rd_bytes payload)
{
    (void)payload;
    look(context);
}

api_tail *api_tail_new(const api_tail_options *options)
{
    api_tail *tail = rd_alloc(sizeof *tail);
    tail->options = *options;
    tail->poll = rd_timer_new(options->loop, on_poll, tail);
    rd_timer_start(tail->poll, 0, API_TAIL_POLL_US);
    rd_redis_options redis = { .address = options->redis };
    if (options->redis && *options->redis)
        tail->listener = rd_redis_listener_new(rd_loop_uv(options->loop), &redis, RD_BYTES_LIT("tail"), on_wake, tail);
    return tail;
}

api_tail *api_tail_free(api_tail *tail)
{
    if (!tail)
        return NULL;
    rd_timer_free(tail->poll);
    if (tail->listener)
        rd_redis_listener_close(tail->listener, NULL, NULL);
    for (reader *r = tail->readers, *next; r; r = next) {
        next = r->next;
        r->tail = NULL;
        reader_end(r, "cut", "stopping");
        reader_release(r);
    }
    tail->is_closing = true;
    if (!tail->is_busy)
        free(tail);
    return NULL;
}

bool api_tail_is_moving(const api_tail *tail)
{
    return tail->is_placed && boot_us() - tail->looked_us < 2000000;
}

void api_tail_metrics(void *context, rd_buf *out)
{
    api_tail *tail = context;
    (void)rd_buf_printf(out,
                        "# TYPE redoubt_tail_events_total counter\nredoubt_tail_events_total %" PRIu64 "\n"
                        "# TYPE redoubt_sse_readers gauge\nredoubt_sse_readers %zu\n"
                        "# TYPE redoubt_sse_cut_total counter\nredoubt_sse_cut_total %" PRIu64 "\n"
                        "# TYPE redoubt_sse_gone_total counter\nredoubt_sse_gone_total %" PRIu64 "\n",
                        tail->events, tail->reader_count, tail->cut, tail->gone);
}
