#include "common/io/link_private.h"

#include "common/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_MAX_BYTES 2048

/* ---- life ---- */

rd_link_stream *stream_new(rd_link *link, stream_kind kind)
{
    rd_link_stream *stream = rd_alloc(sizeof *stream);
    stream->magic = STREAM_MAGIC;
    stream->kind = kind;
    stream->link = link;
    stream->next = link->streams;
    if (link->streams)
        link->streams->previous = stream;
    link->streams = stream;
    link->stream_count++;
    return stream;
}

static void forget_held(rd_link_stream *stream);

void stream_free(rd_link_stream *stream)
{
    rd_link *link = stream->link;
    forget_held(stream);
    link->body_bytes -= stream->kind == STREAM_REQUEST ? stream->body.size : 0;
    if (stream->previous)
        stream->previous->next = stream->next;
    else
        link->streams = stream->next;
    if (stream->next)
        stream->next->previous = stream->previous;
    link->stream_count--;
    rd_buf_done(&stream->out);
    rd_buf_done(&stream->in);
    rd_buf_done(&stream->body);
    free(stream->path);
    free(stream->authority);
    stream->magic = 0;
    free(stream);
}

void stream_todo(rd_link_stream *stream, unsigned what)
{
    if (stream->is_finished)
        return;
    if (!stream->todo) {
        stream->todo_next = stream->link->todo;
        stream->link->todo = stream;
    }
    stream->todo |= what;
    link_mark_dirty(stream->link);
}

/* ---- windows ---- */

/* Opens the stream's window by what a reader took. */
static void give_back(rd_link_stream *stream, size_t size)
{
    if (size > 0 && !stream->is_h2_closed && stream->link->h2)
        (void)nghttp2_session_consume_stream(stream->link->h2, stream->id, size);
}

/* The link's own window opens on arrival, so that one slow reader does not hold back the others; only when all of them
 * together hold too much does it stay shut. */
static void credit_link(rd_link *link, size_t size)
{
    link->owed += size;
    if (link->owed == 0 || link->held > LINK_HELD_MAX || !link->h2)
        return;
    (void)nghttp2_session_consume_connection(link->h2, link->owed);
    link->owed = 0;
}

static void forget_held(rd_link_stream *stream)
{
    size_t held = stream->in.size - stream->in_at;
    stream->link->held -= held;
    rd_buf_done(&stream->in);
    stream->in_at = 0;
    credit_link(stream->link, 0);
}

/* ---- reading ---- */

static size_t offer(rd_link_stream *stream, rd_bytes bytes)
{
    if (!stream->events.on_data || stream->is_silent)
        return bytes.size;
    stream->is_delivering = true;
    size_t taken = stream->events.on_data(stream, stream->context, bytes);
    stream->is_delivering = false;
    return RD_MIN(taken, bytes.size);
}

static void tell_end(rd_link_stream *stream)
{
    if (!stream->has_peer_ended || stream->has_told_end || stream->in.size > stream->in_at || stream->is_paused ||
        stream->kind != STREAM_OPEN || !stream->is_accepted)
        return;
    stream->has_told_end = true;
    if (stream->events.on_end && !stream->is_silent)
        stream->events.on_end(stream, stream->context);
    if (stream->is_h2_closed)
        stream_todo(stream, TODO_CLOSED);
}

static void hold(rd_link_stream *stream, rd_bytes rest)
{
    if (stream->in_at > RD_LINK_STREAM_WINDOW / 2) {
        rd_buf_consume(&stream->in, stream->in_at);
        stream->in_at = 0;
    }
    stream->in.size_max = RD_LINK_STREAM_WINDOW * 2; /* the window keeps the peer below; nghttp2 enforces it */
    if (!rd_buf_append_bytes(&stream->in, rest)) {
        rd_link_stream_reset(stream, false);
        return;
    }
    stream->link->held += rest.size;
}

