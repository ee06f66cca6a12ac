/* server: HTTP on the instance's socket, plain or in TLS that ends here: accepts, reads, calls the function, signs a
 * burst, writes.
 * Used by the instance within its epoll loop. One thread; a slow client costs itself alone.
 * Knows the documents' and the evidence endpoint; everything else belongs to the function.
 */
#ifndef ENCL_SERVER_H
#define ENCL_SERVER_H

#include "enclave/runtime/channel.h"
#include "enclave/runtime/function.h"
#include "enclave/runtime/identity.h"
#include "enclave/runtime/receipts.h"
#include "enclave/runtime/seal.h"

typedef struct encl_server encl_server;

/* Everything is borrowed and outlives the server. */
typedef struct encl_server_parts {
    int epoll_fd;
    int listen_fd;
    encl_function *function;
    encl_identity *identity;
    encl_receipts *receipts;
    encl_seal *seal;
    encl_channels *channels;
    const encl_app *app;
    const encl_documents *documents;
    /* After a burst's answers have left: its record (receipt_record.h), borrowed. */
    void (*on_burst)(void *context, rd_bytes record);
    /* TLS does not start here, for want of evidence or of memory. */
    void (*on_trouble)(void *context, const rd_err *err);
    void *context;
} encl_server_parts;

/* First tag that the server gives its descriptors in epoll's data.u32; the listener has ENCL_SERVER_TAG itself. */
#define ENCL_SERVER_TAG 16u

/* Errors: IO when the listener cannot be watched. */
int encl_server_new(const encl_server_parts *parts, encl_server **ret, rd_err *err) RD_NODISCARD;
encl_server *encl_server_free(encl_server *server);

/* An event of epoll with one of the server's tags. */
void encl_server_event(encl_server *server, uint32_t tag, uint32_t events);
/* After a turn's events: calls, at most calls_max, signatures, answers. Returns after a while though callers go on
 * sending: they keep nobody from the other events, nor the instance from its end. */
void encl_server_work(encl_server *server, uint64_t calls_max);
/* Milliseconds until something is due, -1 when nothing is; encl_server_work deals with it. */
int encl_server_timeout_ms(const encl_server *server);
/* New requests are answered 503 draining from now on. */
void encl_server_drain(encl_server *server);
/* Nothing is being read, called or written. */
bool encl_server_is_idle(const encl_server *server);
/* Answers given so far, for the state that a controller asks for. */
uint64_t encl_server_answers(const encl_server *server);

#endif
