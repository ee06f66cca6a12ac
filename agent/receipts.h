/* receipts: records of receipts (receipt_record.h) on their way to the plane, for GET /receipts.
 * Used by instances, which add, and by the uplink, which streams and forgets what the plane has in PostgreSQL. In
 * memory and bounded: full, or at the agent's end, the oldest records are lost, which the numbers in them will show.
 * The agent never looks into one. */
#ifndef AGENT_RECEIPTS_H
#define AGENT_RECEIPTS_H

#include "common/base/bytes.h"

typedef struct agent_receipts agent_receipts;

/* size_max: bytes of waiting lines. */
agent_receipts *agent_receipts_new(size_t size_max);
agent_receipts *agent_receipts_free(agent_receipts *receipts);
void agent_receipts_add(agent_receipts *receipts, const char *instance, uint64_t epoch, rd_bytes record);
/* The first record behind number as NDJSON with its newline, and its number (from 1). Empty: there is none. Borrowed
 * until the next call of another function. */
rd_bytes agent_receipts_after(agent_receipts *receipts, uint64_t *number);
/* The plane keeps all up to this number. */
void agent_receipts_forget(agent_receipts *receipts, uint64_t number);
/* Records lost since the begin. */
uint64_t agent_receipts_lost(const agent_receipts *receipts);

#endif