static void deliver(rd_link_stream *stream, rd_bytes bytes)
{
    if (stream->is_dropping) {
        give_back(stream, bytes.size);
        return;
    }
    /* What is held goes first: accepting or resuming offers it on a later turn, and bytes may come before that. */
    if (stream->is_paused || !stream->is_accepted || stream->in.size > stream->in_at) {
        hold(stream, bytes);
        return;
    }
    size_t taken = offer(stream, bytes);
    give_back(stream, taken);
    if (taken < bytes.size && !stream->is_dropping) {
        stream->is_paused = true;
        hold(stream, rd_bytes_of(bytes.data + taken, bytes.size - taken));
    }
    if (stream->wants_again)
        stream_todo(stream, TODO_RESUME);
    stream->wants_again = false;
}

/* Offers what is held until it is gone or the reader pauses. */
static void offer_held(rd_link_stream *stream)
{
    stream->is_paused = false;
    while (stream->in.size > stream->in_at && !stream->is_dropping && !stream->is_paused) {
        size_t left = stream->in.size - stream->in_at;
        size_t taken = offer(stream, rd_bytes_of(stream->in.data + stream->in_at, left));
        stream->in_at += taken;
        stream->link->held -= taken;
        give_back(stream, taken);
        credit_link(stream->link, 0);
        if (taken < left)
            stream->is_paused = true;
    }
    if (stream->wants_again) /* resumed from inside: next turn */
        stream_todo(stream, TODO_RESUME);
    stream->wants_again = false;
    if (stream->is_dropping || stream->in.size == stream->in_at) {
        forget_held(stream);
        if (!stream->is_paused)
            tell_end(stream);
    }
    if (!stream->is_h2_closed)
        link_mark_dirty(stream->link);
}

void rd_link_stream_pause(rd_link_stream *stream)
{
    stream->is_paused = true;
}

void rd_link_stream_resume(rd_link_stream *stream)
{
    if (stream->is_delivering) {
        stream->wants_again = true;
        return;
    }
    stream_todo(stream, TODO_RESUME);
}

/* ---- writing ---- */

size_t rd_link_stream_room(const rd_link_stream *stream)
{
    size_t queued = stream->out.size - stream->out_at;
    if (stream->has_ended || stream->is_h2_closed || queued >= RD_LINK_WRITE_QUEUE_MAX)
        return 0;
    return RD_LINK_WRITE_QUEUE_MAX - queued;
}

static void wake_provider(rd_link_stream *stream)
{
    rd_link *link = stream->link;
    if (stream->is_h2_closed || !link->h2)
        return;
    if (stream->is_deferred) {
        stream->is_deferred = false;
        (void)nghttp2_session_resume_data(link->h2, stream->id);
    }
    link_mark_dirty(link);
}

void stream_queue(rd_link_stream *stream, rd_bytes bytes)
{
    if (stream->out_at > 0 && stream->out_at >= stream->out.size / 2) {
        rd_buf_consume(&stream->out, stream->out_at);
        stream->out_at = 0;
    }
    stream->out.size_max = 2 * ((size_t)RD_LINK_BLOB_MAX + RD_LINK_WRITE_QUEUE_MAX);
    (void)rd_buf_append_bytes(&stream->out, bytes);
    wake_provider(stream);
}

int rd_link_stream_write(rd_link_stream *stream, rd_bytes bytes, rd_err *err)
{
    assert(stream->magic == STREAM_MAGIC);
    if (stream->has_ended || stream->is_h2_closed || stream->link->state >= LINK_CLOSING)
        return rd_err_set(err, RD_E_LINK_CLOSED, "the stream takes no more bytes");
    if (bytes.size > rd_link_stream_room(stream)) {
        stream->wants_room = true;
        return rd_err_set(err, RD_E_TOO_LARGE, "%zu bytes do not fit into the stream's queue", bytes.size);
    }
    stream_queue(stream, bytes);
    if (stream->out.size - stream->out_at > RD_LINK_WRITE_LOW)
        stream->wants_room = true;
    return 0;
}

