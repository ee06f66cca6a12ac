/* log_hub: log lines of instances, the last few of each app in memory, and their readers (GET /v1/apps/{app}/logs).
 * Nothing is stored: a reader resumes by Last-Event-ID as far as the lines in memory reach, and is told by an event
 * "gap" what it lost, whether it was away too long or reads too slowly. Bounded: lines and bytes an app, apps, readers.
 * Loop thread. */
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
/* Answers the request with a stream: what is in memory (behind last_id, when that is given), "caught-up", then what
 * comes. last_id: Last-Event-ID or NULL; JSON_RANGE when it is none of a log hub's. */
void api_log_hub_read(api_log_hub *hub, struct api_request *request, const rd_app_id *app, const char *last_id);

#endif
