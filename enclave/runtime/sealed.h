/* sealed: what stands inside a sealed request, as if it had come plain; and a finished answer, receipt included, on its
 * way into the seal (RFC 9292 inside RFC 9458, docs/protocol/sealed.md).
 * Used by the exchange and the server. Keys and repetitions are seal.h's.
 */
#ifndef ENCL_SEALED_H
#define ENCL_SEALED_H

#include "enclave/runtime/conn.h"

/* Reads an opened request; ret and body borrow from it. Errors: those of rd_bhttp_read, HTTP_SYNTAX. */
int encl_sealed_read(rd_bytes opened, encl_http_request *ret, rd_bytes *body, rd_err *err) RD_NODISCARD;
/* Whether head and header_count lines of a function's answer fit into a sealed one, beside the runtime's own lines. */
bool encl_sealed_has_room(const encl_conn *conn, size_t header_count);
/* Puts conn's finished answer into its seal. -1: it cannot be sealed and must not leave. */
int encl_sealed_close(encl_conn *conn, const rd_random *random) RD_NODISCARD;

#endif
