#include "enclave/runtime/socket.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/cursor.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/problem.h"
#include "enclave/runtime/exchange_priv.h"

#define ID_SIZE       16
#define OK_STATUS     200
#define OPENED_STATUS 101
#define IGNORED_MAX   64 /* messages of a peer who was told that it is over */

static const char *const event_names[] = { "", "open", "text", "binary", "close" };

struct encl_socket {
    encl_ws *ws;
    rd_buf id;
    rd_buf target, host;
    rd_buf protocol; /* the app's; the handler knows it */
    rd_buf answered; /* what stands in the 101 */
    rd_buf state;    /* JSON */
    bool wants_receipts;
    encl_receipt_wish wish; /* the caller's nonce stands in every receipt; the salt is the current event's */
    uint64_t events;
    encl_ws_event_kind kind; /* of the event at hand */
    uint16_t end_code;       /* 0: it goes on */
    bool end_was_told;
    size_t ignored;
    int64_t heard_us;
};

static encl_socket *socket_new(const encl_server_parts *parts, const rd_http_head *request,
                               const encl_receipt_wish *wish)
{
    encl_socket *socket = rd_alloc(sizeof *socket);
    socket->ws = encl_ws_new((size_t)parts->app->manifest.limits.request_bytes);
    socket->wish = *wish;
    rd_buf_append_bytes(&socket->target, request->target);
    rd_buf_append_bytes(&socket->host, request->host);
    rd_buf_append_str(&socket->state, "null");
    return socket;
}

encl_socket *encl_socket_free(encl_socket *socket)
{
    if (socket != NULL) {
        encl_ws_free(socket->ws);
        rd_buf_done(&socket->id);
        rd_buf_wipe(&socket->target);
        rd_buf_done(&socket->host);
        rd_buf_done(&socket->protocol);
        rd_buf_done(&socket->answered);
        rd_buf_wipe(&socket->state);
        rd_wipe(socket, sizeof *socket);
        free(socket);
    }
    return NULL;
}

static void socket_free_p(encl_socket **socket)
{
    *socket = encl_socket_free(*socket);
}

encl_ws *encl_socket_frames(encl_socket *socket)
{
    return socket->ws;
}

void encl_socket_lose(encl_socket *socket, uint16_t code)
{
    if (socket->end_code == 0)
        socket->end_code = code;
}

void encl_socket_abandon(encl_socket *socket)
{
    socket->end_was_told = true;
}

bool encl_socket_owes_end(const encl_socket *socket)
{
    return socket->end_code != 0 && !socket->end_was_told;
}

bool encl_socket_ignore(encl_socket *socket)
{
    encl_ws_next(socket->ws);
    return ++socket->ignored <= IGNORED_MAX;
}

int64_t encl_socket_heard_us(const encl_socket *socket)
{
    return socket->heard_us;
}

void encl_socket_hear(encl_socket *socket, int64_t now_us)
{
    socket->heard_us = now_us;
}

/* --- an event for the function ---------------------------------------------------------------------------------- */

/* Runs the event at hand and takes its new state over. */
static int call_function(const encl_server_parts *parts, encl_socket *socket, const rd_http_head *request,
                         rd_bytes data, int caller_fd, encl_ws_answer *ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_wipe) rd_buf event = { 0 };
    encl_response response = { .status = 0 };
    encl_ws_event_write(&(encl_ws_event){ .kind = socket->kind,
                                          .id = rd_buf_bytes(&socket->id),
                                          .protocol = rd_buf_bytes(&socket->protocol),
                                          .state = rd_buf_bytes(&socket->state),
                                          .data = data },
                        &event);
    int outcome = encl_function_event(parts->function, request, rd_buf_bytes(&event), caller_fd, &response, err);
    encl_function_egress(parts->function, &socket->wish.egress_asked, &socket->wish.egress_failed);
    if (outcome < 0 || encl_ws_answer_read(&response, ret, err) < 0)
        return -1;
    rd_buf_clear(&socket->state);
    rd_buf_append_bytes(&socket->state, ret->state);
    return 0;
}

/* --- receipts --------------------------------------------------------------------------------------------------- */

/* Each event has a salt of its own: who shows one receipt gives the others' contents to nobody. */
static encl_exchange_outcome claim(const encl_server_parts *parts, encl_conn *conn, rd_bytes data, unsigned status)
{
    encl_socket *socket = conn->socket;
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_buf_done) rd_buf type = { 0 };
    rd_buf_printf(&type, "%s;socket=%.*s;event=%llu", event_names[socket->kind], (int)socket->id.size,
                  (const char *)socket->id.data, (unsigned long long)++socket->events);
    socket->wish.is_sealed = true;
    if (encl_receipts_salt(parts->receipts, &socket->wish, &err) < 0)
        return ENCL_EXCHANGE_DROP;
    const rd_exchange exchange = { .method = RD_BYTES_LIT("WEBSOCKET"),
                                   .target = rd_buf_bytes(&socket->target),
                                   .request_type = rd_buf_bytes(&type),
                                   .request_body = data,
                                   .status = status,
                                   .response_type = rd_buf_bytes(&socket->answered),
                                   .response_body = rd_buf_bytes(&conn->body) };
    rd_buf_clear(&conn->receipt);
    bool is_added = encl_receipts_add(parts->receipts, &socket->wish, &exchange, &conn->receipt);
    return is_added ? ENCL_EXCHANGE_SIGNED : ENCL_EXCHANGE_DROP;
}

