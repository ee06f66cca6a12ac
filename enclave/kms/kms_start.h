/* kms_start: from a folder and a TEE to a running key service: root, genesis, register, front, and the watch over both.
 * Used by main. The root's process is there before a byte from outside is read, and nothing that runs after the
 * register was extended can have the platform's sealing keys again. */
#ifndef KMS_START_H
#define KMS_START_H

#include "common/crypto/sign.h"
#include "common/model/kms_genesis.h"

typedef struct kms_options {
    const char *dir;
    int tee_fd, listen_fd;
    int ready_fd; /* gets "ready", or the cause of a failure; -1: nobody asks */
    bool has_sim_root;
    uint8_t sim_root[32];
    rd_public_key ticket_key;
    bool has_join;
    rd_kms_id join;                                 /* whose root this one waits for, as long as it has none */
    uint8_t platforms[RD_KMS_REPLICAS_MAX - 1][32]; /* of a genesis that is made now, beside this machine */
    size_t platforms_count;
    uint8_t recovery_keys[RD_KMS_RECOVERY_MAX][32];
    size_t recovery_count, recovery_threshold;
    bool insecure_unsandboxed;
} kms_options;

/* Runs until a signal or until one of its processes ends; returns the exit status. */
int kms_start(const kms_options *options);

#endif
