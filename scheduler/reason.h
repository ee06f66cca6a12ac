/* reason: why a deployment is not there yet, as the JSON that readers show (docs/protocol/rest.md, deployments).
 * Used by evaluate. Pure. */
#ifndef SCHED_REASON_H
#define SCHED_REASON_H

#include "scheduler/place.h"

/* {"summary":"no host fits yet (checked n hosts)","counts":[{"constraint","hosts"}…]}; the caller frees. */
char *sched_reason_unplaced(const sched_why *why, const sched_need *need);
/* {"summary":sentence,"code":code,"counts":[]}; the caller frees. */
char *sched_reason_failed(const char *code, int failures, bool is_final);

#endif
