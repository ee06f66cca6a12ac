#include "agent/sim_kms.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/measure.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/model/json.h"

#define BACKOFF_MS  100
#define BACKOFF_MAX 30000
#define CALM_MS     10000 /* whoever ran so long begins with a short back-off again */
#define BACKLOG     64
#define ARGS_MAX    80

struct agent_sim_kms {
    agent_sim_kms_place place;
    agent_sim_kms_order order;
    uint8_t mrtd[48];
    int program_fd, listen_fd;
    pid_t pid;
    int pidfd, ready_fd;
    uv_poll_t exit_watch, ready_watch;
    unsigned handles;
    uv_timer_t restart;
    uint64_t began_ms, backoff_ms;
    char why[256];
    bool is_ready, is_stopping;
};

/* --- the order --- */

static int read_platform(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    agent_sim_kms_order *order = context;
    if (!json_is_string(item) || json_string_length(item) != AGENT_KMS_PLATFORM_TEXT - 1)
        return rd_err_at(err, pointer);
    memcpy(order->platforms[index], json_string_value(item), AGENT_KMS_PLATFORM_TEXT);
    order->platforms_count = index + 1;
    return 0;
}

static int read_platforms(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_json_each(value, 0, RD_KMS_REPLICAS_MAX - 1, pointer, read_platform, into, err);
}

static int read_recovery_key(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    agent_sim_kms_order *order = context;
    if (!json_is_string(item) || json_string_length(item) != AGENT_KMS_KEY_TEXT - 1)
        return rd_err_at(err, pointer);
    memcpy(order->recovery_keys[index], json_string_value(item), AGENT_KMS_KEY_TEXT);
    order->recovery_count = index + 1;
    return 0;
}

static int read_recovery_keys(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_json_each(value, 0, RD_KMS_RECOVERY_MAX, pointer, read_recovery_key, into, err);
}

static const rd_json_field order_fields[] = {
    { "dir", RD_JSON_TEXT, offsetof(agent_sim_kms_order, dir), RD_REQUIRED, .min = 1, .max = AGENT_KMS_PATH_SIZE - 1 },
    { "join", RD_JSON_TEXT, offsetof(agent_sim_kms_order, join), RD_OPTIONAL, .min = 1,
      .max = RD_KMS_ID_TEXT_SIZE - 1 },
    { "platforms", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_platforms },
    { "program", RD_JSON_TEXT, offsetof(agent_sim_kms_order, program), RD_REQUIRED, .min = 1,
      .max = AGENT_KMS_PATH_SIZE - 1 },
    { "recovery_keys", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_recovery_keys },
    { "recovery_threshold", RD_JSON_U32, offsetof(agent_sim_kms_order, recovery_threshold), RD_REQUIRED,
      .max = RD_KMS_RECOVERY_MAX },
    { "ticket_key", RD_JSON_TEXT, offsetof(agent_sim_kms_order, ticket_key), RD_REQUIRED, .min = AGENT_KMS_KEY_TEXT - 1,
      .max = AGENT_KMS_KEY_TEXT - 1 },
    RD_JSON_END,
};

int agent_sim_kms_order_parse(rd_bytes json, agent_sim_kms_order *ret, rd_err *err)
{
    *ret = (agent_sim_kms_order){ .program = "" };
    return rd_json_load(json, NULL, order_fields, RD_UNKNOWN_REFUSED, ret, err);
}

bool agent_sim_kms_order_encode(const agent_sim_kms_order *order, rd_buf *out)
{
    RD_CLEANUP(rd_json_free_p) json_t *document = json_object();
    rd_json_set_str(document, "program", order->program);
    rd_json_set_str(document, "dir", order->dir);
    rd_json_set_str(document, "ticket_key", order->ticket_key);
    if (order->join[0] != '\0')
        rd_json_set_str(document, "join", order->join);
    json_t *platforms = json_array();
    for (size_t i = 0; i < order->platforms_count; i++)
        (void)json_array_append_new(platforms, json_string(order->platforms[i]));
    rd_json_set(document, "platforms", platforms);
    json_t *keys = json_array();
    for (size_t i = 0; i < order->recovery_count; i++)
        (void)json_array_append_new(keys, json_string(order->recovery_keys[i]));
    rd_json_set(document, "recovery_keys", keys);
    rd_json_set_int(document, "recovery_threshold", order->recovery_threshold);
    return rd_json_dump(document, out);
}

