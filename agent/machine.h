/* machine: what this machine has: processors, memory, and which TEE devices.
 * Used by enrolment and by the capacity that the agent reports. Reads /proc and /dev only. */
#ifndef AGENT_MACHINE_H
#define AGENT_MACHINE_H

#include "agent/instance.h"

/* Thousandths of all cores, four fifths of the memory, and as many slots as 128 MiB go into that (at most 1024). */
agent_capacity agent_machine_capacity(void);
/* 0 when a TEE that this build can use is there; else NO_TEE, which names what is missing. */
int agent_machine_tee(rd_err *err) RD_NODISCARD;

#endif
