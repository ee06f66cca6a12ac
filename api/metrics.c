#include "api/metrics.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

#define SERIES_MAX  1024
#define SOURCES_MAX 32

static const int64_t bounds_us[] = { 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 1000000, 5000000 };
#define BOUNDS RD_ARRAY_LEN(bounds_us)

/* One listener, route and status. */
typedef struct series {
    const char *listener, *route;
    int status;
    uint64_t count, sum_us;
    uint64_t buckets[BOUNDS];
} series;

typedef struct source {
    void (*write)(void *arg, rd_buf *out);
    void *arg;
} source;

struct api_metrics {
    pthread_mutex_t lock;
    series series[SERIES_MAX];
    size_t series_count;
    source sources[SOURCES_MAX];
    size_t source_count;
};

api_metrics *api_metrics_new(void)
{
    api_metrics *metrics = rd_alloc(sizeof(*metrics));
    pthread_mutex_init(&metrics->lock, NULL);
    return metrics;
}

api_metrics *api_metrics_free(api_metrics *metrics)
{
    if (!metrics)
        return NULL;
    pthread_mutex_destroy(&metrics->lock);
    free(metrics);
    return NULL;
}

static series *find(api_metrics *metrics, const char *listener, const char *route, int status)
{
    for (size_t i = 0; i < metrics->series_count; i++) {
        series *s = &metrics->series[i];
        if (s->route == route && s->listener == listener && s->status == status)
            return s;
    }
    if (metrics->series_count == SERIES_MAX)
        return NULL;
    series *s = &metrics->series[metrics->series_count++];
    *s = (series){ .listener = listener, .route = route, .status = status };
    return s;
}

void api_metrics_request(api_metrics *metrics, const char *listener, const char *route, int status, int64_t duration_us)
{
    if (!metrics)
        return;
    pthread_mutex_lock(&metrics->lock);
    series *s = find(metrics, listener, route, status);
    if (s) {
        s->count++;
        s->sum_us += (uint64_t)duration_us;
        for (size_t i = 0; i < BOUNDS; i++)
            s->buckets[i] += duration_us <= bounds_us[i];
    }
    pthread_mutex_unlock(&metrics->lock);
}

void api_metrics_source(api_metrics *metrics, void (*write)(void *arg, rd_buf *out), void *arg)
{
    if (metrics->source_count < SOURCES_MAX)
        metrics->sources[metrics->source_count++] = (source){ write, arg };
}

static void write_counts(const api_metrics *metrics, rd_buf *out)
{
    rd_buf_append_str(out, "# HELP redoubt_http_requests_total Requests answered.\n"
                           "# TYPE redoubt_http_requests_total counter\n");
    for (size_t i = 0; i < metrics->series_count; i++) {
        const series *s = &metrics->series[i];
        rd_buf_printf(out, "redoubt_http_requests_total{listener=\"%s\",route=\"%s\",status=\"%d\"} %llu\n",
                      s->listener, s->route, s->status, (unsigned long long)s->count);
    }
}

static void write_durations(const api_metrics *metrics, rd_buf *out)
{
    rd_buf_append_str(out, "# HELP redoubt_http_request_seconds Time from request line to the end of the answer.\n"
                           "# TYPE redoubt_http_request_seconds histogram\n");
    for (size_t i = 0; i < metrics->series_count; i++) {
        const series *s = &metrics->series[i];
        for (size_t b = 0; b <= BOUNDS; b++) {
            rd_buf_printf(out, "redoubt_http_request_seconds_bucket{listener=\"%s\",route=\"%s\",status=\"%d\",le=\"",
                          s->listener, s->route, s->status);
            if (b < BOUNDS)
                rd_buf_printf(out, "%lld.%06lld", (long long)(bounds_us[b] / 1000000),
                              (long long)(bounds_us[b] % 1000000));
            else
                rd_buf_append_str(out, "+Inf");
            rd_buf_printf(out, "\"} %llu\n", (unsigned long long)(b < BOUNDS ? s->buckets[b] : s->count));
        }
        rd_buf_printf(out, "redoubt_http_request_seconds_sum{listener=\"%s\",route=\"%s\",status=\"%d\"} %llu.%06llu\n",
                      s->listener, s->route, s->status, (unsigned long long)(s->sum_us / 1000000),
                      (unsigned long long)(s->sum_us % 1000000));
        rd_buf_printf(out, "redoubt_http_request_seconds_count{listener=\"%s\",route=\"%s\",status=\"%d\"} %llu\n",
                      s->listener, s->route, s->status, (unsigned long long)s->count);
    }
}

void api_metrics_write(api_metrics *metrics, rd_buf *out)
{
    pthread_mutex_lock(&metrics->lock);
    write_counts(metrics, out);
    write_durations(metrics, out);
    pthread_mutex_unlock(&metrics->lock);
    for (size_t i = 0; i < metrics->source_count; i++)
        metrics->sources[i].write(metrics->sources[i].arg, out);
}
