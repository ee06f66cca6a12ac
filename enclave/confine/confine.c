#include "enclave/confine/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "enclave/confine/landlock.h"
#include "enclave/confine/seccomp.h"

#define NAMESPACES     (CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
#define NOBODY         65534
#define DATA_BYTES_MAX (UINT64_C(2) << 30) /* RLIMIT_DATA: the 8 GiB that the engine reserves are not data */
#define KEEP_FIRST     3
#define RANDOM_FILE    "/dev/urandom"

static void note_missing(encl_confine_report *report, const char *what)
{
    size_t used = strlen(report->missing);
    (void)snprintf(report->missing + used, sizeof(report->missing) - used, "%s%s", used > 0 ? ", " : "", what);
}

int encl_confine_profile_init(encl_confine_profile *profile, const encl_confine_needs *needs, bool insecure_unsandboxed,
                              rd_err *err)
{
    memset(profile, 0, sizeof(*profile));
    profile->landlock_abi = encl_landlock_abi();
    profile->outside_uid = NOBODY;
    profile->outside_gid = NOBODY;
    profile->descriptors_max = 512;
    profile->file_bytes_max = needs->file_bytes_max;
    profile->threads_max = needs->threads_max;
    profile->insecure_unsandboxed = insecure_unsandboxed;
    if (encl_seccomp_build(needs->file_bytes_max > 0, needs->threads_max > 0, &profile->seccomp, err) == 0)
        return 0;
    rd_buf_clear(&profile->seccomp);
    return insecure_unsandboxed ? 0 : -1;
}

void encl_confine_profile_done(encl_confine_profile *profile)
{
    rd_buf_done(&profile->seccomp);
}

/* --- in the parent ---------------------------------------------------------------------------------------------- */

static int write_proc(pid_t pid, const char *file, const char *text)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    RD_CLEANUP(rd_close_p) int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    return write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
}

static int write_map(pid_t pid, const char *file, unsigned outside)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "0 %u 1\n", outside);
    return write_proc(pid, file, text);
}

/* user_namespaces(7): root may map any id; everybody else his own, and the group only after giving up setgroups. */
static int map_ids(const encl_confine_profile *profile, pid_t pid)
{
    if (geteuid() == 0 && write_map(pid, "gid_map", profile->outside_gid) == 0)
        return write_map(pid, "uid_map", profile->outside_uid);
    if (write_proc(pid, "setgroups", "deny") < 0 || write_map(pid, "gid_map", getegid()) < 0)
        return -1;
    return write_map(pid, "uid_map", geteuid());
}

static pid_t clone_into(uint64_t namespaces, int *pidfd)
{
    struct clone_args args = { .flags = namespaces | CLONE_PIDFD,
                               .pidfd = (uint64_t)(uintptr_t)pidfd,
                               .exit_signal = SIGCHLD };
    return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

int encl_confine_fork(const encl_confine_profile *profile, encl_confine_child *ret, rd_err *err)
{
    int sync[2];
    if (pipe2(sync, O_CLOEXEC) < 0)
        return rd_err_set_errno(err, RD_E_SANDBOX, errno, "pipe");
    RD_CLEANUP(rd_close_p) int read_end = sync[0];
    RD_CLEANUP(rd_close_p) int write_end = sync[1];
    encl_confine_child child = { .pidfd = -1, .sync = -1, .has_namespaces = true };
    child.pid = clone_into(NAMESPACES, &child.pidfd);
    if (child.pid < 0 && profile->insecure_unsandboxed) {
        child.has_namespaces = false;
        child.pid = clone_into(0, &child.pidfd);
    }
    if (child.pid < 0)
        return rd_err_set_errno(err, RD_E_SANDBOX, errno, "namespaces");
    if (child.pid == 0) {
        child.pidfd = -1;
        child.sync = rd_fd_take(&read_end);
        *ret = child;
        return 0;
    }
    char word = !child.has_namespaces || map_ids(profile, child.pid) == 0 ? 'y' : 'n';
    (void)!write(write_end, &word, 1);
    *ret = child;
    return 1;
}

/* --- in the child ----------------------------------------------------------------------------------------------- */

static int wait_for_ids(encl_confine_child *child)
{
    char word = 'n';
    ssize_t got;
    do {
        got = read(child->sync, &word, 1);
    } while (got < 0 && errno == EINTR);
    rd_close_p(&child->sync);
    return got == 1 && word == 'y' ? 0 : -1;
}

/* Gives the kept descriptors the numbers 3, 4, … and closes every other. */
static int keep_only(const int *keep, size_t count)
{
    int high[8];
    if (count > RD_ARRAY_LEN(high))
        return -1;
    for (size_t i = 0; i < count; i++) {
        high[i] = fcntl(keep[i], F_DUPFD_CLOEXEC, 64);
        if (high[i] < 0)
            return -1;
    }
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd <= 2; fd++) {
#if defined(__SANITIZE_ADDRESS__)
        if (fd == 2) /* reports of the sanitizers; such builds are for tests alone */
            continue;
#endif
        if (null >= 0)
            (void)dup2(null, fd);
        else
            (void)close(fd);
    }
    for (size_t i = 0; i < count; i++) {
        if (dup3(high[i], KEEP_FIRST + (int)i, O_CLOEXEC) < 0)
            return -1;
    }
    return (int)syscall(SYS_close_range, (unsigned)(KEEP_FIRST + count), ~0u, 0);
}

