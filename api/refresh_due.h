/* refresh_due: when the plane fetches its collateral next. Used by refresh.c. Pure: times and chance come in. */
#ifndef API_REFRESH_DUE_H
#define API_REFRESH_DUE_H

#include "common/base/defs.h"

#define API_REFRESH_LONGEST_US  (INT64_C(24) * 3600 * 1000000)
#define API_REFRESH_SHORTEST_US (INT64_C(600) * 1000000)
#define API_REFRESH_AGAIN_US    (INT64_C(60) * 1000000)   /* after the first failure; twice as long after each more */
#define API_REFRESH_AWAY_US     (INT64_C(3600) * 1000000) /* at most */

/* After all went well: half of the time that is left to the first end, within the two bounds, up to a tenth earlier.
 * left_us may be negative, or INT64_MAX where nothing ends; chance: any 32 bits. */
int64_t api_refresh_after_success(int64_t left_us, uint32_t chance);
/* After the failures-th failure in a row, half to the whole of the wait. */
int64_t api_refresh_after_failure(int64_t failures, uint32_t chance);

typedef struct api_refresh_last {
    bool was_tried; /* false: never */
    int64_t tried_us, next_us, failures;
} api_refresh_last;

/* The instant of the next one, 0: at once. A set that came since and ends sooner makes it sooner. */
int64_t api_refresh_due(const api_refresh_last *last, int64_t expires_us);

#endif
