/* watch: contact with hosts: link edges and replicas' beats in, "silent since" and "lost" out, with a limit on losses.
 * Used by the cycle. Reads no clock: boot time comes in (data-model, section 9). */
#ifndef SCHED_WATCH_H
#define SCHED_WATCH_H

#include "scheduler/fleet.h"
#include "scheduler/store.h"

typedef struct sched_watch sched_watch;

sched_watch *sched_watch_new(int64_t now_us);
void sched_watch_free(sched_watch *watch);

/* The beats as just read: all of them. Others are forgotten. */
void sched_watch_beats(sched_watch *watch, const sched_beat *beats, int count, int64_t now_us);
/* Replicas that are known. */
size_t sched_watch_count(const sched_watch *watch);
/* Updates silent_since_us of every host. */
void sched_watch_hosts(sched_watch *watch, sched_fleet *fleet, int64_t now_us);
/* Whether the host is to be given up now. Counts against the limit when it says yes. */
bool sched_watch_is_lost(sched_watch *watch, const sched_fleet *fleet, const sched_host *host, int64_t now_us);

#endif
