/* launch_process: enclaves as confined processes beside the agent, with simulated evidence (class simulated).
 * Used by the agent's main. The processes and the simulated TEE that quotes for them outlive the agent and are adopted.
 * Promises nothing against the host's root: that is what class simulated means.
 */
#ifndef AGENT_LAUNCH_PROCESS_H
#define AGENT_LAUNCH_PROCESS_H

#include "agent/launcher.h"

typedef struct agent_process_options {
    const char *run_dir;         /* sockets and records; made 0700; at most 60 bytes, as socket paths are short */
    const char *enclave_path;    /* NULL: redoubt-enclave beside this program */
    const char *quoter_dir;      /* where the simulated vendor's keys lie (sim_quoter.h) */
    struct agent_egress *egress; /* borrowed; NULL: functions reach nobody */
    const char *agent_path;      /* NULL: /proc/self/exe; must understand `sim-tee` */
    const char *cgroup;          /* "auto", "off", or a directory below which groups are made; NULL: auto */
    uint64_t memory_bytes;       /* limit of a blank, and default; 0: 128 MiB */
    uint32_t enclave_count_max;  /* 0: 1024 */
    uint32_t pids_max;           /* processes and threads of one enclave; 0: 4 */
    const struct agent_sim_kms_order *kms; /* a key service that is to run beside the enclaves; NULL: none */
    void *kms_context;
    void (*on_kms)(void *context, bool is_ready, const char *why);
    bool insecure_unsandboxed; /* let enclaves run where namespaces or seccomp are missing */
} agent_process_options;

/* Opens the run directory, finds or starts the simulated TEE. Strings are copied. Errors: CONFIG, IO, UNAVAILABLE. */
int agent_launch_process_new(uv_loop_t *loop, const agent_process_options *options, agent_launcher **ret,
                             rd_err *err) RD_NODISCARD;

#endif
