#include "agent/splice.h"

#include "common/base/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK ((size_t)64 << 10)
#define MAGIC 0x73706c63u

struct agent_splice {
    uint32_t magic;
    agent_splice *next, *previous;
    agent_splices *list;    /* NULL: cut off */
    rd_link_stream *stream; /* NULL: gone */
    uv_pipe_t socket;
    uv_connect_t connect;
    uv_write_t write;
    uv_shutdown_t shutdown;
    bool is_accepted; /* 200 was sent */
    bool is_writing;
    bool is_reading;
    bool wants_shutdown;
    bool has_shut;
    bool is_closing;
    uint8_t *pending; /* being written to the socket */
};

static void unlink_from_list(agent_splice *splice)
{
    agent_splices *list = splice->list;
    if (!list)
        return;
    if (splice->previous)
        splice->previous->next = splice->next;
    else
        list->head = splice->next;
    if (splice->next)
        splice->next->previous = splice->previous;
    list->count--;
    splice->list = NULL;
}

static void on_socket_closed(uv_handle_t *handle)
{
    agent_splice *splice = handle->data;
    free(splice->pending);
    splice->magic = 0;
    free(splice);
}

/* The end of both sides, whoever began it. */
static void end(agent_splice *splice)
{
    if (splice->is_closing)
        return;
    splice->is_closing = true;
    unlink_from_list(splice);
    if (splice->stream && splice->is_accepted)
        rd_link_stream_reset(splice->stream, true);
    splice->stream = NULL;
    uv_close((uv_handle_t *)&splice->socket, on_socket_closed);
}

/* ---- socket to stream ---- */

static void read_socket(agent_splice *splice);

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    (void)suggested;
    agent_splice *splice = handle->data;
    size_t room = splice->stream ? RD_MIN(CHUNK, rd_link_stream_room(splice->stream)) : 0;
    if (!splice->list->buffer)
        splice->list->buffer = rd_alloc(CHUNK);
    *ret = uv_buf_init((char *)splice->list->buffer, (unsigned)room);
}

static void stop_reading(agent_splice *splice)
{
    splice->is_reading = false;
    (void)uv_read_stop((uv_stream_t *)&splice->socket);
}

static void on_read(uv_stream_t *socket, ssize_t size, const uv_buf_t *buffer)
{
    agent_splice *splice = socket->data;
    assert(splice->magic == MAGIC);
    if (splice->is_closing || !splice->stream || size == 0)
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
    if (rd_link_stream_room(splice->stream) < CHUNK)
        stop_reading(splice);
}

static void read_socket(agent_splice *splice)
{
    if (splice->is_reading || splice->is_closing)
        return;
    splice->is_reading = uv_read_start((uv_stream_t *)&splice->socket, on_alloc, on_read) == 0;
}

/* ---- stream to socket ---- */

static void on_shut(uv_shutdown_t *request, int status)
{
    (void)request;
    (void)status;
}

static void shut_when_written(agent_splice *splice)
{
    if (!splice->wants_shutdown || splice->is_writing || splice->has_shut || splice->is_closing)
        return;
    splice->has_shut = true;
    (void)uv_shutdown(&splice->shutdown, (uv_stream_t *)&splice->socket, on_shut);
}

static void on_written(uv_write_t *request, int status)
{
    agent_splice *splice = request->data;
    splice->is_writing = false;
    free(splice->pending);
    splice->pending = NULL;
    if (splice->is_closing)
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
    (void)stream;
    agent_splice *splice = context;
    if (splice->is_writing)
        return 0;
    uv_buf_t span = uv_buf_init((char *)bytes.data, (unsigned)bytes.size);
    int n = uv_try_write((uv_stream_t *)&splice->socket, &span, 1);
    size_t taken = n > 0 ? (size_t)n : 0;
    if (n < 0 && n != UV_EAGAIN) {
        end(splice);
        return bytes.size;
    }
    if (taken == bytes.size)
        return taken;
    size_t rest = RD_MIN(bytes.size - taken, CHUNK);
    splice->pending = rd_alloc(rest);
    memcpy(splice->pending, bytes.data + taken, rest);
    span = uv_buf_init((char *)splice->pending, (unsigned)rest);
    splice->is_writing = true;
    if (uv_write(&splice->write, (uv_stream_t *)&splice->socket, &span, 1, on_written) < 0) {
        splice->is_writing = false;
        end(splice);
        return bytes.size;
    }
    if (taken + rest == bytes.size)
        rd_link_stream_pause(stream);
    return taken + rest;
}

static void on_stream_room(rd_link_stream *stream, void *context)
{
    (void)stream;
    read_socket(context);
}

static void on_stream_end(rd_link_stream *stream, void *context)
{
    (void)stream;
    agent_splice *splice = context;
    splice->wants_shutdown = true;
    shut_when_written(splice);
}

static void on_stream_closed(rd_link_stream *stream, void *context, const rd_err *error)
{
    (void)stream;
    (void)error;
    agent_splice *splice = context;
    splice->stream = NULL;
    end(splice);
}

static const rd_link_stream_events stream_events = {
    .on_data = on_stream_data,
    .on_room = on_stream_room,
    .on_end = on_stream_end,
    .on_closed = on_stream_closed,
};

/* ---- opening ---- */

static void on_abandoned(void *context)
{
    agent_splice *splice = context;
    splice->stream = NULL;
    end(splice);
}

static void refuse(agent_splice *splice, const char *why)
{
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, RD_E_DRAINING, "the instance does not take connections: %s", why);
    rd_link_stream *stream = splice->stream;
    splice->stream = NULL;
    if (stream)
        rd_link_answer_error(stream, &err);
    end(splice);
}

static void on_connected(uv_connect_t *request, int status)
{
    agent_splice *splice = request->data;
    if (splice->is_closing)
        return;
    if (status < 0) {
        refuse(splice, uv_strerror(status));
        return;
    }
    splice->is_accepted = true;
    rd_link_accept(splice->stream, &stream_events, splice);
    read_socket(splice);
}

void agent_splice_open(rd_loop *loop, rd_link_stream *stream, const char *socket_path, agent_splices *list)
{
    agent_splice *splice = rd_alloc(sizeof *splice);
    splice->magic = MAGIC;
    splice->stream = stream;
    splice->list = list;
    splice->next = list->head;
    if (list->head)
        list->head->previous = splice;
    list->head = splice;
    list->count++;
    (void)uv_pipe_init(rd_loop_uv(loop), &splice->socket, 0);
    splice->socket.data = splice->connect.data = splice->write.data = splice->shutdown.data = splice;
    rd_link_on_abandoned(stream, on_abandoned, splice);
    uv_pipe_connect(&splice->connect, &splice->socket, socket_path, on_connected);
}

void agent_splices_cut(agent_splices *list)
{
    while (list->head) {
        agent_splice *splice = list->head;
        if (splice->stream && !splice->is_accepted)
            refuse(splice, "it has ended");
        else
            end(splice);
    }
    free(list->buffer);
    list->buffer = NULL;
}
