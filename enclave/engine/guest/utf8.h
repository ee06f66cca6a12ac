/* utf8: the decoder of the Encoding standard, for text that a script gave.
 * Used by the guest, and by the machine that has no guest.
 * Knows nothing of JavaScript. */
#ifndef ENCL_GUEST_UTF8_H
#define ENCL_GUEST_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Size of the longest well-formed prefix of data. */
size_t rd_utf8_valid(const uint8_t *data, size_t size);
/* Bytes at the end that begin a character which more input could complete: 0 to 3. */
size_t rd_utf8_tail(const uint8_t *data, size_t size);
/* The WHATWG decoder's replacement of malformed parts by U+FFFD; malloc memory, or NULL. */
uint8_t *rd_utf8_mend(const uint8_t *data, size_t size, size_t *ret_size);

#endif
