/* ws: the frames of one WebSocket (RFC 6455) on the server's side: bytes in up to a whole message, frames out.
 * Used by the runtime (sockets.c, which moves the bytes, and socket.h) and by redoubt dev. libwslay reads and writes
 * the frames; what stands here puts messages together and holds a peer to the rules and to bounds. No extensions.
 * Answers pings by itself. Knows nothing of functions or receipts.
 */
#ifndef ENCL_WS_H
#define ENCL_WS_H

#include "common/base/bytes.h"

#define ENCL_WS_FRAGMENTS_MAX 1024               /* of a message */
#define ENCL_WS_SMALL         ((size_t)16 << 10) /* of a message: what needs no room of the instance's */
#define ENCL_WS_REASON_MAX    ((size_t)123)      /* of a Close (RFC 6455, 5.5) */

typedef enum encl_ws_code {
    ENCL_WS_NORMAL = 1000,
    ENCL_WS_GOING_AWAY = 1001,
    ENCL_WS_PROTOCOL = 1002,
    ENCL_WS_NO_CODE = 1005, /* never sent: the peer's Close had none */
    ENCL_WS_LOST = 1006,    /* never sent: the connection ended without a Close */
    ENCL_WS_NO_TEXT = 1007, /* a text that is not UTF-8 */
    ENCL_WS_POLICY = 1008,
    ENCL_WS_TOO_LARGE = 1009,
    ENCL_WS_FAILED = 1011, /* the function did */
} encl_ws_code;

typedef enum encl_ws_kind { ENCL_WS_TEXT = 1, ENCL_WS_BINARY = 2, ENCL_WS_CLOSE = 8 } encl_ws_kind;

typedef enum encl_ws_news {
    ENCL_WS_NOTHING, /* all was taken, and more must come */
    ENCL_WS_ROOM,    /* a message has used up ENCL_WS_SMALL, or its room: encl_ws_admit, or wait */
    ENCL_WS_MESSAGE, /* one is whole: encl_ws_message, then encl_ws_next */
    ENCL_WS_ENDED,   /* the peer closed, or broke a rule: encl_ws_end says how. Nothing more is read */
} encl_ws_news;

typedef struct encl_ws encl_ws;

/* message_max: bytes of the largest message that is taken. */
encl_ws *encl_ws_new(size_t message_max);
/* Wipes. Accepts NULL. */
encl_ws *encl_ws_free(encl_ws *ws);

/* Takes bytes off the front until there is news; some may stay inside for the next call. */
encl_ws_news encl_ws_feed(encl_ws *ws, rd_bytes *bytes, int64_t now_us);
/* Bytes that have come of the message; and that there is room for so many. */
size_t encl_ws_size(const encl_ws *ws);
void encl_ws_admit(encl_ws *ws, size_t room);
encl_ws_kind encl_ws_message(const encl_ws *ws, rd_bytes *ret);
/* Forgets the message. */
void encl_ws_next(encl_ws *ws);
/* Code and reason of the peer's Close (1005 without one), or the code of the rule that he broke. */
uint16_t encl_ws_end(const encl_ws *ws, rd_bytes *ret_reason);

/* What is to be written, in order; the caller consumes it. */
rd_buf *encl_ws_out(encl_ws *ws);
void encl_ws_send(encl_ws *ws, encl_ws_kind kind, rd_bytes data);
void encl_ws_ping(encl_ws *ws);
/* A Close, once; nothing is sent after it. ENCL_WS_NO_CODE: without a code. */
void encl_ws_close(encl_ws *ws, uint16_t code, rd_bytes reason);
bool encl_ws_is_closed(const encl_ws *ws);
/* A code that may stand in a Close (7.4). */
bool encl_ws_is_code(uint16_t code);

#endif
