/* place: which host gets an instance, or why none does.
 * Used by the cycle. Pure: fleet and need in, host out; the caller takes the capacity.
 * Exact best fit within the classes that the constraints allow; fewer instances of the same app on a host come first.
 */
#ifndef SCHED_PLACE_H
#define SCHED_PLACE_H

#include "scheduler/fleet.h"

/* What an instance asks of its host. Texts are borrowed. */
typedef struct sched_need {
    sched_size size;
    bool is_simulated;   /* class of the head: simulated and hardware never mix */
    const char *tees;    /* comma separated; "" accepts none */
    const char *regions; /* JSON array of text, or "" for any */
    const char *labels;  /* JSON object that the host's labels must contain, or "" */
} sched_need;

/* How many hosts each constraint kept out; a host counts at the first one that it fails, in this order. */
typedef struct sched_why {
    size_t tee; /* other TEE kind, or simulated against hardware */
    size_t region;
    size_t labels;
    size_t state; /* not ready: away, draining, not yet reconciled */
    size_t cpu_m;
    size_t memory;
    size_t slots;
    size_t hosts; /* all */
} sched_why;

/* A bit for each class of the fleet; zero-initialise, free bits. */
typedef struct sched_eligible {
    uint8_t *bits;
    size_t count;
} sched_eligible;

void sched_place_eligible(const sched_fleet *fleet, const sched_need *need, sched_eligible *ret);

/* on_host: instances of the app by host index (or NULL); they weigh more than any fit. SCHED_HOST_NONE when none fits.
 */
uint32_t sched_place_one(const sched_fleet *fleet, const sched_need *need, const sched_eligible *eligible,
                         const uint16_t *on_host);

void sched_place_why(const sched_fleet *fleet, const sched_need *need, sched_why *ret);

#endif
