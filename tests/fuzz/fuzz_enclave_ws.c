// link: enclave_core encl_engine
/* A WebSocket's bytes: first byte odd: the request that opens one; even: frames, in pieces of that size, answered by an
 * echo. Messages stay within their bound and texts are UTF-8; after the end nothing more is read or sent. */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "enclave/ws/ws.h"
#include "enclave/ws/ws_upgrade.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MESSAGE_MAX ((size_t)40 << 10)
#define OUT_MAX     ((size_t)1 << 20)

static void open_one(rd_bytes head)
{
    static rd_http_head request;
    rd_err err = RD_ERR_INIT;
    size_t scanned = 0;
    encl_ws_upgrade upgrade;
    rd_bytes offer;
    bool has_receipts;
    if (rd_http_head_parse(head, 0, &scanned, &request, &err) != RD_HTTP_DONE || !encl_ws_is_upgrade(&request) ||
        encl_ws_upgrade_read(&request, &upgrade, &err) < 0)
        return;
    if (strlen(upgrade.accept) != ENCL_WS_ACCEPT_SIZE || upgrade.offers_count > ENCL_WS_OFFERS_MAX)
        abort();
    for (size_t i = 0; i < upgrade.offers_count; i++) {
        rd_bytes app = encl_ws_offer_app(upgrade.offers[i]);
        if (!encl_ws_choose(&upgrade, app, &offer, &has_receipts) || !rd_bytes_equal(encl_ws_offer_app(offer), app))
            abort();
    }
}

/* False: it has ended. */
static bool take(encl_ws *ws, encl_ws_news news)
{
    rd_bytes content;
    if (news == ENCL_WS_ROOM)
        encl_ws_admit(ws, 2 * encl_ws_size(ws));
    if (news == ENCL_WS_MESSAGE) {
        encl_ws_kind kind = encl_ws_message(ws, &content);
        if (content.size > MESSAGE_MAX || (kind != ENCL_WS_BINARY && kind != ENCL_WS_TEXT) ||
            (kind == ENCL_WS_TEXT && !rd_is_utf8(content)))
            abort();
        encl_ws_send(ws, kind, content);
        encl_ws_next(ws);
    }
    return news != ENCL_WS_ENDED;
}

static void check_end(encl_ws *ws)
{
    rd_bytes reason, none = RD_BYTES_NULL;
    size_t size = encl_ws_out(ws)->size;
    uint16_t code = encl_ws_end(ws, &reason);
    if (!encl_ws_is_closed(ws) || (code != ENCL_WS_NO_CODE && !encl_ws_is_code(code)) || !rd_is_utf8(reason))
        abort();
    encl_ws_send(ws, ENCL_WS_TEXT, RD_BYTES_LIT("x"));
    if (encl_ws_out(ws)->size != size || encl_ws_feed(ws, &none, 2) != ENCL_WS_ENDED)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    rd_bytes rest = rd_bytes_of(data + 1, size - 1);
    if (data[0] % 2 == 1) {
        open_one(rest);
        return 0;
    }
    encl_ws *ws = encl_ws_new(MESSAGE_MAX);
    bool goes_on = true;
    while (goes_on && rest.size > 0 && encl_ws_out(ws)->size < OUT_MAX) {
        size_t step = RD_MIN(rest.size, (size_t)data[0] / 2 + 1);
        rd_bytes piece = rd_bytes_of(rest.data, step);
        encl_ws_news news = encl_ws_feed(ws, &piece, 1);
        if (news == ENCL_WS_NOTHING && piece.size > 0)
            abort();
        rest = rd_bytes_of(rest.data + (step - piece.size), rest.size - (step - piece.size));
        goes_on = take(ws, news);
    }
    if (!goes_on)
        check_end(ws);
    encl_ws_free(ws);
    return 0;
}
