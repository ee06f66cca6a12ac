#include "common/model/instance_state.h"

#include <string.h>

#define TO(state) (1u << (state))

static const char *const phase_names[RD_PHASE_COUNT] = {
    "", "delivered", "launching", "attesting", "serving", "unhealthy", "stopping", "refused", "failed", "stopped",
};

#define TO_END (TO(RD_PHASE_FAILED) | TO(RD_PHASE_STOPPED))
#define TO_SERVING_ON                                                                                                  \
    (TO(RD_PHASE_SERVING) | TO(RD_PHASE_UNHEALTHY) | TO(RD_PHASE_STOPPING) |                                           \
     TO_END) /* reports fold: skipping is legal */

static const unsigned phase_moves[RD_PHASE_COUNT] = {
    [RD_PHASE_NONE] =
        TO(RD_PHASE_DELIVERED) | TO(RD_PHASE_LAUNCHING) | TO(RD_PHASE_ATTESTING) | TO_SERVING_ON | TO(RD_PHASE_REFUSED),
    [RD_PHASE_DELIVERED] = TO(RD_PHASE_LAUNCHING) | TO(RD_PHASE_ATTESTING) | TO_SERVING_ON | TO(RD_PHASE_REFUSED),
    [RD_PHASE_LAUNCHING] = TO(RD_PHASE_ATTESTING) | TO_SERVING_ON,
    [RD_PHASE_ATTESTING] = TO_SERVING_ON,
    [RD_PHASE_SERVING] = TO(RD_PHASE_UNHEALTHY) | TO(RD_PHASE_STOPPING) | TO_END,
    [RD_PHASE_UNHEALTHY] = TO(RD_PHASE_SERVING) | TO(RD_PHASE_STOPPING) | TO_END,
    [RD_PHASE_STOPPING] = TO_END,
};

static const char *const want_names[] = { "", "run", "drain", "stop", "ended" };

static const char *const host_names[RD_HOST_STATE_COUNT] = {
    "",        "enrolled", "reconciling", "ready", "cordoned",    "draining",
    "drained", "retired",  "suspect",     "lost",  "quarantined",
};

/* Any host can be taken out of service; one that is attached goes where its operator's wishes say, back as well. */
#define TO_OUT     (TO(RD_HOST_RETIRED) | TO(RD_HOST_QUARANTINED))
#define TO_SETTLED (TO(RD_HOST_READY) | TO(RD_HOST_CORDONED) | TO(RD_HOST_DRAINING) | TO(RD_HOST_DRAINED))
#define TO_GONE    (TO(RD_HOST_SUSPECT) | TO(RD_HOST_LOST))

static const unsigned host_moves[RD_HOST_STATE_COUNT] = {
    [RD_HOST_ENROLLED] = TO(RD_HOST_RECONCILING) | TO_OUT,
    [RD_HOST_RECONCILING] = TO_SETTLED | TO_GONE | TO_OUT,
    [RD_HOST_READY] = TO_SETTLED | TO_GONE | TO_OUT,
    [RD_HOST_CORDONED] = TO_SETTLED | TO_GONE | TO_OUT,
    [RD_HOST_DRAINING] = TO_SETTLED | TO_GONE | TO_OUT,
    [RD_HOST_DRAINED] = TO_SETTLED | TO_GONE | TO_OUT,
    [RD_HOST_SUSPECT] = TO_SETTLED | TO(RD_HOST_LOST) | TO(RD_HOST_RECONCILING) | TO_OUT,
    [RD_HOST_LOST] = TO(RD_HOST_RECONCILING) | TO_OUT,
    [RD_HOST_QUARANTINED] = TO(RD_HOST_RECONCILING) | TO(RD_HOST_LOST) | TO(RD_HOST_RETIRED),
};

/* The index of a name in a list whose slot 0 is the empty name; 0 when it is none. */
static int find_name(const char *const *names, int count, const char *name)
{
    for (int i = 1; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return 0;
}

const char *rd_phase_name(rd_phase phase)
{
    return (int)phase >= 0 && phase < RD_PHASE_COUNT ? phase_names[phase] : "";
}

rd_phase rd_phase_parse(const char *name)
{
    return (rd_phase)find_name(phase_names, RD_PHASE_COUNT, name);
}

bool rd_phase_is_final(rd_phase phase)
{
    return phase == RD_PHASE_REFUSED || phase == RD_PHASE_FAILED || phase == RD_PHASE_STOPPED;
}

bool rd_phase_ok(rd_phase from, rd_phase to)
{
    if ((unsigned)from >= RD_PHASE_COUNT || (unsigned)to >= RD_PHASE_COUNT)
        return false;
    return phase_moves[from] & TO(to);
}

const char *rd_want_name(rd_want want)
{
    return want >= RD_WANT_RUN && want <= RD_WANT_ENDED ? want_names[want] : "";
}

bool rd_want_parse(const char *name, rd_want *ret)
{
    int found = find_name(want_names, RD_ARRAY_LEN(want_names), name);
    if (found)
        *ret = (rd_want)found;
    return found != 0;
}

bool rd_want_ok(rd_want from, rd_want to)
{
    return from >= RD_WANT_RUN && to <= RD_WANT_ENDED && from < to;
}

const char *rd_host_state_name(rd_host_state state)
{
    return state >= RD_HOST_ENROLLED && state < RD_HOST_STATE_COUNT ? host_names[state] : "";
}

bool rd_host_state_parse(const char *name, rd_host_state *ret)
{
    int found = find_name(host_names, RD_HOST_STATE_COUNT, name);
    if (found)
        *ret = (rd_host_state)found;
    return found != 0;
}

bool rd_host_state_ok(rd_host_state from, rd_host_state to)
{
    if ((unsigned)from >= RD_HOST_STATE_COUNT || (unsigned)to >= RD_HOST_STATE_COUNT)
        return false;
    return from != to && (host_moves[from] & TO(to));
}
