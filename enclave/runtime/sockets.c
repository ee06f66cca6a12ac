#include <string.h>
#include <time.h>

#include "common/base/mem.h"
#include "enclave/runtime/server_priv.h"
#include "enclave/runtime/socket.h"

#define READ_STEP  ((size_t)16 << 10)
#define WRITE_STEP ((size_t)16 << 10)      /* a record of TLS */
#define PING_US    (INT64_C(30) * 1000000) /* less than the relay waits for a byte (passthrough.md) */
#define SILENCE_US (INT64_C(75) * 1000000) /* without a byte, two pings in it: the peer is gone */
#define AGAIN      1013                    /* RFC 6455's registry: try again later */

static int64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

bool sockets_have_room(const encl_server *server)
{
    size_t count = 0;
    for (size_t i = 0; i < CONNS_MAX; i++)
        count += server->conns[i].socket != NULL;
    return count < ENCL_SOCKETS_MAX;
}

void sockets_end(encl_conn *conn)
{
    conn->socket = encl_socket_free(conn->socket);
}

static void empty(rd_buf *buf)
{
    size_t size_max = buf->size_max;
    rd_buf_wipe(buf);
    rd_buf_init(buf, size_max);
}

/* --- writing ---------------------------------------------------------------------------------------------------- */

static void lose(encl_conn *conn)
{
    conn->is_gone = true;
    encl_socket_lose(conn->socket, ENCL_WS_LOST);
}

