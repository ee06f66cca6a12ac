#include "api/limits.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "api/reply.h"
#include "api/request_private.h"
#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/base/text.h"
#include "common/data/redis.h"

#define BUCKETS_MAX 65536
#define SECOND_US   INT64_C(1000000)
#define REPORT_US   INT64_C(100000)

static const api_limit_rule token_rule = { "token", 200, 400 };
static const api_limit_rule address_rule = { "address", 20, 100 };

/* GCRA: one time says all: when the bucket would be full again. */
typedef struct bucket {
    int64_t full_at_us;
    int64_t reported_us;
    uint32_t unreported;
} bucket;

/* KEYS[1]: the bucket. ARGV: microseconds of one token, of the whole burst, tokens taken. Answers how far the bucket is
 * from full, by Redis's clock. */
static const char share_script[] =
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000000 + t[2]\n"
    "local full = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now) + ARGV[1] * ARGV[3]\n"
    "full = math.min(full, now + ARGV[2])\n"
    "redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', 3600000)\n"
    "return string.format('%.0f', full - now)\n";

struct api_limits {
    const rd_clock *clock;
    pthread_mutex_t lock;
    rd_table *buckets;
    int64_t swept_us;
    rd_redis *redis; /* (loop) NULL: stands alone */
    rd_redis_script script;
};

/* A report on its way. */
typedef struct report {
    api_limits *limits;
    uint8_t key[16];
} report;

api_limits *api_limits_new(const rd_clock *clock)
{
    api_limits *limits = rd_alloc(sizeof(*limits));
    limits->clock = clock;
    limits->buckets = rd_table_new(BUCKETS_MAX);
    pthread_mutex_init(&limits->lock, NULL);
    limits->script.text = share_script;
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
            b->unreported++;
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

/* --- the shared buckets --- */

void api_limits_share(api_limits *limits, rd_redis *redis)
{
    limits->redis = redis;
}

static void on_shared(void *context, const rd_redis_reply *reply)
{
    report *r = context;
    uint64_t debt_us;
    rd_bytes text =
        reply && rd_redis_reply_kind(reply) == RD_REDIS_STRING ? rd_redis_reply_bytes(reply) : RD_BYTES_NULL;
    if (text.size > 0 && rd_parse_u64((const char *)text.data, text.size, INT64_MAX / 2, &debt_us) == 0) {
        int64_t now_us = rd_clock_boot_us(r->limits->clock);
        pthread_mutex_lock(&r->limits->lock);
        bucket *b = rd_table_get(r->limits->buckets, RD_BYTES_ARRAY(r->key));
        if (b)
            b->full_at_us = RD_MAX(b->full_at_us, now_us + (int64_t)debt_us);
        pthread_mutex_unlock(&r->limits->lock);
    }
    free(r);
}

/* How many tokens are due to be told; 0: none, or told a moment ago. */
static uint32_t due_report(api_limits *limits, rd_bytes key)
{
    uint32_t count = 0;
    int64_t now_us = rd_clock_boot_us(limits->clock);
    pthread_mutex_lock(&limits->lock);
    bucket *b = rd_table_get(limits->buckets, key);
    if (b && b->unreported > 0 && now_us - b->reported_us >= REPORT_US) {
        count = b->unreported;
        b->unreported = 0;
        b->reported_us = now_us;
    }
    pthread_mutex_unlock(&limits->lock);
    return count;
}

void api_limits_report(api_limits *limits, const api_principal *principal)
{
    if (!limits || !limits->redis)
        return;
    uint32_t count = due_report(limits, RD_BYTES_ARRAY(principal->token_id));
    if (count == 0)
        return;
    char org[33], token[33], key[80], each[24], span[24], taken[16];
    int64_t each_us = SECOND_US / token_rule.per_second;
    rd_hex_encode(RD_BYTES_ARRAY(principal->org_id), org);
    rd_hex_encode(RD_BYTES_ARRAY(principal->token_id), token);
    snprintf(key, sizeof(key), "rl:%s:%s", org, token);
    snprintf(each, sizeof(each), "%lld", (long long)each_us);
    snprintf(span, sizeof(span), "%lld", (long long)each_us * token_rule.burst);
    snprintf(taken, sizeof(taken), "%u", count);
    rd_bytes keys[] = { rd_bytes_str(key) };
    rd_bytes args[] = { rd_bytes_str(each), rd_bytes_str(span), rd_bytes_str(taken) };
    report *r = rd_alloc(sizeof(*r));
    r->limits = limits;
    memcpy(r->key, principal->token_id, sizeof(r->key));
    rd_err ignored = RD_ERR_INIT;
    if (rd_redis_eval(limits->redis, &limits->script, keys, 1, args, 3, on_shared, r, &ignored) < 0)
        free(r);
}
