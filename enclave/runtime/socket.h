/* socket: one WebSocket of a function: each of its events is one call of the pristine machine, like a request, with a
 * receipt of its own. Between events it is this struct and nothing of the machine's.
 * Used by exchange.c, which opens it, and by sockets.c, which moves its bytes. Formats: docs/protocol/websocket.md. */
#ifndef ENCL_SOCKET_H
#define ENCL_SOCKET_H

#include "enclave/runtime/exchange.h"
#include "enclave/ws/ws_event.h"

#define ENCL_SOCKETS_MAX 64 /* of an instance: half of its connections */

/* Opens a WebSocket in the place of an answer: calls the function's open. SIGNED with conn->socket: the 101 and what
 * open sent leave by encl_socket_write; otherwise as encl_exchange_run. The handshake was read; has_room: there are
 * less than ENCL_SOCKETS_MAX. */
encl_exchange_outcome encl_socket_open(const encl_server_parts *parts, encl_conn *conn, const rd_http_head *request,
                                       const encl_exchange_turn *turn);
encl_socket *encl_socket_free(encl_socket *socket);

/* The socket's frames: in and out. */
encl_ws *encl_socket_frames(encl_socket *socket);
/* The connection is lost, or is given up for want of a sign of life: what a Close's code would have been. */
void encl_socket_lose(encl_socket *socket, uint16_t code);
/* The function hears of no end: the instance's own. */
void encl_socket_abandon(encl_socket *socket);
/* A message that came after a Close was sent. False: enough. */
bool encl_socket_ignore(encl_socket *socket) RD_NODISCARD;
/* Whether the function is still to hear how the socket ended; it is then an event like a message. */
bool encl_socket_owes_end(const encl_socket *socket);

/* Calls the function with the message that is whole, or with the socket's end. conn->body: what it sent, as the receipt
 * has it. SIGNED, or DROP when no receipt can be made. */
encl_exchange_outcome encl_socket_run(const encl_server_parts *parts, encl_conn *conn);
/* With the event's receipt in conn->receipt: all that leaves for it is put among the frames, and the next may come.
 * False: it does not fit. */
bool encl_socket_write(encl_conn *conn) RD_NODISCARD;
/* When the peer was heard of last. */
int64_t encl_socket_heard_us(const encl_socket *socket);
void encl_socket_hear(encl_socket *socket, int64_t now_us);

#endif
