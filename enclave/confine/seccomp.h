/* seccomp: the list of system calls a confined process may make; any other ends it.
 * Used by confine: built once in the parent, loaded by every child as its last step before it reads anything.
 * Has no exec, socket or new process in it; for a process of one thread no open, no clone and no executable memory
 * either.
 */
#ifndef ENCL_SECCOMP_H
#define ENCL_SECCOMP_H

#include "common/base/bytes.h"
#include "common/base/err.h"

/* Builds the BPF program (struct sock_filter rows) into ret; with writes_files also for files that are open already,
 * with has_threads also for the threads and the executable memory of a compiler. Errors: SANDBOX. */
int encl_seccomp_build(bool writes_files, bool has_threads, rd_buf *ret, rd_err *err) RD_NODISCARD;
/* Loads it for this process; no_new_privs must be set. Errors: SANDBOX. */
int encl_seccomp_load(rd_bytes program, rd_err *err) RD_NODISCARD;

#endif
