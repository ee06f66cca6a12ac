#include "enclave/runtime/conn.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "enclave/runtime/h2.h"

#define READ_STEP  ((size_t)16 << 10)
#define IDLE_KEPT  ((size_t)8 << 10) /* larger buffers are freed between requests */
#define INPUT_MAX  (RD_HTTP_HEAD_MAX + ((size_t)17 << 20))
#define OUTPUT_MAX ((size_t)17 << 20)
#define PARTS_MAX  5
#define RECORD_MAX ((size_t)16 << 10) /* of TLS */
#define CHUNK_MAX  ((size_t)64 << 10)

void encl_conn_open(encl_conn *conn, int fd)
{
    memset(conn, 0, sizeof(*conn));
    conn->state = ENCL_CONN_READING;
    conn->claim.owner = conn;
    conn->fd = fd;
    conn->may_read = true;
    rd_buf_init(&conn->in, INPUT_MAX);
    rd_buf_init(&conn->head, (size_t)256 << 10);
    rd_buf_init(&conn->receipt, (size_t)32 << 10);
    rd_buf_init(&conn->body, OUTPUT_MAX);
}

void encl_conn_seal(encl_conn *conn, encl_sealing *sealing)
{
    (void)encl_sealing_free(conn->sealing);
    conn->sealing = sealing;
}

void encl_conn_close(encl_conn *conn)
{
    encl_conn_seal(conn, NULL);
    conn->channel = encl_channel_close(conn->channel);
    rd_close_p(&conn->fd);
    rd_buf_wipe(&conn->in);
    rd_buf_done(&conn->head);
    rd_buf_done(&conn->receipt);
    rd_buf_wipe(&conn->body);
    memset(conn, 0, sizeof(*conn));
    conn->fd = -1;
}

/* How many more bytes the current request may bring for now. */
static size_t room(const encl_conn *conn)
{
    size_t end = conn->has_head ? conn->head_size + conn->room : RD_HTTP_HEAD_MAX + 1;
    return conn->in.size < end ? RD_MIN(end - conn->in.size, READ_STEP) : 0;
}

encl_conn_outcome encl_conn_peek(encl_conn *conn, uint8_t *ret)
{
    ssize_t got;
    do {
        got = recv(conn->fd, ret, 1, MSG_DONTWAIT | MSG_PEEK);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN) {
        conn->may_read = false;
        return ENCL_CONN_WAIT;
    }
    return got == 1 ? ENCL_CONN_DONE : ENCL_CONN_GONE;
}

/* A session may hold bytes that the socket has no more: only its own word says that it is drained. */
static encl_conn_outcome fill_from_channel(encl_conn *conn, uint8_t *into, size_t wanted)
{
    ssize_t got = encl_channel_read(conn->channel, into, wanted);
    if (got == ENCL_CHANNEL_WAIT) {
        conn->may_read = false;
        return ENCL_CONN_WAIT;
    }
    if (got <= 0)
        return ENCL_CONN_GONE;
    rd_buf_commit(&conn->in, (size_t)got);
    return ENCL_CONN_DONE;
}

