/* pg_batch: the inside of a batch, shared by the files of the asynchronous client; nothing else includes it. */
#ifndef RD_DATA_PG_BATCH_H
#define RD_DATA_PG_BATCH_H

#include "common/data/pg_async.h"

typedef struct rd_pg_item {
    const char *stmt;
    rd_pg_value *values; /* with memory of their own */
    size_t count;
} rd_pg_item;

struct rd_pg_batch {
    bool has_org;
    uint8_t org[16];
    rd_pg_item items[RD_PG_QUEUE_MAX];
    size_t count;
    int tries;
    rd_pg_batch_fn done;
    void *context;
    rd_pg_batch *next;
};

#endif
