/* failpoint: named places where a test may kill, delay or fail a process, at will.
 * Used by fault tests through REDOUBT_FAILPOINTS="name:kill", "name:sleep:MS" or "name:error", comma separated; with
 * "@N" after the name from the Nth hit on. Compiled to nothing unless REDOUBT_FAILPOINTS is defined. */
#ifndef RD_BASE_FAILPOINT_H
#define RD_BASE_FAILPOINT_H

#include "common/base/defs.h"

typedef enum rd_failpoint {
#define RD_FAILPOINT(symbol, name, where) RD_FP_##symbol,
#include "common/base/failpoints.def"
#undef RD_FAILPOINT
    RD_FP_COUNT
} rd_failpoint;

const char *rd_failpoint_name(rd_failpoint point);

/* True when the point is to fail with an error; does not return for kill; returns after the wait for sleep. */
bool rd_failpoint_hit(rd_failpoint point);

#ifdef REDOUBT_FAILPOINTS
#define RD_FP(symbol) rd_failpoint_hit(RD_FP_##symbol)
#else
#define RD_FP(symbol) false
#endif

#endif
