/* cache: what a service answered, with the validators that ask whether it still does.
 * Used by http.c. Bounded: the entry that was not asked for longest leaves first. */
#ifndef FETCH_CACHE_H
#define FETCH_CACHE_H

#include "common/base/bytes.h"

#define FETCH_CACHE_ENTRIES_MAX 256
#define FETCH_CACHE_SIZE_MAX    ((size_t)8 << 20)

typedef struct fetch_entry {
    char *url;
    char etag[256], last_modified[64];
    rd_buf body, chain;
    uint64_t used;
    uint64_t run; /* of http.c: when the service last said that this is it */
} fetch_entry;

/* Zero-initialise. */
typedef struct fetch_cache {
    fetch_entry *items[FETCH_CACHE_ENTRIES_MAX];
    size_t count, size;
    uint64_t clock;
} fetch_cache;

/* NULL when nothing is known of it. */
fetch_entry *fetch_cache_find(fetch_cache *cache, const char *url);
/* Takes body and chain over, in the place of what was there. Never fails: what is too large to keep is kept until the
 * next put. */
fetch_entry *fetch_cache_put(fetch_cache *cache, const char *url, const char *etag, const char *last_modified,
                             rd_buf *body, rd_buf *chain);
/* What it answered was of no use: ask without conditions. NULL: all of it. */
void fetch_cache_forget(fetch_cache *cache, const char *url);
void fetch_cache_done(fetch_cache *cache);

#endif