void rd_link_stream_end(rd_link_stream *stream)
{
    if (stream->has_ended)
        return;
    stream->has_ended = true;
    wake_provider(stream);
}

static ssize_t on_provide(nghttp2_session *session, int32_t id, uint8_t *out, size_t size, uint32_t *flags,
                          nghttp2_data_source *source, void *context)
{
    (void)session;
    (void)id;
    (void)context;
    rd_link_stream *stream = source->ptr;
    size_t queued = stream->out.size - stream->out_at;
    if (queued == 0 && !stream->has_ended) {
        stream->is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    size_t n = RD_MIN(queued, size);
    if (n > 0)
        memcpy(out, stream->out.data + stream->out_at, n);
    stream->out_at += n;
    if (n == queued) {
        rd_buf_done(&stream->out);
        stream->out_at = 0;
        if (stream->has_ended)
            *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    if (stream->wants_room && queued - n <= RD_LINK_WRITE_LOW) {
        stream->wants_room = false;
        stream_todo(stream, TODO_ROOM);
    }
    return (ssize_t)n;
}

nghttp2_data_provider stream_provider(rd_link_stream *stream)
{
    return (nghttp2_data_provider){ .source = { .ptr = stream }, .read_callback = on_provide };
}

/* ---- ending ---- */

void rd_link_stream_reset(rd_link_stream *stream, bool is_silent)
{
    stream->is_silent |= is_silent;
    stream->is_dropping = true;
    stream->has_ended = true;
    if (stream->error.code == RD_OK)
        (void)rd_err_set(&stream->error, RD_E_CANCELLED, "reset");
    if (!stream->is_h2_closed && stream->link->h2 && stream->link->state < LINK_CLOSING) {
        (void)nghttp2_submit_rst_stream(stream->link->h2, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL);
        link_mark_dirty(stream->link);
    }
    /* A request that nghttp2 has not sent yet is only forgotten by it when the queue is served. */
    stream_todo(stream, TODO_CLOSED);
}

/* What the owner hears at the end; NULL: both sides ended properly. */
static const rd_err *closing_error(rd_link_stream *stream)
{
    if (stream->error.code == RD_OK && stream->error_code != NGHTTP2_NO_ERROR)
        (void)rd_err_set(&stream->error, RD_E_CANCELLED, "the peer reset the stream: %s",
                         nghttp2_http2_strerror(stream->error_code));
    return stream->error.code == RD_OK ? NULL : &stream->error;
}

/* Calls the owner for the last time. */
static void tell_closed(rd_link_stream *stream)
{
    const rd_err *error = closing_error(stream);
    stream->is_finished = true;
    if (stream->kind == STREAM_CALL) {
        call_finish(stream, error);
        return;
    }
    if (stream->is_silent)
        return;
    stream->is_silent = true;
    if (stream->kind == STREAM_OPEN && stream->events.on_closed)
        stream->events.on_closed(stream, stream->context, error);
    else if (stream->kind == STREAM_REQUEST && stream->on_abandoned)
        stream->on_abandoned(stream->abandoned_context);
}

/* Held bytes of a stream that ended well still go to the reader. */
static bool waits_for_reader(const rd_link_stream *stream)
{
    return stream->kind == STREAM_OPEN && !stream->is_silent && stream->error.code == RD_OK &&
           stream->error_code == NGHTTP2_NO_ERROR && stream->has_peer_ended && !stream->has_told_end &&
           stream->is_accepted;
}

static void run_closed(rd_link_stream *stream)
{
    if (!stream->is_h2_closed) /* reset by us: nghttp2 tells when the stream is really gone */
        return;
    if (waits_for_reader(stream))
        return;
    tell_closed(stream);
    stream_free(stream);
}

void link_run_todo(rd_link *link)
{
    /* Each round takes the list as it stands: what callbacks add comes in the next one, and a stream that asks again
     * at once cannot keep the loop. */
    for (int round = 0; round < 4 && link->todo && link->state < LINK_CLOSING; round++) {
        rd_link_stream *list = link->todo;
        link->todo = NULL;
        while (list) {
            rd_link_stream *stream = list;
            list = stream->todo_next;
            unsigned what = stream->todo;
            stream->todo = 0;
            stream->todo_next = NULL;
            if ((what & TODO_ROOM) && stream->events.on_room && !stream->is_silent)
                stream->events.on_room(stream, stream->context);
            if (what & TODO_RESUME)
                offer_held(stream);
            if (!(what & TODO_CLOSED))
                continue;
            if (stream->todo) /* queued again meanwhile: the next round ends it */
                stream->todo |= TODO_CLOSED;
            else
                run_closed(stream);
        }
    }
    if (link->todo)
        link_mark_dirty(link);
}

void link_close_streams(rd_link *link, const rd_err *error)
{
    link->todo = NULL;
    while (link->streams) {
        rd_link_stream *stream = link->streams;
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): stream_free takes it off the list. */
        if (stream->error.code == RD_OK)
            stream->error = *error;
        stream->is_h2_closed = true;
        stream->is_dropping = true;
        tell_closed(stream);
        stream_free(stream);
    }
    link->todo = NULL;
}

/* ---- nghttp2's callbacks ---- */

static rd_link_stream *stream_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    rd_link *link = context;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    rd_link_stream *stream = stream_new(link, STREAM_REQUEST);
    stream->id = frame->hd.stream_id;
    (void)nghttp2_session_set_stream_user_data(session, stream->id, stream);
    return 0;
}

