#include "common/io/link_private.h"

#include "common/base/clock.h"
#include "common/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIRE_SIZE  ((size_t)64 << 10)
#define PLAIN_SIZE ((size_t)16 << 10)
#define GATHER_MAX ((size_t)64 << 10)
#define OUTPUT_MAX ((size_t)8 << 20) /* ciphertext of one link that its socket has not taken */
#define SPARE_MAX  (2 * GATHER_MAX)
/* A tick that comes this much too late means that this process stood still, not that the peer was silent. */
#define LATE_MS 1000

/* ---- hub ---- */

static void on_flush(void *context);

static int make_options(link_hub *hub, rd_err *err)
{
    if (nghttp2_session_callbacks_new(&hub->callbacks) != 0 || nghttp2_option_new(&hub->options) != 0)
        return rd_err_set(err, RD_E_NO_MEMORY, "link");
    stream_set_callbacks(hub->callbacks);
    nghttp2_option_set_no_auto_window_update(hub->options, 1);
    nghttp2_option_set_no_closed_streams(hub->options, 1);
    nghttp2_option_set_max_deflate_dynamic_table_size(hub->options, 0);
    nghttp2_option_set_max_send_header_block_length(hub->options, RD_LINK_HEADERS_MAX);
    nghttp2_option_set_peer_max_concurrent_streams(hub->options, RD_LINK_STREAMS_MAX);
    return 0;
}

int link_hub_init(link_hub *hub, rd_loop *loop, bool is_agent, size_t links_max, const link_hub_ops *ops, rd_err *err)
{
    hub->loop = loop;
    hub->is_agent = is_agent;
    hub->ops = ops;
    if (make_options(hub, err) < 0)
        return -1;
    hub->memory = link_memory_new(links_max);
    rd_buf_init(&hub->gather, GATHER_MAX * 2);
    hub->wire = rd_alloc(WIRE_SIZE);
    hub->plain = rd_alloc(PLAIN_SIZE);
    hub->flusher = rd_flusher_new_last(loop, on_flush, hub);
    return 0;
}

void link_hub_done(link_hub *hub)
{
    hub->flusher = rd_flusher_free(hub->flusher);
    nghttp2_session_callbacks_del(hub->callbacks);
    nghttp2_option_del(hub->options);
    link_memory_free(hub->memory);
    rd_buf_wipe(&hub->gather);
    rd_buf_done(&hub->spare);
    free(hub->wire);
    free(hub->plain);
}

void link_hub_close(link_hub *hub)
{
    hub->is_closing = true;
    for (rd_link *link = hub->links; link; link = link->next)
        rd_link_close(link, "shutting down");
    if (hub->link_count == 0)
        hub->ops->on_empty(hub);
}

static void hub_add(link_hub *hub, rd_link *link)
{
    link->next = hub->links;
    if (hub->links)
        hub->links->previous = link;
    hub->links = link;
    hub->link_count++;
}

static void hub_remove(link_hub *hub, rd_link *link)
{
    if (link->previous)
        link->previous->next = link->next;
    else
        hub->links = link->next;
    if (link->next)
        link->next->previous = link->previous;
    hub->link_count--;
}

/* ---- life of a link ---- */

rd_link *link_new(link_hub *hub, rd_tls_context *tls, rd_err *err)
{
    rd_link *link = rd_alloc(sizeof *link);
    link->magic = LINK_MAGIC;
    link->hub = hub;
    if (rd_tls_new(tls, &link->tls, err) < 0) {
        free(link);
        return NULL;
    }
    uv_loop_t *uv = rd_loop_uv(hub->loop);
    (void)uv_tcp_init(uv, &link->tcp);
    (void)uv_timer_init(uv, &link->timer);
    link->handles_open = 2;
    link->tcp.data = link->timer.data = link->write.data = link->connect.data = link;
    hub_add(hub, link);
    return link;
}

static void link_destroy(rd_link *link)
{
    link_hub *hub = link->hub;
    hub_remove(hub, link);
    rd_tls_free(link->tls);
    nghttp2_session_del(link->h2);
    rd_buf_done(&link->writing);
    link->magic = 0;
    free(link);
    if (hub->is_closing && hub->link_count == 0)
        hub->ops->on_empty(hub);
}

static void on_handle_closed(uv_handle_t *handle)
{
    rd_link *link = handle->data;
    if (--link->handles_open == 0)
        link_destroy(link);
}

void link_mark_dirty(rd_link *link)
{
    if (link->is_dirty)
        return;
    link->is_dirty = true;
    link->dirty_next = link->hub->dirty;
    link->hub->dirty = link;
}

