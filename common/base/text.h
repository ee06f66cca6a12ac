/* text: hex, base32, base64 and base64url, RFC 3339 times, and small string questions.
 * Used at every edge where bytes become text. Decoders are strict: one accepted form for each value. */
#ifndef RD_BASE_TEXT_H
#define RD_BASE_TEXT_H

#include "common/base/bytes.h"

/* Lower-case hex, NUL-terminated; out holds 2 * size + 1. */
void rd_hex_encode(rd_bytes bytes, char *out);
/* Accepts both cases; exactly 2 * out_size digits, else -1. */
int rd_hex_decode(const char *text, size_t text_size, uint8_t *out, size_t out_size) RD_NODISCARD;

/* RFC 4648 base32 alphabet in lower case, no padding. Length of the text of size bytes, without NUL. */
size_t rd_base32_size(size_t size);
void rd_base32_encode(rd_bytes bytes, char *out);
/* Exactly rd_base32_size(out_size) characters, lower case, unused bits zero; else -1. */
int rd_base32_decode(const char *text, size_t text_size, uint8_t *out, size_t out_size) RD_NODISCARD;

/* RFC 4648 section 5, no padding. */
size_t rd_base64url_size(size_t size);
void rd_base64url_encode(rd_bytes bytes, char *out);
bool rd_buf_append_base64url(rd_buf *buf, rd_bytes bytes);
/* Strict: alphabet, no padding, unused bits zero. Writes at most out_max bytes; returns the size or -1. */
ssize_t rd_base64url_decode(const char *text, size_t text_size, uint8_t *out, size_t out_max) RD_NODISCARD;
/* RFC 4648 section 4, with padding (strict). */
bool rd_buf_append_base64(rd_buf *buf, rd_bytes bytes);
ssize_t rd_base64_decode(const char *text, size_t text_size, uint8_t *out, size_t out_max) RD_NODISCARD;

/* "2026-11-22T23:48:52.123456Z", NUL-terminated; microseconds since the Unix epoch, UTC (RFC 3339).
 * Times before 1970 or after 9999 give the nearest end. */
#define RD_TIME_TEXT_SIZE 28
void rd_time_format(int64_t time_us, char out[RD_TIME_TEXT_SIZE]);
/* Accepts YYYY-MM-DDThh:mm:ss[.fraction]Z only, years 1970 to 9999, real calendar days; else -1. */
int rd_time_parse(const char *text, size_t text_size, int64_t *ret_us) RD_NODISCARD;

bool rd_starts_with(const char *text, const char *prefix);
/* Strict decimal without sign or leading zeros; -1 when malformed or above max. */
int rd_parse_u64(const char *text, size_t text_size, uint64_t max, uint64_t *ret) RD_NODISCARD;
/* Well-formed UTF-8 without surrogates or overlong forms (RFC 3629). */
bool rd_is_utf8(rd_bytes bytes);

#endif
