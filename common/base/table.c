#include "common/base/table.h"

#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

typedef struct entry {
    uint64_t hash;
    void *value;
    uint8_t *key; /* NULL: free; &tombstone: removed */
    size_t key_size;
} entry;

struct rd_table {
    entry *entries;
    size_t capacity; /* a power of two */
    size_t count;
    size_t used; /* live and removed */
    size_t count_max;
    uint64_t seed[2];
};

static uint8_t tombstone;

/* SipHash-1-3 (Aumasson, Bernstein): enough against chosen keys in a table. */
#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
#define SIP_ROUND                                                                                                      \
    do {                                                                                                               \
        v0 += v1, v1 = ROTL(v1, 13) ^ v0, v0 = ROTL(v0, 32);                                                           \
        v2 += v3, v3 = ROTL(v3, 16) ^ v2;                                                                              \
        v0 += v3, v3 = ROTL(v3, 21) ^ v0;                                                                              \
        v2 += v1, v1 = ROTL(v1, 17) ^ v2, v2 = ROTL(v2, 32);                                                           \
    } while (0)

static uint64_t hash_key(const rd_table *table, rd_bytes key)
{
    uint64_t v0 = table->seed[0] ^ 0x736f6d6570736575u, v1 = table->seed[1] ^ 0x646f72616e646f6du;
    uint64_t v2 = table->seed[0] ^ 0x6c7967656e657261u, v3 = table->seed[1] ^ 0x7465646279746573u;
    size_t whole = key.size & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8) {
        uint64_t word;
        memcpy(&word, key.data + i, 8);
        v3 ^= word;
        SIP_ROUND;
        v0 ^= word;
    }
    uint64_t last = (uint64_t)key.size << 56;
    for (size_t i = whole; i < key.size; i++)
        last |= (uint64_t)key.data[i] << (8 * (i - whole));
    v3 ^= last;
    SIP_ROUND;
    v0 ^= last;
    v2 ^= 0xff;
    SIP_ROUND;
    SIP_ROUND;
    SIP_ROUND;
    return v0 ^ v1 ^ v2 ^ v3;
}

rd_table *rd_table_new(size_t count_max)
{
    rd_table *table = rd_alloc(sizeof *table);
    table->count_max = count_max ? count_max : 1000000;
    table->capacity = 16;
    table->entries = rd_alloc_array(table->capacity, sizeof *table->entries);
    if (getrandom(table->seed, sizeof table->seed, 0) != (ssize_t)sizeof table->seed)
        abort();
    return table;
}

void rd_table_free(rd_table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->capacity; i++)
        if (table->entries[i].key != &tombstone)
            free(table->entries[i].key);
    free(table->entries);
    free(table);
}

void rd_table_free_p(rd_table **table)
{
    rd_table_free(*table);
}

static bool matches(const entry *candidate, uint64_t hash, rd_bytes key)
{
    return candidate->key && candidate->key != &tombstone && candidate->hash == hash &&
           candidate->key_size == key.size && (key.size == 0 || memcmp(candidate->key, key.data, key.size) == 0);
}

/* The entry of the key, or NULL. */
static entry *find(const rd_table *table, uint64_t hash, rd_bytes key)
{
    size_t mask = table->capacity - 1;
    for (size_t i = hash & mask; table->entries[i].key; i = (i + 1) & mask)
        if (matches(&table->entries[i], hash, key))
            return &table->entries[i];
    return NULL;
}

static void place(rd_table *table, entry moved)
{
    size_t mask = table->capacity - 1;
    size_t i = moved.hash & mask;
    while (table->entries[i].key)
        i = (i + 1) & mask;
    table->entries[i] = moved;
}

static void grow(rd_table *table)
{
    if ((table->used + 1) * 4 <= table->capacity * 3)
        return;
    entry *old = table->entries;
    size_t old_capacity = table->capacity;
    if (table->count * 2 >= table->capacity)
        table->capacity *= 2;
    table->entries = rd_alloc_array(table->capacity, sizeof *table->entries);
    table->used = table->count;
    for (size_t i = 0; i < old_capacity; i++)
        if (old[i].key && old[i].key != &tombstone)
            place(table, old[i]);
    free(old);
}

bool rd_table_set(rd_table *table, rd_bytes key, void *value, void **ret_old)
{
    if (ret_old)
        *ret_old = NULL;
    if (key.size > RD_TABLE_KEY_MAX)
        return false;
    uint64_t hash = hash_key(table, key);
    entry *present = find(table, hash, key);
    if (present) {
        if (ret_old)
            *ret_old = present->value;
        present->value = value;
        return true;
    }
    if (table->count == table->count_max)
        return false;
    grow(table);
    uint8_t *copy = rd_alloc(key.size + 1);
    if (key.size)
        memcpy(copy, key.data, key.size);
    place(table, (entry){ hash, value, copy, key.size });
    table->count++;
    table->used++;
    return true;
}

void *rd_table_get(const rd_table *table, rd_bytes key)
{
    if (key.size > RD_TABLE_KEY_MAX)
        return NULL;
    entry *present = find(table, hash_key(table, key), key);
    return present ? present->value : NULL;
}

void *rd_table_remove(rd_table *table, rd_bytes key)
{
    if (key.size > RD_TABLE_KEY_MAX)
        return NULL;
    entry *present = find(table, hash_key(table, key), key);
    if (!present)
        return NULL;
    void *value = present->value;
    free(present->key);
    *present = (entry){ .key = &tombstone };
    table->count--;
    return value;
}

size_t rd_table_count(const rd_table *table)
{
    return table->count;
}

bool rd_table_next(const rd_table *table, size_t *iterator, rd_bytes *ret_key, void **ret_value)
{
    for (; *iterator < table->capacity; (*iterator)++) {
        const entry *candidate = &table->entries[*iterator];
        if (!candidate->key || candidate->key == &tombstone)
            continue;
        if (ret_key)
            *ret_key = (rd_bytes){ candidate->key, candidate->key_size };
        if (ret_value)
            *ret_value = candidate->value;
        (*iterator)++;
        return true;
    }
    return false;
}
