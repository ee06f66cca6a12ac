/* agents: the links of agents to this replica: attach, jobs, events, evidence, logs, certificate renewal.
 * Used by links.c; the relay asks it for open links. Order and fences: data-model.md section 8; wire: link.md.
 * Believes of an agent only who it is (its certificate); what it says goes through believe and ingest. Loop thread. */
#ifndef API_AGENTS_H
#define API_AGENTS_H

#include "api/believe.h"
#include "api/blob_source.h"
#include "api/ingest.h"
#include "api/plane.h"
#include "api/targets.h"
#include "common/io/link.h"

typedef struct api_agents api_agents;

/* One log line of an instance, as the agent gave it; texts are borrowed for the call. */
typedef struct api_log_line {
    rd_app_id app;
    uint8_t org[16];
    rd_id instance;
    uint64_t epoch;
    const char *level;
    const char *text;
    int64_t at_us;
    uint64_t dropped; /* lines lost before this one; then text is "" */
} api_log_line;

typedef struct api_agents_options {
    rd_loop *loop;
    const rd_clock *clock;
    rd_pg_async *pg;          /* with api_attach_stmts and api_jobs_stmts prepared */
    rd_pg_async *receipts_pg; /* with api_receipts_stmts and api_grant_log_stmts: what nobody waits for */
    rd_redis *redis;          /* may be NULL */
    api_ingest *ingest;
    api_believe *believe;
    api_blob_source *blobs;
    const api_plane *plane;
    struct api_kms *kms; /* kms.h: who is asked for grants */
    rd_id replica;
    const char *replica_name; /* "rpl_…" */
    rd_endpoint listen;
    /* Routes of this app may have changed: a link opened or closed, a verdict was renewed. */
    void (*on_app)(void *context, const rd_app_id *app);
    /* An instance on a host that is linked here has proved itself; its status is committed next. Taken: callers may be
     * led to it already, and on_app follows. */
    bool (*on_proved)(void *context, const rd_app_id *app, const api_target_row *row);
    /* A link to a host with this key service is open. */
    void (*on_kms)(void *context, const rd_kms_id *kms);
    void (*on_log)(void *context, const api_log_line *line);
    /* Another replica dialled the link port, or its link is gone (peers.h). */
    void (*on_replica)(void *context, rd_link *link, const rd_id *replica, bool is_up);
    void *context;
} api_agents_options;

extern const rd_pg_stmts api_attach_stmts;
extern const rd_pg_stmts api_jobs_stmts;
extern const rd_pg_stmts api_grants_stmts;
extern const rd_pg_stmts api_receipts_stmts;
extern const rd_pg_stmts api_grant_log_stmts;

int api_agents_new(const api_agents_options *options, api_agents **ret, rd_err *err) RD_NODISCARD;
/* Says closing, ends the links and notes them down in PostgreSQL (submitted; the connection sends it before it ends).
 */
api_agents *api_agents_free(api_agents *agents);
uint16_t api_agents_port(const api_agents *agents);
size_t api_agents_count(const api_agents *agents);

/* The link of a host when it is open for CONNECT, or NULL. */
rd_link *api_agents_link(const api_agents *agents, const rd_id *host);
/* The index-th open link of a host that carries a key service, or NULL. */
rd_link *api_agents_kms_link(const api_agents *agents, const rd_kms_id *kms, size_t index);
/* The key services are gone: nothing is asked of them from now on. */
void api_agents_drop_kms(api_agents *agents);
/* A key service can be asked again: instances that wait for a grant of it are looked at. */
void api_agents_kms_ready(api_agents *agents, const rd_kms_id *kms);
/* There may be work for this host in PostgreSQL; nothing happens when its link is not here. */
void api_agents_hint(api_agents *agents, const rd_id *host);
/* Every host of this replica: hints may have been lost. */
void api_agents_hint_all(api_agents *agents);
/* Ends a host's link; harmless when there is none. */
void api_agents_close(api_agents *agents, const rd_id *host, const char *reason);
/* Tells all agents; is remembered for those that come. */
void api_agents_set_degraded(api_agents *agents, bool is_degraded);

void api_agents_metrics(void *agents, rd_buf *out);

#endif
