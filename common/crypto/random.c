#include "common/crypto/random.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

static void fill_from_kernel(void *context RD_UNUSED, void *out, size_t size)
{
    uint8_t *at = out;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort();
        at += got;
        size -= (size_t)got;
    }
}

const rd_random *rd_random_system(void)
{
    static const rd_random kernel = { fill_from_kernel, NULL };
    return &kernel;
}

void rd_random_fill(const rd_random *source, void *out, size_t size)
{
    source->fill(source->context, out, size);
}

void rd_random_bytes(void *out, size_t size)
{
    fill_from_kernel(NULL, out, size);
}