void rd_link_close(rd_link *link, const char *reason)
{
    if (link->state >= LINK_CLOSING)
        return;
    link->state = LINK_CLOSING;
    (void)snprintf(link->reason, sizeof link->reason, "%s", reason);
    link_mark_dirty(link);
}

static void close_for(rd_link *link, const char *what, const rd_err *err)
{
    char reason[160];
    (void)snprintf(reason, sizeof reason, "%s: %.120s", what, err->text);
    rd_link_close(link, reason);
}

/* ---- writing ---- */

static void on_written(uv_write_t *request, int status)
{
    rd_link *link = request->data;
    link->is_writing = false;
    rd_buf_done(&link->writing);
    if (status < 0)
        rd_link_close(link, "connection lost while writing");
    else if (link->state < LINK_CLOSING)
        link_mark_dirty(link);
}

/* An idle link holds no buffer: one goes round among those that write. */
static void give_output(link_hub *hub, rd_buf *output)
{
    if (hub->spare.data || output->capacity > SPARE_MAX)
        rd_buf_done(output);
    else
        hub->spare = *output;
    rd_buf_init(output, OUTPUT_MAX);
}

static void take_output(link_hub *hub, rd_buf *output)
{
    if (output->data || !hub->spare.data)
        return;
    *output = hub->spare;
    hub->spare = (rd_buf){ 0 };
}

/* Sends the TLS output: at once as far as the socket takes it, the rest by a request. */
static void send_wire(rd_link *link)
{
    rd_buf *output = rd_tls_output(link->tls);
    if (output->size == 0 || link->is_writing)
        return;
    uv_buf_t span = uv_buf_init((char *)output->data, (unsigned)output->size);
    int n = uv_try_write((uv_stream_t *)&link->tcp, &span, 1);
    if (n < 0 && n != UV_EAGAIN) {
        rd_buf_clear(output);
        rd_link_close(link, "connection lost while writing");
        return;
    }
    if (n > 0)
        rd_buf_consume(output, (size_t)n);
    if (output->size == 0) {
        give_output(link->hub, output);
        return;
    }
    link->writing = *output;
    rd_buf_init(output, OUTPUT_MAX);
    span = uv_buf_init((char *)link->writing.data, (unsigned)link->writing.size);
    link->is_writing = true;
    if (uv_write(&link->write, (uv_stream_t *)&link->tcp, &span, 1, on_written) < 0) {
        link->is_writing = false;
        rd_link_close(link, "connection lost while writing");
    }
}

/* Collects frames up to GATHER_MAX into one TLS write. False when there was nothing. */
static bool gather(rd_link *link)
{
    rd_buf *plain = &link->hub->gather;
    rd_buf_clear(plain);
    while (plain->size < GATHER_MAX) {
        const uint8_t *data = NULL;
        ssize_t n = nghttp2_session_mem_send(link->h2, &data);
        if (n < 0) {
            rd_link_close(link, nghttp2_strerror((int)n));
            return false;
        }
        if (n == 0)
            break;
        (void)rd_buf_append(plain, data, (size_t)n);
    }
    if (plain->size == 0)
        return false;
    rd_err err = RD_ERR_INIT;
    take_output(link->hub, rd_tls_output(link->tls));
    if (rd_tls_write(link->tls, rd_buf_bytes(plain), &err) < 0) {
        close_for(link, "tls", &err);
        return false;
    }
    link->bytes_out += plain->size;
    return true;
}

static void flush(rd_link *link)
{
    link_run_todo(link);
    send_wire(link);
    while (link->h2 && link->state < LINK_CLOSING && !link->is_writing && gather(link)) {
        send_wire(link);
        link_run_todo(link);
    }
    if (link->h2 && link->state < LINK_CLOSING && !nghttp2_session_want_read(link->h2) &&
        !nghttp2_session_want_write(link->h2))
        rd_link_close(link, "the peer ended the link");
}

/* Says good-bye as far as the socket takes it, tells the owner, closes the handles. */
static void tear_down(rd_link *link)
{
    if (link->h2 && !link->is_writing) {
        (void)nghttp2_session_terminate_session(link->h2, NGHTTP2_NO_ERROR);
        (void)gather(link);
        rd_tls_shutdown(link->tls);
    }
    if (!link->is_writing)
        send_wire(link);
    link->state = LINK_CLOSED;
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, RD_E_LINK_CLOSED, "%s", link->reason);
    link_close_streams(link, &err);
    link->hub->ops->on_gone(link->hub, link, link->reason);
    uv_close((uv_handle_t *)&link->timer, on_handle_closed);
    uv_close((uv_handle_t *)&link->tcp, on_handle_closed);
}

