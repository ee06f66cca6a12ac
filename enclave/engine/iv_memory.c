#include "enclave/engine/iv_memory.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/crypto/hash.h"

#define SLOTS (2 * ENCL_IV_MEMORY) /* a power of two */

/* Open addressing over 64 bits of the pair's hash; the ring says which is the oldest. 0 is an empty slot. */
struct encl_iv_memory {
    uint64_t slots[SLOTS];
    uint64_t ring[ENCL_IV_MEMORY];
    size_t next;
};

encl_iv_memory *encl_iv_memory_new(void)
{
    return rd_alloc(sizeof(encl_iv_memory));
}

encl_iv_memory *encl_iv_memory_free(encl_iv_memory *memory)
{
    free(memory);
    return NULL;
}

static uint64_t tag_of(rd_bytes key, rd_bytes iv)
{
    uint8_t digest[RD_SHA256_SIZE];
    uint8_t key_size = (uint8_t)key.size;
    uint64_t tag;
    rd_hasher hasher;

    rd_hasher_init(&hasher, RD_SHA256);
    rd_hasher_update(&hasher, rd_bytes_of(&key_size, 1));
    rd_hasher_update(&hasher, key);
    rd_hasher_update(&hasher, iv);
    rd_hasher_final(&hasher, digest);
    memcpy(&tag, digest, sizeof(tag));
    return tag == 0 ? 1 : tag;
}

static size_t find(const encl_iv_memory *memory, uint64_t tag)
{
    size_t at = (size_t)tag & (SLOTS - 1);

    while (memory->slots[at] != 0 && memory->slots[at] != tag)
        at = (at + 1) & (SLOTS - 1);
    return at;
}

/* Deletion by moving back, so that no search ends too early (Knuth, 6.4, algorithm R). */
static void forget(encl_iv_memory *memory, uint64_t tag)
{
    size_t hole = find(memory, tag);
    size_t at = hole;

    memory->slots[hole] = 0;
    for (;;) {
        at = (at + 1) & (SLOTS - 1);
        uint64_t moved = memory->slots[at];
        if (moved == 0)
            return;
        size_t home = (size_t)moved & (SLOTS - 1);
        if (((at - home) & (SLOTS - 1)) < ((at - hole) & (SLOTS - 1)))
            continue;
        memory->slots[hole] = moved;
        memory->slots[at] = 0;
        hole = at;
    }
}

bool encl_iv_memory_take(encl_iv_memory *memory, rd_bytes key, rd_bytes iv)
{
    uint64_t tag = tag_of(key, iv);
    size_t at = find(memory, tag);

    if (memory->slots[at] == tag)
        return false;
    if (memory->ring[memory->next] != 0) {
        forget(memory, memory->ring[memory->next]);
        at = find(memory, tag);
    }
    memory->slots[at] = tag;
    memory->ring[memory->next] = tag;
    memory->next = (memory->next + 1) % ENCL_IV_MEMORY;
    return true;
}
