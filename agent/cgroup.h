/* cgroup: one group of the agent for each enclave, in the version 1 or 2 hierarchy that is writable here.
 * Used by the process launcher: memory, process count and processor share. Where nothing is writable it says so once
 * and does nothing, because confinement does not rest on it.
 */
#ifndef AGENT_CGROUP_H
#define AGENT_CGROUP_H

#include "common/base/err.h"

typedef struct agent_cgroup agent_cgroup;

/* setting: "auto" finds the agent's own groups, "off", or a directory of a version 2 hierarchy that was delegated.
 * root is "/sys/fs/cgroup" and self "/proc/self/cgroup" (others in tests). Never NULL. */
agent_cgroup *agent_cgroup_new(const char *setting, const char *root, const char *self);
agent_cgroup *agent_cgroup_free(agent_cgroup *cgroup);

/* "v2", "v1" or "none". */
const char *agent_cgroup_version(const agent_cgroup *cgroup);
/* What is not enforced, for people; "" when all is. */
const char *agent_cgroup_missing(const agent_cgroup *cgroup);

/* Makes the group of a name, sets the limits that are not 0, and moves the process into it. Errors: IO. */
int agent_cgroup_add(agent_cgroup *cgroup, const char *name, pid_t pid, uint64_t memory_bytes, uint32_t pids_max,
                     rd_err *err) RD_NODISCARD;
/* Changes the limits of a group that exists; 0 leaves one as it is. */
int agent_cgroup_limit(agent_cgroup *cgroup, const char *name, uint64_t memory_bytes, uint32_t cpu_m,
                       rd_err *err) RD_NODISCARD;
/* Removes the group of an ended process. */
void agent_cgroup_remove(agent_cgroup *cgroup, const char *name);

#endif
