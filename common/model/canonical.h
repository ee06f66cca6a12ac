/* canonical: RFC 8785 canonical JSON, the only form in which documents are signed and hashed.
 * Used by every signed document and by receipts. Verifiers demand that the bytes received are their own canonical form.
 */
#ifndef RD_MODEL_CANONICAL_H
#define RD_MODEL_CANONICAL_H

#include "common/model/json.h"

/* Appends the canonical form. JSON_RANGE for NaN and infinities; JSON_DEPTH past 16 levels; TOO_LARGE past out's cap.
 */
int rd_canonical_write(const json_t *value, rd_buf *out, rd_err *err) RD_NODISCARD;

/* For signed documents: parses (64 KiB, 16 levels, integers within ±(2^53 - 1)), writes again, and demands equal bytes
 * (NOT_CANONICAL). *ret (may be NULL) is a new reference. */
int rd_canonical_check(rd_bytes bytes, json_t **ret, rd_err *err) RD_NODISCARD;
/* rd_canonical_check and rd_json_read, refusing unknown members. */
int rd_canonical_load(rd_bytes bytes, const rd_json_field *fields, void *into, rd_err *err) RD_NODISCARD;
/* As rd_canonical_load for a document of ours: PURPOSE when its "type" is another (checked before the other members).
 */
int rd_document_load(rd_bytes bytes, const char *type, const rd_json_field *fields, void *into,
                     rd_err *err) RD_NODISCARD;

/* Parts for writers that make canonical text without a tree. The text must be UTF-8. */
bool rd_canonical_put_string(rd_buf *out, rd_bytes text);
bool rd_canonical_put_int(rd_buf *out, int64_t value);
/* ECMAScript Number::toString (ECMA-262, 6.1.6.1.20); false for NaN and infinities. */
bool rd_canonical_put_double(rd_buf *out, double value);

#endif
