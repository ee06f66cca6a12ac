/* agent: the running agent: journal, jobs, enclaves and the link to the plane, tied together on one loop.
 * Used by main. Order of a start: replay, adopt what still runs, then dial, so that the first hello tells the truth. */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include "agent/instance.h"

typedef enum agent_on_stop { AGENT_STOP_KILL, AGENT_STOP_KEEP, AGENT_STOP_DRAIN } agent_on_stop;

typedef struct agent_options {
    const char *state_dir;
    const char *enclave;     /* binary; NULL: beside this program */
    const char *enclave_jsc; /* "auto", "off" or a binary */
    const char *cgroup;      /* "auto", "off" or a folder */
    uint64_t pool;
    uint64_t cpu_m, memory_bytes, slots; /* 0: from the machine */
    uint64_t blob_bytes, journal_bytes;
    const char *link_address;    /* NULL: what enrolment named */
    rd_option_list egress_allow; /* address ranges, closed by default, that enclaves may reach */
    int64_t dial_jitter_us;
    int64_t drain_timeout_us;
    int on_stop; /* agent_on_stop */
    bool insecure_unsandboxed;
    const char *kms_dir; /* NULL: no key service here */
    const char *kms;     /* program; NULL: beside this one */
    const char *kms_ticket_key;
    const char *kms_join; /* NULL: a folder without a root gets a new one */
    rd_option_list kms_platforms;
    rd_option_list kms_recovery_keys;
    uint64_t kms_recovery_threshold;
} agent_options;

/* Runs until a signal; 0 after an orderly stop. */
int agent_run(const agent_options *options, rd_err *err) RD_NODISCARD;

#endif
