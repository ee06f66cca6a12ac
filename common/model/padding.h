/* padding: content in frames, data and zeros, so that each piece of a sealed answer fills a bucket: binary HTTP has
 * padding at its end alone (RFC 9292, 3.8). Spoken to who asks for it with the field below (docs/protocol/sealed.md).
 * Used by the enclave, which writes them, and by the command line.
 */
#ifndef RD_MODEL_PADDING_H
#define RD_MODEL_PADDING_H

#include "common/base/bytes.h"
#include "common/base/err.h"

#define RD_PADDING_FIELD "redoubt-padding"
#define RD_PADDING_VALUE "1" /* this form */
#define RD_PADDING_EXTRA 8   /* around data and zeros */

/* Appends one frame; together below 2^30. */
void rd_padding_write(rd_bytes data, size_t zeros, rd_buf *ret);

/* Frames as they come. By value, zero at the start. */
typedef struct rd_padding {
    uint8_t size[16]; /* both sizes of the next frame, as their bytes come */
    size_t size_count;
    uint64_t data_left, zeros_left;
} rd_padding;

/* Appends the data. ENCODING where other than zeros stands, TOO_LARGE past ret's cap. */
int rd_padding_read(rd_padding *padding, rd_bytes bytes, rd_buf *ret, rd_err *err) RD_NODISCARD;
/* No frame has begun that has not ended. */
bool rd_padding_is_whole(const rd_padding *padding);

#endif