static void on_flush(void *context)
{
    link_hub *hub = context;
    /* Links marked meanwhile are taken in the same turn: nothing may wait for a poll that could block. */
    while (hub->dirty) {
        rd_link *link = hub->dirty;
        hub->dirty = link->dirty_next;
        link->is_dirty = false;
        if (link->state < LINK_CLOSING)
            flush(link);
        if (link->state == LINK_CLOSING) {
            link->is_dirty = true; /* not again */
            tear_down(link);
        }
    }
}

/* ---- reading ---- */

static void became_ready(rd_link *link)
{
    link->state = LINK_UP;
    link->was_ready = true;
    link->hub->ops->on_ready(link->hub, link);
}

static int submit_settings(rd_link *link)
{
    nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0 },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, RD_LINK_STREAM_WINDOW },
        { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, link->hub->is_agent ? RD_LINK_STREAMS_MAX : 0 },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, RD_LINK_HEADERS_MAX },
        { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
    };
    size_t count = RD_ARRAY_LEN(settings) - (link->hub->is_agent ? 1 : 0);
    if (nghttp2_submit_settings(link->h2, NGHTTP2_FLAG_NONE, settings, count) != 0)
        return -1;
    return nghttp2_session_set_local_window_size(link->h2, NGHTTP2_FLAG_NONE, 0, RD_LINK_WINDOW) == 0 ? 0 : -1;
}

static void arm_tick(rd_link *link, uint64_t after_ms);

static void start_http(rd_link *link)
{
    link_hub *hub = link->hub;
    nghttp2_mem *memory = link_memory_allocator(hub->memory);
    int rc = hub->is_agent ? nghttp2_session_server_new3(&link->h2, hub->callbacks, link, hub->options, memory)
                           : nghttp2_session_client_new3(&link->h2, hub->callbacks, link, hub->options, memory);
    if (rc != 0 || submit_settings(link) < 0) {
        rd_link_close(link, "http/2 setup");
        return;
    }
    uint64_t now = rd_loop_now_ms(hub->loop);
    link->heard_ms = now;
    int64_t left_us = rd_tls_peer_of(link->tls)->not_after_us - rd_clock_wall_us(rd_clock_system());
    link->expires_ms = now + (left_us > 0 ? (uint64_t)left_us / 1000 : 0);
    if (hub->is_agent)
        link->state = LINK_SETTLING;
    else
        became_ready(link);
    if (link->state == LINK_UP)
        arm_tick(link, 1 + now % (RD_LINK_PING_US / 1000)); /* pings of many links are spread */
}

static void handshake(rd_link *link)
{
    rd_err err = RD_ERR_INIT;
    int rc = rd_tls_handshake(link->tls, &err);
    link_mark_dirty(link);
    if (rc == 0)
        return;
    if (rc < 0)
        close_for(link, "handshake", &err);
    link->hub->ops->on_handshaken(link->hub, link);
    if (rc > 0 && link->state < LINK_CLOSING)
        start_http(link);
}

