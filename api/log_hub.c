#include "api/log_hub.h"

#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/base/text.h"
#include "common/model/json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_MAX ((size_t)256 << 10)
#define BEAT_US    8000000

typedef struct reader {
    api_log_hub *hub; /* NULL: it is gone */
    api_stream *stream;
    rd_app_id app;
    uint64_t missed;
    bool has_written; /* since the last beat */
    struct reader *next, *previous;
} reader;

/* The last lines of an app, each ready as server-sent event. */
typedef struct ring {
    rd_app_id app;
    char *lines[API_LOG_LINES_MAX];
    size_t first, count, bytes;
    struct ring *newer, *older; /* by the time of their last line */
} ring;

struct api_log_hub {
    rd_table *rings;
    ring *newest, *oldest;
    reader *readers;
    size_t reader_count;
    rd_timer *beat;
};

/* ---- rings ---- */

static void ring_pop(ring *r)
{
    r->bytes -= strlen(r->lines[r->first]);
    free(RD_TAKE(r->lines[r->first]));
    r->first = (r->first + 1) % API_LOG_LINES_MAX;
    r->count--;
}

static void ring_push(ring *r, char *line)
{
    size_t size = strlen(line);
    while (r->count > 0 && (r->count == API_LOG_LINES_MAX || r->bytes + size > API_LOG_BYTES_MAX))
        ring_pop(r);
    r->lines[(r->first + r->count) % API_LOG_LINES_MAX] = line;
    r->count++;
    r->bytes += size;
}

static void ring_unlink(api_log_hub *hub, ring *r)
{
    *(r->newer ? &r->newer->older : &hub->newest) = r->older;
    *(r->older ? &r->older->newer : &hub->oldest) = r->newer;
    r->newer = r->older = NULL;
}

static void ring_first(api_log_hub *hub, ring *r)
{
    r->older = hub->newest;
    *(r->older ? &r->older->newer : &hub->oldest) = r;
    hub->newest = r;
}

static void ring_free(api_log_hub *hub, ring *r)
{
    ring_unlink(hub, r);
    (void)rd_table_remove(hub->rings, RD_BYTES_ARRAY(r->app.b));
    while (r->count > 0)
        ring_pop(r);
    free(r);
}

static ring *ring_of(api_log_hub *hub, const rd_app_id *app)
{
    ring *r = rd_table_get(hub->rings, RD_BYTES_ARRAY(app->b));
    if (r) {
        ring_unlink(hub, r);
        ring_first(hub, r);
        return r;
    }
    if (rd_table_count(hub->rings) >= API_LOG_APPS_MAX)
        ring_free(hub, hub->oldest);
    r = rd_alloc(sizeof *r);
    r->app = *app;
    (void)rd_table_set(hub->rings, RD_BYTES_ARRAY(app->b), r, NULL);
    ring_first(hub, r);
    return r;
}

/* ---- readers ---- */

static void reader_free(reader *r)
{
    if (r->hub) {
        if (r->next)
            r->next->previous = r->previous;
        *(r->previous ? &r->previous->next : &r->hub->readers) = r->next;
        r->hub->reader_count--;
    }
    free(r);
}

static void on_closed(void *arg)
{
    reader_free(arg);
}

static void reader_give(reader *r, const char *line)
{
    char note[96];
    if (r->missed > 0) {
        snprintf(note, sizeof note, "event: dropped\ndata: {\"dropped\":%" PRIu64 "}\n\n", r->missed);
        if (!api_stream_write(r->stream, rd_bytes_str(note))) {
            r->missed++;
            return;
        }
        r->missed = 0;
    }
    if (!api_stream_write(r->stream, rd_bytes_str(line)))
        r->missed++;
    r->has_written = true;
}

