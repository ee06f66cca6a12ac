/* A confined child tries what a hole in it would try. Each attempt is a child of its own, as the first forbidden call
 * ends it. Runs as whoever starts it; as root it runs once more as nobody. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "enclave/confine/confine.h"

#define KEPT 3

/* 0: it was refused; 1: it worked. Killed by SIGSYS is what most should meet. */
static int try_nothing(void)
{
    return write(KEPT, "x", 1) == 1 ? 0 : 1;
}

static int try_open(void)
{
    return open("/etc/passwd", O_RDONLY) >= 0;
}

static int try_create(void)
{
    return open("/x", O_CREAT | O_RDWR, 0600) >= 0;
}

static int try_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}

static int try_unix_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0) >= 0;
}

static int try_exec(void)
{
    char *argv[] = { NULL };
    return execve("/bin/true", argv, argv) == 0;
}

static int try_fork(void)
{
    return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) >= 0;
}

static int try_executable_memory(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static int try_make_executable(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0;
}

static int try_kill(void)
{
    return kill(getppid(), 0) == 0;
}

static int try_ptrace(void)
{
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0;
}

static int try_unshare(void)
{
    return syscall(SYS_unshare, 0x10000000) == 0;
}

static int try_mount(void)
{
    return syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL) == 0;
}

static int try_other_descriptor(void)
{
    return write(KEPT + 1, "x", 1) >= 0 || write(9, "x", 1) >= 0;
}

static int try_is_alone(void)
{
    return getpid() != 1;
}

static const struct {
    const char *name;
    int (*attempt)(void);
    bool dies; /* by SIGSYS */
} rows[] = {
    { "its own descriptor works", try_nothing, false },
    { "is first in its own process namespace", try_is_alone, false },
    { "other descriptors are closed", try_other_descriptor, false },
    { "open", try_open, true },
    { "create", try_create, true },
    { "socket", try_socket, true },
    { "unix socket", try_unix_socket, true },
    { "exec", try_exec, true },
    { "fork", try_fork, true },
    { "executable memory", try_executable_memory, true },
    { "make executable", try_make_executable, true },
    { "kill", try_kill, true },
    { "ptrace", try_ptrace, true },
    { "unshare", try_unshare, true },
    { "mount", try_mount, true },
};

static void run_child(const encl_confine_profile *profile, encl_confine_child *child, int out, int (*attempt)(void))
{
    encl_confine_report report;
    rd_err err = RD_ERR_INIT;
    if (encl_confine_apply(profile, child, &out, 1, &report, &err) < 0 || report.missing[0] != '\0') {
        (void)!write(KEPT, report.missing, strlen(report.missing));
        _exit(70);
    }
    _exit(attempt());
}

static void run_rows(const encl_confine_profile *profile)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        rd_err err = RD_ERR_INIT;
        encl_confine_child child;
        int out[2];
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        int outcome = encl_confine_fork(profile, &child, &err);
        if (outcome == 0)
            run_child(profile, &child, out[1], rows[i].attempt);
        if (outcome < 0)
            fail_msg("%s: %s", rows[i].name, err.text);
        siginfo_t info = { 0 };
        assert_int_equal(waitid(P_PID, (id_t)child.pid, &info, WEXITED), 0);
        bool has_died = info.si_code != CLD_EXITED && info.si_status == SIGSYS;
        bool is_good = rows[i].dies ? has_died : info.si_code == CLD_EXITED && info.si_status == 0;
        if (!is_good) {
            char text[256] = "";
            (void)fcntl(out[0], F_SETFL, O_NONBLOCK);
            (void)!read(out[0], text, sizeof(text) - 1);
            fail_msg("%s: code %d status %d %s", rows[i].name, info.si_code, info.si_status, text);
        }
        rd_close_p(&child.pidfd);
        (void)close(out[0]);
        (void)close(out[1]);
    }
}

static void test_here(void **state)
{
    (void)state;
    encl_confine_profile profile;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(encl_confine_profile_init(&profile, &(encl_confine_needs){ 0 }, false, &err), 0);
    run_rows(&profile);
    encl_confine_profile_done(&profile);
}

static void test_as_nobody(void **state)
{
    if (geteuid() != 0) {
        test_here(state);
        return;
    }
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
            _exit(71);
        (void)prctl(PR_SET_DUMPABLE, 1); /* changing ids took it; its children's /proc files would be root's */
        test_here(state);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_here), cmocka_unit_test(test_as_nobody) };
    return cmocka_run_group_tests_name("confine", tests, NULL, NULL);
}
