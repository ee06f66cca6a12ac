#include "common/data/pg_value.h"

#include <assert.h>
#include <string.h>

/* Microseconds between 1970-01-01 and 2000-01-01, where PostgreSQL counts from. */
#define PG_EPOCH_US INT64_C(946684800000000)
/* Dimensions, has-null flag, element type, count, lower bound: the header of a one-dimensional binary array. */
#define HEADER_SIZE 20

rd_pg_value rd_pg_null(void)
{
    return (rd_pg_value){ .kind = RD_PG_NULL };
}

rd_pg_value rd_pg_text(const char *text)
{
    return text ? (rd_pg_value){ .kind = RD_PG_TEXT, .text = text } : rd_pg_null();
}

rd_pg_value rd_pg_bytes(rd_bytes bytes)
{
    return (rd_pg_value){ .kind = RD_PG_BYTES, .bytes = bytes };
}

rd_pg_value rd_pg_uuid(const uint8_t id[16])
{
    return id ? rd_pg_bytes(rd_bytes_of(id, 16)) : rd_pg_null();
}

rd_pg_value rd_pg_i64(int64_t value)
{
    return (rd_pg_value){ .kind = RD_PG_I64, .number = value };
}

rd_pg_value rd_pg_bool(bool value)
{
    return rd_pg_text(value ? "t" : "f");
}

rd_pg_value rd_pg_time(int64_t time_us)
{
    return (rd_pg_value){ .kind = RD_PG_TIME, .number = time_us };
}

void rd_pg_array_init(rd_pg_array *array, rd_pg_type type)
{
    *array = (rd_pg_array){ .type = type };
    rd_buf_init(&array->buf, 0);
    static const uint8_t header[HEADER_SIZE];
    (void)rd_buf_append(&array->buf, header, sizeof header);
}

void rd_pg_array_done(rd_pg_array *array)
{
    rd_buf_done(&array->buf);
}

void rd_pg_array_i64(rd_pg_array *array, int64_t value)
{
    rd_buf *buf = &array->buf;
    switch (array->type) {
    case RD_PG_T_BOOL:
        (void)rd_buf_append_u32be(buf, 1);
        (void)rd_buf_append_u8(buf, value != 0);
        break;
    case RD_PG_T_INT2:
        assert(value >= INT16_MIN && value <= INT16_MAX);
        (void)rd_buf_append_u32be(buf, 2);
        (void)rd_buf_append_u16be(buf, (uint16_t)value);
        break;
    case RD_PG_T_INT4:
        assert(value >= INT32_MIN && value <= INT32_MAX);
        (void)rd_buf_append_u32be(buf, 4);
        (void)rd_buf_append_u32be(buf, (uint32_t)value);
        break;
    case RD_PG_T_INT8:
    case RD_PG_T_TIMESTAMPTZ:
        (void)rd_buf_append_u32be(buf, 8);
        (void)rd_buf_append_u64be(buf, (uint64_t)(array->type == RD_PG_T_INT8 ? value : value - PG_EPOCH_US));
        break;
    default:
        assert(!"not an array of numbers");
    }
    array->count++;
}

void rd_pg_array_bytes(rd_pg_array *array, rd_bytes bytes)
{
    assert(array->type == RD_PG_T_BYTEA || array->type == RD_PG_T_TEXT ||
           (array->type == RD_PG_T_UUID && bytes.size == 16));
    (void)rd_buf_append_u32be(&array->buf, (uint32_t)bytes.size);
    (void)rd_buf_append_bytes(&array->buf, bytes);
    array->count++;
}

void rd_pg_array_null(rd_pg_array *array)
{
    (void)rd_buf_append_u32be(&array->buf, UINT32_MAX);
    array->has_null = true;
    array->count++;
}

static void put_u32(uint8_t *out, uint32_t value)
{
    out[0] = (uint8_t)(value >> 24);
    out[1] = (uint8_t)(value >> 16);
    out[2] = (uint8_t)(value >> 8);
    out[3] = (uint8_t)value;
}

rd_pg_value rd_pg_array_value(rd_pg_array *array)
{
    assert(!array->buf.has_failed);
    uint8_t *header = array->buf.data;
    put_u32(header, array->count ? 1 : 0);
    put_u32(header + 4, array->has_null ? 1 : 0);
    put_u32(header + 8, (uint32_t)array->type);
    put_u32(header + 12, (uint32_t)array->count);
    put_u32(header + 16, 1);
    /* An empty array has no dimensions, and so no count and no bound. */
    return rd_pg_bytes(rd_bytes_of(header, array->count ? array->buf.size : 12));
}
