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
#define RD_DER_OID          0x06
#define RD_DER_ENUMERATED   0x0a
#define RD_DER_SEQUENCE     0x30

/* Takes one element off the front of *input. False when there is none or it is malformed; *input is then unchanged. */
bool rd_der_next(rd_bytes *input, uint8_t *ret_tag, rd_bytes *ret_content);
/* As rd_der_next, and the tag must be this one. */
bool rd_der_take(rd_bytes *input, uint8_t tag, rd_bytes *ret_content);
/* A non-negative INTEGER's or ENUMERATED's content, minimal, at most max. */
bool rd_der_uint(rd_bytes content, uint32_t max, uint32_t *ret);

/* One element fills der exactly, it nests at most 16 deep and holds at most element_max elements (X509_DER_LIMIT). */
int rd_der_check(rd_bytes der, size_t element_max, rd_err *err) RD_NODISCARD;

#endif
