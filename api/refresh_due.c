#include "api/refresh_due.h"

static int64_t between(int64_t left_us)
{
    return RD_MIN(RD_MAX(left_us / 2, API_REFRESH_SHORTEST_US), API_REFRESH_LONGEST_US);
}

int64_t api_refresh_after_success(int64_t left_us, uint32_t chance)
{
    int64_t wait_us = between(left_us);
    return wait_us - (int64_t)((uint64_t)(wait_us / 10) * chance >> 32);
}

int64_t api_refresh_after_failure(int64_t failures, uint32_t chance)
{
    int64_t doublings = RD_MIN(RD_MAX(failures, 1) - 1, 6);
    int64_t wait_us = RD_MIN(API_REFRESH_AGAIN_US << doublings, API_REFRESH_AWAY_US);
    return wait_us - (int64_t)((uint64_t)(wait_us / 2) * chance >> 32);
}

int64_t api_refresh_due(const api_refresh_last *last, int64_t expires_us)
{
    if (!last->was_tried)
        return 0;
    if (last->failures > 0 || expires_us == 0)
        return last->next_us;
    return RD_MIN(last->next_us, last->tried_us + between(expires_us - last->tried_us));
}
