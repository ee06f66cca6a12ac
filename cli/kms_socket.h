/* kms_socket: questions to a key service on this very machine, over the socket that its agent opened. Used by kms join
 * and kms recover, for a replica that no link leads to yet. Its answers are sealed, signed or checked by whoever gets
 * them. */
#ifndef CLI_KMS_SOCKET_H
#define CLI_KMS_SOCKET_H

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/model/kms_genesis.h"
#include "common/model/kms_wire.h"

/* UNAVAILABLE when nobody listens there. */
int cli_kms_dial(const char *path, int *ret_fd, rd_err *err) RD_NODISCARD;
/* Asks and waits, at most a minute. Appends the answer. A refusal is an error with the service's code and sentence. */
int cli_kms_ask(int fd, rd_kms_type type, rd_bytes payload, rd_buf *ret, rd_err *err) RD_NODISCARD;
/* Whether the replica there has its root, or waits for it. KMS_UNKNOWN when it is another key service's. */
int cli_kms_has_root(int fd, const rd_kms_id *id, bool *ret, rd_err *err) RD_NODISCARD;

#endif