encl_conn_outcome encl_conn_fill(encl_conn *conn)
{
    size_t wanted = room(conn);
    if (wanted == 0)
        return ENCL_CONN_DONE;
    uint8_t *into = rd_buf_reserve(&conn->in, wanted);
    if (into == NULL)
        return ENCL_CONN_GONE;
    if (conn->channel != NULL)
        return fill_from_channel(conn, into, wanted);
    ssize_t got;
    do {
        got = recv(conn->fd, into, wanted, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN) {
        conn->may_read = false;
        return ENCL_CONN_WAIT;
    }
    if (got <= 0)
        return ENCL_CONN_GONE;
    rd_buf_commit(&conn->in, (size_t)got);
    /* epoll(7): a short read of a stream means that it is drained; the next bytes make a new edge. */
    if ((size_t)got < wanted && !conn->has_end)
        conn->may_read = false;
    return ENCL_CONN_DONE;
}

bool encl_conn_has_body(const encl_conn *conn)
{
    return conn->in.size - conn->head_size >= conn->content_length;
}

rd_bytes encl_conn_body(const encl_conn *conn)
{
    return rd_bytes_of(conn->in.data + conn->head_size, (size_t)conn->content_length);
}

void encl_conn_begin(encl_conn *conn, unsigned status)
{
    rd_buf_clear(&conn->receipt);
    rd_buf_clear(&conn->body);
    conn->is_streamed = false;
    encl_conn_begin_again(conn, status);
}

void encl_conn_begin_again(encl_conn *conn, unsigned status)
{
    rd_buf_clear(&conn->head);
    conn->written = 0;
    conn->has_length = rd_http_has_length(status);
    rd_buf_printf(&conn->head, "HTTP/1.1 %u %s\r\n", status, rd_http_reason(status));
}

void encl_conn_line(encl_conn *conn, const char *name, rd_bytes value)
{
    rd_buf_append_str(&conn->head, name);
    rd_buf_append_str(&conn->head, ": ");
    rd_buf_append_bytes(&conn->head, value);
    rd_buf_append_str(&conn->head, "\r\n");
}

bool encl_conn_end(encl_conn *conn, rd_bytes body, bool has_no_body)
{
    if (conn->has_length)
        rd_buf_printf(&conn->head, "Content-Length: %zu\r\n", body.size);
    if (conn->closes)
        rd_buf_append_str(&conn->head, "Connection: close\r\n");
    if (!has_no_body)
        rd_buf_append_bytes(&conn->body, body);
    return !conn->head.has_failed && !conn->body.has_failed;
}

static void add_part(struct iovec *parts, int *count, size_t *skip, rd_bytes bytes)
{
    if (*skip >= bytes.size) {
        *skip -= bytes.size;
        return;
    }
    parts[(*count)++] =
        (struct iovec){ .iov_base = (void *)(uintptr_t)(bytes.data + *skip), .iov_len = bytes.size - *skip };
    *skip = 0;
}

static ssize_t put_on_socket(const encl_conn *conn, struct iovec *parts, int count)
{
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = (size_t)count };
    ssize_t put;
    do {
        put = sendmsg(conn->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (put < 0 && errno == EINTR);
    if (put < 0)
        return errno == EAGAIN ? ENCL_CHANNEL_WAIT : ENCL_CHANNEL_GONE;
    return put;
}

/* One record, of all parts: a small answer is one. */
static ssize_t put_on_channel(const encl_conn *conn, const struct iovec *parts, int count)
{
    uint8_t record[RECORD_MAX];
    size_t size = 0;
    for (int i = 0; i < count && size < sizeof record; i++) {
        size_t step = RD_MIN(parts[i].iov_len, sizeof record - size);
        memcpy(record + size, parts[i].iov_base, step);
        size += step;
    }
    return encl_channel_write(conn->channel, rd_bytes_of(record, size));
}

bool encl_conn_stream(encl_conn *conn)
{
    conn->is_streamed = true;
    rd_buf_append_str(&conn->head, "Transfer-Encoding: chunked\r\n");
    if (conn->sealing == NULL)
        rd_buf_append_str(&conn->head, "Trailer: Redoubt-Receipt\r\n");
    if (conn->closes)
        rd_buf_append_str(&conn->head, "Connection: close\r\n");
    return rd_buf_append_str(&conn->head, "\r\n");
}

bool encl_conn_add(encl_conn *conn, rd_bytes piece)
{
    return rd_buf_append_bytes(&conn->body, piece);
}

void encl_conn_complete(encl_conn *conn)
{
    conn->is_whole = true;
}

static void add_chunk(encl_conn *conn, rd_bytes content)
{
    if (content.size == 0)
        return;
    if (conn->stream == 0)
        rd_buf_printf(&conn->head, "%zx\r\n", content.size);
    rd_buf_append_bytes(&conn->head, content);
    if (conn->stream == 0)
        rd_buf_append_str(&conn->head, "\r\n");
}

static bool add_sealed_chunk(encl_conn *conn, rd_bytes piece, bool is_last)
{
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    if (!encl_sealing_add(conn->sealing, piece, is_last, rd_buf_bytes(&conn->receipt), &sealed))
        return false;
    add_chunk(conn, rd_buf_bytes(&sealed));
    return true;
}

static void add_end(encl_conn *conn)
{
    rd_buf_append_str(&conn->head, "0\r\n");
    if (conn->sealing == NULL) {
        rd_buf_append_str(&conn->head, "Redoubt-Receipt: ");
        rd_buf_append_bytes(&conn->head, rd_buf_bytes(&conn->receipt));
        rd_buf_append_str(&conn->head, "\r\n");
    }
    rd_buf_append_str(&conn->head, "\r\n");
}

/* What goes out next takes the place of what has gone. DONE: there is nothing yet, or no more; GONE: it cannot leave.
 */
static encl_conn_outcome next_chunk(encl_conn *conn)
{
    size_t step = RD_MIN(conn->body.size - conn->chunked, conn->sealing ? ENCL_SEALING_PIECE_MAX : CHUNK_MAX);
    bool is_last = conn->is_whole && conn->chunked + step == conn->body.size;
    rd_buf_clear(&conn->head);
    conn->written = 0;
    if (conn->has_ended || (step == 0 && !is_last))
        return ENCL_CONN_DONE;
    rd_bytes piece = step > 0 ? rd_bytes_of(conn->body.data + conn->chunked, step) : RD_BYTES_NULL;
    if (conn->sealing == NULL)
        add_chunk(conn, piece);
    else if (!add_sealed_chunk(conn, piece, is_last))
        return ENCL_CONN_GONE;
    if (is_last && conn->stream == 0)
        add_end(conn);
    conn->chunked += step;
    conn->has_ended = is_last;
    return conn->head.has_failed ? ENCL_CONN_GONE : ENCL_CONN_WAIT;
}

static rd_bytes trim(const uint8_t *from, const uint8_t *to)
{
    while (from < to && (*from == ' ' || *from == '\t'))
        from++;
    while (from < to && (to[-1] == ' ' || to[-1] == '\t'))
        to--;
    return rd_bytes_of(from, (size_t)(to - from));
}

bool encl_conn_next_line(rd_bytes *rest, rd_bytes *name, rd_bytes *value)
{
    const uint8_t *end = rest->data + rest->size;
    const uint8_t *line = memchr(rest->data, '\n', rest->size);
    if (line == NULL || ++line == end || *line == '\r')
        return false;
    const uint8_t *stop = memchr(line, '\r', (size_t)(end - line));
    const uint8_t *colon = memchr(line, ':', (size_t)(stop - line));
    *name = rd_bytes_of(line, (size_t)(colon - line));
    *value = trim(colon + 1, stop);
    *rest = rd_bytes_of(line, (size_t)(end - line));
    return true;
}

static encl_conn_outcome flush_stream(encl_conn *conn)
{
    for (;;) {
        encl_conn_outcome next = conn->written == conn->head.size ? next_chunk(conn) : ENCL_CONN_WAIT;
        if (next != ENCL_CONN_WAIT)
            return next;
        struct iovec part = { .iov_base = conn->head.data + conn->written, .iov_len = conn->head.size - conn->written };
        ssize_t put = conn->channel ? put_on_channel(conn, &part, 1) : put_on_socket(conn, &part, 1);
        if (put < 0)
            return put == ENCL_CHANNEL_WAIT ? ENCL_CONN_WAIT : ENCL_CONN_GONE;
        conn->written += (size_t)put;
    }
}

static encl_conn_outcome flush_whole(encl_conn *conn)
{
    static const rd_bytes receipt_name = { (const uint8_t *)"Redoubt-Receipt: ", 17 };
    for (;;) {
        struct iovec parts[PARTS_MAX];
        int count = 0;
        size_t skip = conn->written;
        add_part(parts, &count, &skip, rd_buf_bytes(&conn->head));
        if (conn->receipt.size > 0) {
            add_part(parts, &count, &skip, receipt_name);
            add_part(parts, &count, &skip, rd_buf_bytes(&conn->receipt));
            add_part(parts, &count, &skip, RD_BYTES_LIT("\r\n\r\n"));
        } else {
            add_part(parts, &count, &skip, RD_BYTES_LIT("\r\n"));
        }
        add_part(parts, &count, &skip, rd_buf_bytes(&conn->body));
        if (count == 0)
            return ENCL_CONN_DONE;
        ssize_t put = conn->channel ? put_on_channel(conn, parts, count) : put_on_socket(conn, parts, count);
        if (put < 0)
            return put == ENCL_CHANNEL_WAIT ? ENCL_CONN_WAIT : ENCL_CONN_GONE;
        conn->written += (size_t)put;
    }
}

void encl_conn_begin_drawing(encl_conn *conn)
{
    rd_buf_clear(&conn->head);
    conn->written = 0;
}

ssize_t encl_conn_draw(encl_conn *conn, uint8_t *into, size_t size)
{
    if (conn->is_streamed && conn->written == conn->head.size && next_chunk(conn) == ENCL_CONN_GONE)
        return -1;
    const rd_buf *from = conn->is_streamed ? &conn->head : &conn->body;
    size_t step = RD_MIN(size, from->size - conn->written);
    if (step > 0)
        memcpy(into, from->data + conn->written, step);
    conn->written += step;
    return (ssize_t)step;
}

bool encl_conn_is_drawn(const encl_conn *conn)
{
    return conn->is_streamed ? conn->has_ended && conn->written == conn->head.size : conn->written == conn->body.size;
}

static encl_conn_outcome flush_frames(encl_conn *conn)
{
    if (encl_h2_answer(conn) < 0 || encl_h2_turn(conn->h2) != ENCL_CONN_WAIT || conn->is_gone)
        return ENCL_CONN_GONE;
    return ENCL_CONN_WAIT; /* for what the peer says next, at least */
}

short encl_conn_awaits(const encl_conn *conn)
{
    if (conn->stream > 0)
        return encl_h2_awaits(conn->h2);
    return conn->written < conn->head.size ? POLLOUT : 0;
}

encl_conn_outcome encl_conn_flush(encl_conn *conn)
{
    if (conn->stream > 0)
        return flush_frames(conn);
    return conn->is_streamed ? flush_stream(conn) : flush_whole(conn);
}

void encl_conn_finish(encl_conn *conn)
{
    if (conn->channel != NULL)
        encl_channel_end(conn->channel);
    (void)shutdown(conn->fd, SHUT_WR);
}

static void shrink(rd_buf *buf)
{
    size_t size_max = buf->size_max;
    if (buf->capacity <= IDLE_KEPT || buf->size > 0)
        return;
    rd_buf_wipe(buf);
    rd_buf_init(buf, size_max);
}

/* What stood in a seal outlives its exchange nowhere. */
static void wipe_answer(encl_conn *conn)
{
    rd_wipe(conn->head.data, conn->head.capacity);
    rd_wipe(conn->body.data, conn->body.capacity);
}

void encl_conn_next(encl_conn *conn)
{
    if (conn->sealing != NULL)
        wipe_answer(conn);
    encl_conn_seal(conn, NULL);
    size_t used = conn->head_size + (size_t)conn->content_length;
    rd_buf_consume(&conn->in, RD_MIN(used, conn->in.size));
    rd_buf_clear(&conn->head);
    rd_buf_clear(&conn->receipt);
    rd_buf_clear(&conn->body);
    shrink(&conn->in);
    shrink(&conn->head);
    shrink(&conn->receipt);
    shrink(&conn->body);
    conn->scanned = 0;
    conn->has_head = false;
    conn->has_begun = false;
    conn->head_size = 0;
    conn->content_length = 0;
    conn->room = 0;
    conn->deadline_us = 0;
    conn->written = 0;
    conn->is_streamed = false;
    conn->is_whole = false;
    conn->has_ended = false;
    conn->chunked = 0;
    conn->state = ENCL_CONN_READING;
}
