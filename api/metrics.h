/* metrics: counters and histograms of the process in Prometheus text form.
 * Used by server for requests, and by every part that adds its own source of lines.
 * Counters are atomic; sources are called on the loop. */
#ifndef API_METRICS_H
#define API_METRICS_H

#include "common/base/bytes.h"

typedef struct api_metrics api_metrics;

api_metrics *api_metrics_new(void);
api_metrics *api_metrics_free(api_metrics *metrics);
/* One finished request. route is a pattern with the life of the process ("" when none matched). */
void api_metrics_request(api_metrics *metrics, const char *listener, const char *route, int status,
                         int64_t duration_us);
/* write appends whole lines (with # HELP and # TYPE) when /metrics is read. At most 32 sources. */
void api_metrics_source(api_metrics *metrics, void (*write)(void *arg, rd_buf *out), void *arg);
void api_metrics_write(api_metrics *metrics, rd_buf *out);

#endif
