// link: rd_model
/* Binary HTTP of indeterminate length, and padded content in it: read in one piece and in many, it is the same message
 * or the same refusal; what was read is written and read again as the same.
 */
#include "common/base/mem.h"
#include "common/model/bhttp_stream.h"
#include "common/model/padding.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static rd_code read_message(rd_bhttp_reader *reader, rd_bytes bytes, size_t step, rd_buf *content)
{
    rd_err err = RD_ERR_INIT;
    int status = 0;
    for (size_t at = 0; at < bytes.size && status == 0; at += step)
        status =
            rd_bhttp_reader_feed(reader, rd_bytes_of(bytes.data + at, RD_MIN(step, bytes.size - at)), content, &err);
    if (status == 0)
        status = rd_bhttp_reader_end(reader, &err);
    if ((status < 0) != (err.code != RD_OK))
        abort();
    return err.code;
}

static rd_code read_padded(rd_bytes bytes, size_t step, rd_buf *content)
{
    rd_err err = RD_ERR_INIT;
    rd_padding padding = { .size_count = 0 };
    for (size_t at = 0; at < bytes.size; at += step)
        if (rd_padding_read(&padding, rd_bytes_of(bytes.data + at, RD_MIN(step, bytes.size - at)), content, &err) < 0)
            return err.code;
    return RD_OK;
}

static void write_again(const rd_bhttp_reader *reader, rd_bytes content)
{
    RD_CLEANUP(rd_buf_done) rd_buf written = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf again = { 0 };
    rd_err err = RD_ERR_INIT;
    const rd_bhttp_message *head = rd_bhttp_reader_head(reader), *trailers = rd_bhttp_reader_trailers(reader);
    RD_CLEANUP(rd_bhttp_reader_free_p) rd_bhttp_reader *second = rd_bhttp_reader_new(head->is_request);
    if (rd_bhttp_stream_head(head, &written, &err) < 0)
        abort();
    if (content.size > 0)
        rd_bhttp_stream_piece(content, &written);
    rd_bhttp_stream_end(trailers->fields, trailers->field_count, 0, &written);
    /* Sizes in their shortest form never take more room than those that were read. */
    if (read_message(second, rd_buf_bytes(&written), 1000, &again) != RD_OK ||
        !rd_bytes_equal(rd_buf_bytes(&again), content) ||
        rd_bhttp_reader_head(second)->field_count != head->field_count ||
        rd_bhttp_reader_trailers(second)->field_count != trailers->field_count)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t step = (size_t)(data[size - 1] & 0x3f) + 1;
    rd_bytes bytes = rd_bytes_of(data, size);
    for (int is_request = 0; is_request < 2; is_request++) {
        RD_CLEANUP(rd_bhttp_reader_free_p) rd_bhttp_reader *one = rd_bhttp_reader_new(is_request);
        RD_CLEANUP(rd_bhttp_reader_free_p) rd_bhttp_reader *many = rd_bhttp_reader_new(is_request);
        RD_CLEANUP(rd_buf_done) rd_buf content = { 0 };
        RD_CLEANUP(rd_buf_done) rd_buf in_pieces = { 0 };
        rd_code code = read_message(one, bytes, size, &content);
        if (code != read_message(many, bytes, step, &in_pieces))
            abort();
        if (code == RD_OK && !rd_bytes_equal(rd_buf_bytes(&content), rd_buf_bytes(&in_pieces)))
            abort();
        if (code == RD_OK)
            write_again(one, rd_buf_bytes(&content));
    }
    RD_CLEANUP(rd_buf_done) rd_buf whole = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf pieces = { 0 };
    if (read_padded(bytes, size, &whole) != read_padded(bytes, step, &pieces) ||
        !rd_bytes_equal(rd_buf_bytes(&whole), rd_buf_bytes(&pieces)))
        abort();
    return 0;
}
