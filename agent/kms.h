/* kms: what the agent knows of the key service beside its enclaves: where it listens, and who it says it is.
 * Used by the agent's run and the uplink. Believes nothing of it: whoever asks it for keys wants evidence first. */
#ifndef AGENT_KMS_H
#define AGENT_KMS_H

#include <jansson.h>

#include "agent/sim_kms.h"
#include "agent/splice.h"
#include "common/io/config.h"

typedef struct agent_kms {
    char *dir;    /* NULL: this host has none */
    char *socket; /* of the link's CONNECT kms */
    bool is_ready;
    bool is_waiting; /* for a root: nothing to tell the plane of until somebody brings it */
    agent_splices splices;
} agent_kms;

/* dir NULL: none. */
void agent_kms_init(agent_kms *kms, const char *dir, const char *run_dir);
void agent_kms_done(agent_kms *kms);
/* As the options say; NULL or empty: not given. */
typedef struct agent_kms_wish {
    const char *program, *ticket_key, *join;
    const rd_option_list *platforms, *recovery_keys;
    uint64_t recovery_threshold;
} agent_kms_wish;
/* What is ordered of the TEE: the program beside this one (or program), and options as text. CONFIG for keys, ids and
 * platforms that are none. */
int agent_kms_order(const agent_kms *kms, const agent_kms_wish *wish, agent_sim_kms_order *ret,
                    rd_err *err) RD_NODISCARD;
/* {"id","genesis":base64url,"class"} of the genesis file, or null without a ready key service. A new reference. */
json_t *agent_kms_json(const agent_kms *kms);

#endif
