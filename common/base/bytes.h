/* bytes: a borrowed range (rd_bytes) and an owned, growing, capped buffer (rd_buf).
 * Used wherever bytes travel: never two loose arguments in varying order.
 * rd_buf fails past its cap instead of growing without bound. */
#ifndef RD_BASE_BYTES_H
#define RD_BASE_BYTES_H

#include "common/base/defs.h"

/* Borrowed: whoever made it says how long it lives. data may be NULL when size is 0. */
typedef struct rd_bytes {
    const uint8_t *data;
    size_t size;
} rd_bytes;

#define RD_BYTES_NULL ((rd_bytes){ NULL, 0 })
/* A string literal or array without its final NUL. */
#define RD_BYTES_LIT(literal) ((rd_bytes){ (const uint8_t *)(literal), sizeof(literal) - 1 })
/* A whole uint8_t array. */
#define RD_BYTES_ARRAY(array) ((rd_bytes){ (array), sizeof(array) })

rd_bytes rd_bytes_of(const void *data, size_t size);
/* The bytes of a NUL-terminated string, without the NUL. */
rd_bytes rd_bytes_str(const char *text);
bool rd_bytes_equal(rd_bytes a, rd_bytes b);
/* Byte order, shorter first when one is a prefix. */
int rd_bytes_compare(rd_bytes a, rd_bytes b);

/* Owned. Zero-initialise or use rd_buf_init; free with rd_buf_done. */
typedef struct rd_buf {
    uint8_t *data;
    size_t size;
    size_t capacity;
    size_t size_max; /* 0: RD_BUF_DEFAULT_MAX */
    bool has_failed; /* an append passed size_max; it and later ones were dropped */
} rd_buf;

#define RD_BUF_DEFAULT_MAX ((size_t)64 << 20)

void rd_buf_init(rd_buf *buf, size_t size_max);
void rd_buf_done(rd_buf *buf);
/* As rd_buf_done, wiping the content first. */
void rd_buf_wipe(rd_buf *buf);
/* Keeps the memory, drops the content and the failed mark. */
void rd_buf_clear(rd_buf *buf);
/* Appends; false (and has_failed) when the cap would be passed. */
bool rd_buf_append(rd_buf *buf, const void *data, size_t size);
bool rd_buf_append_bytes(rd_buf *buf, rd_bytes bytes);
bool rd_buf_append_str(rd_buf *buf, const char *text);
bool rd_buf_append_u8(rd_buf *buf, uint8_t value);
bool rd_buf_append_u16be(rd_buf *buf, uint16_t value);
bool rd_buf_append_u32be(rd_buf *buf, uint32_t value);
bool rd_buf_append_u64be(rd_buf *buf, uint64_t value);
bool rd_buf_append_u16le(rd_buf *buf, uint16_t value);
bool rd_buf_append_u32le(rd_buf *buf, uint32_t value);
bool rd_buf_append_u64le(rd_buf *buf, uint64_t value);
bool rd_buf_printf(rd_buf *buf, const char *fmt, ...) RD_PRINTF(2, 3);
/* Room for size more bytes at the end, or NULL past the cap; rd_buf_commit says how many were written. */
uint8_t *rd_buf_reserve(rd_buf *buf, size_t size);
void rd_buf_commit(rd_buf *buf, size_t size);
/* Drops bytes at the front. */
void rd_buf_consume(rd_buf *buf, size_t size);
/* The content, borrowed until the next change. */
rd_bytes rd_buf_bytes(const rd_buf *buf);
/* The content as a string, NUL-terminated (the NUL is not counted), borrowed; never NULL. */
const char *rd_buf_text(rd_buf *buf);

#endif
