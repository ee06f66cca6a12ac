/* ingest: what agents said, folded and written: status, verdicts, evidence, events, evaluations, acknowledgements.
 * Used by the agents' links. One transaction at a time; what comes meanwhile is folded (newest of a lease) into the
 * next, which starts when the one before ends: an outcome waits for nothing else; steps on the way to it and
 * acknowledgements wait for it, 25 ms at most. data-model.md, T4 and T5. Loop thread. */
#ifndef API_INGEST_H
#define API_INGEST_H

#include "api/believe.h"
#include "common/data/redis.h"
#include "common/model/instance_state.h"

#define API_INGEST_LEASES_MAX  1000  /* in one transaction */
#define API_INGEST_WAITING_MAX 50000 /* leases that wait; past it links pause reading */

typedef struct api_ingest api_ingest;

typedef struct api_report {
    rd_id host, instance; /* host: from the link's certificate */
    uint64_t epoch;
    int64_t incarnation, seq;
    rd_phase phase;
    char reason[65];
    char detail[512];
} api_report;

typedef struct api_ingest_options {
    rd_loop *loop;
    rd_pg_async *pg; /* with api_ingest_stmts prepared; no one else's */
    rd_redis *redis; /* may be NULL: no hints */
    /* Status of these apps changed: routes are to be looked at. */
    void (*on_app)(void *context, const rd_app_id *app);
    void *context;
} api_ingest_options;

extern const rd_pg_stmts api_ingest_stmts;

api_ingest *api_ingest_new(const api_ingest_options *options);
/* Callbacks still due are called with false. */
api_ingest *api_ingest_free(api_ingest *ingest);
bool api_ingest_is_full(const api_ingest *ingest);

/* is_durable: committed (or parked as poison, which was logged): the agent may forget it. */
typedef void (*api_ingest_fn)(void *context, bool is_durable);
/* verdict (may be NULL) is taken. done may be NULL. */
void api_ingest_add(api_ingest *ingest, const api_report *report, api_verdict *verdict, api_ingest_fn done,
                    void *context);
/* A verdict without news of the phase (renewals). */
void api_ingest_verdict(api_ingest *ingest, api_verdict *verdict);
/* The agent's floor and acknowledged event number, while `session` is the host's newest. */
void api_ingest_ack(api_ingest *ingest, const rd_id *host, int64_t session, int64_t acked_seq, int64_t event_seq);

void api_ingest_metrics(void *ingest, rd_buf *out);

#endif
