/* kms_root: the process that holds the root: it derives, opens secrets, seals and signs grants, and chains records.
 * Started by main before any byte from outside is read. It has no socket but the channel, reads no JSON but the genesis
 * that it sealed itself, and gives out neither the root, nor an app's root, nor a seal key. */
#ifndef KMS_ROOT_H
#define KMS_ROOT_H

#include "enclave/platform/platform.h"

/* Answers questions until the other end goes; the platform is used for the sealing key alone, and freed. Returns the
 * exit status. */
int kms_root_run(int channel_fd, encl_platform *platform);

#endif
