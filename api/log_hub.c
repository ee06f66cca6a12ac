#include "api/log_hub.h"

#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/base/text.h"
#include "common/crypto/random.h"
#include "common/model/json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_MAX ((size_t)256 << 10)
#define BEAT_US    8000000

/* Where a reader stands: the ring that it reads (0: none yet) and the number of the line that comes next. */
typedef struct place {
    uint64_t ring, next;
} place;

typedef struct reader {
    api_log_hub *hub; /* NULL: it is gone */
    api_stream *stream;
    rd_app_id app;
    place at;
    bool is_elsewhere; /* it read another replica, or before this one's start: how many lines it lost nobody knows */
    bool is_caught_up;
    bool has_written; /* since the last beat */
    struct reader *next, *previous;
} reader;

/* The last lines of an app, each ready as server-sent event, numbered from 1 without holes. */
typedef struct ring {
    rd_app_id app;
    uint64_t number;     /* of the ring: an app that was silent for long begins a new one */
    uint64_t first_line; /* number of lines[first] */
    char *lines[API_LOG_LINES_MAX];
    size_t first, count, bytes;
    struct ring *newer, *older; /* by the time of their last line */
} ring;

struct api_log_hub {
    char name[17]; /* drawn at the start: ids of another replica, or of an earlier start, are known as such */
    rd_table *rings;
    uint64_t rings_made;
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
    r->first_line++;
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
    r->number = ++hub->rings_made;
    r->first_line = 1;
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

static bool reader_write(reader *r, const char *text)
{
    bool is_written = api_stream_write(r->stream, rd_bytes_str(text));
    r->has_written |= is_written;
    return is_written;
}

/* An event of the hub's own, whose id is the place before r->at.next. */
static bool reader_tell(reader *r, const char *event, const char *data)
{
    char text[192];
    snprintf(text, sizeof text, "id: %s-%" PRIu64 "-%" PRIu64 "\nevent: %s\ndata: %s\n\n", r->hub->name, r->at.ring,
             r->at.next - 1, event, data);
    return reader_write(r, text);
}

/* Moves the reader to the first line that is there, and says how many it lost; false when there is no room to say. */
static bool reader_skip(reader *r, const ring *lines)
{
    place before = r->at;
    bool is_known = !r->is_elsewhere && (before.ring == 0 || before.ring == lines->number);
    uint64_t lost = is_known && before.next < lines->first_line ? lines->first_line - before.next : 0;
    r->at.ring = lines->number;
    if (!is_known || lost > 0)
        r->at.next = lines->first_line;
    if (is_known && lost == 0)
        return true;
    char data[64] = "{\"lost\":null}";
    if (is_known)
        snprintf(data, sizeof data, "{\"lost\":%" PRIu64 "}", lost);
    if (!reader_tell(r, "gap", data)) {
        r->at = before;
        return false;
    }
    return true;
}

/* Gives what there is and fits; the rest when the stream has drained. */
static void reader_pump(reader *r)
{
    const ring *lines = rd_table_get(r->hub->rings, RD_BYTES_ARRAY(r->app.b));
    if (lines && !reader_skip(r, lines))
        return;
    if (!lines && r->is_elsewhere && !reader_tell(r, "gap", "{\"lost\":null}"))
        return;
    r->is_elsewhere = false;
    for (; lines && r->at.next < lines->first_line + lines->count; r->at.next++) {
        size_t at = (size_t)(r->at.next - lines->first_line);
        if (!reader_write(r, lines->lines[(lines->first + at) % API_LOG_LINES_MAX]))
            return;
    }
    if (!r->is_caught_up)
        r->is_caught_up = reader_tell(r, "caught-up", "{}");
}

static void on_drained(void *arg)
{
    reader *r = arg;
    if (r->hub)
        reader_pump(r);
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

/* `number`: of the line in its ring. */
static char *format_line(const api_log_hub *hub, const ring *r, uint64_t number, const api_log_line *line)
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
    (void)rd_buf_printf(&out, "id: %s-%" PRIu64 "-%" PRIu64 "\n", hub->name, r->number, number);
    (void)rd_buf_append_str(&out, line->dropped > 0 ? "event: dropped\ndata: " : "event: log\ndata: ");
    (void)rd_json_dump(object, &out);
    (void)rd_buf_append_str(&out, "\n\n");
    return rd_strdup(rd_buf_text(&out));
}

void api_log_hub_add(api_log_hub *hub, const api_log_line *line)
{
    ring *lines = ring_of(hub, &line->app);
    ring_push(lines, format_line(hub, lines, lines->first_line + lines->count, line));
    for (reader *r = hub->readers; r; r = r->next)
        if (rd_app_id_equal(&r->app, &line->app))
            reader_pump(r);
}

/* "<hub>-<ring>-<line>", the last line that was read. */
static int parse_place(const api_log_hub *hub, const char *text, reader *r, rd_err *err)
{
    char name[17];
    uint64_t number, line;
    int end = 0;
    if (sscanf(text, "%16[0-9a-f]-%" SCNu64 "-%" SCNu64 "%n", name, &number, &line, &end) != 3 || text[end] != '\0' ||
        strlen(name) != 16 || line >= INT64_MAX)
        return rd_err_set(err, RD_E_JSON_RANGE, "Last-Event-ID must be one that this stream gave");
    r->is_elsewhere = strcmp(name, hub->name) != 0;
    r->at = r->is_elsewhere ? (place){ 0, 1 } : (place){ number, line + 1 };
    return 0;
}

/* Without a place of its own a reader begins with the first line that is there. */
static void begin(const api_log_hub *hub, reader *r)
{
    const ring *lines = rd_table_get(hub->rings, RD_BYTES_ARRAY(r->app.b));
    r->at = lines ? (place){ lines->number, lines->first_line } : (place){ 0, 1 };
}

void api_log_hub_read(api_log_hub *hub, struct api_request *request, const rd_app_id *app, const char *last_id)
{
    rd_err err = RD_ERR_INIT;
    reader *r = rd_alloc(sizeof *r);
    r->app = *app;
    if (hub->reader_count >= API_LOG_READERS_MAX)
        (void)rd_err_set(&err, RD_E_UNAVAILABLE, "too many readers of logs");
    else if (last_id)
        (void)!parse_place(hub, last_id, r, &err);
    else
        begin(hub, r);
    if (err.code != RD_OK) {
        free(r);
        api_reply_problem(request, &err);
        return;
    }
    r->hub = hub;
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
                                   .on_drain = on_drained,
                                   .arg = r };
    api_reply_header(request, "Cache-Control", "no-store");
    r->stream = api_reply_stream(request, &options);
    (void)reader_write(r, ": logs\n\n");
    reader_pump(r);
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
    uint8_t name[8];
    rd_random_bytes(name, sizeof name);
    rd_hex_encode(RD_BYTES_ARRAY(name), hub->name);
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
