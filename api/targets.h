/* targets: which apps exist, and which of their instances may be called: live lease, serving, verdict not run out.
 * Used by the relay for each call; filled from PostgreSQL by routes_load.c (levels: the whole of an app at a time).
 * Knows nothing of links and sockets; keeps no clock: callers pass the time. Loop thread. */
#ifndef API_TARGETS_H
#define API_TARGETS_H

#include "common/base/table.h"
#include "common/model/ids.h"

#define API_TARGETS_PER_APP_MAX 10000
#define API_TARGET_AVOID_US     2000000 /* after a refusal; what is known is loaded again meanwhile */

typedef struct api_app api_app;

/* What a call must keep to; from the release. */
typedef struct api_target_limits {
    uint64_t request_bytes, response_bytes;
    int64_t time_us;
    bool is_open;  /* callers need no token */
    bool is_plain; /* requests may come unsealed */
} api_target_limits;

/* One instance. Lives until targets_replace leaves it out and nobody holds it. */
typedef struct api_target {
    rd_id instance;
    uint64_t epoch;
    rd_id host;
    rd_id replica; /* that had the host's link when this was loaded; zero: none */
    rd_digest release;
    int64_t valid_until_us; /* wall clock: end of its verdict */
    api_target_limits limits;
    uint32_t in_flight;
    uint32_t passed;        /* of these: connections that are passed through */
    int64_t avoid_until_us; /* wall clock: it, or its agent, refused calls a moment ago */
    bool is_starting;       /* offered before it serves: calls wait at its agent */
    bool is_gone;           /* left out of the table; freed with the last holder */
    uint32_t holders;
    uint64_t version; /* of the last load that named it */
    void *pool;       /* relay_pool's, freed by on_gone */
    api_app *app;
    char authority[64]; /* "ins_….epoch" */
} api_target;

struct api_app {
    rd_app_id id;
    uint8_t org[16];
    bool is_paused;
    bool sleeps;         /* runs only when called: calls wait for an instance */
    int64_t looked_us;   /* boot time: when a caller last had it loaded anew for want of an instance */
    bool is_open_asleep; /* the release that would wake takes callers without a token */
    int64_t shard;       /* whose scheduler runs it */
    bool was_used;       /* called since the last look of sleep.c */
    uint64_t version;    /* of the load that filled it */
    bool has_limits;     /* an instance was known once: what calls to its release must keep to */
    rd_digest release;
    api_target_limits limits;
    api_target **targets;
    size_t count;
    size_t next; /* where the search begins: spreads equal ones */
};

typedef struct api_targets api_targets;
/* on_gone is called when a target is about to be freed (its pool goes with it). */
api_targets *api_targets_new(void (*on_gone)(void *context, api_target *target), void *context);
api_targets *api_targets_free(api_targets *targets);
/* on_settled: after a load nothing of an app need be waited for: it has instances, or is paused, never asleep, or gone.
 * It may call what it likes but api_targets_replace. */
void api_targets_on_settled(api_targets *targets, void (*on_settled)(void *context, const api_app *app), void *context);

/* One row of a load. */
typedef struct api_target_row {
    rd_id instance;
    uint64_t epoch;
    rd_id host;
    rd_id replica;
    rd_digest release;
    int64_t valid_until_us;
    api_target_limits limits;
    bool is_starting; /* of an offer: it does not serve yet, and is for who would wait otherwise */
} api_target_row;

typedef struct api_app_row {
    rd_app_id id;
    uint8_t org[16];
    bool is_live; /* false: the app is gone */
    bool is_paused;
    bool sleeps, is_open_asleep;
    int64_t shard;
} api_app_row;

/* Sets all that is known of an app. Instances that stay (same epoch) keep calls and pipes; of two epochs of one
 * instance the newer stays. Loads older than what stands (by version) change nothing. */
void api_targets_replace(api_targets *targets, uint64_t version, const api_app_row *app, const api_target_row *rows,
                         size_t count);
/* An instance whose evidence was accepted a moment ago and whose status is on its way to PostgreSQL: callers who wait
 * are led to it now, and the next load has the last word. limits of the row are not read. False: the app's last
 * instance was of another release, nobody may be led, or one that starts is not needed beside those that serve. */
bool api_targets_offer(api_targets *targets, const rd_app_id *app, const api_target_row *row);
api_app *api_targets_app(const api_targets *targets, const rd_app_id *app);
/* The target of an instance with its newest epoch, or NULL. */
api_target *api_targets_instance(const api_targets *targets, const rd_id *instance);
size_t api_targets_app_count(const api_targets *targets);
size_t api_targets_count(const api_targets *targets);
/* Visits all apps; start with *iterator = 0. */
bool api_targets_next_app(const api_targets *targets, size_t *iterator, api_app **ret);
/* Calls to it are in flight here. */
bool api_app_is_busy(const api_app *app);
/* Callers need no token: every instance that may be chosen, or the release that would wake, says so. */
bool api_app_is_open(const api_app *app);
/* Visits all targets; start with *iterator = 0. */
bool api_targets_next(const api_targets *targets, size_t *iterator, api_target **ret);

/* How a target is reached now; of equally busy ones the nearer is taken. */
typedef enum api_reach { API_REACH_NOT, API_REACH_PEER, API_REACH_OWN } api_reach;

/* What a choice looks at besides the table. */
typedef struct api_pick {
    int64_t now_us;                                              /* wall clock */
    api_reach (*reach)(void *context, const api_target *target); /* NULL: all are near */
    void *context;
    const api_target *const *tried; /* not these again */
    size_t tried_count;
} api_pick;

/* Least calls in flight among those that serve; beyond 16 instances of some drawn ones. NULL: none; *ret_elsewhere then
 * says whether one would serve that cannot be reached from here. */
api_target *api_targets_pick(api_app *app, const api_pick *pick, bool *ret_elsewhere);
bool api_target_is_valid(const api_target *target, int64_t now_us);
void api_target_hold(api_target *target);
void api_target_release(api_targets *targets, api_target *target);

#endif
