/* json_fields: single members of vendor collateral, read strictly by name.
 * Used where unknown members are ignored by decision. Every refusal is COLLATERAL_FORMAT and names the member. */
#ifndef RD_ATTEST_JSON_FIELDS_H
#define RD_ATTEST_JSON_FIELDS_H

#include "attest/json_view.h"

/* One JSON object of at most 256 KiB. Call rd_json_doc_done also after a failure. */
int rd_field_document(rd_bytes text, rd_json_doc *doc, rd_json_view *ret_root, rd_err *err) RD_NODISCARD;
int rd_field_object(rd_json_view object, const char *name, rd_json_view *ret, rd_err *err) RD_NODISCARD;
int rd_field_array(rd_json_view object, const char *name, size_t count_max, rd_json_view *ret, size_t *ret_count,
                   rd_err *err) RD_NODISCARD;
/* Fits with its NUL into size bytes. */
int rd_field_text(rd_json_view object, const char *name, char *out, size_t size, rd_err *err) RD_NODISCARD;
/* 0 to max. */
int rd_field_int(rd_json_view object, const char *name, int64_t max, int64_t *ret, rd_err *err) RD_NODISCARD;
/* Exactly size bytes of hex in either case, at most 64. */
int rd_field_hex(rd_json_view object, const char *name, uint8_t *out, size_t size, rd_err *err) RD_NODISCARD;
/* RFC 3339, UTC. */
int rd_field_time(rd_json_view object, const char *name, int64_t *ret_us, rd_err *err) RD_NODISCARD;

#endif
