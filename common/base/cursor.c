#include "common/base/cursor.h"

#include <string.h>

rd_cursor rd_cursor_of(rd_bytes bytes)
{
    return (rd_cursor){ .bytes = bytes };
}

bool rd_cursor_is_ok(const rd_cursor *cursor)
{
    return !cursor->has_failed;
}

bool rd_cursor_is_done(const rd_cursor *cursor)
{
    return !cursor->has_failed && cursor->offset == cursor->bytes.size;
}

size_t rd_cursor_left(const rd_cursor *cursor)
{
    return cursor->has_failed ? 0 : cursor->bytes.size - cursor->offset;
}

size_t rd_cursor_offset(const rd_cursor *cursor)
{
    return cursor->offset;
}

rd_bytes rd_cursor_take(rd_cursor *cursor, size_t size)
{
    if (cursor->has_failed || size > cursor->bytes.size - cursor->offset) {
        cursor->has_failed = true;
        return RD_BYTES_NULL;
    }
    if (size == 0)
        return RD_BYTES_NULL;
    rd_bytes taken = { cursor->bytes.data + cursor->offset, size };
    cursor->offset += size;
    return taken;
}

rd_bytes rd_cursor_rest(rd_cursor *cursor)
{
    return rd_cursor_take(cursor, rd_cursor_left(cursor));
}

void rd_cursor_copy(rd_cursor *cursor, void *out, size_t size)
{
    rd_bytes taken = rd_cursor_take(cursor, size);
    if (size == 0)
        return;
    if (taken.size == size)
        memcpy(out, taken.data, size);
    else
        memset(out, 0, size);
}

void rd_cursor_skip(rd_cursor *cursor, size_t size)
{
    (void)rd_cursor_take(cursor, size);
}

static uint64_t read_integer(rd_cursor *cursor, size_t size, bool is_big_endian)
{
    rd_bytes taken = rd_cursor_take(cursor, size);
    uint64_t value = 0;
    for (size_t i = 0; i < taken.size; i++)
        value |= (uint64_t)taken.data[i] << (8 * (is_big_endian ? size - 1 - i : i));
    return value;
}

uint8_t rd_cursor_u8(rd_cursor *cursor)
{
    return (uint8_t)read_integer(cursor, 1, false);
}

uint16_t rd_cursor_u16le(rd_cursor *cursor)
{
    return (uint16_t)read_integer(cursor, 2, false);
}

uint32_t rd_cursor_u32le(rd_cursor *cursor)
{
    return (uint32_t)read_integer(cursor, 4, false);
}

uint64_t rd_cursor_u64le(rd_cursor *cursor)
{
    return read_integer(cursor, 8, false);
}

uint16_t rd_cursor_u16be(rd_cursor *cursor)
{
    return (uint16_t)read_integer(cursor, 2, true);
}

uint32_t rd_cursor_u32be(rd_cursor *cursor)
{
    return (uint32_t)read_integer(cursor, 4, true);
}

uint64_t rd_cursor_u64be(rd_cursor *cursor)
{
    return read_integer(cursor, 8, true);
}
