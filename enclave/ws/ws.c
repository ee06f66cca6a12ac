#include "enclave/ws/ws.h"

#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

#include "common/base/cursor.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#define CONTROL_MAX ((size_t)125) /* RFC 6455, 5.5 */
/* Control frames cost a peer nothing: this many at once, and then a second. */
#define CREDIT_MAX      INT64_C(500)
#define CREDIT_A_SECOND INT64_C(50)

struct encl_ws {
    wslay_frame_context_ptr frames;
    size_t message_max;
    rd_bytes *in; /* during a feed */
    rd_buf out;
    rd_buf message;
    uint8_t kind; /* of the message that is coming or whole; 0: none */
    size_t fragments;
    size_t room; /* for it */
    bool is_whole;
    /* The frame that is coming. */
    bool in_frame;
    uint64_t frame_left;
    struct wslay_frame_iocb frame;
    uint8_t control[CONTROL_MAX];
    size_t control_size;
    /* How it ended. */
    bool has_ended, is_closed; /* reading, writing */
    uint16_t end_code;
    int64_t credit, credit_us;
};

/* --- the library's callbacks ------------------------------------------------------------------------------------ */

static ssize_t give(uint8_t *into, size_t size, int flags, void *context)
{
    (void)flags;
    rd_bytes *in = ((encl_ws *)context)->in;
    size_t step = RD_MIN(size, in->size);
    if (step == 0)
        return -1;
    memcpy(into, in->data, step);
    *in = rd_bytes_of(in->data + step, in->size - step);
    return (ssize_t)step;
}

static ssize_t put(const uint8_t *data, size_t size, int flags, void *context)
{
    (void)flags;
    return rd_buf_append(&((encl_ws *)context)->out, data, size) ? (ssize_t)size : -1;
}

static int no_mask(uint8_t *into, size_t size, void *context)
{
    (void)into, (void)size, (void)context;
    return -1; /* RFC 6455, 5.1: a server masks nothing */
}

encl_ws *encl_ws_new(size_t message_max)
{
    static const struct wslay_frame_callbacks callbacks = { put, give, no_mask };
    encl_ws *ws = rd_alloc(sizeof *ws);
    *ws = (encl_ws){ .message_max = message_max, .room = ENCL_WS_SMALL, .credit = CREDIT_MAX };
    if (wslay_frame_context_init(&ws->frames, &callbacks, ws) != 0)
        abort(); /* 8 kB */
    rd_buf_init(&ws->message, message_max);
    return ws;
}

encl_ws *encl_ws_free(encl_ws *ws)
{
    if (ws != NULL) {
        wslay_frame_context_free(ws->frames);
        rd_buf_wipe(&ws->out);
        rd_buf_wipe(&ws->message);
        rd_wipe(ws, sizeof *ws);
        free(ws);
    }
    return NULL;
}

/* --- out -------------------------------------------------------------------------------------------------------- */

static void send_frame(encl_ws *ws, uint8_t opcode, rd_bytes data)
{
    if (ws->is_closed)
        return;
    struct wslay_frame_iocb frame = {
        .fin = 1, .opcode = opcode, .payload_length = data.size, .data = data.data, .data_length = data.size
    };
    (void)wslay_frame_send(ws->frames, &frame); /* put takes all */
}

void encl_ws_send(encl_ws *ws, encl_ws_kind kind, rd_bytes data)
{
    send_frame(ws, (uint8_t)kind, data);
}

void encl_ws_ping(encl_ws *ws)
{
    send_frame(ws, WSLAY_PING, RD_BYTES_NULL);
}

void encl_ws_close(encl_ws *ws, uint16_t code, rd_bytes reason)
{
    uint8_t content[CONTROL_MAX] = { (uint8_t)(code >> 8), (uint8_t)code };
    size_t size = RD_MIN(reason.size, ENCL_WS_REASON_MAX);
    if (size > 0)
        memcpy(content + 2, reason.data, size);
    send_frame(ws, WSLAY_CONNECTION_CLOSE, rd_bytes_of(content, code == ENCL_WS_NO_CODE ? 0 : 2 + size));
    ws->is_closed = true;
}

bool encl_ws_is_closed(const encl_ws *ws)
{
    return ws->is_closed;
}

rd_buf *encl_ws_out(encl_ws *ws)
{
    return &ws->out;
}

/* --- in --------------------------------------------------------------------------------------------------------- */

