/* relay_pool: CONNECT pipes to instances, kept open and reused: as many as there are calls in flight, fewer when idle.
 * Used by the relay alone. One call at a time on a pipe. Knows nothing of HTTP.
 * Bounded: pipes an instance, calls that wait for one. Loop thread. */
#ifndef API_RELAY_POOL_H
#define API_RELAY_POOL_H

#include "api/targets.h"
#include "common/io/link.h"

#define API_PIPES_MAX        256u     /* of one instance */
#define API_PIPE_WAITERS_MAX 1000u    /* calls that wait for a pipe of one instance */
#define API_PIPE_IDLE_US     15000000 /* unused for that long: closed, but for one an instance */

typedef struct api_pools api_pools;
typedef struct api_pipe_pool api_pipe_pool;
typedef struct api_pipe api_pipe;

typedef enum api_pipe_loss {
    API_PIPE_STALE,    /* 421: the agent knows a newer lease */
    API_PIPE_DRAINING, /* 503: refused before anything was sent */
    API_PIPE_LOST      /* it broke */
} api_pipe_loss;

/* Who has a pipe, or waits for one. Embedded in the call. */
typedef struct api_pipe_user api_pipe_user;
struct api_pipe_user {
    void (*on_granted)(api_pipe_user *user, api_pipe *pipe); /* after waiting */
    void (*on_open)(api_pipe_user *user);                    /* the agent has connected it; may be NULL */
    size_t (*on_data)(api_pipe_user *user, rd_bytes bytes);  /* as rd_link_stream_events.on_data */
    void (*on_room)(api_pipe_user *user);
    /* The pipe is gone (or none could be had); it must not be touched. was_open: bytes may have reached the instance.
     */
    void (*on_lost)(api_pipe_user *user, api_pipe_loss loss, bool was_open);
    api_pipe_user *next, *previous;
    api_pipe_pool *waiting_in;
};

api_pools *api_pools_new(void);
/* The table that the pools' targets stand in; once, before the first call. */
void api_pools_set_targets(api_pools *pools, api_targets *targets);
/* After all targets are gone. */
api_pools *api_pools_free(api_pools *pools);
/* For api_targets_new: closes the pipes of a target that goes. */
void api_pools_target_gone(void *pools, api_target *target);

/* A pipe at once (*ret), or NULL: the user waits and gets on_granted or on_lost. link is the open one of the target's
 * host. UNAVAILABLE when too many wait. */
int api_pools_take(api_pools *pools, api_target *target, rd_link *link, api_pipe_user *user, int64_t now_us,
                   api_pipe **ret, rd_err *err) RD_NODISCARD;
/* Leaves the queue. */
void api_pools_leave(api_pipe_user *user);
/* Gives a pipe back; without is_reusable it is closed. The user is not called any more. */
void api_pipe_return(api_pipe *pipe, bool is_reusable, int64_t now_us);
rd_link_stream *api_pipe_stream(const api_pipe *pipe);
bool api_pipe_is_open(const api_pipe *pipe);

/* Closes pipes that were idle too long; call every few seconds. */
void api_pools_sweep(api_pools *pools, int64_t now_us);

typedef struct api_pools_stats {
    uint64_t opened, refused, lost;
    size_t open, idle, waiting;
} api_pools_stats;
api_pools_stats api_pools_statistics(const api_pools *pools);

#endif
