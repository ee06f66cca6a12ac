/* retention: log partitions past their time, detached without stopping readers, then dropped.
 * Used by the scheduler, once an hour off its loop; several at once only get into each other's lock time-outs. */
#ifndef RD_DATA_RETENTION_H
#define RD_DATA_RETENTION_H

#include "common/base/err.h"

/* Logs in as rd_maint. At most 32 partitions a call; one that is busy is left for the next. An unfinished detach of
 * an earlier call is finished first. Returns how many were dropped, or -1: UNAVAILABLE, or the first refusal when
 * nothing could be dropped. Blocks: not for a loop. */
int rd_retention_run(const char *conninfo, rd_err *err) RD_NODISCARD;

#endif
