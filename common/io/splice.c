#include "common/io/splice.h"

#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK ((size_t)64 << 10)

static void end(rd_splice *splice)
{
    if (splice->has_ended)
        return;
    splice->has_ended = true;
    splice->on_end(splice);
}

void rd_splice_stop(rd_splice *splice)
{
    splice->has_ended = true;
}

void rd_splice_done(rd_splice *splice)
{
    free(splice->pending);
    splice->pending = NULL;
}

/* ---- socket to stream ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    (void)suggested;
    rd_splice *splice = handle->data;
    size_t room = splice->stream ? RD_MIN(CHUNK, rd_link_stream_room(splice->stream)) : 0;
    if (!*splice->buffer)
        *splice->buffer = rd_alloc(CHUNK);
    *ret = uv_buf_init((char *)*splice->buffer, (unsigned)room);
}

static void stop_reading(rd_splice *splice)
{
    splice->is_reading = false;
    (void)uv_read_stop(splice->socket);
}

static void on_read(uv_stream_t *socket, ssize_t size, const uv_buf_t *buffer)
{
    rd_splice *splice = socket->data;
    if (splice->has_ended || !splice->stream || size == 0)
        return;
    if (size == UV_ENOBUFS) { /* the stream has no room: on_room goes on */
        stop_reading(splice);
        return;
    }
    if (size < 0) {
        stop_reading(splice);
        if (size != UV_EOF)
            end(splice);
        else
            rd_link_stream_end(splice->stream);
        return;
    }
    rd_err err = RD_ERR_INIT;
    if (rd_link_stream_write(splice->stream, rd_bytes_of(buffer->base, (size_t)size), &err) < 0) {
        end(splice);
        return;
    }
    splice->moved += (uint64_t)size;
    if (rd_link_stream_room(splice->stream) < CHUNK)
        stop_reading(splice);
}

void rd_splice_start(rd_splice *splice)
{
    if (splice->is_reading || splice->has_ended)
        return;
    splice->is_reading = uv_read_start(splice->socket, on_alloc, on_read) == 0;
}

/* ---- stream to socket ---- */

static void on_shut(uv_shutdown_t *request, int status)
{
    (void)request;
    (void)status;
}

static void shut_when_written(rd_splice *splice)
{
    if (!splice->wants_shutdown || splice->is_writing || splice->has_shut || splice->has_ended)
        return;
    splice->has_shut = true;
    (void)uv_shutdown(&splice->shutdown, splice->socket, on_shut);
}

static void on_written(uv_write_t *request, int status)
{
    rd_splice *splice = request->data;
    splice->is_writing = false;
    rd_splice_done(splice);
    if (splice->has_ended)
        return;
    if (status < 0) {
        end(splice);
        return;
    }
    if (splice->stream)
        rd_link_stream_resume(splice->stream);
    shut_when_written(splice);
}

/* Takes what the socket takes at once and one chunk more, which waits in a request. */
static size_t on_stream_data(rd_link_stream *stream, void *context, rd_bytes bytes)
{
    rd_splice *splice = context;
    if (splice->is_writing)
        return 0;
    uv_buf_t span = uv_buf_init((char *)bytes.data, (unsigned)bytes.size);
    int n = uv_try_write(splice->socket, &span, 1);
    size_t taken = n > 0 ? (size_t)n : 0;
    if (n < 0 && n != UV_EAGAIN) {
        end(splice);
        return bytes.size;
    }
    splice->moved += taken;
    if (taken == bytes.size)
        return taken;
    size_t rest = RD_MIN(bytes.size - taken, CHUNK);
    splice->pending = rd_alloc(rest);
    memcpy(splice->pending, bytes.data + taken, rest);
    span = uv_buf_init((char *)splice->pending, (unsigned)rest);
    splice->is_writing = true;
    splice->write.data = splice;
    if (uv_write(&splice->write, splice->socket, &span, 1, on_written) < 0) {
        splice->is_writing = false;
        end(splice);
        return bytes.size;
    }
    splice->moved += rest;
    if (taken + rest == bytes.size)
        rd_link_stream_pause(stream);
    return taken + rest;
}

static void on_stream_room(rd_link_stream *stream, void *context)
{
    (void)stream;
    rd_splice_start(context);
}

static void on_stream_end(rd_link_stream *stream, void *context)
{
    (void)stream;
    rd_splice *splice = context;
    splice->wants_shutdown = true;
    shut_when_written(splice);
}

static void on_stream_closed(rd_link_stream *stream, void *context, const rd_err *error)
{
    (void)stream;
    (void)error;
    rd_splice *splice = context;
    splice->stream = NULL;
    end(splice);
}

const rd_link_stream_events rd_splice_events = {
    .on_data = on_stream_data,
    .on_room = on_stream_room,
    .on_end = on_stream_end,
    .on_closed = on_stream_closed,
};