/* --- the process --- */

static void start(agent_sim_kms *kms);

static void on_restart(uv_timer_t *timer)
{
    start(timer->data);
}

static void start_later(agent_sim_kms *kms)
{
    if (kms->is_stopping)
        return;
    (void)uv_timer_start(&kms->restart, on_restart, kms->backoff_ms, 0);
    kms->backoff_ms = RD_MIN(kms->backoff_ms * 2, (uint64_t)BACKOFF_MAX);
}

static void on_handle_closed(uv_handle_t *handle)
{
    agent_sim_kms *kms = handle->data;
    if (--kms->handles > 0)
        return;
    rd_close_p(&kms->pidfd);
    rd_close_p(&kms->ready_fd);
    start_later(kms);
}

static void on_exit_seen(uv_poll_t *watch, int status, int events)
{
    (void)status, (void)events;
    agent_sim_kms *kms = watch->data;
    siginfo_t info = { 0 };
    (void)waitid(P_PID, (id_t)kms->pid, &info, WEXITED | WNOHANG);
    rd_log(kms->is_stopping ? RD_INFO : RD_ERROR, "kms_ended", RD_I64("pid", kms->pid),
           RD_I64("status", info.si_status), RD_BOOL("exited", info.si_code == CLD_EXITED), RD_STR("why", kms->why));
    if (uv_now(kms->place.loop) - kms->began_ms > CALM_MS)
        kms->backoff_ms = BACKOFF_MS;
    kms->pid = 0;
    kms->is_ready = false;
    uv_close((uv_handle_t *)&kms->exit_watch, on_handle_closed);
    uv_close((uv_handle_t *)&kms->ready_watch, on_handle_closed);
    kms->place.changed(kms->place.context, false, kms->why[0] ? kms->why : "it ended");
}

static void on_ready(uv_poll_t *watch, int status, int events)
{
    (void)status, (void)events;
    agent_sim_kms *kms = watch->data;
    ssize_t got = read(kms->ready_fd, kms->why, sizeof(kms->why) - 1);
    (void)uv_poll_stop(watch);
    kms->why[got > 0 ? got : 0] = '\0';
    if (strncmp(kms->why, AGENT_KMS_WAITS, sizeof AGENT_KMS_WAITS - 1) == 0)
        kms->place.changed(kms->place.context, false, kms->why);
    if (strcmp(kms->why, "ready") != 0)
        return; /* its exit says the rest */
    kms->why[0] = '\0';
    kms->is_ready = true;
    kms->place.changed(kms->place.context, true, "");
}

/* Numbers of the descriptors that it is given, as text. */
typedef struct fd_texts {
    char tee[16], listener[16], ready[16], threshold[16];
} fd_texts;

static size_t put(char **argv, size_t count, const char *name, const char *value)
{
    argv[count] = (char *)(uintptr_t)name;
    argv[count + 1] = (char *)(uintptr_t)value;
    return count + 2;
}

/* Between fork and exec: system calls alone; the texts were made before. */
static void exec_program(const agent_sim_kms *kms, char **argv, int tee_fd, int ready_fd)
{
    char *envp[] = { (char[]){ "LC_ALL=C" }, NULL };
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setsid();
    (void)fcntl(tee_fd, F_SETFD, 0);
    (void)fcntl(ready_fd, F_SETFD, 0);
    (void)fcntl(kms->listen_fd, F_SETFD, 0);
    (void)fexecve(kms->program_fd, argv, envp);
    _exit(127);
}

