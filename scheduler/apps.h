/* apps: the apps that have leases or wait for some, and their held leases, in memory.
 * Used by the cycle. A copy: after any doubt the cycle drops it and reads PostgreSQL again. */
#ifndef SCHED_APPS_H
#define SCHED_APPS_H

#include "common/model/ids.h"
#include "scheduler/fleet.h"
#include "scheduler/rollout.h"

typedef struct sched_app sched_app;

/* A held lease. */
typedef struct sched_lease {
    rd_id instance;
    int64_t epoch;
    rd_id org;
    sched_app *app;
    uint32_t host;
    int64_t gen;
    int64_t head_seq; /* the newest head when it was placed: its instance starts under that one or a later one */
    int32_t slot;
    rd_digest release;
    int class; /* 1 replicated, 2 exclusive */
    sched_size size;
    rd_want want;
    rd_phase phase;
    bool is_serving;
    char reason[64];        /* of the report, stable code */
    int64_t drain_since_us; /* boot time; 0: not draining */
    int64_t ttl_us;         /* of the app's leases; exclusive ones are given away only after it has run out */
    bool is_ended;          /* its end is in the plan under way */
} sched_lease;

/* What the API wants of an app: its newest deployment with release and head. */
typedef struct sched_wish {
    rd_id org;
    int app_state; /* 1 live, 2 deleting, 3 deleted */
    bool paused;
    int class;
    int64_t lease_ttl_us;
    rd_id deployment;
    int64_t gen;
    int64_t base_gen;  /* newest generation that is not a scale: leases from there on count as new */
    int64_t head_seq;  /* newest head */
    int64_t fits_from; /* first head that gives instances the same as the newest: leases from there on count as new */
    int kind;          /* 1 deploy, 2 rollback, 3 scale, 4 stop */
    int min;
    int max;
    int surge; /* 0: standard */
    rd_digest release;
    sched_size size;
    bool is_simulated;
    char *tees;
    char *regions;
    char *labels;
    int rollout_state;     /* 0: no row yet */
    bool has_been_healthy; /* this release once served in full; a scale between does not matter */
    char *rollout_reason;
    int rollout_wanted;
    int64_t idle_us;   /* with min = 0: how long it runs on without a call */
    int64_t unused_us; /* since the last call, its health or its acceptance */
    bool has_hold;
    int64_t hold_gen;
    int64_t hold_inst;
    sched_size hold;
} sched_wish;

void sched_wish_done(sched_wish *wish);

struct sched_app {
    rd_app_id id;
    sched_lease **leases;
    size_t lease_count;
    size_t lease_capacity;
    bool is_queued;
    bool wants_turn; /* its last plan was full before it had all it needs */
    bool is_blocked; /* waits for capacity */
    int failures;    /* in a row, of the newest generation under what its newest head gives */
    int faults; /* those of them that the release itself may be to blame for: a refusal is its host's, a no its owner's
                 */
    int64_t failures_gen;
    int64_t failures_head;  /* fits_from then */
    int64_t failures_epoch; /* of the last one: only what was placed after it and serves ends the row */
    int64_t retry_at_us;    /* boot time of the next look; 0: none */
    int64_t called_us;      /* boot time when a call for it was told of; 0: none was. PostgreSQL hears of it later */
    char failure[64];       /* reason code of the last one */
    rd_id refused_by;       /* the last host that ended one of its instances unasked */
    int64_t refused_until_us;
};

typedef struct sched_apps sched_apps;

sched_apps *sched_apps_new(void);
void sched_apps_free(sched_apps *apps);
/* Finds or makes. */
sched_app *sched_apps_get(sched_apps *apps, const rd_app_id *id);
size_t sched_apps_count(const sched_apps *apps);
bool sched_apps_next(const sched_apps *apps, size_t *iterator, sched_app **ret);
/* Forgets an app without leases. */
void sched_apps_drop(sched_apps *apps, sched_app *app);

/* Adds a copy of a lease to its app (lease->app). */
sched_lease *sched_apps_add(sched_apps *apps, const sched_lease *lease);
void sched_apps_remove(sched_apps *apps, sched_lease *lease);
sched_lease *sched_apps_find(const sched_apps *apps, const rd_id *instance, int64_t epoch);

/* Apps to look at, in order of arrival, each once; an app goes behind the others after each turn. */
void sched_apps_enqueue(sched_apps *apps, sched_app *app);
/* NULL when none waits. */
sched_app *sched_apps_dequeue(sched_apps *apps);
size_t sched_apps_waiting(const sched_apps *apps);

#endif
