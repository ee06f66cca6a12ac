/* follow: looks at something of an app now, and again whenever the app's event stream says so, until it is decided.
 * Used by watch and successor. Nothing is polled, and nothing between a look and the stream is missed: the first look
 * is when the stream is open. */
#ifndef CLI_FOLLOW_H
#define CLI_FOLLOW_H

#include "cli/client.h"

/* 0: done, 1: not yet, -1: err says why not. asker is free for requests while the stream is open. */
typedef int (*cli_look_fn)(void *context, cli_client *asker, rd_err *err);

/* app: an id. deadline_us as for cli_client_events. 0 once a look said so; -1: what a look or the stream said, TIMEOUT.
 */
int cli_follow(cli_context *context, const char *app, cli_look_fn look, void *look_context, int64_t deadline_us,
               rd_err *err) RD_NODISCARD;

#endif
