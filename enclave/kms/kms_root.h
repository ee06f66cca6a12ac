/* kms_root: the process that holds the root: it derives, opens secrets, seals and signs grants, and chains records.
 * Started by main before any byte from outside is read. It has no socket but the channels, reads no JSON but the
 * genesis whose digest it was told first, and gives out neither an app's root nor a seal key, nor the root itself but
 * to another replica that the judge has looked at. */
#ifndef KMS_ROOT_H
#define KMS_ROOT_H

#include "enclave/platform/platform.h"

/* Answers questions until the other end goes; the platform is used for the sealing key alone, and freed. judge_fd: who
 * judges the evidence of replicas. Returns the exit status. */
int kms_root_run(int channel_fd, int judge_fd, encl_platform *platform);

#endif
