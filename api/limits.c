#include "api/limits.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "api/reply.h"
#include "api/request_private.h"
#include "common/base/mem.h"
#include "common/base/table.h"

#define BUCKETS_MAX 65536
#define SECOND_US   INT64_C(1000000)

static const api_limit_rule token_rule = { "token", 200, 400 };
static const api_limit_rule address_rule = { "address", 20, 100 };

/* GCRA: one time says all: when the bucket would be full again. */
typedef struct bucket {
    int64_t full_at_us;
} bucket;

struct api_limits {
    const rd_clock *clock;
    pthread_mutex_t lock;
    rd_table *buckets;
    int64_t swept_us;
};

api_limits *api_limits_new(const rd_clock *clock)
{
    api_limits *limits = rd_alloc(sizeof(*limits));
    limits->clock = clock;
    limits->buckets = rd_table_new(BUCKETS_MAX);
    pthread_mutex_init(&limits->lock, NULL);
    return limits;
}

static void drop_full(api_limits *limits, int64_t now_us)
{
    size_t iterator = 0;
    rd_bytes key;
    void *value;
    limits->swept_us = now_us;
    while (rd_table_next(limits->buckets, &iterator, &key, &value)) {
        if (((bucket *)value)->full_at_us > now_us)
            continue;
        free(rd_table_remove(limits->buckets, key));
    }
}

api_limits *api_limits_free(api_limits *limits)
{
    if (!limits)
        return NULL;
    drop_full(limits, INT64_MAX);
    rd_table_free(limits->buckets);
    pthread_mutex_destroy(&limits->lock);
    free(limits);
    return NULL;
}

static bucket *bucket_of(api_limits *limits, rd_bytes key, int64_t now_us)
{
    bucket *b = rd_table_get(limits->buckets, key);
    if (b)
        return b;
    if (now_us - limits->swept_us > 60 * SECOND_US || rd_table_count(limits->buckets) >= BUCKETS_MAX)
        drop_full(limits, now_us);
    b = rd_alloc(sizeof(*b));
    if (rd_table_set(limits->buckets, key, b, NULL))
        return b;
    free(b);
    return NULL;
}

bool api_limits_take(api_limits *limits, rd_bytes key, const api_limit_rule *rule, uint32_t *ret_left,
                     int64_t *ret_wait_us)
{
    int64_t now_us = rd_clock_boot_us(limits->clock);
    int64_t each_us = SECOND_US / rule->per_second;
    int64_t span_us = each_us * rule->burst;
    bool is_taken = false;
    *ret_left = 0;
    *ret_wait_us = SECOND_US;
    pthread_mutex_lock(&limits->lock);
    bucket *b = bucket_of(limits, key, now_us);
    if (b) {
        int64_t full_at_us = RD_MAX(b->full_at_us, now_us) + each_us;
        is_taken = full_at_us - now_us <= span_us;
        if (is_taken) {
            b->full_at_us = full_at_us;
            *ret_left = (uint32_t)((span_us - (full_at_us - now_us)) / each_us);
            *ret_wait_us = 0;
        } else {
            *ret_wait_us = full_at_us - now_us - span_us;
        }
    }
    pthread_mutex_unlock(&limits->lock);
    return is_taken;
}

static int take(api_limits *limits, api_request *request, rd_bytes key, const api_limit_rule *rule, rd_err *err)
{
    if (request->route->flags & API_OPS || !limits)
        return 0;
    uint32_t left;
    int64_t wait_us;
    char text[96];
    bool is_taken = api_limits_take(limits, key, rule, &left, &wait_us);
    snprintf(text, sizeof(text), "\"%s\";q=%u;w=%u", rule->name, rule->burst, rule->burst / rule->per_second);
    api_reply_header(request, "RateLimit-Policy", text);
    snprintf(text, sizeof(text), "\"%s\";r=%u;t=%u", rule->name, left,
             is_taken ? 1 : (unsigned)(wait_us / SECOND_US + 1));
    api_reply_header(request, "RateLimit", text);
    if (is_taken)
        return 0;
    snprintf(text, sizeof(text), "%u", (unsigned)(wait_us / SECOND_US + 1));
    api_reply_header(request, "Retry-After", text);
    return rd_err_set(err, RD_E_RATE_LIMITED, "more than %u requests a second", rule->per_second);
}

int api_limits_take_token(api_limits *limits, api_request *request, rd_err *err)
{
    return take(limits, request, RD_BYTES_ARRAY(request->principal.token_id), &token_rule, err);
}

int api_limits_take_address(api_limits *limits, api_request *request, rd_err *err)
{
    char key[80];
    snprintf(key, sizeof(key), "address %s", request->peer);
    return take(limits, request, rd_bytes_str(key), &address_rule, err);
}