static pid_t fork_program(const agent_sim_kms *kms, int tee_fd, int ready_fd)
{
    const agent_sim_kms_order *order = &kms->order;
    fd_texts texts;
    char *argv[ARGS_MAX] = { (char[]){ "redoubt-kms" } };
    (void)snprintf(texts.tee, sizeof(texts.tee), "%d", tee_fd);
    (void)snprintf(texts.listener, sizeof(texts.listener), "%d", kms->listen_fd);
    (void)snprintf(texts.ready, sizeof(texts.ready), "%d", ready_fd);
    size_t count = put(argv, 1, "--dir", order->dir);
    count = put(argv, count, "--tee-fd", texts.tee);
    count = put(argv, count, "--listen-fd", texts.listener);
    count = put(argv, count, "--ready-fd", texts.ready);
    count = put(argv, count, "--sim-root", kms->place.sim_root);
    count = put(argv, count, "--ticket-key", order->ticket_key);
    if (order->join[0] != '\0')
        count = put(argv, count, "--join", order->join);
    for (size_t i = 0; i < order->platforms_count; i++)
        count = put(argv, count, "--platform", order->platforms[i]);
    for (size_t i = 0; i < order->recovery_count; i++)
        count = put(argv, count, "--recovery-key", order->recovery_keys[i]);
    (void)snprintf(texts.threshold, sizeof(texts.threshold), "%u", order->recovery_threshold);
    if (order->recovery_threshold > 0)
        count = put(argv, count, "--recovery-threshold", texts.threshold);
    if (kms->place.insecure_unsandboxed)
        argv[count] = (char[]){ "--insecure-unsandboxed" };
    pid_t pid = fork();
    if (pid == 0)
        exec_program(kms, argv, tee_fd, ready_fd);
    return pid;
}

/* Nobody would hear of its end, and the next one would find the folder taken. */
static void end_unwatched(agent_sim_kms *kms)
{
    if (kms->pid > 0) {
        (void)kill(kms->pid, SIGKILL);
        (void)waitpid(kms->pid, NULL, 0);
    }
    kms->pid = 0;
}

static int start_process(agent_sim_kms *kms, rd_err *err)
{
    int ready[2];
    RD_CLEANUP(rd_close_p) int tee_fd = kms->place.door(kms->place.context, kms->mrtd, err);
    if (tee_fd < 0)
        return -1;
    if (pipe2(ready, O_CLOEXEC | O_NONBLOCK) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "pipe");
    RD_CLEANUP(rd_close_p) int theirs = ready[1];
    RD_CLEANUP(rd_close_p) int ours = ready[0];
    kms->pid = fork_program(kms, tee_fd, theirs);
    kms->pidfd = kms->pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, kms->pid, 0);
    if (kms->pidfd < 0) {
        (void)rd_err_set_errno(err, RD_E_IO, errno, "starting %s", kms->order.program);
        end_unwatched(kms);
        return -1;
    }
    kms->ready_fd = rd_fd_take(&ours);
    kms->began_ms = uv_now(kms->place.loop);
    kms->handles = 2;
    (void)uv_poll_init(kms->place.loop, &kms->exit_watch, kms->pidfd);
    (void)uv_poll_init(kms->place.loop, &kms->ready_watch, kms->ready_fd);
    kms->exit_watch.data = kms->ready_watch.data = kms;
    (void)uv_poll_start(&kms->exit_watch, UV_READABLE, on_exit_seen);
    (void)uv_poll_start(&kms->ready_watch, UV_READABLE | UV_DISCONNECT, on_ready);
    rd_log(RD_INFO, "kms_started", RD_I64("pid", kms->pid), RD_STR("dir", kms->order.dir));
    return 0;
}