/* False: it waits until the peer takes more. */
static bool flush(encl_server *server, encl_conn *conn)
{
    rd_buf *out = encl_ws_out(encl_socket_frames(conn->socket));
    while (conn->written < out->size && !conn->is_gone) {
        rd_bytes step = rd_bytes_of(out->data + conn->written, RD_MIN(out->size - conn->written, WRITE_STEP));
        ssize_t put = encl_channel_write(conn->channel, step);
        if (put == ENCL_CHANNEL_WAIT) {
            if (conn->state != ENCL_CONN_WRITING)
                server_deadline(server, conn, REQUEST_US);
            conn->state = ENCL_CONN_WRITING;
            server_watch_room(server, conn, true);
            return false;
        }
        if (put < 0)
            lose(conn);
        else
            conn->written += (size_t)put;
    }
    if (out->size > 0) {
        empty(out);
        conn->written = 0;
        server_owe(server, conn, 0);
    }
    server_watch_room(server, conn, false);
    return true;
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

/* A message that grows beyond what is small; false: it has to wait for room. */
static bool admit(encl_server *server, encl_conn *conn, encl_ws *ws)
{
    conn->content_length = server->parts.app->manifest.limits.request_bytes;
    conn->room = RD_MAX(conn->claim.held, ENCL_WS_SMALL);
    if (conn->claim.held == 0)
        server_deadline(server, conn, REQUEST_US); /* for all of it */
    if (!server_make_room(server, conn, encl_ws_size(ws)))
        return false;
    encl_ws_admit(ws, conn->room);
    return true;
}

/* False: nothing more comes now. */
static bool fill(encl_server *server, encl_conn *conn)
{
    if (!conn->may_read)
        return false;
    uint8_t *into = rd_buf_reserve(&conn->in, READ_STEP);
    ssize_t got = into == NULL ? ENCL_CHANNEL_GONE : encl_channel_read(conn->channel, into, READ_STEP);
    if (got == ENCL_CHANNEL_WAIT) {
        conn->may_read = false;
        server_watch_room(server, conn, encl_channel_wants_room(conn->channel));
        return false;
    }
    if (got <= 0) {
        lose(conn);
        return true;
    }
    rd_buf_commit(&conn->in, (size_t)got);
    encl_socket_hear(conn->socket, now_us());
    return true;
}

/* Takes what has come, up to an event. False: the connection waits, or an event does. */
static bool take(encl_server *server, encl_conn *conn)
{
    encl_ws *ws = encl_socket_frames(conn->socket);
    rd_bytes in = rd_buf_bytes(&conn->in), reason;
    encl_ws_news news = encl_ws_feed(ws, &in, now_us());
    rd_buf_consume(&conn->in, conn->in.size - in.size);
    if (news == ENCL_WS_ENDED) {
        encl_socket_lose(conn->socket, encl_ws_end(ws, &reason));
        conn->closes = true;
        return true;
    }
    if (encl_ws_is_closed(ws) && news != ENCL_WS_NOTHING) {
        conn->closes = news == ENCL_WS_ROOM || !encl_socket_ignore(conn->socket);
        return true;
    }
    if (news == ENCL_WS_ROOM)
        return admit(server, conn, ws);
    if (news == ENCL_WS_MESSAGE) {
        server_enqueue(server, conn);
        return false;
    }
    return encl_ws_out(ws)->size > 0 || fill(server, conn);
}

/* --- the socket ------------------------------------------------------------------------------------------------- */

/* What is written first, and what then: an event, the end (both false), or reading. */
static bool may_take(encl_server *server, encl_conn *conn)
{
    if (!flush(server, conn))
        return false;
    if (encl_socket_owes_end(conn->socket)) {
        conn->deadline_us = 0;
        server_enqueue(server, conn);
        return false;
    }
    if (conn->is_gone || conn->closes) {
        if (!conn->is_gone)
            encl_conn_finish(conn);
        server_drop(server, conn);
        return false;
    }
    if (conn->state != ENCL_CONN_SOCKET) {
        conn->state = ENCL_CONN_SOCKET;
        if (conn->claim.held == 0)
            server_deadline(server, conn, encl_ws_is_closed(encl_socket_frames(conn->socket)) ? LINGER_US : PING_US);
    }
    return true;
}

/* The socket ends with this code, and the function hears of it. */
static void give_up(encl_server *server, encl_conn *conn, uint16_t code)
{
    encl_ws_close(encl_socket_frames(conn->socket), code, RD_BYTES_NULL);
    encl_socket_lose(conn->socket, code);
    server_unpark(server, conn);
    server_release(server, conn);
    conn->state = ENCL_CONN_ANSWERED;
}

/* What its peer verified when it opened holds no longer: whoever comes again verifies again. */
static bool is_over(const encl_conn *conn)
{
    return encl_channel_is_old(conn->channel) && !encl_ws_is_closed(encl_socket_frames(conn->socket));
}

void sockets_go(encl_server *server, encl_conn *conn)
{
    while (may_take(server, conn)) {
        if (is_over(conn))
            give_up(server, conn, ENCL_WS_GOING_AWAY);
        else if (!take(server, conn))
            return;
    }
}

void sockets_leave(encl_server *server, encl_conn *conn)
{
    bool fits = encl_socket_write(conn);
    server_release(server, conn);
    server_owe(server, conn, encl_ws_out(encl_socket_frames(conn->socket))->size);
    if (conn->has_head) { /* the handshake's; what came behind it are frames */
        rd_buf_consume(&conn->in, conn->head_size);
        conn->has_head = false;
        conn->closes = false;
    }
    encl_socket_hear(conn->socket, now_us()); /* nothing was read while the event waited */
    rd_buf_clear(&conn->head);
    rd_buf_clear(&conn->receipt);
    empty(&conn->body);
    if (!fits) {
        server_drop(server, conn);
        return;
    }
    if (server->is_draining) {
        encl_ws_close(encl_socket_frames(conn->socket), ENCL_WS_GOING_AWAY, RD_BYTES_NULL);
        encl_socket_abandon(conn->socket);
    }
    conn->state = ENCL_CONN_ANSWERED;
    sockets_go(server, conn);
}

void sockets_drain(encl_server *server)
{
    for (size_t i = 0; i < CONNS_MAX; i++) {
        encl_conn *conn = &server->conns[i];
        bool has_event = conn->state == ENCL_CONN_READY || conn->state == ENCL_CONN_ANSWERED;
        if (conn->socket == NULL || has_event)
            continue;
        encl_ws_close(encl_socket_frames(conn->socket), ENCL_WS_GOING_AWAY, RD_BYTES_NULL);
        encl_socket_abandon(conn->socket);
        server_unpark(server, conn);
        if (conn->state == ENCL_CONN_WRITING)
            continue;
        server_release(server, conn);
        conn->state = ENCL_CONN_ANSWERED;
        sockets_go(server, conn);
    }
}

void sockets_expire(encl_server *server, encl_conn *conn, int64_t now)
{
    encl_ws *ws = encl_socket_frames(conn->socket);
    bool is_reading = conn->state == ENCL_CONN_SOCKET;
    if (is_reading && encl_ws_is_closed(ws)) {
        server_drop(server, conn);
        return;
    }
    if (conn->state == ENCL_CONN_WRITING || (is_reading && now - encl_socket_heard_us(conn->socket) > SILENCE_US)) {
        lose(conn); /* it takes nothing, or says nothing */
    } else if (conn->state == ENCL_CONN_PARKED) {
        give_up(server, conn, AGAIN);
    } else if (conn->claim.held > 0) {
        give_up(server, conn, ENCL_WS_POLICY); /* a message that does not come to its end */
    } else {
        encl_ws_ping(ws);
        server_deadline(server, conn, PING_US);
    }
    sockets_go(server, conn);
}
