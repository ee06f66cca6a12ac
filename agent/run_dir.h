/* run_dir: the files of living enclaves: a folder each, with its sockets and a record by which a later agent process
 * finds it again. Used by the process launcher.
 * A record names a process beyond doubt: pid, its start time and the machine's boot.
 */
#ifndef AGENT_RUN_DIR_H
#define AGENT_RUN_DIR_H

#include <sys/types.h>

#include "agent/enclave_priv.h"
#include "common/base/err.h"

/* What a record says. */
typedef struct agent_run_record {
    pid_t pid;
    uint64_t start_time; /* field 22 of /proc/PID/stat, clock ticks since boot */
    char boot_id[40];
} agent_run_record;

/* Makes dir (0700, ours) and dir/e. Errors: CONFIG when it belongs to somebody else or is too long. */
int agent_run_dir_open(const char *dir, rd_err *err) RD_NODISCARD;

/* Makes the folder of a tag and two listening sockets in it: http.sock (whose path goes to ret_http) and control.sock.
 */
int agent_run_dir_make(const char *dir, const char *tag, char ret_http[AGENT_SOCKET_SIZE], int *ret_http_fd,
                       int *ret_control_fd, rd_err *err) RD_NODISCARD;
void agent_run_dir_remove(const char *dir, const char *tag);

/* Writes the record of a process that runs now. */
int agent_run_record_write(const char *dir, const char *tag, pid_t pid, rd_err *err) RD_NODISCARD;
/* Opens a pidfd of the recorded process when it is still the same one; -1 when it is gone or there is no record. */
int agent_run_record_open(const char *dir, const char *tag, pid_t *ret_pid);
/* Dials control.sock; -1 when nobody listens. */
int agent_run_dir_dial(const char *dir, const char *tag);

#endif
