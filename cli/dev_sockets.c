#include "cli/dev_sockets.h"

#include "cli/dev_wire.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ID_SIZE     16
#define IGNORED_MAX 64    /* messages of a peer who was told that it is over */
#define PIECE       65536 /* of what is read at once */
#define SEND_S      5     /* for a peer to take what was sent: nothing else runs meanwhile */

typedef struct dev_socket {
    int fd;
    encl_ws *ws;
    rd_buf id, target, host, protocol, state;
    bool end_was_told; /* to the function; or it needs none */
    bool is_lost;      /* the peer can be told nothing more */
    size_t ignored;
} dev_socket;

struct cli_dev_sockets {
    cli_dev_sockets_host host;
    size_t message_max;
    dev_socket *open[CLI_DEV_SOCKETS_MAX]; /* the first count of them */
    size_t count;
};

static const char *const event_names[] = { "", "open", "text", "binary", "close" };

cli_dev_sockets *cli_dev_sockets_new(const cli_dev_sockets_host *host, size_t message_max)
{
    cli_dev_sockets *sockets = rd_alloc(sizeof *sockets);
    sockets->host = *host;
    sockets->message_max = message_max;
    return sockets;
}

static dev_socket *socket_free(dev_socket *socket)
{
    if (socket != NULL) {
        rd_close_p(&socket->fd);
        encl_ws_free(socket->ws);
        rd_buf_done(&socket->id);
        rd_buf_done(&socket->target);
        rd_buf_done(&socket->host);
        rd_buf_done(&socket->protocol);
        rd_buf_done(&socket->state);
        free(socket);
    }
    return NULL;
}

static void socket_free_p(dev_socket **socket)
{
    *socket = socket_free(*socket);
}

static void flush(dev_socket *socket)
{
    rd_buf *out = encl_ws_out(socket->ws);
    if (!socket->is_lost && out->size > 0 && !cli_dev_send(socket->fd, rd_buf_bytes(out)))
        socket->is_lost = true;
    rd_buf_clear(out);
}

/* --- events ------------------------------------------------------------------------------------------------------ */

/* Calls the function and takes its new state over; answer: valid until finish. */
static int call(cli_dev_sockets *sockets, dev_socket *socket, const rd_http_head *request, encl_ws_event_kind kind,
                rd_bytes data, encl_response *response, encl_ws_answer *answer, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf body = { 0 };
    encl_ws_event_write(&(encl_ws_event){ .kind = kind,
                                          .id = rd_buf_bytes(&socket->id),
                                          .protocol = rd_buf_bytes(&socket->protocol),
                                          .state = rd_buf_bytes(&socket->state),
                                          .data = data },
                        &body);
    if (sockets->host.call(sockets->host.context, request, rd_buf_bytes(&body), response, err) < 0 ||
        encl_ws_answer_read(response, answer, err) < 0)
        return -1;
    rd_buf_clear(&socket->state);
    rd_buf_append_bytes(&socket->state, answer->state);
    return 0;
}

static void finish(cli_dev_sockets *sockets, const dev_socket *socket, encl_ws_event_kind kind, rd_bytes data,
                   const encl_response *response, const rd_err *err)
{
    char line[256];
    (void)snprintf(line, sizeof line, "WEBSOCKET %.*s %s, %zu bytes", (int)RD_MIN(socket->target.size, (size_t)200),
                   (const char *)socket->target.data, event_names[kind], data.size);
    sockets->host.done(sockets->host.context, response, line, err);
}

static void run(cli_dev_sockets *sockets, dev_socket *socket, encl_ws_event_kind kind, rd_bytes data);

/* The function hears of an end once, and not of its own. */
static void tell_end(cli_dev_sockets *sockets, dev_socket *socket, uint16_t code, rd_bytes reason)
{
    RD_CLEANUP(rd_buf_done) rd_buf data = { 0 };
    if (socket->end_was_told)
        return;
    socket->end_was_told = true;
    encl_ws_put_close(&data, code, reason);
    run(sockets, socket, ENCL_WS_EVENT_CLOSE, rd_buf_bytes(&data));
}

