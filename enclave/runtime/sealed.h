/* sealed: what stands inside a sealed request, as if it had come plain; and an answer on its way into the seal: whole
 * with its receipt, or in chunks as it is made (RFC 9292 inside RFC 9458, docs/protocol/sealed.md).
 * Used by the exchange and the server. The seal itself is sealing.h's.
 */
#ifndef ENCL_SEALED_H
#define ENCL_SEALED_H

#include "common/model/bhttp_stream.h"
#include "enclave/runtime/conn.h"

/* What a request of indeterminate length is kept in. By value, zero at the start. */
typedef struct encl_sealed_store {
    rd_bhttp_reader *reader;
    rd_buf content;
} encl_sealed_store;

void encl_sealed_store_done(encl_sealed_store *store);

/* Reads an opened request; ret and body borrow from it and from store. Without store the request must be of known
 * length. Errors: those of rd_bhttp_read and rd_bhttp_reader_feed, HTTP_SYNTAX. */
int encl_sealed_read(rd_bytes opened, encl_sealed_store *store, rd_http_head *ret, rd_bytes *body,
                     rd_err *err) RD_NODISCARD;
/* Whether head and header_count lines of a function's answer fit into a sealed one, beside the runtime's own lines. */
bool encl_sealed_has_room(const encl_conn *conn, size_t header_count);
/* From here on conn's answer, whose head stands there, leaves in chunks under its seal, as its body is added. -1: the
 * head is too large. */
int encl_sealed_begin(encl_conn *conn) RD_NODISCARD;
/* Puts conn's finished answer into its seal, if it is not on its way. -1: it cannot be sealed and must not leave. */
int encl_sealed_close(encl_conn *conn) RD_NODISCARD;

#endif
