/* pool: blank enclaves kept ready, so that an instance starts in milliseconds.
 * Used by jobs: take, specialise, forget. Refills after a taken enclave serves, never in its way.
 * Holds at most `size` blanks and launches one at a time in the background. A blank is ready once its evidence held
 * (launcher's check_blank); one without is ended, and the next is tried later and later. Who finds none ready gets the
 * next blank without waiting for that: the evidence of his own order proves more, and tells him what fails.
 */
#ifndef AGENT_POOL_H
#define AGENT_POOL_H

#include "agent/launcher.h"

typedef struct agent_pool agent_pool;

typedef struct agent_pool_options {
    uint32_t size;           /* blanks kept ready, 0 … 64; 0 launches on demand */
    int64_t refill_delay_us; /* how long after a take refilling waits; default 50 ms */
    int64_t backoff_us_max;  /* longest wait after failed launches; default 30 s */
} agent_pool_options;

/* A blank enclave: set its events at once, it is the caller's from here on. enclave NULL: err says why. */
typedef void (*agent_pool_taken_fn)(void *context, agent_enclave *enclave, const rd_err *err);

/* launcher is borrowed and must outlive the pool. options may be NULL. Begins to fill at once. */
agent_pool *agent_pool_new(agent_launcher *launcher, const agent_pool_options *options);
/* Hands out a ready blank at once (from inside this call), or launches one. At most 256 wait; then UNAVAILABLE.
 * *ret_ticket (may be NULL) cancels a waiting take; 0 when it was served at once. */
int agent_pool_take(agent_pool *pool, agent_pool_taken_fn taken, void *context, uint64_t *ret_ticket,
                    rd_err *err) RD_NODISCARD;
void agent_pool_cancel(agent_pool *pool, uint64_t ticket);
/* Blanks ready now, each of them attested. */
size_t agent_pool_ready_count(const agent_pool *pool);
/* Why the last blank did not get ready; "" once one has. Borrowed until the next turn of the loop. */
const char *agent_pool_trouble(const agent_pool *pool);
/* Ends the blanks; waiting takes get CANCELLED. closed (may be NULL) is called from the loop at the end, when the pool
 * is freed. */
void agent_pool_close(agent_pool *pool, void (*closed)(void *context), void *context);

#endif
