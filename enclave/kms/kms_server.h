/* kms_server: the key service's socket: connections, frames, one answer after another.
 * Used by the front's process. Bounded: 64 connections, one message each, its size judged before it is read. */
#ifndef KMS_SERVER_H
#define KMS_SERVER_H

#include "enclave/kms/kms_front.h"

/* Serves listen_fd until the front or its root is of no use any more; returns the exit status. */
int kms_server_run(kms_front *front, int listen_fd);

#endif
