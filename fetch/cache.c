#include "fetch/cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

fetch_entry *fetch_cache_find(fetch_cache *cache, const char *url)
{
    for (size_t i = 0; i < cache->count; i++)
        if (strcmp(cache->items[i]->url, url) == 0) {
            cache->items[i]->used = ++cache->clock;
            return cache->items[i];
        }
    return NULL;
}

static size_t size_of(const fetch_entry *entry)
{
    return entry->body.size + entry->chain.size;
}

static void drop(fetch_cache *cache, size_t index)
{
    fetch_entry *entry = cache->items[index];
    cache->size -= size_of(entry);
    cache->items[index] = cache->items[--cache->count];
    free(entry->url);
    rd_buf_done(&entry->body);
    rd_buf_done(&entry->chain);
    free(entry);
}

static void make_room(fetch_cache *cache, size_t size)
{
    while (cache->count > 0 && (cache->count == FETCH_CACHE_ENTRIES_MAX || cache->size + size > FETCH_CACHE_SIZE_MAX)) {
        size_t oldest = 0;
        for (size_t i = 1; i < cache->count; i++)
            if (cache->items[i]->used < cache->items[oldest]->used)
                oldest = i;
        drop(cache, oldest);
    }
}

fetch_entry *fetch_cache_put(fetch_cache *cache, const char *url, const char *etag, const char *last_modified,
                             rd_buf *body, rd_buf *chain)
{
    fetch_cache_forget(cache, url);
    make_room(cache, body->size + chain->size);
    fetch_entry *entry = rd_alloc(sizeof *entry);
    entry->url = rd_strdup(url);
    (void)snprintf(entry->etag, sizeof entry->etag, "%s", etag);
    (void)snprintf(entry->last_modified, sizeof entry->last_modified, "%s", last_modified);
    entry->body = RD_TAKE(*body);
    entry->chain = RD_TAKE(*chain);
    entry->used = ++cache->clock;
    cache->items[cache->count++] = entry;
    cache->size += size_of(entry);
    return entry;
}

void fetch_cache_forget(fetch_cache *cache, const char *url)
{
    for (size_t i = cache->count; i > 0; i--)
        if (!url || strcmp(cache->items[i - 1]->url, url) == 0)
            drop(cache, i - 1);
}

void fetch_cache_done(fetch_cache *cache)
{
    fetch_cache_forget(cache, NULL);
}
