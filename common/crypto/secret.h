/* secret: key material that is locked in memory where the system allows it, kept out of core dumps and wiped on free.
 * Used for seeds, derived keys and tokens while they live. Has no conversion to text, and compares in constant time. */
#ifndef RD_CRYPTO_SECRET_H
#define RD_CRYPTO_SECRET_H

#include "common/base/bytes.h"

typedef struct rd_secret rd_secret;

/* Zeroed, fixed size (1 byte to 1 MiB; else aborts). */
rd_secret *rd_secret_new(size_t size);
/* A copy; the caller wipes its own. */
rd_secret *rd_secret_copy(rd_bytes bytes);
/* size bytes from the system's generator. */
rd_secret *rd_secret_random(size_t size);
/* Wipes and frees; accepts NULL; returns NULL. */
rd_secret *rd_secret_free(rd_secret *secret);
void rd_secret_free_p(rd_secret **secret);

/* Borrowed until the secret is freed. */
rd_bytes rd_secret_bytes(const rd_secret *secret);
uint8_t *rd_secret_data(rd_secret *secret);
bool rd_secret_equal(const rd_secret *a, const rd_secret *b);
/* Whether the kernel agreed to keep it out of swap. */
bool rd_secret_is_locked(const rd_secret *secret);

#endif
