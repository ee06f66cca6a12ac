#include "enclave/ws/ws_event.h"

#include "common/base/cursor.h"
#include "common/base/text.h"

#define OK_STATUS     200
#define ABSENT_STATUS 501 /* what the platform's socket.js answers where there is no handler */

/* --- the call ---------------------------------------------------------------------------------------------------- */

static void put_field(rd_buf *out, rd_bytes field)
{
    rd_buf_append_u32le(out, (uint32_t)field.size);
    rd_buf_append_bytes(out, field);
}

void encl_ws_event_write(const encl_ws_event *event, rd_buf *out)
{
    const uint8_t kind = (uint8_t)event->kind;
    put_field(out, rd_bytes_of(&kind, 1));
    put_field(out, event->id);
    put_field(out, event->protocol);
    put_field(out, event->state);
    put_field(out, event->data);
}

/* --- its answer -------------------------------------------------------------------------------------------------- */

static int bad_answer(rd_err *err, const char *what)
{
    return rd_err_set(err, RD_E_FUNCTION_BAD_RESPONSE, "what the function's machine sends over a WebSocket is %s",
                      what);
}

static bool is_close(rd_bytes content)
{
    rd_cursor in = rd_cursor_of(content);
    uint16_t code = rd_cursor_u16be(&in);
    rd_bytes reason = rd_cursor_rest(&in);
    return rd_cursor_is_ok(&in) && encl_ws_is_code(code) && reason.size <= ENCL_WS_REASON_MAX && rd_is_utf8(reason);
}

/* Messages that can be sent, and at most one Close behind them. */
static int check_records(rd_bytes records, rd_err *err)
{
    rd_cursor in = rd_cursor_of(records);
    bool is_closed = false;
    while (rd_cursor_left(&in) > 0) {
        uint8_t kind = rd_cursor_u8(&in);
        uint32_t size = rd_cursor_u32be(&in);
        rd_bytes content = rd_cursor_take(&in, size);
        bool is_good = rd_cursor_is_ok(&in) && !is_closed;
        if (kind == ENCL_WS_TEXT)
            is_good = is_good && rd_is_utf8(content);
        else if (kind == ENCL_WS_CLOSE)
            is_good = is_good && is_close(content);
        else
            is_good = is_good && kind == ENCL_WS_BINARY;
        if (!is_good)
            return bad_answer(err, "malformed");
        is_closed = kind == ENCL_WS_CLOSE;
    }
    return 0;
}

int encl_ws_answer_read(const encl_response *response, encl_ws_answer *ret, rd_err *err)
{
    rd_cursor in = rd_cursor_of(response->body);
    if (response->status == ABSENT_STATUS)
        return rd_err_set(err, RD_E_WEBSOCKET_ABSENT, "the function takes no WebSocket");
    if (response->status != OK_STATUS || response->has_stream)
        return bad_answer(err, "an answer");
    ret->state = rd_cursor_take(&in, rd_cursor_u32le(&in));
    ret->protocol = rd_cursor_take(&in, rd_cursor_u32le(&in));
    ret->records = rd_cursor_rest(&in);
    if (!rd_cursor_is_ok(&in) || !rd_is_utf8(ret->state))
        return bad_answer(err, "malformed");
    if (ret->state.size > ENCL_WS_STATE_MAX)
        return bad_answer(err, "a state that is too large");
    return check_records(ret->records, err);
}

int encl_ws_settle(const encl_ws_upgrade *upgrade, rd_bytes chosen, rd_bytes *ret_offer, bool *ret_receipts,
                   rd_err *err)
{
    if (!encl_ws_choose(upgrade, chosen, ret_offer, ret_receipts) && chosen.size > 0)
        return bad_answer(err, "a subprotocol that was not offered");
    return 0;
}

/* --- what it sends ----------------------------------------------------------------------------------------------- */

void encl_ws_put_record(rd_buf *out, encl_ws_kind kind, rd_bytes content)
{
    rd_buf_append_u8(out, (uint8_t)kind);
    rd_buf_append_u32be(out, (uint32_t)content.size);
    rd_buf_append_bytes(out, content);
}

void encl_ws_put_close(rd_buf *out, uint16_t code, rd_bytes reason)
{
    rd_buf_append_u16be(out, code);
    rd_buf_append_bytes(out, reason);
}

size_t encl_ws_count_messages(rd_bytes records)
{
    size_t count = 0;
    rd_cursor in = rd_cursor_of(records);
    while (rd_cursor_left(&in) > 0) {
        count += rd_cursor_u8(&in) != ENCL_WS_CLOSE;
        rd_cursor_skip(&in, rd_cursor_u32be(&in));
    }
    return count;
}

bool encl_ws_send_records(encl_ws *ws, rd_bytes records)
{
    bool has_close = false;
    rd_cursor in = rd_cursor_of(records);
    while (rd_cursor_left(&in) > 0) {
        encl_ws_kind kind = (encl_ws_kind)rd_cursor_u8(&in);
        rd_bytes content = rd_cursor_take(&in, rd_cursor_u32be(&in));
        if (kind != ENCL_WS_CLOSE) {
            encl_ws_send(ws, kind, content);
            continue;
        }
        rd_cursor close = rd_cursor_of(content);
        uint16_t code = rd_cursor_u16be(&close);
        encl_ws_close(ws, code, rd_cursor_rest(&close));
        has_close = true;
    }
    return has_close;
}