static void receive(rd_link *link)
{
    uint8_t *plain = link->hub->plain;
    while (link->state < LINK_CLOSING && rd_tls_is_ready(link->tls)) {
        rd_err err = RD_ERR_INIT;
        ssize_t n = rd_tls_read(link->tls, plain, PLAIN_SIZE, &err);
        if (n == RD_TLS_AGAIN)
            return;
        if (n <= 0) {
            if (n == -1)
                close_for(link, "tls", &err);
            else
                rd_link_close(link, "the peer ended the connection");
            return;
        }
        link->bytes_in += (size_t)n;
        link->heard_ms = rd_loop_now_ms(link->hub->loop);
        ssize_t used = nghttp2_session_mem_recv(link->h2, plain, (size_t)n);
        if (used < 0) {
            (void)rd_err_set(&err, RD_E_LINK_PROTOCOL, "%s", nghttp2_strerror((int)used));
            close_for(link, "http/2", &err);
            return;
        }
        link_mark_dirty(link);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    (void)suggested;
    rd_link *link = handle->data;
    *ret = uv_buf_init((char *)link->hub->wire, WIRE_SIZE);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    rd_link *link = stream->data;
    assert(link->magic == LINK_MAGIC);
    if (link->state >= LINK_CLOSING || size == 0)
        return;
    if (size < 0) {
        rd_link_close(link, size == UV_EOF ? "the peer closed the connection" : uv_strerror((int)size));
        return;
    }
    rd_tls_feed(link->tls, rd_bytes_of(buffer->base, (size_t)size));
    if (link->state == LINK_HANDSHAKE)
        handshake(link);
    receive(link);
}

/* ---- ping and silence ---- */

static void ping(rd_link *link)
{
    uint8_t opaque[8];
    uint64_t now = uv_hrtime();
    memcpy(opaque, &now, sizeof opaque);
    if (nghttp2_submit_ping(link->h2, NGHTTP2_FLAG_NONE, opaque) == 0)
        link_mark_dirty(link);
}

static void on_tick(uv_timer_t *timer)
{
    rd_link *link = timer->data;
    uint64_t now = rd_loop_now_ms(link->hub->loop);
    if (link->state >= LINK_CLOSING)
        return;
    if (link->state < LINK_SETTLING || (link->state == LINK_SETTLING && now >= link->tick_due_ms)) {
        rd_link_close(link, link->state == LINK_CONNECTING ? "connect timed out" : "handshake timed out");
        return;
    }
    if (now >= link->expires_ms) {
        rd_link_close(link, "the peer's certificate has ended");
        return;
    }
    if (now > link->tick_due_ms + LATE_MS)
        link->heard_ms = now;
    uint64_t silent_ms = now - RD_MIN(now, link->heard_ms);
    if (silent_ms >= RD_LINK_SILENT_US / 1000) {
        link->fell_silent = true;
        rd_link_close(link, "silent for 6 s");
        return;
    }
    if (!link->hub->is_agent)
        ping(link);
    arm_tick(link, RD_MIN((uint64_t)RD_LINK_PING_US / 1000, RD_LINK_SILENT_US / 1000 - silent_ms));
}

static void arm_tick(rd_link *link, uint64_t after_ms)
{
    link->tick_due_ms = rd_loop_now_ms(link->hub->loop) + after_ms;
    (void)uv_timer_start(&link->timer, on_tick, after_ms, 0);
}

/* Called by the stream layer for each frame that is not of a stream. */
void link_on_control_frame(rd_link *link, const nghttp2_frame *frame)
{
    if (frame->hd.type == NGHTTP2_SETTINGS && !(frame->hd.flags & NGHTTP2_FLAG_ACK) && link->state == LINK_SETTLING) {
        became_ready(link);
        if (link->state == LINK_UP)
            arm_tick(link, RD_LINK_PING_US / 1000);
    }
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK)) {
        uint64_t sent = 0;
        memcpy(&sent, frame->ping.opaque_data, sizeof sent);
        uint64_t now = uv_hrtime();
        if (sent <= now)
            link->round_trip_us = (int64_t)((now - sent) / 1000);
    }
    if (frame->hd.type == NGHTTP2_GOAWAY)
        rd_link_close(link, "the peer says good-bye");
}

void link_begin_connect(rd_link *link)
{
    arm_tick(link, RD_LINK_HANDSHAKE_MAX_US / 1000);
}

void link_start(rd_link *link)
{
    link->state = LINK_HANDSHAKE;
    link_note_address(link);
    (void)uv_tcp_nodelay(&link->tcp, 1);
    arm_tick(link, RD_LINK_HANDSHAKE_MAX_US / 1000);
    if (uv_read_start((uv_stream_t *)&link->tcp, on_alloc, on_read) < 0) {
        rd_link_close(link, "reading is not possible");
        return;
    }
    if (link->hub->is_agent)
        handshake(link);
}

/* ---- accessors ---- */

void link_note_address(rd_link *link)
{
    struct sockaddr_storage address;
    int size = sizeof address;
    char text[48] = "";
    if (uv_tcp_getpeername(&link->tcp, (struct sockaddr *)&address, &size) < 0)
        return;
    if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address;
        (void)uv_ip6_name(v6, text, sizeof text);
        (void)snprintf(link->address, sizeof link->address, "[%s]:%u", text, ntohs(v6->sin6_port));
    } else {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;
        (void)uv_ip4_name(v4, text, sizeof text);
        (void)snprintf(link->address, sizeof link->address, "%s:%u", text, ntohs(v4->sin_port));
    }
}

const rd_tls_peer *rd_link_peer(const rd_link *link)
{
    return rd_tls_peer_of(link->tls);
}

const char *rd_link_address(const rd_link *link)
{
    return link->address;
}

void rd_link_set_context(rd_link *link, void *context)
{
    link->context = context;
}

void *rd_link_context(const rd_link *link)
{
    return link->context;
}

bool rd_link_fell_silent(const rd_link *link)
{
    return link->fell_silent;
}

bool rd_link_is_up(const rd_link *link)
{
    return link->state == LINK_UP;
}

size_t rd_link_stream_count(const rd_link *link)
{
    return link->stream_count;
}

rd_link_stats rd_link_statistics(const rd_link *link)
{
    return (rd_link_stats){ .bytes_in = link->bytes_in,
                            .bytes_out = link->bytes_out,
                            .round_trip_us = link->round_trip_us,
                            .held = link->held };
}