static void run(cli_dev_sockets *sockets, dev_socket *socket, encl_ws_event_kind kind, rd_bytes data)
{
    const rd_http_head request = { .method = RD_BYTES_LIT("GET"),
                                   .target = rd_buf_bytes(&socket->target),
                                   .host = rd_buf_bytes(&socket->host) };
    encl_response response = { .status = 0 };
    encl_ws_answer answer;
    rd_err err = RD_ERR_INIT;
    bool is_good = call(sockets, socket, &request, kind, data, &response, &answer, &err) == 0;
    if (is_good && kind != ENCL_WS_EVENT_CLOSE && encl_ws_send_records(socket->ws, answer.records))
        socket->end_was_told = true;
    finish(sockets, socket, kind, data, &response, is_good ? NULL : &err);
    if (is_good || kind == ENCL_WS_EVENT_CLOSE)
        return;
    encl_ws_close(socket->ws, ENCL_WS_FAILED, rd_bytes_str(rd_code_describe(err.code)->name));
    flush(socket);
    tell_end(sockets, socket, ENCL_WS_FAILED, RD_BYTES_NULL);
}

static void take_message(cli_dev_sockets *sockets, dev_socket *socket)
{
    rd_bytes data;
    encl_ws_kind kind = encl_ws_message(socket->ws, &data);
    if (encl_ws_is_closed(socket->ws))
        socket->is_lost = socket->is_lost || ++socket->ignored > IGNORED_MAX;
    else
        run(sockets, socket, kind == ENCL_WS_TEXT ? ENCL_WS_EVENT_TEXT : ENCL_WS_EVENT_BINARY, data);
    encl_ws_next(socket->ws);
    flush(socket);
}

/* False: it is over. */
static bool take_bytes(cli_dev_sockets *sockets, dev_socket *socket, rd_bytes bytes)
{
    while (!socket->is_lost) {
        rd_bytes reason;
        uint16_t code;
        switch (encl_ws_feed(socket->ws, &bytes, rd_clock_boot_us(rd_clock_system()))) {
        case ENCL_WS_NOTHING:
            flush(socket);
            return !socket->is_lost;
        case ENCL_WS_ROOM:
            encl_ws_admit(socket->ws, SIZE_MAX); /* its own bound holds */
            break;
        case ENCL_WS_MESSAGE:
            take_message(sockets, socket);
            break;
        case ENCL_WS_ENDED:
            flush(socket);
            code = encl_ws_end(socket->ws, &reason);
            tell_end(sockets, socket, code, reason);
            return false;
        }
    }
    return false;
}

/* --- opening ----------------------------------------------------------------------------------------------------- */

/* There are no receipts here, and who would wait for them is told. */
static int leave_receipts_out(encl_ws_upgrade *upgrade, rd_err *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < upgrade->offers_count; i++)
        if (rd_bytes_equal(encl_ws_offer_app(upgrade->offers[i]), upgrade->offers[i]))
            upgrade->offers[kept++] = upgrade->offers[i];
    if (kept == 0 && upgrade->offers_count > 0)
        return rd_err_set(err, RD_E_UNSUPPORTED,
                          "redoubt dev makes no receipts: offer a subprotocol without " ENCL_WS_RECEIPTS ", too");
    upgrade->offers_count = kept;
    return 0;
}

static void write_head(const dev_socket *socket, const encl_ws_upgrade *upgrade, rd_bytes offer, rd_buf *out)
{
    rd_buf_printf(out,
                  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Redoubt-Dev: unproved\r\nSec-WebSocket-Accept: %s\r\nRedoubt-Socket: %.*s\r\n",
                  upgrade->accept, (int)socket->id.size, (const char *)socket->id.data);
    if (offer.size > 0)
        rd_buf_printf(out, "Sec-WebSocket-Protocol: %.*s\r\n", (int)offer.size, (const char *)offer.data);
    rd_buf_append_str(out, "\r\n");
}

