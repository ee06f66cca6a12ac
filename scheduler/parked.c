#include "scheduler/parked.h"

#include <stdlib.h>

#include "common/base/mem.h"
#include "common/base/table.h"

#define FIRST_US  60000000
#define MAX_US    600000000
#define COUNT_MAX 10000

typedef struct entry {
    int tries;
    int64_t until_us;
} entry;

struct sched_parked {
    rd_table *by_app;
};

sched_parked *sched_parked_new(void)
{
    sched_parked *parked = rd_alloc(sizeof *parked);
    parked->by_app = rd_table_new(COUNT_MAX);
    return parked;
}

void sched_parked_free(sched_parked *parked)
{
    if (!parked)
        return;
    size_t iterator = 0;
    void *value;
    while (rd_table_next(parked->by_app, &iterator, NULL, &value))
        free(value);
    rd_table_free(parked->by_app);
    free(parked);
}

bool sched_parked_refused(sched_parked *parked, const rd_app_id *app, int64_t now_us)
{
    entry *e = rd_table_get(parked->by_app, RD_BYTES_ARRAY(app->b));
    if (!e) {
        e = rd_alloc(sizeof *e);
        if (!rd_table_set(parked->by_app, RD_BYTES_ARRAY(app->b), e, NULL)) {
            free(e);
            return false;
        }
    }
    if (++e->tries < SCHED_PARKED_TRIES)
        return false;
    int shift = RD_MIN(e->tries - SCHED_PARKED_TRIES, 8);
    e->until_us = now_us + RD_MIN((int64_t)FIRST_US << shift, MAX_US);
    return true;
}

void sched_parked_accepted(sched_parked *parked, const rd_app_id *app)
{
    free(rd_table_remove(parked->by_app, RD_BYTES_ARRAY(app->b)));
}

int64_t sched_parked_until_us(const sched_parked *parked, const rd_app_id *app, int64_t now_us)
{
    const entry *e = rd_table_get(parked->by_app, RD_BYTES_ARRAY(app->b));
    return e && e->until_us > now_us ? e->until_us : 0;
}
