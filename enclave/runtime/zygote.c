#include "enclave/runtime/zygote.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/base/log.h"
#include "enclave/confine/confine.h"
#include "enclave/runtime/function.h"
#include "enclave/runtime/instance.h"
#include "enclave/runtime/rehearse.h"
#include "enclave/runtime/uplink.h"

#define TAG_SIZE  16
#define FDS_COUNT 4 /* control, http listener, quoter, control listener */

enum { ZYGOTE_STARTED = 0, ZYGOTE_REFUSED = 1, ZYGOTE_ENDED = 2 };

typedef struct zygote {
    int fd;
    int signal_fd;
    encl_engine *engine;
    encl_confine_profile profile;
} zygote;

typedef struct zygote_request {
    uint8_t tag[TAG_SIZE];
    int fds[FDS_COUNT];
} zygote_request;

static void close_fds(zygote_request *request)
{
    for (size_t i = 0; i < FDS_COUNT; i++)
        rd_close_p(&request->fds[i]);
}

/* Libraries fetch and initialise lazily and from files; a confined child has none, so it happens here. */
static int warm_up(rd_err *err)
{
    return encl_world_warm_up(err) < 0 ? -1 : encl_rehearse_crypto(err);
}

static int zygote_open(zygote *self, bool insecure_unsandboxed, rd_err *err)
{
    const encl_confine_needs needs = { .threads_max = encl_engine_threads() };
    if (warm_up(err) < 0 || encl_function_preload(&self->engine, err) < 0)
        return -1;
    return encl_confine_profile_init(&self->profile, &needs, insecure_unsandboxed, err);
}

static void zygote_done(zygote *self)
{
    encl_engine_free(self->engine);
    encl_confine_profile_done(&self->profile);
    rd_close_p(&self->signal_fd);
}

/* --- answers ---------------------------------------------------------------------------------------------------- */

static void answer(const zygote *self, const uint8_t tag[TAG_SIZE], pid_t pid, uint8_t status, int pidfd,
                   const char *text)
{
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    rd_buf_append(&out, tag, TAG_SIZE);
    rd_buf_append_u32be(&out, (uint32_t)pid);
    rd_buf_append_u8(&out, status);
    rd_buf_append_str(&out, text);
    struct iovec part = { .iov_base = out.data, .iov_len = out.size };
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { .bytes = "" };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    if (pidfd >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(head), &pidfd, sizeof(int));
    }
    while (sendmsg(self->fd, &message, MSG_NOSIGNAL) < 0 && errno == EINTR)
        continue;
}

static void describe_end(const siginfo_t *info, char *text, size_t size)
{
    if (info->si_code == CLD_EXITED)
        (void)snprintf(text, size, "exit %d", info->si_status);
    else
        (void)snprintf(text, size, "signal %d (SIG%s)", info->si_status,
                       sigabbrev_np(info->si_status) != NULL ? sigabbrev_np(info->si_status) : "?");
}

static void reap(const zygote *self)
{
    static const uint8_t no_tag[TAG_SIZE];
    struct signalfd_siginfo ignored;
    (void)!read(self->signal_fd, &ignored, sizeof(ignored));
    for (;;) {
        siginfo_t info = { 0 };
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
            return;
        char text[64];
        describe_end(&info, text, sizeof(text));
        answer(self, no_tag, info.si_pid, ZYGOTE_ENDED, -1, text);
    }
}

/* --- requests --------------------------------------------------------------------------------------------------- */

/* Takes the descriptors out of a message; false unless there are exactly four. */
static bool take_fds(struct msghdr *message, zygote_request *request)
{
    size_t count = 0;
    bool has_more = (message->msg_flags & MSG_CTRUNC) != 0;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head != NULL; head = CMSG_NXTHDR(message, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
            continue;
        size_t given = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < given; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof(int));
            if (count < FDS_COUNT) {
                request->fds[count++] = fd;
                continue;
            }
            has_more = true;
            (void)close(fd);
        }
    }
    return count == FDS_COUNT && !has_more;
}

/* 1: a request; 0: try again; -1: the socket was closed. */
static int receive(const zygote *self, zygote_request *ret)
{
    uint8_t bytes[TAG_SIZE + 1];
    struct iovec part = { .iov_base = bytes, .iov_len = sizeof(bytes) };
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(8 * sizeof(int))];
    } control;
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)
    };
    for (size_t i = 0; i < FDS_COUNT; i++)
        ret->fds[i] = -1;
    memset(ret->tag, 0, TAG_SIZE);
    ssize_t got = recvmsg(self->fd, &message, MSG_CMSG_CLOEXEC);
    if (got < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : -1;
    if (got == 0)
        return -1;
    memcpy(ret->tag, bytes, RD_MIN((size_t)got, (size_t)TAG_SIZE));
    if (take_fds(&message, ret) && got == TAG_SIZE)
        return 1;
    close_fds(ret);
    answer(self, ret->tag, 0, ZYGOTE_REFUSED, -1, "a request is a tag of 16 bytes and four descriptors");
    return 0;
}

/* It has descriptors alone: the agent is told why, and logs it. */
static int tell_unconfined(const encl_confine_report *report, const rd_err *why)
{
    encl_uplink uplink;
    if (!report->has_descriptors || encl_uplink_init(&uplink, 7, 3, 6, NULL) < 0)
        return 70;
    encl_uplink_phase(&uplink, "failed", rd_code_describe(why->code)->name, why->text);
    encl_uplink_finish(&uplink);
    return 70;
}

