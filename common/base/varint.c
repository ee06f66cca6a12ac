#include "common/base/varint.h"

uint64_t rd_varint_read(rd_cursor *cursor)
{
    uint8_t first = rd_cursor_u8(cursor);
    uint64_t value = first & 0x3f;
    for (unsigned left = (1u << (first >> 6)) - 1; left > 0; left--)
        value = value << 8 | rd_cursor_u8(cursor);
    return value;
}

static void write_sized(rd_buf *buf, uint64_t value, unsigned power)
{
    unsigned size = 1u << power;
    for (unsigned i = size; i-- > 0;)
        (void)rd_buf_append_u8(buf, (uint8_t)((uint8_t)(value >> (8 * i)) | (i == size - 1 ? power << 6 : 0)));
}

void rd_varint_write(rd_buf *buf, uint64_t value)
{
    write_sized(buf, value, value < 1u << 6 ? 0 : value < 1u << 14 ? 1 : value < 1u << 30 ? 2 : 3);
}

void rd_varint_write_u30(rd_buf *buf, uint64_t value)
{
    write_sized(buf, value, 2);
}
