#include "common/data/pg_result.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/data/pg_priv.h"

#define PG_EPOCH_US INT64_C(946684800000000)
#define OID_JSONB   3802

rd_pg_result *rd_pg_result_new(PGresult *res)
{
    rd_pg_result *result = rd_alloc(sizeof *result);
    result->res = res;
    return result;
}

void rd_pg_result_free(rd_pg_result *result)
{
    if (!result)
        return;
    PQclear(result->res);
    free(result);
}

void rd_pg_result_free_p(rd_pg_result **result)
{
    rd_pg_result_free(*result);
    *result = NULL;
}

size_t rd_pg_rows(const rd_pg_result *result)
{
    return result ? (size_t)PQntuples(result->res) : 0;
}

size_t rd_pg_affected(const rd_pg_result *result)
{
    return result ? strtoull(PQcmdTuples(result->res), NULL, 10) : 0;
}

static rd_bytes cell(const rd_pg_result *result, size_t row, int column)
{
    assert(result && row < (size_t)PQntuples(result->res) && column >= 0 && column < PQnfields(result->res));
    if (PQgetisnull(result->res, (int)row, column))
        return RD_BYTES_NULL;
    return rd_bytes_of(PQgetvalue(result->res, (int)row, column), (size_t)PQgetlength(result->res, (int)row, column));
}

bool rd_pg_is_null(const rd_pg_result *result, size_t row, int column)
{
    return !cell(result, row, column).data;
}

int64_t rd_pg_get_i64(const rd_pg_result *result, size_t row, int column)
{
    rd_bytes raw = cell(result, row, column);
    if (!raw.data)
        return 0;
    uint64_t value = 0;
    for (size_t i = 0; i < raw.size; i++)
        value = value << 8 | raw.data[i];
    switch (raw.size) {
    case 1:
        return (int64_t)value;
    case 2:
        return (int16_t)value;
    case 4:
        return (int32_t)value;
    default:
        assert(raw.size == 8);
        return (int64_t)value;
    }
}

bool rd_pg_get_bool(const rd_pg_result *result, size_t row, int column)
{
    rd_bytes raw = cell(result, row, column);
    assert(!raw.data || raw.size == 1);
    return raw.data && raw.data[0];
}

int64_t rd_pg_get_time(const rd_pg_result *result, size_t row, int column)
{
    return rd_pg_is_null(result, row, column) ? 0 : rd_pg_get_i64(result, row, column) + PG_EPOCH_US;
}

rd_bytes rd_pg_get_bytes(const rd_pg_result *result, size_t row, int column)
{
    rd_bytes raw = cell(result, row, column);
    /* The binary form of jsonb is a version byte and the text. */
    if (raw.size && PQftype(result->res, column) == OID_JSONB)
        return rd_bytes_of(raw.data + 1, raw.size - 1);
    return raw;
}

const char *rd_pg_get_text(const rd_pg_result *result, size_t row, int column)
{
    rd_bytes raw = rd_pg_get_bytes(result, row, column);
    return raw.data ? (const char *)raw.data : "";
}

bool rd_pg_get_fixed(const rd_pg_result *result, size_t row, int column, void *out, size_t size)
{
    rd_bytes raw = cell(result, row, column);
    if (raw.size != size || !raw.data) {
        memset(out, 0, size);
        return false;
    }
    memcpy(out, raw.data, size);
    return true;
}
