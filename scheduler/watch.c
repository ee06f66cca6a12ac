#include "scheduler/watch.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/table.h"

#define REPLICA_STILL_US 4000000
/* After the end of a link, by how it ended. A host is given up 8 s after it was last heard: six are over when it fell
 * silent; after a link that was closed its agent dials anew, within two seconds and again. */
static const int64_t lost_after_us[] = {
    [SCHED_LINK_CLOSED] = 8000000, [SCHED_LINK_SILENT] = 2000000, [SCHED_LINK_WITH_REPLICA] = 15000000
};
/* A new leader, or a plane that was away, listens before it gives anybody up. */
#define GRACE_US        6000000
#define STORM_WINDOW_US 30000000
#define STORM_MIN       5
#define STORM_PAUSE_US  1000000

typedef struct replica {
    int64_t beat;
    int64_t moved_us;
    uint64_t seen; /* the reading that showed it last */
} replica;

struct sched_watch {
    rd_table *replicas;
    uint64_t readings;
    int64_t started_us;
    int64_t window_us; /* start of the present storm window */
    size_t lost;       /* hosts given up within it */
    int64_t last_lost_us;
    bool is_storm;
};

sched_watch *sched_watch_new(int64_t now_us)
{
    sched_watch *watch = rd_alloc(sizeof *watch);
    watch->replicas = rd_table_new(100000);
    watch->started_us = now_us;
    watch->window_us = now_us;
    return watch;
}

void sched_watch_free(sched_watch *watch)
{
    if (!watch)
        return;
    size_t iterator = 0;
    void *value;
    while (rd_table_next(watch->replicas, &iterator, NULL, &value))
        free(value);
    rd_table_free(watch->replicas);
    free(watch);
}

static replica *replica_of(sched_watch *watch, const sched_beat *beat)
{
    rd_bytes key = RD_BYTES_ARRAY(beat->replica.b);
    replica *known = rd_table_get(watch->replicas, key);
    if (known)
        return known;
    known = rd_alloc(sizeof *known);
    known->beat = beat->beat - 1;
    if (rd_table_set(watch->replicas, key, known, NULL))
        return known;
    free(known);
    return NULL;
}

/* Replicas are new at each start, and the table's rows are swept: what it has no more is forgotten here too. */
static void forget_unseen(sched_watch *watch)
{
    size_t iterator = 0;
    rd_bytes key;
    void *value;
    while (rd_table_next(watch->replicas, &iterator, &key, &value)) {
        if (((const replica *)value)->seen == watch->readings)
            continue;
        (void)rd_table_remove(watch->replicas, key);
        free(value);
    }
}

void sched_watch_beats(sched_watch *watch, const sched_beat *beats, int count, int64_t now_us)
{
    watch->readings++;
    for (int i = 0; i < count; i++) {
        replica *known = replica_of(watch, &beats[i]);
        if (!known)
            continue;
        known->seen = watch->readings;
        if (known->beat != beats[i].beat) {
            known->beat = beats[i].beat;
            known->moved_us = now_us;
        }
    }
    forget_unseen(watch);
}

size_t sched_watch_count(const sched_watch *watch)
{
    return rd_table_count(watch->replicas);
}

static bool replica_is_silent(const sched_watch *watch, const rd_id *id, int64_t now_us)
{
    const replica *known = rd_table_get(watch->replicas, RD_BYTES_ARRAY(id->b));
    return !known || now_us - known->moved_us > REPLICA_STILL_US;
}

void sched_watch_hosts(sched_watch *watch, sched_fleet *fleet, int64_t now_us)
{
    for (uint32_t i = 0; i < sched_fleet_count(fleet); i++) {
        sched_host *host = sched_fleet_host(fleet, i);
        bool is_silent = !host->link_up || replica_is_silent(watch, &host->replica, now_us);
        if (is_silent == (host->silent_since_us != 0))
            continue;
        host->silent_since_us = is_silent ? now_us : 0;
        sched_fleet_refresh(fleet, i);
    }
}

/* When a large part of the fleet falls silent at once the plane's own network is the suspect. */
static bool storm_allows(sched_watch *watch, size_t hosts, int64_t now_us)
{
    if (now_us - watch->window_us > STORM_WINDOW_US) {
        watch->window_us = now_us;
        watch->lost = 0;
        watch->is_storm = false;
    }
    if (watch->lost < RD_MAX((size_t)STORM_MIN, hosts / 10))
        return true;
    if (!watch->is_storm)
        rd_log(RD_ERROR, "storm_limiter", RD_U64("lost", watch->lost), RD_U64("hosts", hosts));
    watch->is_storm = true;
    return now_us - watch->last_lost_us >= STORM_PAUSE_US;
}

bool sched_watch_is_lost(sched_watch *watch, const sched_fleet *fleet, const sched_host *host, int64_t now_us)
{
    if (host->silent_since_us == 0 || now_us - watch->started_us < GRACE_US)
        return false;
    /* A link that is up and in no contact is one whose replica stands still. */
    sched_link_end end = host->link_up ? SCHED_LINK_WITH_REPLICA : host->link_end;
    if (now_us - host->silent_since_us < lost_after_us[end])
        return false;
    if (!storm_allows(watch, sched_fleet_count(fleet), now_us))
        return false;
    watch->lost++;
    watch->last_lost_us = now_us;
    return true;
}
