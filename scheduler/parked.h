/* parked: apps whose plans the database refused, kept out of further plans for a while.
 * Used by the cycle; outlives its copy of the fleet, which a failure drops. Bounded: past it nothing more is parked. */
#ifndef SCHED_PARKED_H
#define SCHED_PARKED_H

#include "common/model/ids.h"

/* Refused so often, at first with others in its plan and then alone, an app is parked for 60 s, doubling to 10 min. */
#define SCHED_PARKED_TRIES 5

typedef struct sched_parked sched_parked;

sched_parked *sched_parked_new(void);
void sched_parked_free(sched_parked *parked);
/* A plan of this app alone was refused; returns true when it is parked now. */
bool sched_parked_refused(sched_parked *parked, const rd_app_id *app, int64_t now_us);
/* A plan with this app went through. */
void sched_parked_accepted(sched_parked *parked, const rd_app_id *app);
/* Boot time until which the app waits; 0: it does not. */
int64_t sched_parked_until_us(const sched_parked *parked, const rd_app_id *app, int64_t now_us);

#endif