static void start(agent_sim_kms *kms)
{
    rd_err err = RD_ERR_INIT;
    kms->why[0] = '\0';
    if (kms->is_stopping || start_process(kms, &err) == 0)
        return;
    rd_log(RD_ERROR, "kms_not_started", RD_ERR(&err));
    (void)snprintf(kms->why, sizeof(kms->why), "%.200s", err.text);
    kms->place.changed(kms->place.context, false, kms->why);
    start_later(kms);
}

static int open_socket(const char *run_dir, int *ret, rd_err *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (snprintf(address.sun_path, sizeof(address.sun_path), "%s/" AGENT_KMS_SOCKET, run_dir) >=
        (int)sizeof(address.sun_path))
        return rd_err_set(err, RD_E_CONFIG, "run-dir is too long");
    (void)unlink(address.sun_path);
    RD_CLEANUP(rd_close_p) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || chmod(address.sun_path, 0600) < 0 ||
        listen(fd, BACKLOG) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s", address.sun_path);
    *ret = rd_fd_take(&fd);
    return 0;
}

int agent_sim_kms_new(const agent_sim_kms_place *place, const agent_sim_kms_order *order, agent_sim_kms **ret,
                      rd_err *err)
{
    agent_sim_kms *kms = rd_alloc(sizeof(*kms));
    kms->place = *place;
    kms->order = *order;
    kms->pidfd = kms->ready_fd = kms->program_fd = kms->listen_fd = -1;
    kms->backoff_ms = BACKOFF_MS;
    if (agent_measure_open(order->program, &kms->program_fd, kms->mrtd, err) < 0 ||
        open_socket(place->run_dir, &kms->listen_fd, err) < 0) {
        rd_close_p(&kms->program_fd);
        free(kms);
        return -1;
    }
    (void)uv_timer_init(place->loop, &kms->restart);
    kms->restart.data = kms;
    *ret = kms;
    start(kms);
    return 0;
}

static bool is_same(const agent_sim_kms_order *a, const agent_sim_kms_order *b)
{
    return strcmp(a->program, b->program) == 0 && strcmp(a->dir, b->dir) == 0 &&
           strcmp(a->ticket_key, b->ticket_key) == 0 && strcmp(a->join, b->join) == 0 &&
           a->platforms_count == b->platforms_count && memcmp(a->platforms, b->platforms, sizeof a->platforms) == 0 &&
           a->recovery_count == b->recovery_count && a->recovery_threshold == b->recovery_threshold &&
           memcmp(a->recovery_keys, b->recovery_keys, sizeof a->recovery_keys) == 0;
}

int agent_sim_kms_follow(agent_sim_kms *kms, const agent_sim_kms_order *order, rd_err *err)
{
    uint8_t mrtd[sizeof kms->mrtd];
    RD_CLEANUP(rd_close_p) int program_fd = -1;
    if (is_same(&kms->order, order))
        return 0;
    if (agent_measure_open(order->program, &program_fd, mrtd, err) < 0)
        return -1;
    rd_close_p(&kms->program_fd);
    kms->program_fd = rd_fd_take(&program_fd);
    memcpy(kms->mrtd, mrtd, sizeof mrtd);
    kms->order = *order;
    kms->is_ready = false;
    rd_log(RD_INFO, "kms_ordered_anew", RD_STR("dir", order->dir));
    if (kms->pidfd >= 0)
        (void)syscall(SYS_pidfd_send_signal, kms->pidfd, SIGTERM, NULL, 0);
    return 0;
}

bool agent_sim_kms_is_ready(const agent_sim_kms *kms)
{
    return kms->is_ready;
}

const char *agent_sim_kms_why(const agent_sim_kms *kms)
{
    return kms->why;
}

void agent_sim_kms_stop(agent_sim_kms *kms)
{
    if (kms == NULL || kms->is_stopping)
        return;
    kms->is_stopping = true;
    (void)uv_timer_stop(&kms->restart);
    if (kms->pidfd >= 0)
        (void)syscall(SYS_pidfd_send_signal, kms->pidfd, SIGTERM, NULL, 0);
}
