#include "attest/cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

#define ENTRIES_MAX     512
#define SIZE_DEFAULT    ((size_t)8 << 20)
#define OBJECT_ESTIMATE 4096 /* what a parsed object takes beside its bytes */

struct rd_memo {
    unsigned references;
    void *object;
    void (*free_object)(void *object);
    int64_t from_us, until_us;
};

typedef struct entry {
    rd_memo *memo;
    rd_memo_kind kind;
    uint64_t hash; /* of sizes and samples: what is equal has the same, the rest is told by comparing */
    rd_buf key;
    uint64_t used;
} entry;

struct rd_attest_cache {
    pthread_mutex_t mutex;
    entry entries[ENTRIES_MAX];
    size_t count, size, size_max;
    uint64_t clock;
};

/* --- memos --- */

rd_memo *rd_memo_new(void *object, void (*free_object)(void *object))
{
    rd_memo *memo = rd_alloc(sizeof *memo);
    *memo = (rd_memo){
        .references = 1, .object = object, .free_object = free_object, .from_us = INT64_MIN, .until_us = INT64_MAX
    };
    return memo;
}

static rd_memo *memo_ref(rd_memo *memo)
{
    __atomic_add_fetch(&memo->references, 1, __ATOMIC_RELAXED);
    return memo;
}

void rd_memo_unref(rd_memo *memo)
{
    if (!memo || __atomic_sub_fetch(&memo->references, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    memo->free_object(memo->object);
    free(memo);
}

void *rd_memo_object(const rd_memo *memo)
{
    return memo->object;
}

void rd_memo_bound(rd_memo *memo, int64_t from_us, int64_t until_us)
{
    memo->from_us = RD_MAX(memo->from_us, from_us);
    memo->until_us = RD_MIN(memo->until_us, until_us);
}

void rd_memo_bound_chain(rd_memo *memo, const rd_chain *path)
{
    for (size_t i = 0; i < path->count; i++)
        rd_memo_bound(memo, rd_cert_not_before_us(path->items[i]), rd_cert_not_after_us(path->items[i]) + 1000000);
}

/* --- keys --- */

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash ^= value;
    return hash * UINT64_C(0x9e3779b97f4a7c15) ^ hash >> 29;
}

static uint64_t hash_of(const rd_memo_key *key)
{
    uint64_t hash = (uint64_t)key->kind;
    for (size_t i = 0; i < key->count; i++) {
        rd_bytes part = key->parts[i];
        hash = mix(hash, part.size);
        for (size_t k = 0; part.size >= 8 && k < 16; k++) {
            uint64_t sample;
            memcpy(&sample, part.data + (part.size - 8) * k / 15, sizeof sample);
            hash = mix(hash, sample);
        }
    }
    return hash;
}

static void write_key(const rd_memo_key *key, rd_buf *out)
{
    for (size_t i = 0; i < key->count; i++) {
        uint64_t size = key->parts[i].size;
        rd_buf_append(out, &size, sizeof size);
        rd_buf_append_bytes(out, key->parts[i]);
    }
}

static bool equals(const rd_buf *stored, const rd_memo_key *key)
{
    size_t at = 0;
    for (size_t i = 0; i < key->count; i++) {
        uint64_t size = key->parts[i].size;
        if (stored->size - at < sizeof size || memcmp(stored->data + at, &size, sizeof size) != 0)
            return false;
        at += sizeof size;
        if (stored->size - at < size || (size > 0 && memcmp(stored->data + at, key->parts[i].data, size) != 0))
            return false;
        at += size;
    }
    return at == stored->size;
}

/* --- the cache --- */

rd_attest_cache *rd_attest_cache_new(size_t size_max)
{
    rd_attest_cache *cache = rd_alloc(sizeof *cache);
    cache->size_max = size_max ? size_max : SIZE_DEFAULT;
    if (pthread_mutex_init(&cache->mutex, NULL) != 0)
        abort();
    return cache;
}

static void forget(rd_attest_cache *cache, size_t at)
{
    entry *e = &cache->entries[at];
    cache->size -= e->key.size + OBJECT_ESTIMATE;
    rd_memo_unref(e->memo);
    rd_buf_done(&e->key);
    *e = cache->entries[--cache->count];
    cache->entries[cache->count] = (entry){ .memo = NULL };
}

rd_attest_cache *rd_attest_cache_free(rd_attest_cache *cache)
{
    if (!cache)
        return NULL;
    while (cache->count > 0)
        forget(cache, cache->count - 1);
    (void)pthread_mutex_destroy(&cache->mutex);
    free(cache);
    return NULL;
}

void rd_attest_cache_free_p(rd_attest_cache **cache)
{
    *cache = rd_attest_cache_free(*cache);
}

static entry *find(rd_attest_cache *cache, const rd_memo_key *key, uint64_t hash)
{
    for (size_t i = 0; i < cache->count; i++) {
        entry *e = &cache->entries[i];
        if (e->hash == hash && e->kind == key->kind && equals(&e->key, key))
            return e;
    }
    return NULL;
}

rd_memo *rd_cache_find(rd_attest_cache *cache, const rd_memo_key *key, int64_t time_us)
{
    rd_memo *memo = NULL;
    if (!cache)
        return NULL;
    uint64_t hash = hash_of(key);
    (void)pthread_mutex_lock(&cache->mutex);
    entry *e = find(cache, key, hash);
    if (e && time_us >= e->memo->from_us && time_us < e->memo->until_us) {
        e->used = ++cache->clock;
        memo = memo_ref(e->memo);
    }
    (void)pthread_mutex_unlock(&cache->mutex);
    return memo;
}

static void make_room(rd_attest_cache *cache, size_t size)
{
    while (cache->count == ENTRIES_MAX || (cache->count > 0 && cache->size + size > cache->size_max)) {
        size_t oldest = 0;
        for (size_t i = 1; i < cache->count; i++)
            if (cache->entries[i].used < cache->entries[oldest].used)
                oldest = i;
        forget(cache, oldest);
    }
}

static void put(rd_attest_cache *cache, const entry *new)
{
    size_t size = new->key.size + OBJECT_ESTIMATE;
    make_room(cache, size);
    cache->size += size;
    cache->entries[cache->count] = *new;
    cache->entries[cache->count++].used = ++cache->clock;
}

void rd_cache_keep(rd_attest_cache *cache, const rd_memo_key *key, rd_memo *memo)
{
    size_t size = OBJECT_ESTIMATE;
    for (size_t i = 0; i < key->count; i++)
        size += key->parts[i].size + sizeof(uint64_t);
    /* What would push everything else out is not worth its room. */
    if (!cache || size > cache->size_max / 4)
        return;
    /* What takes time is done before the lock: a hash, and a copy of the key. */
    entry new = { .memo = memo_ref(memo), .kind = key->kind, .hash = hash_of(key) };
    write_key(key, &new.key);
    (void)pthread_mutex_lock(&cache->mutex);
    entry *same = find(cache, key, new.hash);
    if (same)
        forget(cache, (size_t)(same - cache->entries));
    put(cache, &new);
    (void)pthread_mutex_unlock(&cache->mutex);
}
