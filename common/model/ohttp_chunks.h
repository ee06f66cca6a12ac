/* ohttp_chunks: oblivious HTTP in chunks (draft-ietf-ohai-chunked-ohttp-08): a request or answer whose parts open one
 * by one, in their order, and which is whole only with its final one.
 * Used where answers stream; keys and exchanges are those of ohttp.h, other labels keep the two forms apart. A chunk
 * that was changed, moved, left out, doubled or taken from elsewhere does not open, nor does one whose place as the
 * last was forged: all are SEAL. An end without a final chunk is TRUNCATED.
 */
#ifndef RD_MODEL_OHTTP_CHUNKS_H
#define RD_MODEL_OHTTP_CHUNKS_H

#include "common/model/ohttp.h"

#define RD_OHTTP_CHUNKED_REQUEST_TYPE  "message/ohttp-chunked-req"
#define RD_OHTTP_CHUNKED_RESPONSE_TYPE "message/ohttp-chunked-res"

/* Of a message in one chunk: what is sent, and of an answer what is taken (draft, 3: every receiver takes as much). */
#define RD_OHTTP_CHUNK_MAX ((size_t)16 << 10)

/* A request has this many chunks at most, and one more for each so many bytes. */
#define RD_OHTTP_CHUNKS_FREE 64
#define RD_OHTTP_CHUNK_MIN   ((size_t)512)

/* The largest sealed form of a message as of rd_ohttp_sealed_max, from whoever puts 1 KiB or more into a chunk. */
uint64_t rd_ohttp_chunked_max(uint64_t content_max);

/* The largest of an answer whose content has at most this many bytes, each of them a padded piece of its own. */
uint64_t rd_ohttp_chunked_answer_max(uint64_t content_max);

/* As rd_ohttp_seal_request and rd_ohttp_open_request; the gateway has the whole request. */
int rd_ohttp_seal_chunked(const rd_ohttp_key *key, rd_bytes message, const rd_random *random, rd_ohttp *ret,
                          rd_buf *sealed, rd_err *err) RD_NODISCARD;
int rd_ohttp_open_chunked(const rd_ohttp_key *key, const rd_hpke_recipient *recipient, rd_bytes sealed, rd_ohttp *ret,
                          rd_buf *message, rd_err *err) RD_NODISCARD;

/* The chunks of one answer, in their order: their key, and how many there were. By value; wiped by rd_hpke_done. */
typedef rd_hpke rd_ohttp_chunks;

/* The gateway: appends what stands before the first chunk. */
void rd_ohttp_chunks_begin(const rd_ohttp *exchange, const rd_random *random, rd_ohttp_chunks *ret, rd_buf *sealed);
/* Appends the next piece of the message in as many chunks as it needs, the last of them final when is_final. Nothing
 * follows that one; only then the piece may be empty. TOO_LARGE. */
int rd_ohttp_chunks_seal(rd_ohttp_chunks *chunks, rd_bytes piece, bool is_final, rd_buf *sealed,
                         rd_err *err) RD_NODISCARD;

/* The client: an answer as it comes. By value; wiped by rd_ohttp_opener_done. */
typedef struct rd_ohttp_opener {
    const rd_ohttp *exchange; /* borrowed */
    rd_ohttp_chunks chunks;
    rd_buf waiting; /* of a chunk that is not whole */
    bool has_begun, is_final;
} rd_ohttp_opener;

void rd_ohttp_opener_init(rd_ohttp_opener *opener, const rd_ohttp *exchange);
void rd_ohttp_opener_done(rd_ohttp_opener *opener);
/* Appends what opens of the message; the final chunk is opened by rd_ohttp_opener_end. Errors end it: SEAL. */
int rd_ohttp_opener_feed(rd_ohttp_opener *opener, rd_bytes sealed, rd_buf *ret, rd_err *err) RD_NODISCARD;
/* Nothing more comes: SEAL, TRUNCATED. */
int rd_ohttp_opener_end(rd_ohttp_opener *opener, rd_buf *ret, rd_err *err) RD_NODISCARD;

#endif
