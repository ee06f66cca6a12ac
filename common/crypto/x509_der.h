/* x509_der: a small reader of DER (X.690), and the limits put on it before anything larger reads it.
 * Used for certificates, revocation lists and the PCK extension.
 * Refuses indefinite and non-minimal lengths and tag numbers over 30: one encoding for each value. */
#ifndef RD_CRYPTO_X509_DER_H
#define RD_CRYPTO_X509_DER_H

#include "common/base/bytes.h"
#include "common/base/err.h"

#define RD_DER_BOOLEAN      0x01
#define RD_DER_INTEGER      0x02
#define RD_DER_BIT_STRING   0x03
#define RD_DER_OCTET_STRING 0x04
#define RD_DER_NULL         0x05
#define RD_DER_OID          0x06
#define RD_DER_ENUMERATED   0x0a
#define RD_DER_UTF8         0x0c
#define RD_DER_PRINTABLE    0x13
#define RD_DER_IA5          0x16
#define RD_DER_UTC_TIME     0x17
#define RD_DER_TIME         0x18
#define RD_DER_SEQUENCE     0x30
#define RD_DER_SET          0x31
/* Context-specific, primitive and constructed. */
#define RD_DER_PART(n)     (0x80 | (n))
#define RD_DER_PART_BOX(n) (0xa0 | (n))

/* Takes one element off the front of *input. False when there is none or it is malformed; *input is then unchanged. */
bool rd_der_next(rd_bytes *input, uint8_t *ret_tag, rd_bytes *ret_content);
/* As rd_der_next, and the tag must be this one. */
bool rd_der_take(rd_bytes *input, uint8_t tag, rd_bytes *ret_content);
/* As rd_der_take; *ret_whole is the element with its tag and length. */
bool rd_der_take_whole(rd_bytes *input, uint8_t tag, rd_bytes *ret_whole, rd_bytes *ret_content);
/* The tag that comes next is this one. */
bool rd_der_is_next(rd_bytes input, uint8_t tag);

/* Contents of primitive elements, in the one form that X.690 section 11 leaves them. */
/* A non-negative INTEGER or ENUMERATED, minimal, at most max. */
bool rd_der_uint(rd_bytes content, uint32_t max, uint32_t *ret);
/* A non-negative INTEGER of any length, minimal: its big-endian bytes without leading zeros, never empty. */
bool rd_der_natural(rd_bytes content, rd_bytes *ret);
bool rd_der_is_oid(rd_bytes content);
/* A BIT STRING; the bits that are unused (0 to 7) are zero. */
bool rd_der_bits(rd_bytes content, unsigned *ret_unused, rd_bytes *ret);
/* UTCTime or GeneralizedTime as RFC 5280, 4.1.2.5 has them: whole seconds, ending in Z, from 1970 on; microseconds. */
bool rd_der_take_time(rd_bytes *input, int64_t *ret_us);

/* The content octets of a dotted OID; 0 when it is none or longer than max. */
size_t rd_der_oid_of(const char *dotted, uint8_t *out, size_t max);

/* One element fills der exactly, it nests at most 16 deep and holds at most element_max elements (X509_DER_LIMIT). */
int rd_der_check(rd_bytes der, size_t element_max, rd_err *err) RD_NODISCARD;

#endif
