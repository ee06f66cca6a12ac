/* ws_upgrade: the request that opens a WebSocket (RFC 6455, 4.2.1), read strictly, and what its answer must hold.
 * Used by the runtime's socket.h and by redoubt dev. Pure; borrows from the request. Judges no Origin: that is the
 * function's.
 *
 * A caller who wants receipts offers the subprotocol redoubt.receipts.v1, alone or with one of the app's behind a plus
 * (redoubt.receipts.v1+chat); the app sees its own alone. */
#ifndef ENCL_WS_UPGRADE_H
#define ENCL_WS_UPGRADE_H

#include "common/http/head.h"

#define ENCL_WS_RECEIPTS    "redoubt.receipts.v1"
#define ENCL_WS_OFFERS_MAX  16
#define ENCL_WS_OFFERS_SIZE ((size_t)1 << 10) /* of all together */
#define ENCL_WS_ACCEPT_SIZE 28

typedef struct encl_ws_upgrade {
    char accept[ENCL_WS_ACCEPT_SIZE + 1];
    rd_bytes offers[ENCL_WS_OFFERS_MAX]; /* subprotocols as they came, in their order */
    size_t offers_count;
} encl_ws_upgrade;

/* Whether a request asks for a WebSocket at all. */
bool encl_ws_is_upgrade(const rd_http_head *request);
/* Errors: WEBSOCKET, WEBSOCKET_VERSION. */
int encl_ws_upgrade_read(const rd_http_head *request, encl_ws_upgrade *ret, rd_err *err) RD_NODISCARD;
/* The app's part of an offer; empty: it names none. */
rd_bytes encl_ws_offer_app(rd_bytes offer);
/* The app's subprotocols that were offered, each once, between commas: appended. */
void encl_ws_list_offers(const encl_ws_upgrade *upgrade, rd_buf *out);
/* The first offer for this subprotocol of the app's (empty: for none of it); ret_receipts: it asks for receipts. False:
 * there is none; with an empty name that is an answer without a subprotocol. */
bool encl_ws_choose(const encl_ws_upgrade *upgrade, rd_bytes app, rd_bytes *ret_offer, bool *ret_receipts);

#endif