/* --- opening ---------------------------------------------------------------------------------------------------- */

static int draw_id(const encl_server_parts *parts, encl_socket *socket, rd_err *err)
{
    encl_receipt_wish drawn = { .has_salt = false };
    if (encl_receipts_salt(parts->receipts, &drawn, err) < 0)
        return -1;
    rd_buf_append_base64url(&socket->id, rd_bytes_of(drawn.salt, ID_SIZE));
    return 0;
}

/* What the function chose; with nothing chosen, receipts may still be. */
static int settle_protocol(encl_socket *socket, const encl_ws_upgrade *upgrade, rd_bytes chosen, rd_err *err)
{
    rd_bytes offer;
    if (encl_ws_settle(upgrade, chosen, &offer, &socket->wants_receipts, err) < 0)
        return -1;
    rd_buf_append_bytes(&socket->protocol, chosen);
    rd_buf_append_bytes(&socket->answered, offer);
    return 0;
}

static int open_socket(const encl_server_parts *parts, const encl_conn *conn, const rd_http_head *request,
                       encl_socket *socket, const encl_ws_upgrade *upgrade, rd_buf *ret_sent, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf offers = { 0 };
    encl_ws_answer answer;
    socket->kind = ENCL_WS_EVENT_OPEN;
    encl_ws_list_offers(upgrade, &offers);
    if (draw_id(parts, socket, err) < 0 ||
        call_function(parts, socket, request, rd_buf_bytes(&offers), conn->fd, &answer, err) < 0 ||
        settle_protocol(socket, upgrade, answer.protocol, err) < 0)
        return -1;
    rd_buf_append_bytes(ret_sent, answer.records);
    return 0;
}

static encl_exchange_outcome accept_socket(const encl_server_parts *parts, encl_conn *conn, encl_socket *socket,
                                           const encl_ws_upgrade *upgrade, rd_bytes sent)
{
    encl_conn_begin(conn, OPENED_STATUS);
    encl_conn_line(conn, "Upgrade", RD_BYTES_LIT("websocket"));
    encl_conn_line(conn, "Connection", RD_BYTES_LIT("Upgrade"));
    encl_conn_line(conn, "Sec-WebSocket-Accept", rd_bytes_str(upgrade->accept));
    if (socket->answered.size > 0)
        encl_conn_line(conn, "Sec-WebSocket-Protocol", rd_buf_bytes(&socket->answered));
    encl_conn_line(conn, "Redoubt-Socket", rd_buf_bytes(&socket->id));
    if (exchange_salt(parts, conn, &socket->wish) < 0)
        return ENCL_EXCHANGE_DROP;
    (void)encl_conn_add(conn, sent);
    conn->socket = socket;
    return claim(parts, conn, RD_BYTES_NULL, OPENED_STATUS);
}

/* Reasons to refuse that need no call. */
static int check_opening(const encl_server_parts *parts, const encl_conn *conn, const rd_http_head *request,
                         const encl_exchange_turn *turn, encl_ws_upgrade *ret, rd_err *err)
{
    if (conn->channel == NULL || conn->stream > 0 || conn->sealing != NULL)
        return rd_err_set(err, RD_E_UNSUPPORTED, "a WebSocket needs HTTP/1.1 over TLS that ends inside");
    if (!parts->app->manifest.is_plain)
        return rd_err_set(err, RD_E_PLAIN_REFUSED, "this release takes sealed requests alone");
    if (encl_ws_upgrade_read(request, ret, err) < 0)
        return -1;
    if (!turn->has_socket_room(turn->context))
        return rd_err_set(err, RD_E_UNAVAILABLE, "%d WebSockets are open", ENCL_SOCKETS_MAX);
    return 0;
}

encl_exchange_outcome encl_socket_open(const encl_server_parts *parts, encl_conn *conn, const rd_http_head *request,
                                       const encl_exchange_turn *turn)
{
    RD_CLEANUP(socket_free_p) encl_socket *socket = NULL;
    RD_CLEANUP(rd_buf_wipe) rd_buf sent = { 0 };
    encl_ws_upgrade upgrade;
    encl_receipt_wish wish;
    rd_err err = RD_ERR_INIT;
    if (exchange_wishes(request, &wish, &err) < 0)
        memset(&wish, 0, sizeof wish);
    else if (check_opening(parts, conn, request, turn, &upgrade, &err) == 0) {
        socket = socket_new(parts, request, &wish);
        if (open_socket(parts, conn, request, socket, &upgrade, &sent, &err) == 0)
            return accept_socket(parts, conn, RD_TAKE(socket), &upgrade, rd_buf_bytes(&sent));
    }
    if (err.code == RD_E_CANCELLED)
        return ENCL_EXCHANGE_DROP;
    encl_exchange_outcome outcome = exchange_refuse(parts, conn, request, &wish, encl_conn_body(conn), &err);
    if (err.code == RD_E_WEBSOCKET_VERSION) /* RFC 6455, 4.4 */
        encl_conn_line(conn, "Sec-WebSocket-Version", RD_BYTES_LIT("13"));
    return outcome;
}