static dev_socket *socket_new(const cli_dev_sockets *sockets, const rd_http_head *request)
{
    uint8_t id[ID_SIZE];
    dev_socket *socket = rd_alloc(sizeof *socket);
    socket->fd = -1;
    socket->ws = encl_ws_new(sockets->message_max);
    rd_random_bytes(id, sizeof id);
    rd_buf_append_base64url(&socket->id, RD_BYTES_ARRAY(id));
    rd_buf_append_bytes(&socket->target, request->target);
    rd_buf_append_bytes(&socket->host, request->host);
    rd_buf_append_str(&socket->state, "null");
    return socket;
}

static int open_with(cli_dev_sockets *sockets, dev_socket *socket, const rd_http_head *request,
                     const encl_ws_upgrade *upgrade, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf offers = { 0 };
    encl_response response = { .status = 0 };
    encl_ws_answer answer;
    rd_bytes offer;
    bool wants_receipts;
    encl_ws_list_offers(upgrade, &offers);
    int outcome = call(sockets, socket, request, ENCL_WS_EVENT_OPEN, rd_buf_bytes(&offers), &response, &answer, err);
    if (outcome == 0)
        outcome = encl_ws_settle(upgrade, answer.protocol, &offer, &wants_receipts, err);
    if (outcome == 0) {
        rd_buf_append_bytes(&socket->protocol, answer.protocol);
        write_head(socket, upgrade, offer, encl_ws_out(socket->ws));
        socket->end_was_told = encl_ws_send_records(socket->ws, answer.records);
    }
    finish(sockets, socket, ENCL_WS_EVENT_OPEN, RD_BYTES_NULL, &response, outcome == 0 ? NULL : err);
    return outcome;
}

int cli_dev_sockets_open(cli_dev_sockets *sockets, const rd_http_head *request, rd_bytes rest, int *fd, rd_err *err)
{
    encl_ws_upgrade upgrade;
    if (encl_ws_upgrade_read(request, &upgrade, err) < 0 || leave_receipts_out(&upgrade, err) < 0)
        return -1;
    if (sockets->count == CLI_DEV_SOCKETS_MAX)
        return rd_err_set(err, RD_E_UNAVAILABLE, "%d WebSockets are open", CLI_DEV_SOCKETS_MAX);
    RD_CLEANUP(socket_free_p) dev_socket *socket = socket_new(sockets, request);
    if (open_with(sockets, socket, request, &upgrade, err) < 0)
        return -1;
    const struct timeval patience = { .tv_sec = SEND_S };
    (void)setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    socket->fd = rd_fd_take(fd);
    flush(socket);
    if (take_bytes(sockets, socket, rest))
        sockets->open[sockets->count++] = RD_TAKE(socket);
    else
        tell_end(sockets, socket, ENCL_WS_LOST, RD_BYTES_NULL);
    return 0;
}

/* --- bytes ------------------------------------------------------------------------------------------------------- */

nfds_t cli_dev_sockets_watch(const cli_dev_sockets *sockets, struct pollfd *out)
{
    for (size_t i = 0; i < sockets->count; i++)
        out[i] = (struct pollfd){ .fd = sockets->open[i]->fd, .events = POLLIN };
    return sockets->count;
}

static bool read_some(cli_dev_sockets *sockets, dev_socket *socket)
{
    uint8_t piece[PIECE];
    ssize_t got = recv(socket->fd, piece, sizeof piece, MSG_DONTWAIT);
    if (got > 0 && take_bytes(sockets, socket, rd_bytes_of(piece, (size_t)got)))
        return true;
    tell_end(sockets, socket, ENCL_WS_LOST, RD_BYTES_NULL);
    return false;
}

void cli_dev_sockets_turn(cli_dev_sockets *sockets, const struct pollfd *watched, nfds_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < sockets->count; i++) {
        bool has_news = i < count && watched[i].revents != 0;
        if (has_news && !read_some(sockets, sockets->open[i]))
            (void)socket_free(sockets->open[i]);
        else
            sockets->open[kept++] = sockets->open[i];
    }
    sockets->count = kept;
}
