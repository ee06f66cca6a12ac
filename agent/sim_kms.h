/* sim_kms: the key service under the simulated TEE: measured as enclaves are, with a door of its own, started again
 * with back-off when it ends. Used by sim_tee alone. Its socket outlives its process, so that who dials waits instead
 * of failing; it outlives the agent, too. */
#ifndef AGENT_SIM_KMS_H
#define AGENT_SIM_KMS_H

#include <uv.h>

#include "agent/sim_quoter.h"
#include "common/model/kms_genesis.h"

#define AGENT_KMS_SOCKET        "kms.sock"
#define AGENT_KMS_KEY_TEXT      44 /* base64url of 32 bytes, and NUL */
#define AGENT_KMS_PATH_SIZE     1024
#define AGENT_KMS_PLATFORM_TEXT 65 /* hex of a platform id, and NUL */

/* How a key service begins what it says when it runs, and has no root yet (enclave/kms/kms_start.c). */
#define AGENT_KMS_WAITS "waits for the root"

/* What the agent asks for; copied. */
typedef struct agent_sim_kms_order {
    char program[AGENT_KMS_PATH_SIZE], dir[AGENT_KMS_PATH_SIZE];
    char ticket_key[AGENT_KMS_KEY_TEXT];
    char join[RD_KMS_ID_TEXT_SIZE]; /* "": none */
    char platforms[RD_KMS_REPLICAS_MAX - 1][AGENT_KMS_PLATFORM_TEXT];
    size_t platforms_count;
    char recovery_keys[RD_KMS_RECOVERY_MAX][AGENT_KMS_KEY_TEXT];
    size_t recovery_count;
    uint32_t recovery_threshold; /* 0: no recovery */
} agent_sim_kms_order;

/* The order as the TEE's packet carries it: JSON. */
int agent_sim_kms_order_parse(rd_bytes json, agent_sim_kms_order *ret, rd_err *err) RD_NODISCARD;
bool agent_sim_kms_order_encode(const agent_sim_kms_order *order, rd_buf *out);

/* What the TEE lends; door makes a quoter stream for a program of this measurement and returns its far end. */
typedef struct agent_sim_kms_place {
    uv_loop_t *loop;
    const char *run_dir;
    const char *sim_root; /* 64 hex digits */
    bool insecure_unsandboxed;
    void *context;
    int (*door)(void *context, const uint8_t mrtd[48], rd_err *err);
    /* It serves now, or does not and why says what it said. */
    void (*changed)(void *context, bool is_ready, const char *why);
} agent_sim_kms_place;

typedef struct agent_sim_kms agent_sim_kms;

/* Measures the program, opens the socket, starts it. */
int agent_sim_kms_new(const agent_sim_kms_place *place, const agent_sim_kms_order *order, agent_sim_kms **ret,
                      rd_err *err) RD_NODISCARD;
/* An order as the one before changes nothing; another ends the process, and the next start is by it. */
int agent_sim_kms_follow(agent_sim_kms *kms, const agent_sim_kms_order *order, rd_err *err) RD_NODISCARD;
bool agent_sim_kms_is_ready(const agent_sim_kms *kms);
/* What it said when it last failed, or "". */
const char *agent_sim_kms_why(const agent_sim_kms *kms);
/* Ends the process and does not start it again. Accepts NULL. */
void agent_sim_kms_stop(agent_sim_kms *kms);

#endif