/* --- events ----------------------------------------------------------------------------------------------------- */

/* The event at hand: kind and data. */
static rd_bytes take_event(encl_socket *socket, rd_buf *scratch)
{
    rd_bytes data;
    if (encl_socket_owes_end(socket)) {
        uint16_t code = encl_ws_end(socket->ws, &data);
        socket->kind = ENCL_WS_EVENT_CLOSE;
        socket->end_was_told = true;
        encl_ws_put_close(scratch, socket->end_code, code == socket->end_code ? data : RD_BYTES_NULL);
        return rd_buf_bytes(scratch);
    }
    socket->kind = encl_ws_message(socket->ws, &data) == ENCL_WS_TEXT ? ENCL_WS_EVENT_TEXT : ENCL_WS_EVENT_BINARY;
    return data;
}

encl_exchange_outcome encl_socket_run(const encl_server_parts *parts, encl_conn *conn)
{
    encl_socket *socket = conn->socket;
    RD_CLEANUP(rd_buf_wipe) rd_buf scratch = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf close = { 0 };
    const rd_http_head request = { .method = RD_BYTES_LIT("GET"),
                                   .target = rd_buf_bytes(&socket->target),
                                   .host = rd_buf_bytes(&socket->host) };
    encl_ws_answer answer;
    rd_err err = RD_ERR_INIT;
    unsigned status = OK_STATUS;
    rd_bytes data = take_event(socket, &scratch);
    socket->wish.has_salt = false;
    rd_buf_clear(&conn->body);
    if (call_function(parts, socket, &request, data, -1, &answer, &err) < 0) {
        status = (unsigned)rd_problem_status(&err);
        encl_ws_put_close(&close, ENCL_WS_FAILED, rd_bytes_str(rd_code_describe(err.code)->name));
        if (socket->kind != ENCL_WS_EVENT_CLOSE)
            encl_ws_put_record(&conn->body, ENCL_WS_CLOSE, rd_buf_bytes(&close));
        encl_socket_lose(socket, ENCL_WS_FAILED);
    } else if (socket->kind != ENCL_WS_EVENT_CLOSE) { /* to whom is nobody left */
        rd_buf_append_bytes(&conn->body, answer.records);
    }
    return conn->body.has_failed ? ENCL_EXCHANGE_DROP : claim(parts, conn, data, status);
}

/* --- what leaves ------------------------------------------------------------------------------------------------ */

/* The receipt goes before what it is for, and says how many messages are: nothing of an app's passes for one. */
static void send_receipt(encl_socket *socket, rd_bytes receipt, rd_bytes records)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_buf_printf(&text, "{\"event\":%llu,\"messages\":%zu,\"receipt\":\"", (unsigned long long)socket->events,
                  encl_ws_count_messages(records));
    rd_buf_append_bytes(&text, receipt);
    rd_buf_append_str(&text, "\",\"salt\":\"");
    rd_buf_append_base64url(&text, RD_BYTES_ARRAY(socket->wish.salt));
    rd_buf_append_str(&text, "\",\"socket\":\"");
    rd_buf_append_bytes(&text, rd_buf_bytes(&socket->id));
    rd_buf_append_str(&text, "\"}");
    encl_ws_send(socket->ws, ENCL_WS_TEXT, rd_buf_bytes(&text));
}

static void write_opening(encl_conn *conn, rd_buf *out)
{
    rd_buf_append_bytes(out, rd_buf_bytes(&conn->head));
    rd_buf_append_str(out, "Redoubt-Receipt: ");
    rd_buf_append_bytes(out, rd_buf_bytes(&conn->receipt));
    rd_buf_append_str(out, "\r\n\r\n");
}

bool encl_socket_write(encl_conn *conn)
{
    encl_socket *socket = conn->socket;
    rd_buf *out = encl_ws_out(socket->ws);
    rd_bytes records = rd_buf_bytes(&conn->body);
    if (socket->kind == ENCL_WS_EVENT_OPEN)
        write_opening(conn, out);
    if (socket->wants_receipts)
        send_receipt(socket, rd_buf_bytes(&conn->receipt), records);
    /* The function's own Close: it knows. */
    if (encl_ws_send_records(socket->ws, records) && socket->end_code == 0)
        socket->end_was_told = true;
    if (socket->kind == ENCL_WS_EVENT_TEXT || socket->kind == ENCL_WS_EVENT_BINARY)
        encl_ws_next(socket->ws);
    return !out->has_failed && !conn->head.has_failed;
}
