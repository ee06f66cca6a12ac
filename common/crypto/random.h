/* random: random bytes from a replaceable source.
 * Used by whatever draws ids, nonces, salts and keys; tests hand in a deterministic source.
 * The system source aborts rather than give less than it was asked for. */
#ifndef RD_CRYPTO_RANDOM_H
#define RD_CRYPTO_RANDOM_H

#include "common/base/defs.h"

typedef struct rd_random {
    void (*fill)(void *context, void *out, size_t size); /* always fills all of it */
    void *context;
} rd_random;

/* The kernel's generator (getrandom). */
const rd_random *rd_random_system(void);
void rd_random_fill(const rd_random *source, void *out, size_t size);
/* From the system source. */
void rd_random_bytes(void *out, size_t size);

#endif
