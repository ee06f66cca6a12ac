/* headers: the few response headers that a collateral service answers with, read out of raw lines.
 * Used by http.c for every line that comes in. Pure; what is longer than its place, or given twice, is refused. */
#ifndef FETCH_HEADERS_H
#define FETCH_HEADERS_H

#include "common/base/bytes.h"
#include "common/base/err.h"

#define FETCH_HEADERS_SIZE_MAX ((size_t)64 << 10) /* of all lines of one answer */
#define FETCH_CHAIN_SIZE_MAX   ((size_t)32 << 10) /* of an issuer chain, before it is decoded */

/* Zero-initialise with chain_name; done with fetch_headers_done. */
typedef struct fetch_headers {
    const char *chain_name; /* in lower case: "tcb-info-issuer-chain"; NULL: none is wanted */
    rd_buf chain;           /* the value as it came */
    char etag[256];         /* "" when there is none that can be sent back */
    char last_modified[64];
    size_t size;
} fetch_headers;

/* One line with or without its end. A status line starts over, as after 100 Continue. COLLATERAL_FETCH: too much, the
 * chain's header twice, or bytes that no header value holds. */
int fetch_headers_take(fetch_headers *headers, rd_bytes line, rd_err *err) RD_NODISCARD;
/* Whether bytes can be sent as a header's value: printable ASCII. */
bool fetch_header_is_sendable(rd_bytes value);
void fetch_headers_done(fetch_headers *headers);

/* An issuer chain as PCS sends it: PEM, percent-encoded; a plus sign is a plus sign. Appends the PEM.
 * COLLATERAL_FORMAT: a broken escape, a control character other than a newline, nothing at all, or what is no PEM of
 * certificates. */
int fetch_chain_decode(rd_bytes value, rd_buf *out, rd_err *err) RD_NODISCARD;

#endif
