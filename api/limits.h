/* limits: rate limits by token bucket: per token (or session), and per address where nobody is known yet.
 * Used by gate.c for every request. This replica's buckets decide at once, as nobody waits for Redis; what was taken is
 * told to the shared buckets in Redis, whose answer tightens the own ones. Without Redis each replica stands alone.
 * Sets RateLimit, RateLimit-Policy and Retry-After (draft-ietf-httpapi-ratelimit-headers). */
#ifndef API_LIMITS_H
#define API_LIMITS_H

#include "api/request.h"

typedef struct api_limits api_limits;

/* per_second tokens come back each second, burst are there at most. */
typedef struct api_limit_rule {
    const char *name;
    uint32_t per_second, burst;
} api_limit_rule;

api_limits *api_limits_new(const rd_clock *clock);
api_limits *api_limits_free(api_limits *limits);
/* (loop) Shares what is taken from now on, by keys rl:*; NULL: stands alone. Not owned; NULL before it is closed. */
void api_limits_share(api_limits *limits, struct rd_redis *redis);
/* (loop) Tells the shared bucket of a principal what was taken since the last time, at most once in 100 ms. */
void api_limits_report(api_limits *limits, const api_principal *principal);
/* RATE_LIMITED when the bucket of the request's principal is empty. Any thread. */
int api_limits_take_token(api_limits *limits, api_request *request, rd_err *err) RD_NODISCARD;
/* As above for the peer's address, with a narrower rule: login, enrolment. */
int api_limits_take_address(api_limits *limits, api_request *request, rd_err *err) RD_NODISCARD;
/* The bucket itself: true and what is left, or false and microseconds until the next one. */
bool api_limits_take(api_limits *limits, rd_bytes key, const api_limit_rule *rule, uint32_t *ret_left,
                     int64_t *ret_wait_us);

#endif
