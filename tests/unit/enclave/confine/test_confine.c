/* A confined child tries what a hole in it would try. Each attempt is a child of its own, as the first forbidden call
 * ends it. Runs as whoever starts it; as root it runs once more as nobody. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
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

#define KEPT        3
#define THREADS_MAX 4

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

static int try_random(void)
{
    return open("/dev/urandom", O_RDONLY) >= 0;
}

static int try_write_random(void)
{
    return open("/dev/urandom", O_RDWR) >= 0;
}

static int try_executable_file(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, KEPT, 0) != MAP_FAILED;
}

static int try_other_process(void)
{
    return syscall(SYS_clone3, NULL, 0) >= 0 || errno != ENOSYS;
}

static int try_dumpable(void)
{
    return syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0) == 0;
}

static void *run_thread(void *context)
{
    return context;
}

static int try_thread(void)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, run_thread, NULL) == 0 && pthread_join(thread, NULL) == 0;
}

static void *wait_for_end(void *context)
{
    (void)poll(NULL, 0, -1);
    return context;
}

static int try_many_threads(void)
{
    pthread_t thread;
    int made = 0;
    while (made <= THREADS_MAX && pthread_create(&thread, NULL, wait_for_end, NULL) == 0)
        made++;
    return made > THREADS_MAX;
}

enum { REFUSED, WORKS, DIES }; /* the last by SIGSYS */

static const struct {
    const char *name;
    int (*attempt)(void);
    int wants, wants_with_threads;
} rows[] = {
    { "its own descriptor fails", try_nothing, REFUSED, REFUSED },
    { "is not first in its own process namespace", try_is_alone, REFUSED, REFUSED },
    { "other descriptors are open", try_other_descriptor, REFUSED, REFUSED },
    { "open", try_open, DIES, REFUSED },
    { "create", try_create, DIES, REFUSED },
    { "open the random file", try_random, DIES, WORKS },
    { "write the random file", try_write_random, DIES, REFUSED },
    { "socket", try_socket, DIES, DIES },
    { "unix socket", try_unix_socket, DIES, DIES },
    { "exec", try_exec, DIES, DIES },
    { "fork", try_fork, DIES, DIES },
    { "clone3, whose flags no filter sees", try_other_process, DIES, REFUSED },
    { "thread", try_thread, DIES, WORKS },
    { "more threads than were asked for", try_many_threads, DIES, REFUSED },
    { "executable memory", try_executable_memory, DIES, WORKS },
    { "make executable", try_make_executable, DIES, WORKS },
    { "executable file", try_executable_file, DIES, DIES },
    { "prctl", try_dumpable, DIES, DIES },
    { "kill", try_kill, DIES, DIES },
    { "ptrace", try_ptrace, DIES, DIES },
    { "unshare", try_unshare, DIES, DIES },
    { "mount", try_mount, DIES, DIES },
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
        int wants = profile->threads_max > 0 ? rows[i].wants_with_threads : rows[i].wants;
        if (wants == DIES ? info.si_code == CLD_EXITED || info.si_status != SIGSYS
                          : info.si_code != CLD_EXITED || info.si_status != wants) {
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
    static const encl_confine_needs needs[] = { { 0 }, { .threads_max = THREADS_MAX } };
    for (size_t i = 0; i < RD_ARRAY_LEN(needs); i++) {
        encl_confine_profile profile;
        rd_err err = RD_ERR_INIT;
        assert_int_equal(encl_confine_profile_init(&profile, &needs[i], false, &err), 0);
        run_rows(&profile);
        encl_confine_profile_done(&profile);
    }
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