static bool is_printable(const uint8_t *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] < 0x21 || text[i] > 0x7e)
            return false;
    return size > 0;
}

static bool name_is(const uint8_t *name, size_t size, const char *text)
{
    return size == strlen(text) && memcmp(name, text, size) == 0;
}

/* Pseudo headers are what we read; the rest is counted and left aside. */
static bool take_header(rd_link_stream *stream, const uint8_t *name, size_t name_size, const uint8_t *value,
                        size_t size)
{
    if (name_is(name, name_size, ":status")) {
        if (size != 3 || value[0] < '1' || value[0] > '5') /* RFC 9110, 15; 0 would stand for no answer */
            return false;
        stream->status = 0;
        for (size_t i = 0; i < 3; i++) {
            if (value[i] < '0' || value[i] > '9')
                return false;
            stream->status = stream->status * 10 + (value[i] - '0');
        }
        return true;
    }
    if (name_is(name, name_size, ":method")) {
        if (size >= sizeof stream->method || !is_printable(value, size))
            return false;
        memcpy(stream->method, value, size);
        stream->is_pipe = strcmp(stream->method, "CONNECT") == 0;
        return true;
    }
    bool is_path = name_is(name, name_size, ":path");
    if (!is_path && !name_is(name, name_size, ":authority"))
        return true;
    if (size > PATH_MAX_BYTES || !is_printable(value, size) || (is_path && value[0] != '/'))
        return false;
    char **field = is_path ? &stream->path : &stream->authority;
    free(*field);
    *field = rd_strndup((const char *)value, size);
    return true;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
                     const uint8_t *value, size_t value_size, uint8_t flags, void *context)
{
    (void)flags;
    (void)context;
    rd_link_stream *stream = stream_of(session, frame->hd.stream_id);
    if (!stream)
        return 0;
    stream->header_bytes += name_size + value_size + 32; /* RFC 9113, 6.5.2: the size of a field */
    if (stream->header_bytes > RD_LINK_HEADERS_MAX || !take_header(stream, name, name_size, value, value_size))
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets the stream, keeps the link */
    return 0;
}

static void on_peer_end(rd_link_stream *stream)
{
    stream->has_peer_ended = true;
    if (stream->kind == STREAM_REQUEST && !stream->is_pipe)
        request_dispatch(stream);
    else
        tell_end(stream);
}

