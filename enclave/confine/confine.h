/* confine: a forked process that has nothing left but the descriptors it was given.
 * Used by the zygote and the key service: fork in fresh namespaces, then, in the child, an empty file system, no
 * privileges, Landlock and seccomp, before a byte of the outside is read. Says what this machine could not apply; never
 * goes on without telling.
 */
#ifndef ENCL_CONFINE_H
#define ENCL_CONFINE_H

#include "common/base/bytes.h"
#include "common/base/err.h"

/* What is the same for every instance of a zygote. */
typedef struct encl_confine_profile {
    rd_buf seccomp;    /* the program; empty when it could not be built */
    int landlock_abi;  /* 0: none */
    uid_t outside_uid; /* what uid 0 inside is outside, when the zygote may choose (root) */
    gid_t outside_gid;
    uint32_t descriptors_max;  /* RLIMIT_NOFILE */
    uint64_t file_bytes_max;   /* RLIMIT_FSIZE */
    uint32_t threads_max;      /* RLIMIT_NPROC; 0: the process is one thread, and its memory is never executable */
    bool insecure_unsandboxed; /* go on without namespaces or seccomp, saying so */
} encl_confine_profile;

/* What was applied; missing lists the rest, comma separated, "" when nothing is. */
typedef struct encl_confine_report {
    bool has_namespaces, has_empty_root, has_landlock, has_seccomp, has_own_uid;
    bool has_descriptors; /* those to keep have their numbers, and no other is open */
    char missing[256];
} encl_confine_report;

/* What a kind of process needs beyond memory, its descriptors and the clock. */
typedef struct encl_confine_needs {
    uint64_t file_bytes_max; /* above 0: it keeps state in files that it is given open, none longer than this */
    uint32_t threads_max; /* above 0: it compiles code at run time, on threads of its own: memory may be executable, and
                             the address space that it reserves is beyond RLIMIT_DATA */
} encl_confine_needs;

/* Builds the program and asks the kernel what it has. Errors: SANDBOX, unless insecure_unsandboxed. */
int encl_confine_profile_init(encl_confine_profile *profile, const encl_confine_needs *needs, bool insecure_unsandboxed,
                              rd_err *err) RD_NODISCARD;
void encl_confine_profile_done(encl_confine_profile *profile);

/* One child to be; the parent learns its pid and a pidfd. */
typedef struct encl_confine_child {
    pid_t pid; /* in the caller's pid namespace */
    int pidfd; /* owned by the parent's copy of this struct */
    int sync;  /* in the child: where the parent says that ids are mapped */
    bool has_namespaces;
} encl_confine_child;

/* Forks (clone3) into new user, pid, mount, net, ipc and uts namespaces and maps the ids. Returns 1 in the parent, 0 in
 * the child, which must call encl_confine_apply next and never return into code that expects the parent's threads.
 * Errors (in the parent): SANDBOX, NO_MEMORY. */
int encl_confine_fork(const encl_confine_profile *profile, encl_confine_child *ret, rd_err *err) RD_NODISCARD;

/* In the child: closes all descriptors but keep[count] (they become 3, 4, … in this order, 0 to 2 are /dev/null),
 * then drops everything else. Errors: SANDBOX when namespaces or seccomp fail and that is not allowed. */
int encl_confine_apply(const encl_confine_profile *profile, encl_confine_child *child, const int *keep, size_t count,
                       encl_confine_report *ret, rd_err *err) RD_NODISCARD;

#endif
