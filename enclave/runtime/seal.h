/* seal: an instance's keys for sealed requests, and which requests it has taken already.
 * Used by identity, whose evidence names the keys, and by the exchange, which opens requests with them. A key lives an
 * hour at most and is wiped then; another is drawn when half of that is over or many requests came, so that what a
 * caller has just verified still opens. A request runs once: its enc is remembered as long as its key.
 */
#ifndef ENCL_SEAL_H
#define ENCL_SEAL_H

#include "common/base/clock.h"
#include "common/model/ohttp.h"
#include "enclave/platform/platform.h"

#define ENCL_SEAL_OLD_US (INT64_C(30) * 60 * 1000000)
#define ENCL_SEAL_END_US (INT64_C(60) * 60 * 1000000)

/* How many requests a key opens: from the first number on evidence names another key, after the second it takes no
 * more.
 */
typedef struct encl_seal_limits {
    size_t taken_many, taken_max;
} encl_seal_limits;

#define ENCL_SEAL_LIMITS ((encl_seal_limits){ (size_t)32 << 10, (size_t)96 << 10 })

typedef struct encl_seal encl_seal;

/* Draws the first key. platform and clock are borrowed. Errors: those of encl_platform_random. */
int encl_seal_new(encl_platform *platform, const rd_clock *clock, encl_seal_limits limits, encl_seal **ret,
                  rd_err *err) RD_NODISCARD;
/* Wipes the keys. */
encl_seal *encl_seal_free(encl_seal *seal);
void encl_seal_free_p(encl_seal **seal);

/* application/ohttp-keys with the newest key, the same bytes for every caller; draws another when that one is old. */
int encl_seal_keys(encl_seal *seal, uint8_t out[RD_OHTTP_KEYS_SIZE], rd_err *err) RD_NODISCARD;
/* Opens a request, whole or in chunks, appending its message. Another key, a change on the way and a repetition are all
 * the same SEAL. */
int encl_seal_open(encl_seal *seal, bool is_chunked, rd_bytes sealed, rd_ohttp *ret, rd_buf *message,
                   rd_err *err) RD_NODISCARD;
/* For answers. Borrowed. */
const rd_random *encl_seal_random(const encl_seal *seal);

/* Wipes what has ended. */
void encl_seal_tidy(encl_seal *seal);
/* Milliseconds until encl_seal_tidy has something to wipe; -1: nothing. */
int encl_seal_timeout_ms(const encl_seal *seal);

#endif
