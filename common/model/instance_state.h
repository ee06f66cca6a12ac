/* instance_state: the life of an instance, what the plane wants of it, and the states of a host, as tables of legal
 * moves. Used by the API, the scheduler, the agent and the instance itself, so that they agree; numbers are those of
 * the database. Keeps no state and reads no clock: callers pass both. */
#ifndef RD_MODEL_INSTANCE_STATE_H
#define RD_MODEL_INSTANCE_STATE_H

#include "common/base/defs.h"

/* What is reported of an instance (lease_status.phase). RD_PHASE_NONE: no report yet. */
typedef enum rd_phase {
    RD_PHASE_NONE = 0,
    RD_PHASE_DELIVERED = 1,
    RD_PHASE_LAUNCHING = 2,
    RD_PHASE_ATTESTING = 3,
    RD_PHASE_SERVING = 4,
    RD_PHASE_UNHEALTHY = 5,
    RD_PHASE_STOPPING = 6,
    RD_PHASE_REFUSED = 7,
    RD_PHASE_FAILED = 8,
    RD_PHASE_STOPPED = 9,
    RD_PHASE_COUNT
} rd_phase;

/* "" for NONE. */
const char *rd_phase_name(rd_phase phase);
/* NONE for unknown names. */
rd_phase rd_phase_parse(const char *name);
/* refused, failed, stopped. */
bool rd_phase_is_final(rd_phase phase);
/* Whether a report may move from one phase to another: forward, skipping allowed, never back except unhealthy to
 * serving, never out of a final phase, never to itself. Any phase that is not final may go to stopped or failed;
 * refused comes from none or delivered alone. */
bool rd_phase_ok(rd_phase from, rd_phase to);

/* What the plane wants (leases.want). */
typedef enum rd_want { RD_WANT_RUN = 1, RD_WANT_DRAIN = 2, RD_WANT_STOP = 3, RD_WANT_ENDED = 4 } rd_want;

const char *rd_want_name(rd_want want); /* "run", "drain", "stop", "ended"; "" for others */
bool rd_want_parse(const char *name, rd_want *ret);
/* run → drain → stop → ended, forward with skipping; never back. */
bool rd_want_ok(rd_want from, rd_want to);

/* hosts.state */
typedef enum rd_host_state {
    RD_HOST_ENROLLED = 1,
    RD_HOST_RECONCILING = 2,
    RD_HOST_READY = 3,
    RD_HOST_CORDONED = 4,
    RD_HOST_DRAINING = 5,
    RD_HOST_DRAINED = 6,
    RD_HOST_RETIRED = 7,
    RD_HOST_SUSPECT = 8,
    RD_HOST_LOST = 9,
    RD_HOST_QUARANTINED = 10,
    RD_HOST_STATE_COUNT
} rd_host_state;

const char *rd_host_state_name(rd_host_state state);
bool rd_host_state_parse(const char *name, rd_host_state *ret);
/* enrolled → reconciling → one of ready, cordoned, draining, drained, and freely among these four, as the operator's
 * wishes are; from all of these → suspect → lost → reconciling, or lost at once; any but retired → retired, and →
 * quarantined → reconciling. A state is no move to itself. */
bool rd_host_state_ok(rd_host_state from, rd_host_state to);

#endif
