/* links: everything of a replica that is event-driven: agents' links, status intake, invocation, apps origin, event
 * tail. Used by main.c, which starts and stops it; REST handlers of the link side (routes.h) find the parts in the
 * context. Lives on the loop's thread and never blocks it: SQL is done on threads of its own (control.h). */
#ifndef API_LINKS_H
#define API_LINKS_H

#include "api/context.h"
#include "common/base/bytes.h"
#include "common/io/loop.h"

typedef struct api_links api_links;

/* Starts ingest, tail, relay, the link listener and the applications' listener as the configuration says, and sets
 * context->{agents,apps,ingest,relay,tail}. context->server, plane, auth and metrics must be there already;
 * loop is what context->loop was taken from. Waits (at most 10 s) until routes and the replica's row are there.
 * Loop thread. */
int api_links_start(api_context *context, rd_loop *loop, api_links **ret, rd_err *err) RD_NODISCARD;
/* Tells agents "closing", ends links, listeners and threads; clears what start had set. After api_server_stop, before
 * the loop ends; handles are closed on the loop: run it once more. Accepts NULL, returns NULL. */
api_links *api_links_stop(api_links *links);
/* The ports really listened on; 0 when off. */
uint16_t api_links_link_port(const api_links *links);
uint16_t api_links_apps_port(const api_links *links);

/* Any thread. Whether this replica's beat and its event tail move: for /readyz. why gets a sentence when not. */
bool api_links_is_ready(api_links *links, char why[128]);
/* Loop thread. Closes the link of a host (it was revoked); harmless when there is none. Revocations made on another
 * replica arrive by the event tail. */
void api_links_close_host(api_links *links, const uint8_t host_id[16], const char *reason);

#endif
