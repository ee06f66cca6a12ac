/* log_hub: log lines of instances, the last few of each app in memory, and their readers (GET /v1/apps/{app}/logs).
 * Lossy by design: nothing is stored; a reader that is too slow misses lines and is told how many.
 * Bounded: lines and bytes an app, apps, readers. Loop thread. */
#ifndef API_LOG_HUB_H
#define API_LOG_HUB_H

#include "api/agents.h"
#include "api/reply.h"

#define API_LOG_LINES_MAX   500                 /* of one app */
#define API_LOG_BYTES_MAX   ((size_t)256 << 10) /* of one app */
#define API_LOG_APPS_MAX    2000
#define API_LOG_TEXT_MAX    4096
#define API_LOG_READERS_MAX 2000

typedef struct api_log_hub api_log_hub;

api_log_hub *api_log_hub_new(rd_loop *loop);
api_log_hub *api_log_hub_free(api_log_hub *hub);
void api_log_hub_add(api_log_hub *hub, const api_log_line *line);
/* Answers the request with a stream: what is in memory, then what comes. */
void api_log_hub_read(api_log_hub *hub, struct api_request *request, const rd_app_id *app);

#endif
