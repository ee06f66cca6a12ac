/* scheduling: how this process takes its turn on a processor.
 * Used by the agent and by the simulated TEE that it starts. Threads and children that begin later inherit it.
 * Changes the policy that a process gets by itself, never one that an operator has set. */
#ifndef AGENT_SCHEDULING_H
#define AGENT_SCHEDULING_H

/* Woken, it waits for its turn instead of interrupting who runs (sched(7), SCHED_BATCH): an enclave that writes several
 * answers is not stopped after the first, and the agent takes all of them at once. Where a core is free, nothing
 * changes; otherwise it waits as any process does whose turn is over. */
void agent_scheduling_patient(void);
/* For a child whose own children, the enclaves, are nobody's burst: as a process is by itself. */
void agent_scheduling_plain(void);

#endif
