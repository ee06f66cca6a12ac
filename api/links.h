/* links: everything of a replica that is event-driven: agents' links, status intake, invocation, apps origin, event tail.
 * Used by main.c, which starts and stops it, and by REST handlers through the calls marked "any thread".
 * Runs on the loop's thread; never blocks it: SQL is done on threads of its own (control.h). */
#ifndef API_LINKS_H
#define API_LINKS_H

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/io/config.h"
#include "common/io/loop.h"
#include "common/model/ids.h"

typedef struct api_links_config {
    rd_loop *loop;
    const char *database; /* libpq connection string; role rd_ingest is set on it when it exists */
    const char *redis;    /* address as rd_redis takes it */
    rd_id replica;        /* new at each start */
    const char *plane_id; /* cluster.plane_id as text */
    const uint8_t *plane_key; /* 32 bytes, borrowed until stop */
    rd_bytes ca_pem;          /* plane CA: certificate and key, copied */
    rd_bytes ca_key_pem;
    rd_endpoint link_listen;
    const char *link_address; /* what agents dial ("host:port"), for the certificate's names */
    rd_endpoint apps_listen;
    const char *apps_domain;
    const char *blob_dir;           /* blobs by hex digest: <blob_dir>/<hex> */
    rd_bytes collateral;            /* the plane's collateral set, JSON; copied */
    const uint8_t *simulation_root; /* SHA-256 of the simulation root, or NULL: simulated evidence is refused */
    int64_t certificate_term_us;    /* of agents' certificates at renewal; 0: 24 h */
} api_links_config;

typedef struct api_links api_links;

/* Loads routes and agents' state, listens on the link and the apps port. Loop thread. */
int api_links_start(const api_links_config *config, api_links **ret, rd_err *err) RD_NODISCARD;
/* Tells agents "closing", ends links and threads, frees. Loop thread, before the loop ends. Accepts NULL. */
api_links *api_links_stop(api_links *links);
uint16_t api_links_link_port(const api_links *links);
uint16_t api_links_apps_port(const api_links *links);

/* Any thread. Takes over new collateral (copied). */
void api_links_set_collateral(api_links *links, rd_bytes collateral);
/* Any thread. Appends Prometheus text: links, jobs, folds, evidence, requests, latency, pipes, subscribers. */
void api_links_metrics(api_links *links, rd_buf *out);
/* Any thread. Whether this replica's beat and its event tail move: for /readyz. why gets a sentence when not. */
bool api_links_is_ready(api_links *links, char why[128]);
/* Any thread. Closes the link of a host (revocation); harmless when there is none. */
void api_links_close_host(api_links *links, const rd_id *host, const char *reason);

/* One invocation from a REST handler. Strings and bytes are borrowed for the call. */
typedef struct api_invocation {
    rd_app_id app;
    const rd_id *instance; /* NULL: the relay chooses */
    const char *method;
    const char *target; /* path and query, begins with '/' */
    const char *const (*headers)[2]; /* name, value; end-to-end only; already checked for control characters */
    size_t header_count;
    rd_bytes body;
    int64_t timeout_us;    /* 0: the release's limit and some margin */
    size_t response_max;   /* 0: the release's limit */
} api_invocation;

typedef struct api_invocation_header {
    char *name; /* lower case */
    char *value;
} api_invocation_header;

/* Free with api_invocation_result_done. */
typedef struct api_invocation_result {
    int status;
    api_invocation_header headers[64];
    size_t header_count;
    rd_buf body;
    rd_id instance;
    uint64_t epoch;
} api_invocation_result;

/* A worker's thread, never the loop's: waits for the answer, bounded by the time limit.
 * NO_INSTANCE, INSTANCE_GONE, INSTANCE_ELSEWHERE (its link is at another replica), TIMEOUT, TOO_LARGE, CANCELLED. */
int api_links_invoke(api_links *links, const api_invocation *invocation, api_invocation_result *ret,
                     rd_err *err) RD_NODISCARD;
void api_invocation_result_done(api_invocation_result *result);

#endif
