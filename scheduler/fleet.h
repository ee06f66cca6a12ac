/* fleet: the hosts of a shard in memory, as placement needs them: structure of arrays, partitioned by class.
 * Used by the cycle. A copy for speed: PostgreSQL refuses what this copy got wrong.
 * A class is what constraints look at (region, TEE, simulated or not, labels), so that they cost one test a class. */
#ifndef SCHED_FLEET_H
#define SCHED_FLEET_H

#include "common/base/bytes.h"
#include "common/model/ids.h"
#include "common/model/instance_state.h"

#define SCHED_HOST_NONE UINT32_MAX

/* cpu in milli-CPU, memory in bytes, slots in enclaves. */
typedef struct sched_size {
    int64_t cpu_m;
    int64_t mem;
    int64_t slots;
} sched_size;

/* How a host's link ended; host_links.down_cause. */
typedef enum sched_link_end { SCHED_LINK_CLOSED, SCHED_LINK_SILENT, SCHED_LINK_WITH_REPLICA } sched_link_end;

/* A host as PostgreSQL has it (identity, wishes, link, capacity). Texts are owned by the fleet. */
typedef struct sched_host {
    rd_id id;
    rd_id operator_org;
    char *region;
    char *labels; /* canonical text of the jsonb object */
    char *tee;
    bool is_simulated;
    bool is_known; /* has a row in hosts */
    rd_host_state state;
    int64_t state_gen;
    sched_size granted;
    sched_size used;
    int64_t job_seq;
    int64_t lost_session;
    bool wants_cordon;
    bool wants_drain;
    bool is_retired;
    bool is_revoked;
    bool is_marked; /* for quarantine: a mark of ingest that its operator has not released */
    bool link_up;
    sched_link_end link_end; /* of a link that is down */
    int64_t session;
    int64_t reconciled_session;
    rd_id replica;
    bool is_clear; /* a lost host: nothing that was given away lives there any more */
    sched_size reported;
    /* In memory only. */
    int64_t silent_since_us; /* boot time since when there is no contact; 0: in contact */
    uint32_t lease_count;
    uint32_t class_index;
    uint32_t class_pos;
} sched_host;

/* One class: parallel arrays over its hosts. */
typedef struct sched_class {
    char *region;
    char *labels;
    char *tee;
    bool is_simulated;
    size_t count;
    size_t capacity;
    uint32_t *host;
    int64_t *free_cpu_m; /* -1: nothing may be placed */
    int64_t *free_mem;
    int64_t *free_slots;
} sched_class;

typedef struct sched_fleet sched_fleet;

sched_fleet *sched_fleet_new(void);
void sched_fleet_free(sched_fleet *fleet);

/* Adds or replaces a host by its id; takes the three texts; keeps what is in memory only. Returns its index, which is
 * stable. */
uint32_t sched_fleet_put(sched_fleet *fleet, sched_host *host);
size_t sched_fleet_count(const sched_fleet *fleet);
sched_host *sched_fleet_host(const sched_fleet *fleet, uint32_t index);
/* SCHED_HOST_NONE when unknown. */
uint32_t sched_fleet_find(const sched_fleet *fleet, const rd_id *id);
size_t sched_fleet_classes(const sched_fleet *fleet);
const sched_class *sched_fleet_class(const sched_fleet *fleet, size_t index);

/* Moves capacity: negative gives back. */
void sched_fleet_take(sched_fleet *fleet, uint32_t host, const sched_size *size, int sign);
/* After state, link or capacity changed: writes the class arrays again. */
void sched_fleet_refresh(sched_fleet *fleet, uint32_t host);
/* ready, in contact, resynced, neither wished away nor marked. */
bool sched_host_is_open(const sched_host *host);

#endif
