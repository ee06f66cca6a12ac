/* local_http: HTTP for one person's browser on this machine.
 * Used by cmd_dashboard.c. libmicrohttpd, loaded when it is needed (mhd_late.c); one thread a connection, at most 64.
 * Listens on 127.0.0.1 alone; bodies are held whole, at most 8 MiB. */
#ifndef CLI_LOCAL_HTTP_H
#define CLI_LOCAL_HTTP_H

#include "common/base/bytes.h"
#include "common/base/err.h"

#include <sys/types.h>

/* One request, for the time of its handler. */
typedef struct cli_exchange_http cli_exchange_http;

const char *cli_http_method(const cli_exchange_http *x);
/* Without the query; begins with a slash. */
const char *cli_http_path(const cli_exchange_http *x);
/* Path and query as they came. */
const char *cli_http_target(const cli_exchange_http *x);
/* NULL: absent. */
const char *cli_http_header(const cli_exchange_http *x, const char *name);
rd_bytes cli_http_body(const cli_exchange_http *x);

/* Adds a header to the answer that follows. */
void cli_http_add(cli_exchange_http *x, const char *name, const char *value);
/* Answers, once; copies the body. type may be NULL. */
void cli_http_reply(cli_exchange_http *x, int status, const char *type, rd_bytes body);
/* Answers HEAD (RFC 9110, 9.3.2); length: what the body of a GET would have; -1: unknown. */
void cli_http_head(cli_exchange_http *x, int status, int64_t length);
/* Answers with an RFC 9457 problem document. */
void cli_http_problem(cli_exchange_http *x, int status, const rd_err *err);
/* Answers with what read gives: bytes, 0 for none yet (after waiting itself), -1 at the end, -2 when it is cut. done
 * ends source. */
void cli_http_stream(cli_exchange_http *x, int status, const char *type,
                     ssize_t (*read)(void *source, uint8_t *out, size_t max), void (*done)(void *source), void *source);

/* Called on the connection's thread; must answer. */
typedef void cli_http_handler(void *context, cli_exchange_http *x);

/* A listening socket on 127.0.0.1; port 0: the system chooses. Errors: UNAVAILABLE (port taken). */
int cli_local_listen(uint16_t port, int *ret_fd, uint16_t *ret_port, rd_err *err) RD_NODISCARD;
/* Takes the socket and serves until the process ends. Errors: UNAVAILABLE (no libmicrohttpd). */
int cli_local_serve(int fd, cli_http_handler *handler, void *context, rd_err *err) RD_NODISCARD;

#endif
