/* cbor: a small reader of deterministic CBOR (RFC 8949, 4.2.1): definite lengths, shortest heads.
 * Used for the evidence extension of certificates. Indefinite lengths, floats and simple values are refused: nothing
 * that is read here has them. */
#ifndef RD_ATTEST_CBOR_H
#define RD_ATTEST_CBOR_H

#include "common/base/cursor.h"

typedef enum rd_cbor_major {
    RD_CBOR_UINT = 0,
    RD_CBOR_BYTES = 2,
    RD_CBOR_TEXT = 3,
    RD_CBOR_ARRAY = 4,
    RD_CBOR_MAP = 5,
    RD_CBOR_TAG = 6
} rd_cbor_major;

/* Takes a head of this kind and its number: value, length, count or tag. False when another kind stands there, or a
 * head that is not the shortest. */
bool rd_cbor_head(rd_cursor *in, rd_cbor_major major, uint64_t *ret);
/* Takes a byte or text string. */
bool rd_cbor_string(rd_cursor *in, rd_cbor_major major, rd_bytes *ret);

#endif
