/* ws_event: what a WebSocket tells a function and what it says to it (docs/protocol/websocket.md): each event is one
 * call of the pristine machine, in the form of a request with fields in its body; the form of platform/socket.js. Used
 * by the runtime's socket.h and by redoubt dev. Pure; knows nothing of connections or receipts. */
#ifndef ENCL_WS_EVENT_H
#define ENCL_WS_EVENT_H

#include "enclave/engine/engine.h"
#include "enclave/ws/ws.h"
#include "enclave/ws/ws_upgrade.h"

/* Of a header that tells an event from a request: a name that no caller can send (encl_http_is_reserved). The last. */
#define ENCL_WS_EVENT_HEADER "redoubt-event"
#define ENCL_WS_STATE_MAX    ((size_t)16 << 10)

typedef enum encl_ws_event_kind {
    ENCL_WS_EVENT_OPEN = 1,
    ENCL_WS_EVENT_TEXT = 2,
    ENCL_WS_EVENT_BINARY = 3,
    ENCL_WS_EVENT_CLOSE = 4
} encl_ws_event_kind;

typedef struct encl_ws_event {
    encl_ws_event_kind kind;
    rd_bytes id, protocol, state;
    rd_bytes data; /* the message; of OPEN encl_ws_list_offers; of CLOSE encl_ws_put_close */
} encl_ws_event;

/* Borrowed from the response. records: messages and at most one Close behind them, checked. */
typedef struct encl_ws_answer {
    rd_bytes state, protocol, records;
} encl_ws_answer;

/* Appends the body of the call. */
void encl_ws_event_write(const encl_ws_event *event, rd_buf *out);
/* The machine is not believed. WEBSOCKET_ABSENT; FUNCTION_BAD_RESPONSE. */
int encl_ws_answer_read(const encl_response *response, encl_ws_answer *ret, rd_err *err) RD_NODISCARD;
/* A subprotocol as encl_ws_choose; FUNCTION_BAD_RESPONSE: it was not offered. */
int encl_ws_settle(const encl_ws_upgrade *upgrade, rd_bytes chosen, rd_bytes *ret_offer, bool *ret_receipts,
                   rd_err *err) RD_NODISCARD;

/* One record; the content of a Close. */
void encl_ws_put_record(rd_buf *out, encl_ws_kind kind, rd_bytes content);
void encl_ws_put_close(rd_buf *out, uint16_t code, rd_bytes reason);
/* Of checked records: how many are messages; and them all among the frames. True: a Close was among them. */
size_t encl_ws_count_messages(rd_bytes records);
bool encl_ws_send_records(encl_ws *ws, rd_bytes records);

#endif
