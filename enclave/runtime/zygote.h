/* zygote: the process that all instances are forked from: the engine ready, one thread, no secret.
 * Used by main. Forks on request and reports how its children ended; opens nothing that a request names.
 */
#ifndef ENCL_ZYGOTE_H
#define ENCL_ZYGOTE_H

#include "common/base/err.h"

/* Serves requests on fd (SOCK_SEQPACKET, docs/protocol/enclave.md) until it is closed. Children live on.
 * Errors: SANDBOX, those of encl_engine_new, IO. */
int encl_zygote_run(int fd, bool insecure_unsandboxed, rd_err *err) RD_NODISCARD;

/* `--self-check`: loads the engine, confines a child and prints what held as JSON on stdout. Returns the exit code. */
int encl_zygote_self_check(bool insecure_unsandboxed);

#endif
