#include "enclave/confine/seccomp.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/mem.h"

/* What serving needs: memory, the descriptors it was given, its clock and timer, randomness, and its own end. */
static const int allowed[] = {
    SCMP_SYS(read),          SCMP_SYS(write),           SCMP_SYS(readv),     SCMP_SYS(writev),
    SCMP_SYS(recvfrom),      SCMP_SYS(recvmsg),         SCMP_SYS(sendto),    SCMP_SYS(sendmsg),
    SCMP_SYS(accept4),       SCMP_SYS(shutdown),        SCMP_SYS(close),     SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),   SCMP_SYS(epoll_ctl),       SCMP_SYS(poll),      SCMP_SYS(ppoll),
    SCMP_SYS(brk),           SCMP_SYS(munmap),          SCMP_SYS(mremap),    SCMP_SYS(madvise),
    SCMP_SYS(mlock),         SCMP_SYS(munlock),         SCMP_SYS(getrandom), SCMP_SYS(futex),
    SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),    SCMP_SYS(setitimer), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),   SCMP_SYS(rt_sigprocmask),  SCMP_SYS(getpid),    SCMP_SYS(gettid),
    SCMP_SYS(tgkill),        SCMP_SYS(restart_syscall), SCMP_SYS(exit),      SCMP_SYS(exit_group),
    SCMP_SYS(fstat),         SCMP_SYS(newfstatat),
};

/* Of a process that keeps state in files which its parent opened. */
static const int file_calls[] = { SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(fdatasync) };

/* Of a process whose engine compiles and collects garbage on threads of its own, which stop the others by a signal. The
 * file system is as good as empty, so that open finds nothing (confine.c). */
static const int thread_calls[] = {
    SCMP_SYS(sched_yield),  SCMP_SYS(sched_getaffinity), SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigsuspend),     SCMP_SYS(getrusage),       SCMP_SYS(sysinfo),
    SCMP_SYS(eventfd2),     SCMP_SYS(pread64),           SCMP_SYS(openat),          SCMP_SYS(open)
};

/* What the same asks for and does without. clone3 hides its flags in memory, where no filter sees them. */
static const struct {
    int call, error;
} refused_calls[] = {
    { SCMP_SYS(clone3), ENOSYS },     { SCMP_SYS(sched_setscheduler), EPERM }, { SCMP_SYS(ioctl), ENOTTY },
    { SCMP_SYS(access), ENOENT },     { SCMP_SYS(readlink), ENOENT },          { SCMP_SYS(statx), ENOENT },
    { SCMP_SYS(membarrier), ENOSYS },
#if !defined(__SANITIZE_ADDRESS__)
    { SCMP_SYS(prlimit64), EPERM },
#endif
};

#if defined(__SANITIZE_ADDRESS__)
/* What the sanitizers' reports need; such builds are for tests alone and say so in --version. */
static const int sanitizer_allowed[] = { SCMP_SYS(sched_yield), SCMP_SYS(getrlimit), SCMP_SYS(prlimit64),
                                         SCMP_SYS(rt_sigaction) };
#endif

static int add_all(scmp_filter_ctx filter, const int *calls, size_t count, rd_err *err)
{
    for (size_t i = 0; i < count; i++) {
        int outcome = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
        if (outcome < 0)
            return rd_err_set_errno(err, RD_E_SANDBOX, -outcome, "seccomp rule for call %d", calls[i]);
    }
    return 0;
}

/* Memory may be mapped and protected, never executable. */
static int add_memory(scmp_filter_ctx filter)
{
    const int memory[] = { SCMP_SYS(mmap), SCMP_SYS(mprotect) };
    int outcome = 0;
    for (size_t i = 0; outcome == 0 && i < RD_ARRAY_LEN(memory); i++)
        outcome = seccomp_rule_add(filter, SCMP_ACT_ALLOW, memory[i], 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    return outcome;
}

/* A compiler's memory may be written and run, where it is no file's; and only threads of this process are made. */
static int add_threads(scmp_filter_ctx filter)
{
    const uint64_t thread = CLONE_VM | CLONE_THREAD | CLONE_SIGHAND;
    int outcome = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                                   SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS));
    if (outcome == 0)
        outcome = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 0);
    if (outcome == 0)
        outcome =
            seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, thread, thread));
    if (outcome == 0)
        outcome = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
    for (size_t i = 0; outcome == 0 && i < RD_ARRAY_LEN(thread_calls); i++)
        outcome = seccomp_rule_add(filter, SCMP_ACT_ALLOW, thread_calls[i], 0);
    for (size_t i = 0; outcome == 0 && i < RD_ARRAY_LEN(refused_calls); i++)
        outcome = seccomp_rule_add(filter, SCMP_ACT_ERRNO((uint32_t)refused_calls[i].error), refused_calls[i].call, 0);
    return outcome;
}

static int add_rules(scmp_filter_ctx filter, bool writes_files, bool has_threads, rd_err *err)
{
    if (add_all(filter, allowed, RD_ARRAY_LEN(allowed), err) < 0 ||
        (writes_files && add_all(filter, file_calls, RD_ARRAY_LEN(file_calls), err) < 0))
        return -1;
#if defined(__SANITIZE_ADDRESS__)
    if (add_all(filter, sanitizer_allowed, RD_ARRAY_LEN(sanitizer_allowed), err) < 0)
        return -1;
#endif
    int outcome = add_memory(filter);
    if (outcome == 0 && has_threads)
        outcome = add_threads(filter);
    if (outcome < 0)
        return rd_err_set_errno(err, RD_E_SANDBOX, -outcome, "seccomp rule for memory or threads");
    return 0;
}

static int export_program(scmp_filter_ctx filter, rd_buf *ret, rd_err *err)
{
    RD_CLEANUP(rd_close_p) int fd = memfd_create("redoubt-seccomp", MFD_CLOEXEC);
    if (fd < 0)
        return rd_err_set_errno(err, RD_E_SANDBOX, errno, "memfd for the seccomp program");
    int outcome = seccomp_export_bpf(filter, fd);
    off_t size = outcome < 0 ? -1 : lseek(fd, 0, SEEK_END);
    if (size <= 0 || (size_t)size > BPF_MAXINSNS * sizeof(struct sock_filter))
        return rd_err_set(err, RD_E_SANDBOX, "seccomp program of %lld bytes", (long long)size);
    uint8_t *room = rd_buf_reserve(ret, (size_t)size);
    if (room == NULL || pread(fd, room, (size_t)size, 0) != size)
        return rd_err_set(err, RD_E_SANDBOX, "cannot read the seccomp program back");
    rd_buf_commit(ret, (size_t)size);
    return 0;
}

int encl_seccomp_build(bool writes_files, bool has_threads, rd_buf *ret, rd_err *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (filter == NULL)
        return rd_err_set(err, RD_E_SANDBOX, "libseccomp does not start");
    int outcome = add_rules(filter, writes_files, has_threads, err);
    if (outcome == 0)
        outcome = export_program(filter, ret, err);
    seccomp_release(filter);
    return outcome;
}

int encl_seccomp_load(rd_bytes program, rd_err *err)
{
    struct sock_fprog filter = { .len = (unsigned short)(program.size / sizeof(struct sock_filter)),
                                 .filter = (struct sock_filter *)(uintptr_t)program.data };
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0)
        return rd_err_set_errno(err, RD_E_SANDBOX, errno, "seccomp");
    return 0;
}
