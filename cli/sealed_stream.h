/* sealed_stream: a sealed answer in chunks, as it comes: opened, read, its padding taken off, handed to the exchange.
 * Used by exchange_sealed. What it hands over before the end is the enclave's and in its order, but not yet vouched for
 * as a whole: that is the receipt's, which comes with the final chunk.
 */
#ifndef CLI_SEALED_STREAM_H
#define CLI_SEALED_STREAM_H

#include "cli/exchange.h"
#include "common/model/bhttp_stream.h"
#include "common/model/ohttp_chunks.h"
#include "common/model/padding.h"

typedef struct cli_sealed_stream {
    cli_exchange *exchange; /* borrowed */
    rd_ohttp_opener opener;
    rd_bhttp_reader *reader;
    rd_padding padding;
    rd_buf message, content; /* of the bytes at hand */
    rd_err err;              /* why no more is taken */
} cli_sealed_stream;

/* Both are borrowed. */
void cli_sealed_stream_init(cli_sealed_stream *stream, cli_exchange *exchange, const rd_ohttp *ohttp);
void cli_sealed_stream_done(cli_sealed_stream *stream);
/* A cli_on_piece of answers of RD_OHTTP_CHUNKED_RESPONSE_TYPE. False: stream->err says why. */
bool cli_sealed_stream_take(void *context, const cli_answer *answer, rd_bytes piece);
/* Nothing more comes: opens the final chunk, and puts status, type and receipt into the exchange. SEAL (changed, moved,
 * cut within it), TRUNCATED (not there), and what the answer's own parts may be. */
int cli_sealed_stream_end(cli_sealed_stream *stream, rd_err *err) RD_NODISCARD;

/* A copy of a field's value, or NULL. */
char *cli_sealed_field(const rd_bhttp_message *message, const char *name);

#endif
