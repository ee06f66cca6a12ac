#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "api/context.h"
#include "api/request_private.h"
#include "common/base/mem.h"

#define BUFFER_DEFAULT ((size_t)256 << 10)

struct api_stream {
    api_request *request;
    api_stream_options options;
    rd_buf waiting;
    bool is_ended;
    bool is_aborted;
    bool was_refused; /* a write did not fit: on_drain is owed */
    bool is_asleep;   /* libmicrohttpd asked for bytes and there were none */
    uv_poll_t *watch; /* on the caller's socket, which libmicrohttpd does not look at meanwhile; NULL: not yet */
};

api_stream *api_reply_stream(api_request *request, const api_stream_options *options)
{
    api_stream *stream = rd_alloc(sizeof(*stream));
    stream->request = request;
    stream->options = *options;
    if (stream->options.buffer_max == 0)
        stream->options.buffer_max = BUFFER_DEFAULT;
    rd_buf_init(&stream->waiting, stream->options.buffer_max);
    request->stream = stream;
    request->answer.is_set = true;
    request->answer.status = options->status;
    request->answer.content_type_own = options->content_type ? rd_strdup(options->content_type) : NULL;
    request->answer.content_type = request->answer.content_type_own;
    api_server_resume(request);
    return stream;
}

size_t api_stream_room(const api_stream *stream)
{
    return stream->options.buffer_max - stream->waiting.size;
}

static void wake(api_stream *stream)
{
    if (!stream->is_asleep)
        return;
    stream->is_asleep = false;
    if (stream->watch)
        (void)uv_poll_stop(stream->watch);
    MHD_resume_connection(stream->request->connection);
    api_server_wake(stream->request->server);
}

bool api_stream_write(api_stream *stream, rd_bytes bytes)
{
    if (stream->is_ended || stream->is_aborted)
        return false;
    if (bytes.size > api_stream_room(stream)) {
        stream->was_refused = true;
        return false;
    }
    (void)rd_buf_append_bytes(&stream->waiting, bytes);
    if (bytes.size > 0)
        wake(stream);
    return true;
}

size_t api_stream_write_some(api_stream *stream, rd_bytes bytes)
{
    size_t size = RD_MIN(bytes.size, api_stream_room(stream));
    if (!api_stream_write(stream, rd_bytes_of(bytes.data, size)))
        return bytes.size; /* ended: nobody waits for the rest */
    stream->was_refused |= size < bytes.size;
    return size;
}

void api_stream_end(api_stream *stream)
{
    stream->is_ended = true;
    wake(stream);
}

void api_stream_abort(api_stream *stream)
{
    stream->is_aborted = true;
    rd_buf_clear(&stream->waiting);
    wake(stream);
}

/* The caller's end, or bytes of a next request: these wait, and its end is noticed with the next write. */
static void on_caller(uv_poll_t *watch, int status, int events)
{
    (void)events;
    api_stream *stream = watch->data;
    uv_os_fd_t fd;
    uint8_t byte;
    bool is_open = status == 0 && uv_fileno((uv_handle_t *)watch, &fd) == 0;
    ssize_t got = is_open ? recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) : 0;
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return; /* news of nothing: the watch goes on */
    (void)uv_poll_stop(watch);
    if (got <= 0)
        api_stream_abort(stream);
}

static void watch_caller(api_stream *stream)
{
    if (!stream->watch) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(stream->request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        uv_poll_t *watch = rd_alloc(sizeof *watch);
        if (!info || uv_poll_init(api_request_context(stream->request)->loop, watch, info->connect_fd) < 0) {
            free(watch);
            return;
        }
        watch->data = stream;
        stream->watch = watch;
    }
    (void)uv_poll_start(stream->watch, UV_READABLE, on_caller);
}

static void free_watch(uv_handle_t *handle)
{
    free(handle);
}

static ssize_t read_stream(void *arg, uint64_t position, char *out, size_t size)
{
    (void)position;
    api_stream *stream = arg;
    if (stream->is_aborted)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    size_t count = RD_MIN(size, stream->waiting.size);
    if (count == 0 && stream->is_ended)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (count == 0) {
        stream->is_asleep = true;
        MHD_suspend_connection(stream->request->connection);
        watch_caller(stream);
        return 0;
    }
    memcpy(out, stream->waiting.data, count);
    rd_buf_consume(&stream->waiting, count);
    if (stream->was_refused && stream->options.on_drain) {
        stream->was_refused = false;
        stream->options.on_drain(stream->options.arg);
    }
    return (ssize_t)count;
}

bool api_stream_is_chunked(const api_stream *stream)
{
    return stream->options.content_length < 0;
}

struct MHD_Response *api_stream_response(api_stream *stream)
{
    uint64_t size = stream->options.content_length >= 0 ? (uint64_t)stream->options.content_length : MHD_SIZE_UNKNOWN;
    return MHD_create_response_from_callback(size, (size_t)16 << 10, read_stream, stream, NULL);
}

void api_stream_closed(api_stream *stream)
{
    if (stream->options.on_close)
        stream->options.on_close(stream->options.arg);
    if (stream->watch)
        uv_close((uv_handle_t *)stream->watch, free_watch);
    rd_buf_done(&stream->waiting);
    free(stream);
}
