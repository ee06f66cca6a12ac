/* cursor: a bounds-checked reader over borrowed bytes.
 * Used by every parser of outside bytes, so that pointer arithmetic on them appears nowhere else.
 * Failing is sticky: after the first short read every read gives zeros, and rd_cursor_is_ok says so once at the end. */
#ifndef RD_BASE_CURSOR_H
#define RD_BASE_CURSOR_H

#include "common/base/bytes.h"

typedef struct rd_cursor {
    rd_bytes bytes;
    size_t offset;
    bool has_failed;
} rd_cursor;

rd_cursor rd_cursor_of(rd_bytes bytes);
/* No read so far went past the end. */
bool rd_cursor_is_ok(const rd_cursor *cursor);
/* Ok, and nothing is left. */
bool rd_cursor_is_done(const rd_cursor *cursor);
size_t rd_cursor_left(const rd_cursor *cursor);
size_t rd_cursor_offset(const rd_cursor *cursor);

uint8_t rd_cursor_u8(rd_cursor *cursor);
uint16_t rd_cursor_u16le(rd_cursor *cursor);
uint32_t rd_cursor_u32le(rd_cursor *cursor);
uint64_t rd_cursor_u64le(rd_cursor *cursor);
uint16_t rd_cursor_u16be(rd_cursor *cursor);
uint32_t rd_cursor_u32be(rd_cursor *cursor);
uint64_t rd_cursor_u64be(rd_cursor *cursor);
/* The next size bytes, borrowed from the input; empty after a failure. */
rd_bytes rd_cursor_take(rd_cursor *cursor, size_t size);
/* Everything that is left. */
rd_bytes rd_cursor_rest(rd_cursor *cursor);
/* Copies the next size bytes to out (zeros after a failure). */
void rd_cursor_copy(rd_cursor *cursor, void *out, size_t size);
void rd_cursor_skip(rd_cursor *cursor, size_t size);

#endif
