/* clock: microseconds from a replaceable source.
 * Used by everything that needs time, as a value handed in, so that tests set it.
 * Leases and time-outs use boot time; wall time is for people, certificates and collateral. */
#ifndef RD_BASE_CLOCK_H
#define RD_BASE_CLOCK_H

#include "common/base/defs.h"

typedef struct rd_clock {
    int64_t (*wall_us)(void *context); /* since the Unix epoch, UTC */
    int64_t (*boot_us)(void *context); /* CLOCK_BOOTTIME: never back, counts suspension */
    void *context;
} rd_clock;

/* The machine's clocks. */
const rd_clock *rd_clock_system(void);

int64_t rd_clock_wall_us(const rd_clock *clock);
int64_t rd_clock_boot_us(const rd_clock *clock);

#endif
