/* logs: a lossy ring of what instances print, for GET /logs.
 * Used by instances, which add, and by the uplink, which streams. Full: the oldest lines go and are counted.
 * Never journaled, never acknowledged, never in the agent's own log. */
#ifndef AGENT_LOGS_H
#define AGENT_LOGS_H

#include "common/base/bytes.h"

#define AGENT_LOG_TEXT_MAX 4096

typedef struct agent_logs agent_logs;

/* size_max: bytes of waiting lines. */
agent_logs *agent_logs_new(size_t size_max);
agent_logs *agent_logs_free(agent_logs *logs);
/* text is cut at AGENT_LOG_TEXT_MAX; what is no UTF-8 is replaced. */
void agent_logs_add(agent_logs *logs, const char *instance, uint64_t epoch, const char *level, rd_bytes text,
                    int64_t at_us);
/* The next line as NDJSON with its newline, at most room bytes; a {"dropped":n} line first when lines were lost.
 * Empty when there is none or it does not fit. Borrowed until the next call. */
rd_bytes agent_logs_take(agent_logs *logs, size_t room);

#endif
