/* context: what every part of redoubt-api shares: loop, clock, addresses of PostgreSQL and Redis, plane keys, parts.
 * Made by main before anything runs; const for everybody after the start. Parts that live on the loop hang here.
 * Holds no connections: whoever needs PostgreSQL or Redis opens its own from the addresses. */
#ifndef API_CONTEXT_H
#define API_CONTEXT_H

#include <uv.h>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/err.h"

struct api_agents;
struct api_apps;
struct api_auth;
struct api_collateral;
struct api_ingest;
struct api_limits;
struct api_links;
struct api_metrics;
struct api_plane;
struct api_refresh;
struct api_relay;
struct api_server;
struct api_static;
struct api_tail;
struct rd_pg_stmts;
struct rd_redis;

/* Effective options (main.c's table); strings live as long as the process. NULL or "" where not given. */
typedef struct api_config {
    const char *listen;             /* REST and dashboard, "host:port" */
    const char *apps_listen;        /* applications, "host:port"; "": off */
    const char *apps_domain;        /* "apps.localhost" */
    const char *passthrough_listen; /* TLS that ends in enclaves, "host:port"; "": off */
    const char *public_url;         /* how people reach `listen`, without a final slash */
    const char *link_listen;        /* agents dial this, "host:port"; "": off */
    const char *link_address;       /* what enrolment tells agents to dial, "host:port" */
    const char *peer_address;       /* what other replicas dial, "host:port"; "": from link_listen */
    const char *database;           /* libpq connection string */
    const char *redis;              /* "host:port" or "unix:/path" */
    const char *blob_dir;           /* 2 hex digits / 64 hex digits */
    const char *state_dir;          /* plane CA and plane key */
    const char *collateral;         /* file with the collateral set */
    const char *collateral_pcs;     /* services that the plane fetches collateral from; "": it does not */
    const char *collateral_kds;
    const char *collateral_root_crl;
    const char *collateral_scopes; /* "tdx:90c06f000000,snp:Milan" */
    const char *collateral_ca;
    bool collateral_tls12;
    const char *simulation_root; /* SHA-256 of the simulation PKI's root, 64 hex digits; "": none is accepted */
    const char
        *runtime_measurement; /* MRTD of the runtime the quick start built, 96 hex digits; shown, never believed */
    const char *web_dir;
    const char *tls_cert;
    const char *tls_key;
    uint64_t workers;
    uint64_t body_memory; /* bytes, for each of both listeners */
    int log_level;
    /* of `bootstrap` */
    const char *org;
    const char *user;
} api_config;

#define API_CONTEXT_MAGIC 0x61706963u

typedef struct api_context {
    uint32_t magic;
    const api_config *config;
    uv_loop_t *loop; /* the one loop of the process; everything below marked (loop) is touched on it only */
    const rd_clock *clock;
    uint8_t replica_id[16];           /* new at each start */
    char replica[32];                 /* "rpl_…" */
    struct api_plane *plane;          /* plane id, MAC key, CA: plane.h; read-only, any thread */
    struct rd_attest_cache *verified; /* attest.h: chains and collateral verified already; any thread */
    struct api_metrics *metrics;      /* metrics.h; counters are atomic, any thread */
    struct api_auth *auth;            /* auth.h; any thread */
    const struct rd_pg_stmts *stmts;  /* prepared on every worker's connection (store.h) */
    size_t stmts_count;
    struct rd_redis *redis;            /* (loop) hints after commit; NULL: none are sent */
    struct api_collateral *collateral; /* collateral.h; any thread */
    struct api_refresh *refresh;       /* refresh.h; any thread; NULL: the plane does not fetch by itself */
    struct api_limits *limits;         /* (loop) */
    struct api_static *files;          /* (loop) */
    struct api_server *server;         /* (loop) REST listener */
    struct api_agents *agents;         /* (loop) */
    struct api_apps *apps;             /* (loop) applications' listener; NULL when off */
    struct api_ingest *ingest;         /* own thread */
    struct api_relay *relay;           /* (loop) */
    struct api_tail *tail;             /* (loop) */
    struct api_links *links;           /* links.h; NULL: none */
} api_context;

#endif
