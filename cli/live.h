/* live: one TLS connection to an application's name, kept while its end is checked: certificate, exporter, answers.
 * Used by verify for https addresses. Believes nobody's certificate: what counts is evidence that is bound to this very
 * connection (RFC 9266). TLS 1.3 alone, no resumption. */
#ifndef CLI_LIVE_H
#define CLI_LIVE_H

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/model/ids.h"

#include <jansson.h>

/* "https://app-….domain[:port][/]". */
typedef struct cli_live_address {
    rd_app_id app;
    char host[254];
    char port[6];
} cli_live_address;

/* USAGE for anything else: another scheme, a path, a name that is no app's. */
int cli_live_address_parse(const char *url, cli_live_address *ret, rd_err *err) RD_NODISCARD;

typedef struct cli_live cli_live;

/* Connects and shakes hands, all within timeout_us of now and all that follows too. UNAVAILABLE, TIMEOUT,
 * TLS_HANDSHAKE; CHANNEL where the peer has no TLS 1.3, since nothing could be bound to it. */
int cli_live_open(const cli_live_address *address, int64_t timeout_us, cli_live **ret, rd_err *err) RD_NODISCARD;
/* Accepts NULL; returns NULL. */
cli_live *cli_live_free(cli_live *live);

/* GET on this connection; appends the body of a 200, anything else is an error. */
int cli_live_get(cli_live *live, const char *path, size_t size_max, rd_buf *ret, rd_err *err) RD_NODISCARD;
/* The tls-exporter of this connection, 32 bytes. */
const uint8_t *cli_live_exporter(const cli_live *live);
/* SHA-256 of the SubjectPublicKeyInfo that the peer proved to hold. */
const uint8_t *cli_live_key(const cli_live *live);
/* Checks the certificate's own evidence: it is about this key, and in its time. A step either way. */
int cli_live_check_certificate(const cli_live *live, int64_t now_us, json_t *steps, rd_err *err) RD_NODISCARD;

#endif
