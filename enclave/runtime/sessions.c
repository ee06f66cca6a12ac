#include <poll.h>

#include "enclave/runtime/server_priv.h"

void sessions_want_turn(encl_server *server, encl_conn *carrier)
{
    if (carrier != NULL)
        carrier->needs_turn = true;
    server->has_turns = true;
}

void sessions_drop(encl_server *server, encl_conn *conn)
{
    sessions_want_turn(server, conn->carrier);
    encl_h2_close(conn);
}

/* Streams that a queue or a burst holds stay until their turn. */
void sessions_end(encl_server *server, encl_conn *conn)
{
    encl_conn *next;
    for (encl_conn *stream = conn->h2 ? encl_h2_streams(conn->h2) : NULL; stream != NULL; stream = next) {
        next = stream->sibling;
        server_release(server, stream); /* its share ends here */
        if (server_is_held(stream))
            encl_h2_give_up(stream);
        else
            server_drop(server, stream);
    }
    conn->h2 = encl_h2_free(conn->h2);
}

static void take_large_stream(encl_server *server, encl_conn *conn)
{
    rd_err err = RD_ERR_INIT;
    size_t scanned = 0;
    if (rd_http_head_parse(rd_buf_bytes(&conn->in), 0, &scanned, &server->request, &err) != RD_HTTP_DONE)
        server_drop(server, conn);
    else
        server_refuse_large(server, conn, &server->request, conn->in.size - conn->head_size, conn->content_length);
}

/* What a turn of its session brought to a stream. */
void sessions_take(encl_server *server, encl_conn *conn)
{
    if (conn->is_gone && !server_is_held(conn)) {
        server_drop(server, conn);
        return;
    }
    if (conn->is_received)
        server_unpark(server, conn); /* all is there: it needs no more room */
    if (conn->is_gone || conn->state != ENCL_CONN_READING)
        return;
    if (conn->deadline_us == 0)
        server_deadline(server, conn, REQUEST_US);
    if (!conn->is_head_in || (!conn->has_head && server_take_head(server, conn) < 0))
        return;
    if (!server_make_room(server, conn, conn->in.size - conn->head_size))
        return;
    if (encl_h2_admit(conn))
        sessions_want_turn(server, conn->carrier);
    if (conn->is_excess) {
        take_large_stream(server, conn);
    } else if (conn->is_received) {
        conn->content_length = conn->in.size - conn->head_size;
        server_enqueue(server, conn);
    }
}

/* A refusal may fill a burst, and that may close any stream that is in it. */
static void take_streams(encl_server *server, encl_conn *conn)
{
    int32_t last = 0;
    for (encl_conn *stream; (stream = encl_h2_after(conn->h2, last)) != NULL;) {
        last = stream->stream;
        sessions_take(server, stream);
    }
}

/* The peer hears the end before the connection is closed over what he still sends. */
static void end_writing(encl_server *server, encl_conn *conn)
{
    if (conn->closes)
        return;
    conn->closes = true;
    encl_conn_finish(conn);
    server_deadline(server, conn, LINGER_US);
}

static void turn_session(encl_server *server, encl_conn *conn)
{
    conn->needs_turn = false;
    encl_conn_outcome outcome = encl_h2_turn(conn->h2);
    take_streams(server, conn);
    if (encl_h2_has_more(conn->h2))
        sessions_want_turn(server, conn);
    if (outcome == ENCL_CONN_GONE) {
        server_drop(server, conn);
        return;
    }
    if (outcome == ENCL_CONN_DONE) {
        end_writing(server, conn);
        return;
    }
    bool lacks_room = (encl_h2_awaits(conn->h2) & POLLOUT) != 0 || encl_channel_wants_room(conn->channel);
    server_watch_room(server, conn, lacks_room);
    if (encl_h2_streams(conn->h2) != NULL)
        conn->deadline_us = 0; /* each stream has its own */
    else if (conn->deadline_us == 0)
        server_deadline(server, conn, IDLE_US);
}

void sessions_turn(encl_server *server)
{
    if (!server->has_turns)
        return;
    server->has_turns = false;
    for (size_t i = 0; i < CONNS_MAX; i++) {
        if (server->conns[i].state == ENCL_CONN_FRAMED && server->conns[i].needs_turn)
            turn_session(server, &server->conns[i]);
    }
}

static ssize_t read_channel(void *context, void *into, size_t size)
{
    return encl_channel_read(context, into, size);
}

static ssize_t write_channel(void *context, rd_bytes bytes)
{
    return encl_channel_write(context, bytes);
}

void sessions_begin(encl_server *server, encl_conn *conn)
{
    const encl_h2_transport transport = { read_channel, write_channel, conn->channel };
    conn->state = ENCL_CONN_FRAMED;
    conn->h2 = encl_h2_new(server->sessions, conn, &transport);
    encl_h2_feed(conn->h2, rd_buf_bytes(&conn->in));
    rd_buf_clear(&conn->in);
    if (server->is_draining)
        encl_h2_drain(conn->h2);
    sessions_want_turn(server, conn);
}

/* What a connection that is as it is may be left for. */
void sessions_farewell(encl_conn *conn)
{
    encl_h2_drain(conn->h2);
    (void)encl_h2_turn(conn->h2);
    encl_conn_finish(conn);
}

void sessions_drain(encl_server *server)
{
    for (size_t i = 0; i < CONNS_MAX; i++) {
        if (server->conns[i].h2 == NULL)
            continue;
        encl_h2_drain(server->conns[i].h2);
        sessions_want_turn(server, &server->conns[i]);
    }
}

bool sessions_is_quiet(const encl_conn *conn)
{
    return !conn->needs_turn && encl_h2_streams(conn->h2) == NULL && (encl_h2_awaits(conn->h2) & POLLOUT) == 0;
}
