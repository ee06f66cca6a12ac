/* exchange: what becomes of one complete request: the runtime's own endpoints, or the function, or a refusal.
 * Used by the server. Writes the answer into the connection and puts what needs a receipt into the burst.
 */
#ifndef ENCL_EXCHANGE_H
#define ENCL_EXCHANGE_H

#include "enclave/runtime/conn.h"
#include "enclave/runtime/server.h"

typedef enum encl_exchange_outcome {
    ENCL_EXCHANGE_READY = 0,  /* the answer can be written now */
    ENCL_EXCHANGE_SIGNED = 1, /* it waits for the burst's signature */
    ENCL_EXCHANGE_DROP = 2,   /* no answer: the caller left, or none could be made */
    ENCL_EXCHANGE_ASKED = 3,  /* it waits for a quote: encl_exchange_evidence gives the answer */
} encl_exchange_outcome;

typedef struct encl_exchange_turn {
    bool is_draining;
    /* An answer is about to be sent while it is made, which may last: other answers that are ready leave first. */
    void (*before_stream)(void *context);
    /* Another WebSocket may be opened. */
    bool (*has_socket_room)(void *context);
    /* conn waits for a quote of purpose client or channel over this nonce. False: too many do. */
    bool (*ask)(void *context, encl_conn *conn, rd_purpose purpose, const uint8_t nonce[RD_NONCE_SIZE]);
    void *context;
} encl_exchange_turn;

/* Answers the request at the front of conn. Of an answer that is a stream, ENCL_EXCHANGE_SIGNED is its end: all but its
 * receipt has been written or waits in conn; ENCL_EXCHANGE_DROP cuts it. */
encl_exchange_outcome encl_exchange_run(const encl_server_parts *parts, encl_conn *conn, const rd_http_head *request,
                                        const encl_exchange_turn *turn);
/* Answers a request that was ASKED, with a bundle, or with why there is none (bundle is NULL). */
encl_exchange_outcome encl_exchange_evidence(encl_conn *conn, const rd_buf *bundle, const rd_err *err);
/* The largest body that a request may bring: what the release says, and more for what is sealed around it. */
uint64_t encl_exchange_body_max(const encl_server_parts *parts, const rd_http_head *request);
/* A refusal before the body was read (its commitment covers an empty body), e.g. REQUEST_TOO_LARGE. */
encl_exchange_outcome encl_exchange_refuse(const encl_server_parts *parts, encl_conn *conn, const rd_http_head *request,
                                           const rd_err *err);
/* A refusal of what is no request: no receipt, and the connection closes. */
void encl_exchange_malformed(encl_conn *conn, const rd_err *err);

#endif
