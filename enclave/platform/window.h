/* window: outsiders' nonces that share one quote (docs/decisions/0026). Whoever comes first is quoted at once; whoever
 * comes within 100 ms of a quote waits for the next, with all others. So what outsiders ask costs at most one quote in
 * 100 ms, and between two of them the TEE is free.
 * Used by the runtime and by the key service, which make the quote and answer. Bounded. Reads no clock. */
#ifndef ENCL_WINDOW_H
#define ENCL_WINDOW_H

#include "common/base/bytes.h"

#define ENCL_WINDOW_US  INT64_C(100000)
#define ENCL_WINDOW_MAX 256 /* askers of one quote */

/* Zero: nobody asks, and nothing was quoted yet. */
typedef struct encl_window {
    uint8_t nonces[ENCL_WINDOW_MAX][32];
    void *askers[ENCL_WINDOW_MAX]; /* borrowed; whose nonces they are */
    size_t count;
    int64_t since_us; /* the first of them came */
    int64_t until_us; /* no quote before */
} encl_window;

/* False: it is full, and the asker comes again later. */
bool encl_window_add(encl_window *window, const uint8_t nonce[32], void *asker, int64_t now_us) RD_NODISCARD;
/* Until the quote should be made; 0: now; -1: nobody asks. */
int64_t encl_window_wait_us(const encl_window *window, int64_t now_us);
/* The quote is due for a whole window: whatever else there is to do, it does not wait for an end of it. */
bool encl_window_is_late(const encl_window *window, int64_t now_us);
/* The quote was made, or could not be: askers are forgotten, and the next window begins. */
void encl_window_end(encl_window *window, int64_t now_us);

#endif