/* Ours inside are 0 alone, which outside is nobody (started as root) or the user who started us. */
static int take_ids(encl_confine_report *report)
{
    if (setgroups(0, NULL) < 0 && errno != EPERM)
        return -1;
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        return -1;
    report->has_own_uid = true;
    return 0;
}

/* The one file of a process whose engine reads its randomness from there; before the old root goes. */
static int bring_random(void)
{
    if (mkdir("dev", 0500) < 0)
        return -1;
    RD_CLEANUP(rd_close_p) int fd = open("dev/urandom", O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, 0400);
    return fd < 0 ? -1 : mount(RANDOM_FILE, "dev/urandom", NULL, MS_BIND, NULL);
}

/* pivot_root(2), example: the new root on top of the old, then the old one goes. */
static int empty_root(bool has_random)
{
    static const char *const places[] = { "/tmp", "/run", "/var", "/dev" };
    const char *options = has_random ? "size=4k,nr_inodes=4,mode=0500" : "size=4k,nr_inodes=1,mode=0";
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -1;
    for (size_t i = 0; i < RD_ARRAY_LEN(places); i++) {
        if (mount("tmpfs", places[i], "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0)
            continue;
        if (chdir(places[i]) < 0 || (has_random && bring_random() < 0) || syscall(SYS_pivot_root, ".", ".") < 0 ||
            umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
            return -1;
        return mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    }
    return -1;
}

static int drop_capabilities(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3, .pid = 0 };
    struct __user_cap_data_struct none[2] = { { 0 } };
    return (int)syscall(SYS_capset, &header, none);
}

static void limit(int resource, rlim_t value)
{
    (void)setrlimit(resource, &(struct rlimit){ .rlim_cur = value, .rlim_max = value });
}

static void set_limits(const encl_confine_profile *profile)
{
    limit(RLIMIT_NOFILE, profile->descriptors_max);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, profile->file_bytes_max);
    limit(RLIMIT_NPROC, profile->threads_max);
    limit(RLIMIT_MSGQUEUE, 0);
#if !defined(__SANITIZE_ADDRESS__)
    if (profile->threads_max == 0)
        limit(RLIMIT_DATA, DATA_BYTES_MAX); /* no RLIMIT_AS: the engine reserves address space */
#endif
}

static int refuse(const encl_confine_profile *profile, encl_confine_report *report, const char *what, rd_err *err)
{
    int error = errno;
    note_missing(report, what);
    if (profile->insecure_unsandboxed)
        return 0;
    return rd_err_set_errno(err, RD_E_SANDBOX, error, "%s", what);
}

static int apply_namespaces(const encl_confine_profile *profile, const encl_confine_child *child, bool has_ids,
                            encl_confine_report *report, rd_err *err)
{
    if (!child->has_namespaces) {
        note_missing(report, "namespaces");
        return 0;
    }
    report->has_namespaces = true;
    if (!has_ids || take_ids(report) < 0)
        return refuse(profile, report, "user and group ids", err);
    if (empty_root(profile->threads_max > 0) < 0)
        return refuse(profile, report, "empty file system", err);
    report->has_empty_root = true;
    return sethostname("enclave", 7) < 0 ? refuse(profile, report, "host name", err) : 0;
}

int encl_confine_apply(const encl_confine_profile *profile, encl_confine_child *child, const int *keep, size_t count,
                       encl_confine_report *ret, rd_err *err)
{
    encl_confine_report report = { .missing = "" };
    *ret = report;
    bool has_ids = wait_for_ids(child) == 0;
    (void)setsid();
    if (keep_only(keep, count) < 0)
        return rd_err_set_errno(err, RD_E_SANDBOX, errno, "closing descriptors");
    report.has_descriptors = true;
    if (apply_namespaces(profile, child, has_ids, &report, err) < 0) {
        *ret = report;
        return -1;
    }
    set_limits(profile);
    if (drop_capabilities() < 0)
        note_missing(&report, "capabilities");
    if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        note_missing(&report, "no_new_privs");
    if (profile->landlock_abi > 0 &&
        encl_landlock_apply(profile->landlock_abi, profile->threads_max > 0 ? RANDOM_FILE : NULL, NULL) == 0)
        report.has_landlock = true;
    else
        note_missing(&report, "landlock");
    rd_err cause = RD_ERR_INIT;
    if (profile->seccomp.size > 0 && encl_seccomp_load(rd_buf_bytes(&profile->seccomp), &cause) == 0)
        report.has_seccomp = true;
    else if (refuse(profile, &report, "seccomp", err) < 0) {
        *ret = report;
        return -1;
    }
    *ret = report;
    return 0;
}
