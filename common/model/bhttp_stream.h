/* bhttp_stream: binary HTTP messages of indeterminate length (RFC 9292, 3.2), read and written piece by piece.
 * Used for what stands in oblivious HTTP in chunks (ohttp_chunks.h). Refuses what bhttp.h refuses, and fields beyond
 * its bounds; the content is bounded by whoever takes it.
 */
#ifndef RD_MODEL_BHTTP_STREAM_H
#define RD_MODEL_BHTTP_STREAM_H

#include "common/model/bhttp.h"

/* ---- writing ---- */

/* Appends all that stands before the content. HTTP_SYNTAX, TOO_LARGE past ret's cap. */
int rd_bhttp_stream_head(const rd_bhttp_message *head, rd_buf *ret, rd_err *err) RD_NODISCARD;
/* Appends a piece of the content, which is not empty and has less than 2^30 bytes. Its size takes the same room
 * whatever it is. */
#define RD_BHTTP_PIECE_EXTRA 4
void rd_bhttp_stream_piece(rd_bytes piece, rd_buf *ret);
/* Appends the end of the content and the trailers; then zeros, so that what was appended since start fills a bucket. */
void rd_bhttp_stream_end(const rd_bhttp_field *trailers, size_t count, size_t start, rd_buf *ret);

/* ---- reading ---- */

typedef struct rd_bhttp_reader rd_bhttp_reader;

/* Whether bytes begin as such a message does, and not as one of known length. */
bool rd_bhttp_is_stream(rd_bytes bytes);

rd_bhttp_reader *rd_bhttp_reader_new(bool is_request);
/* Wipes what it holds. */
rd_bhttp_reader *rd_bhttp_reader_free(rd_bhttp_reader *reader);
void rd_bhttp_reader_free_p(rd_bhttp_reader **reader);

/* Takes what comes next; what it brings of the content is appended. Errors end the reading: ENCODING, HTTP_SYNTAX,
 * TOO_LARGE, TRAILING, UNSUPPORTED (the known-length form). */
int rd_bhttp_reader_feed(rd_bhttp_reader *reader, rd_bytes bytes, rd_buf *content, rd_err *err) RD_NODISCARD;
/* Nothing more comes: TRUNCATED, unless all parts are there or what is missing is empty (RFC 9292, 3.8). */
int rd_bhttp_reader_end(const rd_bhttp_reader *reader, rd_err *err) RD_NODISCARD;
/* What stands before the content; NULL: not all of it has come. Borrowed. */
const rd_bhttp_message *rd_bhttp_reader_head(const rd_bhttp_reader *reader);
/* Of the trailers the fields, none before they have all come. Borrowed. */
const rd_bhttp_message *rd_bhttp_reader_trailers(const rd_bhttp_reader *reader);

#endif
