/* deployment_wait: callers that wait until a deployment is in a state, or is not any more what they saw (long poll, GET
 * /v1/deployments/{dep}/wait). For those who cannot read server-sent events.
 * Woken by the event tail: a waiting caller holds no worker, and is read again only when something of its deployment
 * was committed. Bounded: callers in all and of one organisation, and the time of each. Loop thread. */
#ifndef API_DEPLOYMENT_WAIT_H
#define API_DEPLOYMENT_WAIT_H

#include "api/tail.h"

#define API_WAITS_MAX        4096
#define API_WAITS_OF_ORG_MAX 256
#define API_WAIT_MAX_S       60
#define API_WAIT_STANDARD_S  30

typedef struct api_waits api_waits;

api_waits *api_waits_new(rd_loop *loop);
/* Whoever still waits is answered by the server's own stop. */
api_waits *api_waits_free(api_waits *waits);
/* Every committed event. */
void api_waits_event(api_waits *waits, const api_tail_event *event);

void api_waits_metrics(void *waits, rd_buf *out);

#endif
