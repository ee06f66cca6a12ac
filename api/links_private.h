/* links_private: the parts of the link side as links.c holds them, for its request handlers (routes_invoke.c,
 * routes_sealed.c). Nobody else includes this. Loop thread. */
#ifndef API_LINKS_PRIVATE_H
#define API_LINKS_PRIVATE_H

#include "api/agents.h"
#include "api/apps_listener.h"
#include "api/passthrough.h"
#include "api/deployment_wait.h"
#include "api/kms.h"
#include "api/links.h"
#include "api/log_hub.h"
#include "api/peers.h"
#include "api/reply.h"
#include "api/routes_load.h"
#include "api/sleep.h"
#include "api/tail.h"

#include <stdatomic.h>

struct api_links {
    api_context *context;
    rd_loop *loop;
    rd_pg_async *control;  /* attach, jobs, evidence look-ups, routes, beat */
    rd_pg_async *writer;   /* ingest alone */
    rd_pg_async *follower; /* event tail alone */
    rd_pg_async *receipts; /* receipts of hosts, and records of grants: many bytes, which nobody waits for */
    rd_pg_stmts control_tables[9], receipts_tables[2];
    rd_redis *redis;
    rd_redis_reader *jobs; /* jobs:{replica} */
    char jobs_key[48];
    api_believe *believe;
    api_ingest *ingest;
    api_blob_source *blobs;
    api_relay *relay;
    api_routes_load *routes;
    api_sleep *sleep;
    api_tail *tail;
    api_log_hub *logs;
    api_waits *waits;
    api_kms *kms;
    api_agents *agents;           /* NULL: off */
    api_peers *peers;             /* NULL: off */
    char peer_address[280];       /* where other replicas dial this one; "": nowhere */
    api_apps *apps;               /* NULL: off */
    api_passthrough *passthrough; /* NULL: off */
    rd_timer *beat;
    _Atomic(const char *) why; /* not ready, or NULL; of the last beat */
    bool is_beating;           /* one is under way */
    int64_t beat_us;           /* boot time of the last committed one */
    bool is_stopping;
    unsigned closing; /* connections that are still closing */
};

/* The app is the caller's organisation's. Accepts NULL: it is not. In routes_invoke.c. */
bool api_links_is_own(const api_request *request, const api_app *app);

#endif