static void on_answer_head(rd_link_stream *stream)
{
    if (stream->status < 200) /* 1xx: more comes */
        return;
    if (stream->kind == STREAM_OPEN) {
        stream->is_accepted = stream->status == 200;
        if (!stream->is_silent && stream->events.on_response)
            stream->events.on_response(stream, stream->context, stream->status);
        if (stream->is_accepted || stream->is_dropping)
            return;
        (void)rd_err_set(&stream->error, RD_E_LINK_REFUSED, "the peer answered %d", stream->status);
        rd_link_stream_reset(stream, false);
    }
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    rd_link *link = context;
    if (frame->hd.stream_id == 0) {
        link_on_control_frame(link, frame);
        return 0;
    }
    rd_link_stream *stream = stream_of(session, frame->hd.stream_id);
    if (!stream || link->state >= LINK_CLOSING)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_RESPONSE)
        on_answer_head(stream);
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_HEADERS && !link->hub->is_agent &&
        !stream->is_accepted && stream->kind == STREAM_OPEN)
        on_answer_head(stream); /* the final answer after a 1xx */
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST && stream->is_pipe)
        request_dispatch(stream);
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        on_peer_end(stream);
    return 0;
}

/* Collects a body; false when it passed its bound. */
static bool collect(rd_link_stream *stream, rd_bytes bytes)
{
    rd_link *link = stream->link;
    stream->body.size_max = stream->body_max;
    if (stream->kind == STREAM_REQUEST) {
        if (stream->body.size == 0)
            stream->body_max = stream->body.size_max = request_body_max(stream);
        if (link->body_bytes + bytes.size > LINK_BODIES_MAX)
            return false;
    }
    if (!rd_buf_append_bytes(&stream->body, bytes))
        return false;
    if (stream->kind == STREAM_REQUEST)
        link->body_bytes += bytes.size;
    give_back(stream, bytes.size);
    return true;
}

static void body_too_large(rd_link_stream *stream)
{
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, RD_E_TOO_LARGE, "the body is larger than %zu bytes", stream->body_max);
    stream->is_dropping = true;
    if (stream->kind == STREAM_REQUEST) {
        rd_link_answer_error(stream, &err);
        return;
    }
    stream->error = err;
    rd_link_stream_reset(stream, false);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t size, void *context)
{
    (void)flags;
    rd_link *link = context;
    credit_link(link, size);
    rd_link_stream *stream = stream_of(session, id);
    if (!stream || stream->is_dropping || link->state >= LINK_CLOSING) {
        (void)nghttp2_session_consume_stream(session, id, size);
        return 0;
    }
    rd_bytes bytes = rd_bytes_of(data, size);
    bool is_collected = stream->kind == STREAM_CALL || (stream->kind == STREAM_REQUEST && !stream->is_pipe);
    if (!is_collected)
        deliver(stream, bytes);
    else if (!collect(stream, bytes))
        body_too_large(stream);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error_code, void *context)
{
    (void)context;
    rd_link_stream *stream = stream_of(session, id);
    if (!stream)
        return 0;
    (void)nghttp2_session_set_stream_user_data(session, id, NULL);
    stream->is_h2_closed = true;
    stream->is_deferred = false;
    stream->error_code = error_code;
    if (error_code == NGHTTP2_NO_ERROR && !stream->has_peer_ended && stream->error.code == RD_OK)
        stream->error_code = NGHTTP2_CANCEL;
    stream_todo(stream, TODO_CLOSED);
    return 0;
}

void stream_set_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}

/* ---- accessors ---- */

rd_link *rd_link_stream_link(const rd_link_stream *stream)
{
    return stream->link;
}

void *rd_link_stream_context(const rd_link_stream *stream)
{
    return stream->context;
}

void rd_link_stream_set(rd_link_stream *stream, const rd_link_stream_events *events, void *context)
{
    stream->events = *events;
    stream->context = context;
}