static int run_instance(void *parts)
{
    return encl_instance_run(parts);
}

/* The whole life of a child. */
static int run_child(zygote *self, encl_confine_child *child, const zygote_request *request)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0)
        return 1;
    const int keep[] = { request->fds[0], request->fds[1], request->fds[2], request->fds[3], epoll_fd };
    encl_confine_report report;
    rd_err err = RD_ERR_INIT;
    if (encl_confine_apply(&self->profile, child, keep, RD_ARRAY_LEN(keep), &report, &err) < 0)
        return tell_unconfined(&report, &err);
    const encl_instance_parts parts = { .control_fd = 3,
                                        .http_fd = 4,
                                        .control_listen_fd = 6,
                                        .epoll_fd = 7,
                                        .platform = encl_platform_sim_new(5),
                                        .engine = RD_TAKE(self->engine),
                                        .report = &report };
    return encl_engine_host_run(run_instance, (void *)(uintptr_t)&parts);
}

static void fork_instance(zygote *self, zygote_request *request)
{
    rd_err err = RD_ERR_INIT;
    encl_confine_child child = { .pidfd = -1 };
    int outcome = encl_confine_fork(&self->profile, &child, &err);
    if (outcome == 0)
        _exit(run_child(self, &child, request));
    if (outcome < 0)
        answer(self, request->tag, 0, ZYGOTE_REFUSED, -1, err.text);
    else
        answer(self, request->tag, child.pid, ZYGOTE_STARTED, child.pidfd, "");
    rd_close_p(&child.pidfd);
    close_fds(request);
}

static int open_signals(zygote *self, rd_err *err)
{
    sigset_t children;
    (void)sigemptyset(&children);
    (void)sigaddset(&children, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &children, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    self->signal_fd = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
    if (self->signal_fd < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "signalfd");
    return 0;
}

int encl_zygote_run(int fd, bool insecure_unsandboxed, rd_err *err)
{
    zygote self = { .fd = fd, .signal_fd = -1 };
    int outcome = open_signals(&self, err);
    if (outcome == 0)
        outcome = zygote_open(&self, insecure_unsandboxed, err);
    while (outcome == 0) {
        struct pollfd watched[] = { { .fd = fd, .events = POLLIN }, { .fd = self.signal_fd, .events = POLLIN } };
        if (poll(watched, RD_ARRAY_LEN(watched), -1) < 0 && errno != EINTR)
            outcome = rd_err_set_errno(err, RD_E_IO, errno, "poll");
        if ((watched[1].revents & POLLIN) != 0)
            reap(&self);
        if (watched[0].revents == 0)
            continue;
        zygote_request request;
        int received = receive(&self, &request);
        if (received < 0)
            break;
        if (received > 0)
            fork_instance(&self, &request);
    }
    zygote_done(&self);
    return outcome;
}

/* --- self-check ------------------------------------------------------------------------------------------------- */

static void print_report(const char *engine, const encl_confine_profile *profile, const encl_confine_report *report)
{
    (void)printf("{\"version\":\"" REDOUBT_VERSION "\",\"engine\":\"%s\",\"landlock_abi\":%d,\"namespaces\":%s,"
                 "\"empty_root\":%s,\"seccomp\":%s,\"landlock\":%s,\"missing\":\"%s\"}\n",
                 engine, profile->landlock_abi, report->has_namespaces ? "true" : "false",
                 report->has_empty_root ? "true" : "false", report->has_seccomp ? "true" : "false",
                 report->has_landlock ? "true" : "false", report->missing);
}

/* Runs in the confined child: hands the report through the one descriptor it kept. */
static int check_child(const encl_confine_profile *profile, encl_confine_child *child, int fd)
{
    encl_confine_report report;
    rd_err err = RD_ERR_INIT;
    int outcome = encl_confine_apply(profile, child, &fd, 1, &report, &err);
    (void)!write(3, &report, sizeof(report));
    return outcome < 0 ? 70 : 0;
}

int encl_zygote_self_check(bool insecure_unsandboxed)
{
    zygote self = { .fd = -1, .signal_fd = -1 };
    rd_err err = RD_ERR_INIT;
    int pair[2];
    if (zygote_open(&self, insecure_unsandboxed, &err) < 0 || pipe(pair) < 0) {
        (void)fprintf(stderr, "redoubt-enclave: %s\n", err.text);
        return 1;
    }
    encl_confine_child child = { .pidfd = -1 };
    int outcome = encl_confine_fork(&self.profile, &child, &err);
    if (outcome == 0)
        _exit(check_child(&self.profile, &child, pair[1]));
    (void)close(pair[1]);
    encl_confine_report report = { .missing = "" };
    bool has_report = outcome > 0 && read(pair[0], &report, sizeof(report)) == (ssize_t)sizeof(report);
    siginfo_t info = { 0 };
    if (outcome > 0)
        (void)waitid(P_PID, (id_t)child.pid, &info, WEXITED);
    print_report(encl_engine_name(), &self.profile, &report);
    if (!has_report || info.si_status != 0)
        (void)fprintf(stderr, "redoubt-enclave: an instance cannot be confined here: %s\n",
                      outcome < 0 ? err.text : report.missing);
    (void)close(pair[0]);
    zygote_done(&self);
    return has_report && info.si_status == 0 ? 0 : 1;
}
