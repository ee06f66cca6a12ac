#include "enclave/runtime/sealing.h"

#include <stdlib.h>

#include "common/base/mem.h"
#include "common/model/bhttp_stream.h"
#include "common/model/ohttp_chunks.h"
#include "common/model/padding.h"

#define FRAME_EXTRA (RD_PADDING_EXTRA + RD_BHTTP_PIECE_EXTRA) /* around data and zeros */
_Static_assert(ENCL_SEALING_PIECE_MAX + FRAME_EXTRA == RD_OHTTP_CHUNK_MAX, "a full piece fills a chunk");

struct encl_sealing {
    rd_ohttp exchange;
    const rd_random *random;
    bool is_chunked, is_padded;
    rd_ohttp_chunks chunks;
    bool has_begun; /* something has left */
    rd_buf plain;   /* of the message, what waits for the next chunk */
};

int encl_sealing_open(encl_seal *seal, bool is_chunked, rd_bytes sealed, encl_sealing **ret, rd_buf *opened,
                      rd_err *err)
{
    encl_sealing *sealing = rd_alloc(sizeof *sealing);
    if (encl_seal_open(seal, is_chunked, sealed, &sealing->exchange, opened, err) < 0) {
        free(sealing);
        return -1;
    }
    sealing->random = encl_seal_random(seal);
    sealing->is_chunked = is_chunked;
    *ret = sealing;
    return 0;
}

encl_sealing *encl_sealing_free(encl_sealing *sealing)
{
    if (sealing != NULL) {
        rd_ohttp_done(&sealing->exchange);
        rd_hpke_done(&sealing->chunks);
        rd_buf_wipe(&sealing->plain);
        free(sealing);
    }
    return NULL;
}

bool encl_sealing_is_chunked(const encl_sealing *sealing)
{
    return sealing->is_chunked;
}

bool encl_sealing_is_padded(const encl_sealing *sealing)
{
    return sealing->is_padded;
}

void encl_sealing_pad(encl_sealing *sealing)
{
    sealing->is_padded = true;
}

int encl_sealing_answer(const encl_sealing *sealing, rd_bytes message, rd_buf *ret, rd_err *err)
{
    return rd_ohttp_seal_answer(&sealing->exchange, message, sealing->random, ret, err);
}

int encl_sealing_begin(encl_sealing *sealing, const rd_bhttp_message *head, rd_err *err)
{
    rd_buf_clear(&sealing->plain);
    return rd_bhttp_stream_head(head, &sealing->plain, err);
}

/* One frame, with zeros until all that waits fills a bucket: of at most 16 KiB that is one chunk, above it a number of
 * full ones. The last piece needs none: zeros stand behind the message's end. */
static void add_padded(encl_sealing *sealing, rd_bytes piece, bool is_last)
{
    RD_CLEANUP(rd_buf_wipe) rd_buf frame = { 0 };
    size_t size = sealing->plain.size + FRAME_EXTRA + piece.size;
    rd_padding_write(piece, is_last ? 0 : rd_bhttp_bucket(size) - size, &frame);
    rd_bhttp_stream_piece(rd_buf_bytes(&frame), &sealing->plain);
}

bool encl_sealing_add(encl_sealing *sealing, rd_bytes piece, bool is_last, rd_bytes receipt, rd_buf *ret)
{
    rd_buf *plain = &sealing->plain;
    rd_err err = RD_ERR_INIT;
    if (piece.size > 0 && sealing->is_padded)
        add_padded(sealing, piece, is_last);
    else if (piece.size > 0)
        rd_bhttp_stream_piece(piece, plain);
    const rd_bhttp_field trailer = { RD_BYTES_LIT("redoubt-receipt"), receipt };
    if (is_last)
        rd_bhttp_stream_end(&trailer, receipt.size > 0 ? 1 : 0, 0, plain);
    if (!sealing->has_begun)
        rd_ohttp_chunks_begin(&sealing->exchange, sealing->random, &sealing->chunks, ret);
    sealing->has_begun = true;
    bool is_sealed =
        !plain->has_failed && rd_ohttp_chunks_seal(&sealing->chunks, rd_buf_bytes(plain), is_last, ret, &err) == 0;
    rd_wipe(plain->data, plain->size);
    rd_buf_clear(plain);
    return is_sealed;
}
