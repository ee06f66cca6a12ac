#include "common/crypto/secret.h"

#include "common/base/mem.h"
#include "common/crypto/random.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECRET_SIZE_MAX ((size_t)1 << 20)

/* Stands at the front of pages of its own, so that locking and excluding from dumps touch nothing else. */
struct rd_secret {
    size_t size;
    size_t mapped_size;
    bool is_locked;
    uint8_t data[];
};

rd_secret *rd_secret_new(size_t size)
{
    if (size == 0 || size > SECRET_SIZE_MAX)
        abort();
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t mapped_size = (sizeof(rd_secret) + size + page - 1) / page * page;
    rd_secret *secret = mmap(NULL, mapped_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (secret == MAP_FAILED)
        abort();
    secret->size = size;
    secret->mapped_size = mapped_size;
    secret->is_locked = mlock(secret, mapped_size) == 0; /* RLIMIT_MEMLOCK may refuse; the secret still works */
    (void)madvise(secret, mapped_size, MADV_DONTDUMP);
    return secret;
}

rd_secret *rd_secret_copy(rd_bytes bytes)
{
    rd_secret *secret = rd_secret_new(bytes.size);
    memcpy(secret->data, bytes.data, bytes.size);
    return secret;
}

rd_secret *rd_secret_random(size_t size)
{
    rd_secret *secret = rd_secret_new(size);
    rd_random_bytes(secret->data, size);
    return secret;
}

rd_secret *rd_secret_free(rd_secret *secret)
{
    if (!secret)
        return NULL;
    rd_wipe(secret->data, secret->size);
    (void)munmap(secret, secret->mapped_size);
    return NULL;
}

void rd_secret_free_p(rd_secret **secret)
{
    *secret = rd_secret_free(*secret);
}

rd_bytes rd_secret_bytes(const rd_secret *secret)
{
    return rd_bytes_of(secret->data, secret->size);
}

uint8_t *rd_secret_data(rd_secret *secret)
{
    return secret->data;
}

bool rd_secret_equal(const rd_secret *a, const rd_secret *b)
{
    return a->size == b->size && rd_equal_ct(a->data, b->data, a->size);
}

bool rd_secret_is_locked(const rd_secret *secret)
{
    return secret->is_locked;
}
