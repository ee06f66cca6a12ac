/* json_fields: single members of vendor collateral, read strictly by name.
 * Used where unknown members are ignored by decision. Every refusal is COLLATERAL_FORMAT and names the member. */
#ifndef RD_ATTEST_JSON_FIELDS_H
#define RD_ATTEST_JSON_FIELDS_H

#include "common/model/json.h"

/* One JSON object of at most 256 KiB, 16 levels, no member twice. A new reference. */
int rd_field_document(rd_bytes text, json_t **ret, rd_err *err) RD_NODISCARD;
/* Borrowed from the object. */
int rd_field_object(const json_t *object, const char *name, const json_t **ret, rd_err *err) RD_NODISCARD;
int rd_field_array(const json_t *object, const char *name, size_t count_max, const json_t **ret,
                   rd_err *err) RD_NODISCARD;
int rd_field_text(const json_t *object, const char *name, size_t size_max, const char **ret, rd_err *err) RD_NODISCARD;
/* 0 to max. */
int rd_field_int(const json_t *object, const char *name, int64_t max, int64_t *ret, rd_err *err) RD_NODISCARD;
/* Exactly size bytes of hex in either case. */
int rd_field_hex(const json_t *object, const char *name, uint8_t *out, size_t size, rd_err *err) RD_NODISCARD;
/* RFC 3339, UTC. */
int rd_field_time(const json_t *object, const char *name, int64_t *ret_us, rd_err *err) RD_NODISCARD;

#endif
