/* jitter: small uniform numbers that keep those who failed together from trying again together.
 * Used by every back-off of this layer and of the scheduler. Not for secrets. */
#ifndef RD_DATA_JITTER_H
#define RD_DATA_JITTER_H

#include "common/base/defs.h"

/* 0 to bound - 1; 0 for bound 0. */
uint32_t rd_jitter_below(uint32_t bound);

#endif
