/* dev_sockets: the WebSockets of `redoubt dev`: the events and the bounds of an instance's
 * (docs/protocol/websocket.md), over plain TCP on loopback and without receipts. Used by dev_serve.c, which calls the
 * function and waits. One thread; an event runs to its end before the next thing. */
#ifndef CLI_DEV_SOCKETS_H
#define CLI_DEV_SOCKETS_H

#include "enclave/ws/ws_event.h"

#include <poll.h>

#define CLI_DEV_SOCKETS_MAX 64

typedef struct cli_dev_sockets cli_dev_sockets;

typedef struct cli_dev_sockets_host {
    /* One call of the function with an event as its body; ret is valid until done. */
    int (*call)(void *context, const rd_http_head *request, rd_bytes event, encl_response *ret, rd_err *err);
    /* The call is over: what it left behind is run, and the machine is put back. line says how it went. */
    void (*done)(void *context, const encl_response *response, const char *line, const rd_err *err);
    void *context;
} cli_dev_sockets_host;

/* message_max: bytes of the largest message that is taken. */
cli_dev_sockets *cli_dev_sockets_new(const cli_dev_sockets_host *host, size_t message_max);
/* Opens one, or says why not. rest: bytes behind the request's head. Takes *fd over when it returns 0, and then the 101
 * has been sent. Errors: WEBSOCKET, WEBSOCKET_VERSION, WEBSOCKET_ABSENT, UNAVAILABLE, UNSUPPORTED, those of a call. */
int cli_dev_sockets_open(cli_dev_sockets *sockets, const rd_http_head *request, rd_bytes rest, int *fd,
                         rd_err *err) RD_NODISCARD;
/* Fills at most CLI_DEV_SOCKETS_MAX entries and gives their number; after poll, takes what has come. */
nfds_t cli_dev_sockets_watch(const cli_dev_sockets *sockets, struct pollfd *out);
void cli_dev_sockets_turn(cli_dev_sockets *sockets, const struct pollfd *watched, nfds_t count);

#endif
