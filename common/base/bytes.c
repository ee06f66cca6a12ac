#include "common/base/bytes.h"

#include "common/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

rd_bytes rd_bytes_of(const void *data, size_t size)
{
    return (rd_bytes){ data, size };
}

rd_bytes rd_bytes_str(const char *text)
{
    return (rd_bytes){ (const uint8_t *)text, strlen(text) };
}

bool rd_bytes_equal(rd_bytes a, rd_bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

int rd_bytes_compare(rd_bytes a, rd_bytes b)
{
    size_t common = RD_MIN(a.size, b.size);
    int order = common ? memcmp(a.data, b.data, common) : 0;
    if (order != 0)
        return order;
    return (a.size > b.size) - (a.size < b.size);
}

void rd_buf_init(rd_buf *buf, size_t size_max)
{
    *buf = (rd_buf){ .size_max = size_max };
}

void rd_buf_done(rd_buf *buf)
{
    free(buf->data);
    size_t size_max = buf->size_max;
    *buf = (rd_buf){ .size_max = size_max };
}

void rd_buf_wipe(rd_buf *buf)
{
    rd_wipe(buf->data, buf->capacity);
    rd_buf_done(buf);
}

void rd_buf_clear(rd_buf *buf)
{
    buf->size = 0;
    buf->has_failed = false;
}

uint8_t *rd_buf_reserve(rd_buf *buf, size_t size)
{
    size_t size_max = buf->size_max ? buf->size_max : RD_BUF_DEFAULT_MAX;
    if (buf->has_failed || size > size_max || buf->size > size_max - size) {
        buf->has_failed = true;
        return NULL;
    }
    size_t wanted = buf->size + size + 1;
    if (wanted > buf->capacity) {
        size_t capacity = RD_MAX(wanted, RD_MAX((size_t)64, buf->capacity * 2));
        buf->data = rd_realloc(buf->data, capacity);
        buf->capacity = capacity;
    }
    return buf->data + buf->size;
}

void rd_buf_commit(rd_buf *buf, size_t size)
{
    buf->size += size;
}

bool rd_buf_append(rd_buf *buf, const void *data, size_t size)
{
    uint8_t *room = rd_buf_reserve(buf, size);
    if (!room)
        return false;
    if (size)
        memcpy(room, data, size);
    buf->size += size;
    return true;
}

bool rd_buf_append_bytes(rd_buf *buf, rd_bytes bytes)
{
    return rd_buf_append(buf, bytes.data, bytes.size);
}

bool rd_buf_append_str(rd_buf *buf, const char *text)
{
    return rd_buf_append(buf, text, strlen(text));
}

static bool append_integer(rd_buf *buf, uint64_t value, size_t size, bool is_big_endian)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < size; i++) {
        size_t shift = 8 * (is_big_endian ? size - 1 - i : i);
        bytes[i] = (uint8_t)(value >> shift);
    }
    return rd_buf_append(buf, bytes, size);
}

bool rd_buf_append_u8(rd_buf *buf, uint8_t value)
{
    return rd_buf_append(buf, &value, 1);
}

bool rd_buf_append_u16be(rd_buf *buf, uint16_t value)
{
    return append_integer(buf, value, 2, true);
}

bool rd_buf_append_u32be(rd_buf *buf, uint32_t value)
{
    return append_integer(buf, value, 4, true);
}

bool rd_buf_append_u64be(rd_buf *buf, uint64_t value)
{
    return append_integer(buf, value, 8, true);
}

bool rd_buf_append_u16le(rd_buf *buf, uint16_t value)
{
    return append_integer(buf, value, 2, false);
}

bool rd_buf_append_u32le(rd_buf *buf, uint32_t value)
{
    return append_integer(buf, value, 4, false);
}

bool rd_buf_append_u64le(rd_buf *buf, uint64_t value)
{
    return append_integer(buf, value, 8, false);
}

/* Once where there is room, else again when there is. */
bool rd_buf_printf(rd_buf *buf, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    va_list again;
    va_copy(again, args);
    size_t spare = buf->capacity - buf->size;
    int size = vsnprintf(spare > 0 ? (char *)buf->data + buf->size : NULL, spare, fmt, args);
    va_end(args);
    uint8_t *room = size < 0 ? NULL : rd_buf_reserve(buf, (size_t)size);
    if (room) {
        if ((size_t)size >= spare)
            (void)vsnprintf((char *)room, (size_t)size + 1, fmt, again);
        buf->size += (size_t)size;
    }
    va_end(again);
    return room != NULL;
}

void rd_buf_consume(rd_buf *buf, size_t size)
{
    size = RD_MIN(size, buf->size);
    buf->size -= size;
    if (buf->size && size)
        memmove(buf->data, buf->data + size, buf->size);
}

rd_bytes rd_buf_bytes(const rd_buf *buf)
{
    return (rd_bytes){ buf->data, buf->size };
}

const char *rd_buf_text(rd_buf *buf)
{
    if (!buf->data)
        return "";
    buf->data[buf->size] = '\0';
    return (const char *)buf->data;
}
