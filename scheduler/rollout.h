/* rollout: what is wanted and what is there in, next steps out.
 * Used by the cycle, once for each evaluated app. Pure; looks at what serves now, never at what it meant to do. */
#ifndef SCHED_ROLLOUT_H
#define SCHED_ROLLOUT_H

#include "common/model/instance_state.h"

/* One held and live lease, as the step sees it. */
typedef struct sched_actual {
    bool is_new;     /* of the wanted release and generation, under a head that gives what the newest does */
    bool is_serving; /* by the rule of every reader: verdict and all */
    bool is_leaving; /* its host drains */
    rd_want want;
    int64_t age; /* larger is older: the youngest go first when there are too many */
} sched_actual;

typedef struct sched_wanted {
    int count;    /* instances that should serve; 0 stops all */
    int surge;    /* how many more may exist while rolling, at least 1 */
    bool paused;  /* no new steps; running ones stay */
    bool is_stop; /* stop at once instead of draining */
} sched_wanted;

typedef struct sched_step {
    int start;      /* new instances to place */
    rd_want *wants; /* by index of the actual ones; 0: leave it. The caller's array */
    int new_serving;
    int new_live;
    int old_live;
    bool is_settled; /* everything wanted serves and nothing old lives */
} sched_step;

/* wants: room for count values. */
void sched_rollout_step(const sched_wanted *wanted, const sched_actual *actual, int count, rd_want *wants,
                        sched_step *ret);

/* How long a new try waits after so many failures in a row: 0, then 1 s doubling to 5 min. */
int64_t sched_rollout_delay_us(int failures);

#endif
