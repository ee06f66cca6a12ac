/* sealing: the seal of one exchange, from the request that opens to the last byte of its answer, whole (RFC 9458) or in
 * chunks (draft-ietf-ohai-chunked-ohttp-08; docs/protocol/sealed.md).
 * Used by the connection, which holds it and passes pieces through it, and by sealed.h, which knows what stands inside.
 * Keys and repetitions are seal.h's.
 */
#ifndef ENCL_SEALING_H
#define ENCL_SEALING_H

#include "common/model/bhttp.h"
#include "enclave/runtime/seal.h"

/* Of an answer's body in one piece: with what stands around it, one full chunk. */
#define ENCL_SEALING_PIECE_MAX ((size_t)16372)

typedef struct encl_sealing encl_sealing;

/* Opens a request of either form, appending its message. SEAL, whatever is wrong. seal is borrowed for the answer. */
int encl_sealing_open(encl_seal *seal, bool is_chunked, rd_bytes sealed, encl_sealing **ret, rd_buf *opened,
                      rd_err *err) RD_NODISCARD;
/* Wipes. */
encl_sealing *encl_sealing_free(encl_sealing *sealing);

/* What the caller asked for: an answer in chunks, and in these content that fills buckets (padding.h). */
bool encl_sealing_is_chunked(const encl_sealing *sealing);
bool encl_sealing_is_padded(const encl_sealing *sealing);
void encl_sealing_pad(encl_sealing *sealing);

/* Appends a whole answer. */
int encl_sealing_answer(const encl_sealing *sealing, rd_bytes message, rd_buf *ret, rd_err *err) RD_NODISCARD;

/* An answer in chunks: what stands before its body, anew when one was begun of which nothing has left. */
int encl_sealing_begin(encl_sealing *sealing, const rd_bhttp_message *head, rd_err *err) RD_NODISCARD;
/* Appends chunks with the next piece of the body, at most ENCL_SEALING_PIECE_MAX bytes, and what waited before it; the
 * last one, which may be empty, brings receipt (none: empty) and the end. False: it cannot be sealed. */
bool encl_sealing_add(encl_sealing *sealing, rd_bytes piece, bool is_last, rd_bytes receipt, rd_buf *ret);

#endif