/* Cut at a character's border, so that the JSON stays UTF-8. */
static size_t text_size(const char *text)
{
    size_t size = strnlen(text, API_LOG_TEXT_MAX + 1);
    if (size <= API_LOG_TEXT_MAX)
        return size;
    size = API_LOG_TEXT_MAX;
    while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
        size--;
    return size;
}

static char *format_line(const api_log_line *line)
{
    RD_CLEANUP(rd_json_free_p) json_t *object = json_object();
    rd_json_set_id(object, "instance", RD_PREFIX_INSTANCE, &line->instance);
    rd_json_set_int(object, "epoch", (int64_t)line->epoch);
    if (line->dropped > 0) {
        rd_json_set_int(object, "dropped", (int64_t)line->dropped);
    } else {
        rd_json_set_time(object, "at", line->at_us);
        rd_json_set_str(object, "level", line->level);
        rd_json_set(object, "text", json_stringn(line->text, text_size(line->text)));
    }
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    (void)rd_buf_append_str(&out, line->dropped > 0 ? "event: dropped\ndata: " : "event: log\ndata: ");
    (void)rd_json_dump(object, &out);
    (void)rd_buf_append_str(&out, "\n\n");
    return rd_strdup(rd_buf_text(&out));
}

void api_log_hub_add(api_log_hub *hub, const api_log_line *line)
{
    char *text = format_line(line);
    for (reader *r = hub->readers; r; r = r->next)
        if (rd_app_id_equal(&r->app, &line->app))
            reader_give(r, text);
    ring_push(ring_of(hub, &line->app), text);
}

void api_log_hub_read(api_log_hub *hub, struct api_request *request, const rd_app_id *app)
{
    rd_err err = RD_ERR_INIT;
    if (hub->reader_count >= API_LOG_READERS_MAX) {
        (void)rd_err_set(&err, RD_E_UNAVAILABLE, "too many readers of logs");
        api_reply_problem(request, &err);
        return;
    }
    reader *r = rd_alloc(sizeof *r);
    r->hub = hub;
    r->app = *app;
    r->next = hub->readers;
    if (r->next)
        r->next->previous = r;
    hub->readers = r;
    hub->reader_count++;
    api_stream_options options = { .status = 200,
                                   .content_type = "text/event-stream",
                                   .content_length = -1,
                                   .buffer_max = BUFFER_MAX,
                                   .on_close = on_closed,
                                   .arg = r };
    api_reply_header(request, "Cache-Control", "no-store");
    r->stream = api_reply_stream(request, &options);
    (void)api_stream_write(r->stream, RD_BYTES_LIT(": logs\n\n"));
    const ring *lines = rd_table_get(hub->rings, RD_BYTES_ARRAY(app->b));
    for (size_t i = 0; lines && i < lines->count; i++)
        reader_give(r, lines->lines[(lines->first + i) % API_LOG_LINES_MAX]);
}

static void on_beat(void *context)
{
    api_log_hub *hub = context;
    for (reader *r = hub->readers; r; r = r->next) {
        if (!r->has_written)
            (void)api_stream_write(r->stream, RD_BYTES_LIT(": beat\n\n"));
        r->has_written = false;
    }
}

api_log_hub *api_log_hub_new(rd_loop *loop)
{
    api_log_hub *hub = rd_alloc(sizeof *hub);
    hub->rings = rd_table_new(API_LOG_APPS_MAX + 1);
    hub->beat = rd_timer_new(loop, on_beat, hub);
    rd_timer_start(hub->beat, BEAT_US, BEAT_US);
    return hub;
}

api_log_hub *api_log_hub_free(api_log_hub *hub)
{
    if (!hub)
        return NULL;
    rd_timer_free(hub->beat);
    for (reader *r = hub->readers, *next; r; r = next) {
        next = r->next;
        r->hub = NULL;
        api_stream_end(r->stream);
    }
    while (hub->oldest)
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): ring_free takes it off the list. */
        ring_free(hub, hub->oldest);
    rd_table_free(hub->rings);
    free(hub);
    return NULL;
}
