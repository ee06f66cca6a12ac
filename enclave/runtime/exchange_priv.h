/* exchange_priv: what exchange.c, which answers requests, and socket.c, which opens WebSockets, have together.
 * Used by these two alone. */
#ifndef ENCL_EXCHANGE_PRIV_H
#define ENCL_EXCHANGE_PRIV_H

#include "enclave/runtime/exchange.h"

/* Salt and nonce that the caller sent. ENCODING. */
int exchange_wishes(const rd_http_head *request, encl_receipt_wish *wish, rd_err *err) RD_NODISCARD;
/* One that the caller did not send is drawn, and stands in the answer. */
int exchange_salt(const encl_server_parts *parts, encl_conn *conn, encl_receipt_wish *wish) RD_NODISCARD;
/* An error answer with a receipt: the caller can prove that this runtime refused. */
encl_exchange_outcome exchange_refuse(const encl_server_parts *parts, encl_conn *conn, const rd_http_head *request,
                                      encl_receipt_wish *wish, rd_bytes body, const rd_err *err);

#endif
