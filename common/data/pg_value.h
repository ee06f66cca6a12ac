/* pg_value: values on their way into a statement, and the table form of statements.
 * Used by every store of the API and the scheduler.
 * Borrows everything it points at: the memory must live until the statement was sent. */
#ifndef RD_DATA_PG_VALUE_H
#define RD_DATA_PG_VALUE_H

#include "common/base/bytes.h"

/* One prepared statement. Names are unique over all tables of a connection; texts use explicit column lists, as a
 * prepared SELECT * fails after a column is added. */
typedef struct rd_pg_stmt {
    const char *name;
    const char *text;
    int param_count;
} rd_pg_stmt;

/* The statements of one store. */
typedef struct rd_pg_stmts {
    const rd_pg_stmt *items;
    size_t count;
} rd_pg_stmts;

#define RD_PG_STMTS(array) ((rd_pg_stmts){ (array), RD_ARRAY_LEN(array) })

typedef enum rd_pg_kind { RD_PG_NULL, RD_PG_TEXT, RD_PG_BYTES, RD_PG_I64, RD_PG_TIME } rd_pg_kind;

typedef struct rd_pg_value {
    rd_pg_kind kind;
    const char *text; /* RD_PG_TEXT: NUL-terminated */
    rd_bytes bytes;   /* RD_PG_BYTES */
    int64_t number;   /* RD_PG_I64, RD_PG_TIME */
} rd_pg_value;

rd_pg_value rd_pg_null(void);
/* text, jsonb, numeric, or any type in its text form; NULL becomes SQL NULL. */
rd_pg_value rd_pg_text(const char *text);
/* bytea, or any type in its binary form. NULL data with size 0 is an empty value, not SQL NULL. */
rd_pg_value rd_pg_bytes(rd_bytes bytes);
/* uuid; NULL becomes SQL NULL. */
rd_pg_value rd_pg_uuid(const uint8_t id[16]);
/* smallint, integer, bigint, xid8. */
rd_pg_value rd_pg_i64(int64_t value);
rd_pg_value rd_pg_bool(bool value);
/* timestamptz from microseconds since the Unix epoch. */
rd_pg_value rd_pg_time(int64_t time_us);

/* An array parameter ($1::bigint[], uuid[], bytea[], text[], smallint[], integer[], boolean[]). The element type must
 * be the one that the statement declares. Zero-initialise with rd_pg_array_init; free with rd_pg_array_done. */
typedef enum rd_pg_type {
    RD_PG_T_BOOL = 16,
    RD_PG_T_BYTEA = 17,
    RD_PG_T_INT8 = 20,
    RD_PG_T_INT2 = 21,
    RD_PG_T_INT4 = 23,
    RD_PG_T_TEXT = 25,
    RD_PG_T_TIMESTAMPTZ = 1184,
    RD_PG_T_UUID = 2950
} rd_pg_type;

typedef struct rd_pg_array {
    rd_pg_type type;
    size_t count;
    bool has_null;
    rd_buf buf;
} rd_pg_array;

void rd_pg_array_init(rd_pg_array *array, rd_pg_type type);
void rd_pg_array_done(rd_pg_array *array);
/* bool, smallint, integer, bigint, timestamptz (microseconds since the Unix epoch). */
void rd_pg_array_i64(rd_pg_array *array, int64_t value);
/* bytea, uuid (16 bytes), text. */
void rd_pg_array_bytes(rd_pg_array *array, rd_bytes bytes);
void rd_pg_array_null(rd_pg_array *array);
/* The finished parameter, borrowed from the array. An array past 64 MiB is an assertion: callers batch. */
rd_pg_value rd_pg_array_value(rd_pg_array *array);

#endif
