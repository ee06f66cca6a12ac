// link: rd_io
/* HTTP/2 frames on a link without the TLS around them, at both ends: the agent's, which answers requests and pipes, and
 * the plane's, which has asked and waits. First byte: which end, and in what pieces the bytes come. What was asked ends
 * exactly once, and what is counted is what is there. */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/io/link_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define CALLS 3 /* send, lines, connect */

static rd_loop *loop;
static link_hub hubs[2];
static int open_calls;

static size_t take_half(rd_link_stream *stream, void *context RD_UNUSED, rd_bytes bytes)
{
    if (bytes.size > 1)
        rd_link_stream_resume(stream);
    return (bytes.size + 1) / 2;
}

static void answer_back(rd_link_stream *stream, void *context RD_UNUSED)
{
    (void)!rd_link_stream_write(stream, RD_BYTES_LIT("{}\n"), NULL);
    rd_link_stream_end(stream);
}

static void on_stream_closed(rd_link_stream *stream RD_UNUSED, void *context, const rd_err *error RD_UNUSED)
{
    if (context && --open_calls < 0)
        abort();
}

static const rd_link_stream_events events = { .on_data = take_half,
                                              .on_end = answer_back,
                                              .on_closed = on_stream_closed };

static void check_text(const char *text, bool is_path)
{
    for (const char *at = text; *at; at++)
        if (*at <= ' ' || *at > '~')
            abort();
    if (is_path && text[0] != '/')
        abort();
}

/* By the length of the path: an answer, an error, an open stream, a refusal by reset. */
static void on_request(link_hub *hub RD_UNUSED, rd_link_stream *stream, const rd_link_exchange *exchange)
{
    bool is_pipe = strcmp(exchange->method, "CONNECT") == 0;
    rd_err err = RD_ERR_INIT;
    check_text(is_pipe ? exchange->authority : exchange->path, !is_pipe);
    if (exchange->body.size > RD_LINK_BLOB_MAX)
        abort();
    switch (is_pipe ? 2 : strlen(exchange->path) % 4) {
    case 0:
        rd_link_answer(stream, 200, exchange->body);
        break;
    case 1:
        (void)rd_err_set(&err, RD_E_NOT_FOUND, "nothing here");
        rd_link_answer_error(stream, &err);
        break;
    case 2:
        rd_link_accept(stream, &events, NULL);
        break;
    default:
        rd_link_stream_reset(stream, true);
    }
}

static void on_ready(link_hub *hub RD_UNUSED, rd_link *link RD_UNUSED)
{
}

static const link_hub_ops ops = { .on_ready = on_ready, .on_request = on_request };

int LLVMFuzzerInitialize(int *argc RD_UNUSED, char ***argv RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    if (rd_loop_new(&loop, &err) < 0 || link_hub_init(&hubs[0], loop, false, 1, &ops, &err) < 0 ||
        link_hub_init(&hubs[1], loop, true, 1, &ops, &err) < 0)
        abort();
    return 0;
}

/* --- the plane's questions --- */

static void on_answer(void *context RD_UNUSED, int status, rd_bytes body, const rd_err *error)
{
    if ((error == NULL) != (status != 0) || body.size > RD_LINK_BODY_MAX || --open_calls < 0)
        abort();
}

static bool on_line(rd_link_stream *stream, void *context RD_UNUSED, rd_bytes line)
{
    if (line.size > RD_LINK_LINE_MAX || memchr(line.data ? line.data : (const uint8_t *)"", '\n', line.size))
        abort();
    if (line.size % 2)
        rd_link_stream_resume(stream);
    return line.size % 2 == 0;
}

static void on_lines_closed(void *context RD_UNUSED, const rd_err *error RD_UNUSED)
{
    if (--open_calls < 0)
        abort();
}

static void ask(rd_link *link)
{
    static const rd_link_line_events lines = { on_line, on_lines_closed };
    const rd_link_request request = { .method = "PUT", .path = "/jobs/1", .body = RD_BYTES_LIT("{}") };
    rd_link_stream *stream = NULL;
    open_calls = CALLS;
    if (rd_link_send(link, &request, on_answer, NULL, NULL) < 0 ||
        rd_link_lines(link, "/events?after=0", &lines, NULL, &stream, NULL) < 0 ||
        rd_link_connect(link, "ins_a.1", &events, link, &stream, NULL) < 0)
        abort();
}

/* --- the bytes --- */

static void drain(rd_link *link)
{
    const uint8_t *out = NULL;
    size_t total = 0;
    link_run_todo(link);
    for (ssize_t n;
         link->state < LINK_CLOSING && total < ((size_t)4 << 20) && (n = nghttp2_session_mem_send(link->h2, &out)) > 0;)
        total += (size_t)n;
    link_run_todo(link);
}

static void feed(rd_link *link, rd_bytes bytes)
{
    if (link->state < LINK_CLOSING && nghttp2_session_mem_recv(link->h2, bytes.data, bytes.size) < 0)
        rd_link_close(link, "http/2");
    drain(link);
}

static void start(rd_link *link, link_hub *hub)
{
    nghttp2_mem *memory = link_memory_allocator(hub->memory);
    const nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0 },
                                                { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, RD_LINK_STREAM_WINDOW },
                                                { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, RD_LINK_STREAMS_MAX } };
    *link = (rd_link){ .magic = LINK_MAGIC, .hub = hub, .state = LINK_UP, .is_dirty = true };
    int rc = hub->is_agent ? nghttp2_session_server_new3(&link->h2, hub->callbacks, link, hub->options, memory)
                           : nghttp2_session_client_new3(&link->h2, hub->callbacks, link, hub->options, memory);
    if (rc != 0 || nghttp2_submit_settings(link->h2, NGHTTP2_FLAG_NONE, settings, 3) != 0)
        abort();
    if (hub->is_agent)
        feed(link, RD_BYTES_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    feed(link, rd_bytes_of("\0\0\0\4\0\0\0\0\0", 9)); /* the peer's settings */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rd_link link;
    rd_err over = RD_ERR_INIT;
    if (size == 0)
        return 0;
    bool is_agent = data[0] & 1;
    size_t piece = data[0] >> 1 ? (size_t)(data[0] >> 1) * 3 : size;
    start(&link, &hubs[is_agent]);
    if (!is_agent)
        ask(&link);
    drain(&link);
    for (size_t at = 1; at < size; at += piece)
        feed(&link, rd_bytes_of(data + at, RD_MIN(piece, size - at)));
    (void)rd_err_set(&over, RD_E_LINK_CLOSED, "the input is over");
    link.state = LINK_CLOSED;
    link_close_streams(&link, &over);
    if (link.streams || link.stream_count || link.held || link.body_bytes || (!is_agent && open_calls != 0))
        abort();
    nghttp2_session_del(link.h2);
    rd_loop_turn(loop, false); /* timers that were closed */
    return 0;
}
