#include "cli/local_verbs.h"

#include "common/base/clock.h"
#include "common/base/mem.h"

#include <errno.h>
#include <poll.h>
#include <spawn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define AT_ONCE  8
#define WAIT_MS  90000
#define SAID_MAX ((size_t)8 << 20)

extern char **environ;

static atomic_int running;

static int memory(const char *name, rd_bytes content, int *ret, rd_err *err)
{
    RD_CLEANUP(rd_close_p) int fd = memfd_create(name, MFD_CLOEXEC);
    size_t done = 0;
    while (fd >= 0 && done < content.size) {
        ssize_t wrote = write(fd, content.data + done, content.size - done);
        if (wrote <= 0)
            break;
        done += (size_t)wrote;
    }
    if (fd < 0 || done < content.size || lseek(fd, 0, SEEK_SET) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s", name);
    *ret = rd_fd_take(&fd);
    return 0;
}

static int read_back(int fd, rd_buf *out, rd_err *err)
{
    struct stat info;
    rd_buf_init(out, SAID_MAX);
    if (fstat(fd, &info) < 0 || (size_t)info.st_size > SAID_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "the verb printed too much");
    uint8_t *room = rd_buf_reserve(out, (size_t)info.st_size + 1);
    ssize_t got = room ? pread(fd, room, (size_t)info.st_size, 0) : -1;
    if (got < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "reading what the verb printed");
    rd_buf_commit(out, (size_t)got);
    return 0;
}

static int start(const char *const argv[], const int fds[3], pid_t *ret, rd_err *err)
{
    posix_spawn_file_actions_t actions;
    (void)posix_spawn_file_actions_init(&actions);
    for (int i = 0; i < 3; i++)
        (void)posix_spawn_file_actions_adddup2(&actions, fds[i], i);
    int failed = posix_spawn(ret, "/proc/self/exe", &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    return failed ? rd_err_set_errno(err, RD_E_IO, failed, "starting %s", argv[1]) : 0;
}

static int wait_for(pid_t pid, int *ret_exit, rd_err *err)
{
    RD_CLEANUP(rd_close_p) int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd end = { .fd = pidfd, .events = POLLIN };
    int64_t until_us = rd_clock_boot_us(rd_clock_system()) + (int64_t)WAIT_MS * 1000, left_us;
    bool is_over = false;
    while (pidfd >= 0 && !is_over && (left_us = until_us - rd_clock_boot_us(rd_clock_system())) > 0) {
        int got = poll(&end, 1, (int)(left_us / 1000 + 1));
        if (got < 0 && errno != EINTR)
            break;
        is_over = got > 0;
    }
    if (!is_over)
        (void)kill(pid, SIGKILL);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!is_over)
        return rd_err_set(err, RD_E_TIMEOUT, "it did not end within %d s", WAIT_MS / 1000);
    *ret_exit = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return 0;
}

static int run(const char *const argv[], rd_bytes input, rd_buf *out, rd_buf *said, int *ret_exit, rd_err *err)
{
    RD_CLEANUP(rd_close_p) int in = -1;
    RD_CLEANUP(rd_close_p) int printed = -1;
    RD_CLEANUP(rd_close_p) int noted = -1;
    pid_t pid;
    if (memory("input", input, &in, err) < 0 || memory("output", RD_BYTES_NULL, &printed, err) < 0 ||
        memory("notes", RD_BYTES_NULL, &noted, err) < 0)
        return -1;
    const int fds[3] = { in, printed, noted };
    if (start(argv, fds, &pid, err) < 0 || wait_for(pid, ret_exit, err) < 0)
        return -1;
    return read_back(printed, out, err) < 0 ? -1 : read_back(noted, said, err);
}

int cli_verb_run(const cli_args *args, const char *const words[CLI_VERB_WORDS_MAX], rd_bytes input, rd_buf *out,
                 rd_buf *said, int *ret_exit, rd_err *err)
{
    static const char *const carried[] = { "profile", "api" };
    const char *argv[CLI_VERB_WORDS_MAX + 8] = { "redoubt" };
    char *flags[RD_ARRAY_LEN(carried)] = { NULL };
    size_t count = 1;
    /* In front: words end with what the caller chose, behind a "--". */
    argv[count++] = "--json";
    argv[count++] = "--no-input";
    for (size_t i = 0; i < RD_ARRAY_LEN(carried); i++) {
        const char *value = cli_args_value(args, carried[i]);
        if (value)
            argv[count++] = flags[i] = rd_asprintf("--%s=%s", carried[i], value);
    }
    for (size_t i = 0; i < CLI_VERB_WORDS_MAX && words[i]; i++)
        argv[count++] = words[i];
    int status = -1;
    if (atomic_fetch_add(&running, 1) >= AT_ONCE)
        status = rd_err_set(err, RD_E_UNAVAILABLE, "%d verbs run already", AT_ONCE);
    else
        status = run(argv, input, out, said, ret_exit, err);
    (void)atomic_fetch_sub(&running, 1);
    for (size_t i = 0; i < RD_ARRAY_LEN(flags); i++)
        free(flags[i]);
    return status;
}
