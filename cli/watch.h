/* watch: follows a deployment until it serves, fails, or the time is up, and shows its stages.
 * Used by deploy and by deployments watch. Nothing is polled: the event stream says when to look. */
#ifndef CLI_WATCH_H
#define CLI_WATCH_H

#include "cli/client.h"

typedef struct cli_watch {
    cli_context *context;
    const char *app; /* id: the stream is opened for it */
    /* Makes the deployment once the stream is open, or returns the id of one that exists. Fills deployment_id. */
    int (*start)(struct cli_watch *watch, void *start_context, rd_err *err);
    void *start_context;
    char deployment_id[40];
    json_t *last;     /* the deployment as last seen; owned by the caller */
    size_t shown;     /* stages printed so far */
    int64_t start_us; /* boot time when it was accepted */
} cli_watch;

/* 0: serving. CLI_DEPLOY_FAILED with the reason, TIMEOUT, CANCELLED, or a transport error. */
int cli_watch_run(cli_watch *watch, int64_t timeout_us, rd_err *err) RD_NODISCARD;

#endif
