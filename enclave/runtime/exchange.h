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
} encl_exchange_outcome;

/* Answers the request at the front of conn. */
encl_exchange_outcome encl_exchange_run(const encl_server_parts *parts, encl_conn *conn,
                                        const encl_http_request *request, bool is_draining);
/* The largest body that a request may bring: what the release says, and more for what is sealed around it. */
uint64_t encl_exchange_body_max(const encl_server_parts *parts, const encl_http_request *request);
/* A refusal before the body was read (its commitment covers an empty body), e.g. REQUEST_TOO_LARGE. */
encl_exchange_outcome encl_exchange_refuse(const encl_server_parts *parts, encl_conn *conn,
                                           const encl_http_request *request, const rd_err *err);
/* A refusal of what is no request: no receipt, and the connection closes. */
void encl_exchange_malformed(encl_conn *conn, const rd_err *err);

#endif