bool encl_ws_is_code(uint16_t code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

static encl_ws_news end(encl_ws *ws, uint16_t code)
{
    ws->has_ended = true;
    ws->end_code = code;
    return ENCL_WS_ENDED;
}

static encl_ws_news refuse(encl_ws *ws, uint16_t code)
{
    ws->control_size = 0;
    encl_ws_close(ws, code, RD_BYTES_NULL);
    return end(ws, code);
}

static bool is_control(const encl_ws *ws)
{
    return wslay_is_ctrl_frame(ws->frame.opcode) != 0;
}

static bool pay(encl_ws *ws, int64_t now_us)
{
    int64_t back = (now_us - ws->credit_us) * CREDIT_A_SECOND / 1000000;
    if (back > 0) {
        ws->credit = RD_MIN(ws->credit + RD_MIN(back, CREDIT_MAX), CREDIT_MAX);
        ws->credit_us = now_us;
    }
    return --ws->credit >= 0;
}

static encl_ws_news begin_data(encl_ws *ws)
{
    bool goes_on = ws->frame.opcode == WSLAY_CONTINUATION_FRAME;
    /* RFC 6455, 5.4: fragments of two messages do not mix */
    if (goes_on != (ws->kind != 0))
        return refuse(ws, ENCL_WS_PROTOCOL);
    if (!goes_on)
        ws->kind = ws->frame.opcode;
    if (ws->frame.payload_length > ws->message_max - ws->message.size)
        return refuse(ws, ENCL_WS_TOO_LARGE);
    return ++ws->fragments > ENCL_WS_FRAGMENTS_MAX ? refuse(ws, ENCL_WS_POLICY) : ENCL_WS_NOTHING;
}

static encl_ws_news begin_frame(encl_ws *ws, const struct wslay_frame_iocb *frame, int64_t now_us)
{
    ws->in_frame = true;
    ws->frame = *frame;
    ws->frame_left = frame->payload_length;
    /* RFC 6455, 5.1 and 5.2: masked, no extension's bits, no opcode that is not known */
    bool is_data = frame->opcode <= WSLAY_BINARY_FRAME;
    bool is_known = is_data || (frame->opcode >= WSLAY_CONNECTION_CLOSE && frame->opcode <= WSLAY_PONG);
    if (!frame->mask || frame->rsv != 0 || !is_known)
        return refuse(ws, ENCL_WS_PROTOCOL);
    if (is_data)
        return begin_data(ws);
    ws->control_size = 0;
    return pay(ws, now_us) ? ENCL_WS_NOTHING : refuse(ws, ENCL_WS_POLICY);
}

static encl_ws_news take_close(encl_ws *ws)
{
    rd_cursor in = rd_cursor_of(rd_bytes_of(ws->control, ws->control_size));
    bool has_code = ws->control_size > 0;
    uint16_t code = has_code ? rd_cursor_u16be(&in) : ENCL_WS_NO_CODE;
    if (!rd_cursor_is_ok(&in) || (has_code && !encl_ws_is_code(code)))
        return refuse(ws, ENCL_WS_PROTOCOL);
    if (!rd_is_utf8(rd_cursor_rest(&in)))
        return refuse(ws, ENCL_WS_NO_TEXT);
    encl_ws_close(ws, code, RD_BYTES_NULL); /* RFC 6455, 5.5.1: the same code comes back */
    return end(ws, code);
}

static encl_ws_news end_frame(encl_ws *ws)
{
    ws->in_frame = false;
    if (ws->frame.opcode == WSLAY_CONNECTION_CLOSE)
        return take_close(ws);
    if (ws->frame.opcode == WSLAY_PING)
        send_frame(ws, WSLAY_PONG, rd_bytes_of(ws->control, ws->control_size));
    if (is_control(ws) || !ws->frame.fin)
        return ENCL_WS_NOTHING;
    if (ws->kind == WSLAY_TEXT_FRAME && !rd_is_utf8(rd_buf_bytes(&ws->message)))
        return refuse(ws, ENCL_WS_NO_TEXT);
    ws->is_whole = true;
    return ENCL_WS_MESSAGE;
}

static encl_ws_news take(encl_ws *ws, const struct wslay_frame_iocb *got, int64_t now_us)
{
    encl_ws_news news = ws->in_frame ? ENCL_WS_NOTHING : begin_frame(ws, got, now_us);
    if (news != ENCL_WS_NOTHING)
        return news;
    ws->frame_left -= got->data_length;
    if (!is_control(ws)) {
        if (!rd_buf_append(&ws->message, got->data, got->data_length))
            return refuse(ws, ENCL_WS_TOO_LARGE);
    } else if (got->data_length > 0) { /* the library holds control frames to 125 bytes */
        memcpy(ws->control + ws->control_size, got->data, got->data_length);
        ws->control_size += got->data_length;
    }
    return ws->frame_left == 0 ? end_frame(ws) : ENCL_WS_NOTHING;
}

encl_ws_news encl_ws_feed(encl_ws *ws, rd_bytes *bytes, int64_t now_us)
{
    encl_ws_news news = ENCL_WS_NOTHING;
    if (ws->has_ended)
        return ENCL_WS_ENDED;
    if (ws->is_whole)
        return ENCL_WS_MESSAGE;
    ws->in = bytes;
    while (news == ENCL_WS_NOTHING) {
        struct wslay_frame_iocb got = { 0 };
        if (ws->message.size >= ws->room && ws->room < ws->message_max)
            return ENCL_WS_ROOM;
        ssize_t outcome = wslay_frame_recv(ws->frames, &got);
        if (outcome == WSLAY_ERR_WANT_READ) {
            if (bytes->size == 0)
                break;
        } else {
            news = outcome < 0 ? refuse(ws, ENCL_WS_PROTOCOL) : take(ws, &got, now_us);
        }
    }
    return news;
}

size_t encl_ws_size(const encl_ws *ws)
{
    return ws->message.size;
}

void encl_ws_admit(encl_ws *ws, size_t room)
{
    ws->room = room;
}

encl_ws_kind encl_ws_message(const encl_ws *ws, rd_bytes *ret)
{
    *ret = rd_buf_bytes(&ws->message);
    return (encl_ws_kind)ws->kind;
}

void encl_ws_next(encl_ws *ws)
{
    rd_buf_wipe(&ws->message); /* given back while the socket idles */
    rd_buf_init(&ws->message, ws->message_max);
    ws->kind = 0;
    ws->fragments = 0;
    ws->is_whole = false;
    ws->room = ENCL_WS_SMALL;
}

uint16_t encl_ws_end(const encl_ws *ws, rd_bytes *ret_reason)
{
    *ret_reason = ws->control_size > 2 ? rd_bytes_of(ws->control + 2, ws->control_size - 2) : RD_BYTES_NULL;
    return ws->end_code;
}
