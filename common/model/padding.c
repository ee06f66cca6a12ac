#include "common/model/padding.h"

#include "common/base/mem.h"
#include "common/base/varint.h"

void rd_padding_write(rd_bytes data, size_t zeros, rd_buf *ret)
{
    static const uint8_t none[4096] = { 0 };
    rd_varint_write_u30(ret, data.size);
    rd_varint_write_u30(ret, zeros);
    (void)rd_buf_append_bytes(ret, data);
    for (; zeros > 0; zeros -= RD_MIN(zeros, sizeof none))
        (void)rd_buf_append(ret, none, RD_MIN(zeros, sizeof none));
}

static void take_size(rd_padding *padding, uint8_t byte)
{
    padding->size[padding->size_count++] = byte;
    rd_cursor cursor = rd_cursor_of(rd_bytes_of(padding->size, padding->size_count));
    uint64_t data = rd_varint_read(&cursor), zeros = rd_varint_read(&cursor);
    if (!rd_cursor_is_ok(&cursor))
        return;
    padding->data_left = data;
    padding->zeros_left = zeros;
    padding->size_count = 0;
}

static int take_some(rd_padding *padding, rd_bytes bytes, size_t *ret_step, rd_buf *ret, rd_err *err)
{
    bool is_data = padding->data_left > 0;
    uint64_t *left = is_data ? &padding->data_left : &padding->zeros_left;
    size_t step = bytes.size < *left ? bytes.size : (size_t)*left;
    *ret_step = step;
    *left -= step;
    if (is_data)
        return rd_buf_append(ret, bytes.data, step)
                   ? 0
                   : rd_err_set(err, RD_E_TOO_LARGE, "the content has more than %zu bytes", ret->size_max);
    for (size_t i = 0; i < step; i++)
        if (bytes.data[i] != 0)
            return rd_err_set(err, RD_E_ENCODING, "padding of the content that is not zeros");
    return 0;
}

int rd_padding_read(rd_padding *padding, rd_bytes bytes, rd_buf *ret, rd_err *err)
{
    while (bytes.size > 0) {
        size_t step = 1;
        if (padding->data_left == 0 && padding->zeros_left == 0)
            take_size(padding, bytes.data[0]);
        else if (take_some(padding, bytes, &step, ret, err) < 0)
            return -1;
        bytes.data += step;
        bytes.size -= step;
    }
    return 0;
}

bool rd_padding_is_whole(const rd_padding *padding)
{
    return padding->size_count == 0 && padding->data_left == 0 && padding->zeros_left == 0;
}
