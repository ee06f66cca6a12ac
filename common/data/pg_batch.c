#include "common/data/pg_batch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

rd_pg_batch *rd_pg_batch_new(const uint8_t org[16])
{
    rd_pg_batch *batch = rd_alloc(sizeof *batch);
    batch->has_org = org != NULL;
    if (org)
        memcpy(batch->org, org, sizeof batch->org);
    return batch;
}

void rd_pg_batch_free(rd_pg_batch *batch)
{
    if (!batch)
        return;
    for (size_t i = 0; i < batch->count; i++) {
        for (size_t k = 0; k < batch->items[i].count; k++) {
            free((void *)batch->items[i].values[k].text);
            free((void *)batch->items[i].values[k].bytes.data);
        }
        free(batch->items[i].values);
    }
    free(batch);
}

static rd_pg_value copy_value(const rd_pg_value *value)
{
    rd_pg_value copy = *value;
    copy.text = value->kind == RD_PG_TEXT && value->text ? rd_strdup(value->text) : NULL;
    copy.bytes = RD_BYTES_NULL;
    if (value->kind == RD_PG_BYTES) {
        uint8_t *bytes = rd_alloc(value->bytes.size + 1);
        if (value->bytes.size)
            memcpy(bytes, value->bytes.data, value->bytes.size);
        copy.bytes = rd_bytes_of(bytes, value->bytes.size);
    }
    return copy;
}

void rd_pg_batch_add(rd_pg_batch *batch, const char *stmt, const rd_pg_value *args, size_t arg_count)
{
    assert(batch->count < RD_PG_QUEUE_MAX);
    rd_pg_item *item = &batch->items[batch->count++];
    *item = (rd_pg_item){ .stmt = stmt, .values = rd_alloc_array(arg_count, sizeof *item->values), .count = arg_count };
    for (size_t i = 0; i < arg_count; i++)
        item->values[i] = copy_value(&args[i]);
}

size_t rd_pg_batch_count(const rd_pg_batch *batch)
{
    return batch->count;
}
