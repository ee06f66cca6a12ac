/* instance: the lives of instances on this host, each a state table, driven by jobs and by what enclaves say.
 * Used by the agent: applies levels, reports phases, hands sockets to the uplink. A failed instance is reported, never
 * restarted: the scheduler decides. Believes no enclave; the plane verifies the evidence. */
#ifndef AGENT_INSTANCE_H
#define AGENT_INSTANCE_H

#include "agent/blobs.h"
#include "agent/jobs.h"
#include "agent/launcher.h"
#include "agent/pool.h"
#include "agent/reports.h"
#include "agent/splice.h"
#include "common/model/engine_name.h"

#include <jansson.h>

typedef struct agent_capacity {
    uint64_t cpu_m, memory_bytes, slots;
} agent_capacity;

typedef struct agent_instances_config {
    rd_loop *loop;
    agent_launcher *launcher;
    agent_pool *pools[RD_ENGINES]; /* by engine; NULL: not on this host */
    agent_blobs *blobs, *evidence;
    agent_capacity capacity;
    int64_t drain_timeout_us;
    /* The journal was lost: enclaves without a job are kept until the plane says, and nothing new is run. */
    bool has_lost_journal;
    void *context;
    /* A phase to be journaled and sent; evidence may be NULL. */
    void (*on_report)(void *context, const agent_report *report);
    /* An enclave wishes for a grant: agent_instances_next_grant has it. */
    void (*on_grant_wanted)(void *context);
    void (*on_log)(void *context, const char *instance, uint64_t epoch, const char *level, rd_bytes text);
    /* A burst of receipts to be kept. */
    void (*on_receipts)(void *context, const char *instance, uint64_t epoch, rd_bytes record);
    /* The last one has ended (for an orderly stop). */
    void (*on_empty)(void *context);
} agent_instances_config;

typedef struct agent_instances agent_instances;
agent_instances *agent_instances_new(const agent_instances_config *config);
/* Drops all handles; enclaves that still run are left to the launcher. */
agent_instances *agent_instances_free(agent_instances *instances);

/* A level that the plane has set. phase: the last one reported of this lease (NONE for a new job). */
void agent_instances_apply(agent_instances *instances, const agent_job *job, rd_phase phase);
/* After a restart: an enclave that still runs. It is ended when no job wants it. */
void agent_instances_adopt(agent_instances *instances, agent_enclave *enclave);
/* All that could be adopted were: what is missing is started, or reported as failed. */
void agent_instances_adopted(agent_instances *instances);
void agent_instances_blob_arrived(agent_instances *instances);
/* Digests that jobs wait for, appended to a JSON array. */
void agent_instances_needs(agent_instances *instances, json_t *array);
/* [{"instance","epoch","phase"}] of those that have not ended. */
void agent_instances_inventory(agent_instances *instances, json_t *array);
/* Where bytes for a lease go; of one that starts the splices wait. EPOCH_STALE: not the newest or unknown; DRAINING: it
 * takes nothing new. */
int agent_instances_route(agent_instances *instances, const char *instance, uint64_t epoch, const char **ret_socket,
                          agent_splices **ret_splices, rd_err *err) RD_NODISCARD;
/* Fresh status evidence, to come as a report of phase serving. */
int agent_instances_renew(agent_instances *instances, const char *instance, uint64_t epoch, const uint8_t nonce[32],
                          rd_err *err) RD_NODISCARD;
/* A wish for a grant that has not been met. */
typedef struct agent_grant_wish {
    uint64_t serial; /* grows with each wish */
    const char *instance;
    uint64_t epoch;
    rd_bytes bundle;  /* its evidence; empty: it wants a nonce */
    rd_bytes webhook; /* the owner's answer; empty: there is none */
} agent_grant_wish;

/* The first wish after a serial; false: there is none. Borrowed until the next call of anything. */
bool agent_instances_next_grant(const agent_instances *instances, uint64_t after, agent_grant_wish *ret);
/* What comes for such a wish; head as in agent_enclave_nonce. EPOCH_STALE: not the newest, or unknown. */
int agent_instances_grant_nonce(agent_instances *instances, const char *instance, uint64_t epoch,
                                const uint8_t nonce[32], rd_bytes head, rd_err *err) RD_NODISCARD;
int agent_instances_grant(agent_instances *instances, const char *instance, uint64_t epoch, rd_bytes grant,
                          rd_err *err) RD_NODISCARD;
/* It gets none: what has not served fails with this code, what serves goes on until its grant ends. */
int agent_instances_grant_refused(agent_instances *instances, const char *instance, uint64_t epoch, const char *code,
                                  const char *detail, rd_err *err) RD_NODISCARD;
/* Those not ended. */
size_t agent_instances_count(const agent_instances *instances);
agent_capacity agent_instances_used(const agent_instances *instances);
/* Drains all (orderly stop); on_empty follows, at once when there is none. */
void agent_instances_drain_all(agent_instances *instances);
/* Removes the records of leases that ended before the time given; calls forget for each. */
void agent_instances_sweep(agent_instances *instances, int64_t before_us,
                           void (*forget)(void *context, const char *instance, uint64_t epoch), void *context);

#endif
