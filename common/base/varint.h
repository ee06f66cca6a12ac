/* varint: integers of one, two, four or eight bytes, whose first two bits say how many (RFC 9000, 16).
 * Used by binary HTTP, chunks of oblivious HTTP and padding. Longer forms than a value needs are read as any other.
 */
#ifndef RD_BASE_VARINT_H
#define RD_BASE_VARINT_H

#include "common/base/bytes.h"
#include "common/base/cursor.h"

/* Below 2^62; fails the cursor at its end. */
uint64_t rd_varint_read(rd_cursor *cursor);
/* In the fewest bytes; value is below 2^62. */
void rd_varint_write(rd_buf *buf, uint64_t value);
/* In four bytes, whatever it needs; value is below 2^30. */
void rd_varint_write_u30(rd_buf *buf, uint64_t value);

#endif
