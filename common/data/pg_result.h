/* pg_result: the rows of one statement, read by typed getters.
 * Used by every store. Rows come in binary form, so no text is parsed.
 * A getter asked for a column or type that is not there asserts: statement and getter stand side by side. */
#ifndef RD_DATA_PG_RESULT_H
#define RD_DATA_PG_RESULT_H

#include "common/base/bytes.h"
#include "common/base/mem.h"

typedef struct rd_pg_result rd_pg_result;

void rd_pg_result_free(rd_pg_result *result);
void rd_pg_result_free_p(rd_pg_result **result);

/* Rows returned; 0 for a NULL result. */
size_t rd_pg_rows(const rd_pg_result *result);
/* Rows inserted, updated or deleted by a statement without (or with) RETURNING. */
size_t rd_pg_affected(const rd_pg_result *result);
bool rd_pg_is_null(const rd_pg_result *result, size_t row, int column);
/* smallint, integer, bigint, xid8, date (days since 2000-01-01); 0 when NULL. */
int64_t rd_pg_get_i64(const rd_pg_result *result, size_t row, int column);
bool rd_pg_get_bool(const rd_pg_result *result, size_t row, int column);
/* timestamptz as microseconds since the Unix epoch; 0 when NULL. */
int64_t rd_pg_get_time(const rd_pg_result *result, size_t row, int column);
/* bytea, uuid, text, jsonb (its text): borrowed from the result; empty when NULL. */
rd_bytes rd_pg_get_bytes(const rd_pg_result *result, size_t row, int column);
/* text and jsonb, NUL-terminated, borrowed; "" when NULL. */
const char *rd_pg_get_text(const rd_pg_result *result, size_t row, int column);
/* Copies a bytea or uuid of exactly size bytes; zeros and false when NULL or of another size. */
bool rd_pg_get_fixed(const rd_pg_result *result, size_t row, int column, void *out, size_t size);

#endif
