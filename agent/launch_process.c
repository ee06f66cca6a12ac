#include "agent/launch_process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/blank.h"
#include "agent/cgroup.h"
#include "agent/measure.h"
#include "agent/packet.h"
#include "agent/run_dir.h"
#include "agent/sim_files.h"
#include "agent/sim_kms.h"
#include "agent/sim_tee.h"
#include "common/base/clock.h"
#include "common/base/cursor.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/random.h"
#include "common/model/json.h"

#define START_MS       10000
#define ADOPT_MS       2000
#define RETRY_MS       200
#define RETRY_MAX      10000
#define PIDS_DEFAULT   4
#define MEMORY_DEFAULT (UINT64_C(128) << 20)
#define COUNT_DEFAULT  1024
#define CACHE_SIZE     ((size_t)256 << 10)

typedef struct process_launcher {
    agent_launcher base;
    char *run_dir, *enclave_path, *platform_dir, *agent_path;
    uint64_t memory_bytes;
    uint32_t count_max, pids_max;
    bool insecure_unsandboxed;
    rd_buf kms; /* the order of a key service, a packet; empty: none */
    void *kms_context;
    void (*on_kms)(void *context, bool is_ready, const char *why);
    agent_cgroup *cgroup;
    agent_launcher_info info;
    agent_blank_rules blank;
    char limits[320];
    agent_enclave *first;
    size_t count;
    int tee_fd; /* -1: no connection */
    uv_poll_t tee_watch;
    uv_timer_t retry;
    uint64_t retry_ms;
    uv_process_t child; /* the TEE that this process started */
    uv_pipe_t ready;
    char ready_text[256];
    bool has_child, is_starting;
    size_t adopting, adopted;
    agent_adopt_done_fn adopt_done;
    void *adopt_context;
    bool is_closing;
    unsigned handles_open;
    void (*closed)(void *context);
    void *closed_context;
} process_launcher;

static process_launcher *launcher_of(const agent_enclave *enclave)
{
    return (process_launcher *)enclave->launcher;
}

static void connect_tee(process_launcher *self);

/* --- the way to the TEE ----------------------------------------------------------------------------------------- */

static void on_retry(uv_timer_t *timer)
{
    connect_tee(timer->data);
}

static void retry_later(process_launcher *self)
{
    if (self->is_closing)
        return;
    (void)uv_timer_start(&self->retry, on_retry, self->retry_ms, 0);
    self->retry_ms = RD_MIN(self->retry_ms * 2, (uint64_t)RETRY_MAX);
}

static void free_when_closed(process_launcher *self)
{
    if (!self->is_closing || self->handles_open > 0 || self->first != NULL)
        return;
    void (*closed)(void *) = self->closed;
    void *context = self->closed_context;
    agent_cgroup_free(self->cgroup);
    rd_attest_cache_free(self->blank.cache);
    free(self->run_dir);
    free(self->enclave_path);
    free(self->platform_dir);
    free(self->agent_path);
    rd_buf_done(&self->kms);
    free(self);
    if (closed != NULL)
        closed(context);
}

static void on_handle_closed(uv_handle_t *handle)
{
    process_launcher *self = handle->data;
    self->handles_open--;
    free_when_closed(self);
}

static void on_tee_closed(uv_handle_t *handle)
{
    process_launcher *self = handle->data;
    rd_close_p(&self->tee_fd);
    if (!self->is_closing)
        retry_later(self);
    on_handle_closed(handle);
}

/* Without its TEE a blank can never quote: the pool makes others. What serves goes on until its evidence is due. */
static void end_blanks(process_launcher *self)
{
    for (agent_enclave *one = self->first; one != NULL; one = one->next) {
        if (one->adopted != NULL || (one->state != AGENT_ENCLAVE_STARTING && one->state != AGENT_ENCLAVE_BLANK))
            continue;
        if (one->pidfd >= 0)
            agent_enclave_kill(one);
        else if (one->socket[0] != '\0')
            agent_enclave_arm(one, AGENT_TIMER_START, 0); /* its answer will not come; ended from the loop */
    }
}

static void lose_tee(process_launcher *self)
{
    if (self->tee_fd < 0 || uv_is_closing((uv_handle_t *)&self->tee_watch))
        return;
    self->info.is_ready = false;
    uv_close((uv_handle_t *)&self->tee_watch, on_tee_closed);
    end_blanks(self);
    if (!self->is_closing)
        rd_log(RD_WARN, "tee_lost", RD_STR("run_dir", self->run_dir));
}

static int send_tee(process_launcher *self, rd_bytes message, const int *fds, size_t count, rd_err *err)
{
    if (self->tee_fd < 0)
        return rd_err_set(err, RD_E_UNAVAILABLE, "the simulated TEE is not there");
    return agent_packet_send(self->tee_fd, message, fds, count, err);
}

static agent_enclave *find_by_tag(process_launcher *self, rd_bytes tag)
{
    for (agent_enclave *one = self->first; one != NULL; one = one->next) {
        if (tag.size == AGENT_TAG_SIZE && memcmp(one->tag, tag.data, AGENT_TAG_SIZE) == 0)
            return one;
    }
    return NULL;
}

/* The process runs: watch it, note it for a later agent, give it its group. */
static void take_process(process_launcher *self, agent_enclave *enclave, pid_t pid, int pidfd)
{
    rd_err err = RD_ERR_INIT;
    if (agent_enclave_watch(enclave, pid, pidfd, &err) < 0 ||
        agent_run_record_write(self->run_dir, enclave->tag_text, pid, &err) < 0 ||
        agent_cgroup_add(self->cgroup, enclave->tag_text, pid, self->memory_bytes, self->pids_max, &err) < 0)
        rd_log(RD_WARN, "enclave_start", RD_STR("enclave", enclave->tag_text), RD_ERR(&err));
    if (enclave->is_forgotten)
        agent_enclave_kill(enclave);
}

static void hear_launched(process_launcher *self, rd_cursor *cursor, agent_packet *packet)
{
    agent_enclave *enclave = find_by_tag(self, rd_cursor_take(cursor, AGENT_TAG_SIZE));
    pid_t pid = (pid_t)rd_cursor_u32be(cursor);
    uint8_t status = rd_cursor_u8(cursor);
    if (!rd_cursor_is_ok(cursor) || enclave == NULL)
        return;
    if (status == 0 && packet->fds_count == 1) {
        take_process(self, enclave, pid, packet->fds[0]);
        packet->fds[0] = -1;
        packet->fds_count = 0;
        return;
    }
    char how[128];
    rd_bytes text = rd_cursor_rest(cursor);
    (void)snprintf(how, sizeof(how), "launch failed: %.*s", (int)RD_MIN(text.size, (size_t)100),
                   (const char *)text.data);
    agent_enclave_end(enclave, how);
}

static void hear_ended(process_launcher *self, rd_cursor *cursor)
{
    char how[128];
    pid_t pid = (pid_t)rd_cursor_u32be(cursor);
    rd_bytes text = rd_cursor_rest(cursor);
    (void)snprintf(how, sizeof(how), "%.*s", (int)RD_MIN(text.size, (size_t)100), (const char *)text.data);
    for (agent_enclave *one = self->first; one != NULL; one = one->next) {
        if (one->pid == pid && pid > 0) {
            agent_enclave_note_end(one, how);
            return;
        }
    }
}

typedef struct hello {
    char mrtd[97];
} hello;

static const rd_json_field hello_fields[] = {
    { .name = "mrtd", .kind = RD_JSON_TEXT, .offset = offsetof(hello, mrtd), .min = 96, .max = 96 },
    RD_JSON_END,
};

static int start_enclave(process_launcher *self, agent_enclave *enclave, rd_err *err);

/* Launches that were asked for before the TEE was there. */
static void start_waiting(process_launcher *self)
{
    agent_enclave *next = NULL;
    for (agent_enclave *one = self->first; one != NULL; one = next) {
        next = one->next;
        rd_err err = RD_ERR_INIT;
        if (one->state == AGENT_ENCLAVE_STARTING && one->socket[0] == '\0' && start_enclave(self, one, &err) < 0)
            agent_enclave_end(one, err.text);
    }
}

static void hear_hello(process_launcher *self, rd_cursor *cursor)
{
    hello said = { .mrtd = "" };
    rd_err err = RD_ERR_INIT;
    int outcome = rd_json_load(rd_cursor_rest(cursor), NULL, hello_fields, RD_UNKNOWN_IGNORED, &said, &err);
    if (outcome == 0 && rd_hex_decode(said.mrtd, 96, self->blank.mrtd, sizeof(self->blank.mrtd)) < 0)
        outcome = rd_err_set(&err, RD_E_ENCODING, "mrtd is not hexadecimal");
    if (outcome < 0) {
        rd_log(RD_ERROR, "tee_hello", RD_ERR(&err));
        return;
    }
    memcpy(self->info.mrtd, said.mrtd, sizeof(self->info.mrtd));
    self->info.is_ready = true;
    self->retry_ms = RETRY_MS;
    rd_log(RD_INFO, "tee_ready", RD_STR("mrtd", self->info.mrtd));
    start_waiting(self);
    if (self->kms.size > 0 && send_tee(self, rd_buf_bytes(&self->kms), NULL, 0, &err) < 0)
        lose_tee(self);
}

static void hear_kms(process_launcher *self, rd_cursor *cursor)
{
    char why[256];
    bool is_ready = rd_cursor_u8(cursor) == 1;
    rd_bytes text = rd_cursor_rest(cursor);
    (void)snprintf(why, sizeof(why), "%.*s", (int)RD_MIN(text.size, sizeof(why) - 1), (const char *)text.data);
    bool waits = strncmp(why, AGENT_KMS_WAITS, sizeof AGENT_KMS_WAITS - 1) == 0;
    rd_log(is_ready || waits ? RD_INFO : RD_ERROR, is_ready ? "kms_ready" : "kms_not_ready", RD_STR("why", why));
    if (self->on_kms != NULL && !self->is_closing)
        self->on_kms(self->kms_context, is_ready, why);
}

static void on_tee(uv_poll_t *watch, int status, int events)
{
    (void)events;
    process_launcher *self = watch->data;
    agent_packet packet;
    for (;;) {
        int outcome = status < 0 ? -1 : agent_packet_receive(self->tee_fd, &packet);
        if (outcome == 0)
            return;
        if (outcome < 0) {
            lose_tee(self);
            return;
        }
        rd_cursor cursor = rd_cursor_of(rd_bytes_of(packet.bytes, packet.size));
        uint8_t type = rd_cursor_u8(&cursor);
        if (type == TEE_HELLO_IS)
            hear_hello(self, &cursor);
        else if (type == TEE_LAUNCHED)
            hear_launched(self, &cursor, &packet);
        else if (type == TEE_ENDED)
            hear_ended(self, &cursor);
        else if (type == TEE_KMS_IS)
            hear_kms(self, &cursor);
        agent_packet_close_fds(&packet);
    }
}

static int dial_tee(process_launcher *self)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/" AGENT_TEE_SOCKET, self->run_dir);
    RD_CLEANUP(rd_close_p) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -1;
    return rd_fd_take(&fd);
}

static void on_child_exit(uv_process_t *child, int64_t status, int signal_number)
{
    process_launcher *self = child->data;
    rd_log(RD_WARN, "tee_ended", RD_I64("status", status), RD_I64("signal", signal_number));
    self->has_child = false;
    uv_close((uv_handle_t *)child, on_handle_closed);
}

static void on_ready_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    (void)suggested;
    process_launcher *self = handle->data;
    *ret = uv_buf_init(self->ready_text, sizeof(self->ready_text));
}

static void on_ready(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    process_launcher *self = stream->data;
    self->is_starting = false;
    if (got > 0 && strncmp(buf->base, AGENT_TEE_READY, strlen(AGENT_TEE_READY)) == 0)
        connect_tee(self);
    else {
        rd_log(RD_ERROR, "tee_failed", RD_STR("why", got > 0 ? "see its own line" : "it ended"));
        retry_later(self);
    }
    uv_close((uv_handle_t *)stream, on_handle_closed);
}

/* Starts the TEE in a session of its own, so that it outlives this process. */
static int spawn_tee(process_launcher *self, rd_err *err)
{
    char *args[] = { self->agent_path,
                     (char[]){ "sim-tee" },
                     (char[]){ "--run-dir" },
                     self->run_dir,
                     (char[]){ "--platform-dir" },
                     self->platform_dir,
                     (char[]){ "--enclave" },
                     self->enclave_path,
                     (char[]){ "--ready-fd" },
                     (char[]){ "3" },
                     self->insecure_unsandboxed ? (char[]){ "--insecure-unsandboxed" } : NULL,
                     NULL };
    (void)uv_pipe_init(self->base.loop, &self->ready, 0);
    self->ready.data = self;
    self->handles_open++;
    uv_stdio_container_t stdio[] = { { .flags = UV_IGNORE },
                                     { .flags = UV_IGNORE },
                                     { .flags = UV_INHERIT_FD, .data.fd = 2 },
                                     { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE | UV_READABLE_PIPE,
                                       .data.stream = (uv_stream_t *)&self->ready } };
    uv_process_options_t spawn = { .exit_cb = on_child_exit,
                                   .file = self->agent_path,
                                   .args = args,
                                   .flags = UV_PROCESS_DETACHED,
                                   .stdio = stdio,
                                   .stdio_count = RD_ARRAY_LEN(stdio) };
    self->child.data = self;
    int outcome = uv_spawn(self->base.loop, &self->child, &spawn);
    if (outcome < 0) {
        uv_close((uv_handle_t *)&self->ready, on_handle_closed);
        return rd_err_set(err, RD_E_UNAVAILABLE, "starting %s: %s", self->agent_path, uv_strerror(outcome));
    }
    self->handles_open++;
    self->has_child = true;
    self->is_starting = true;
    uv_unref((uv_handle_t *)&self->child);
    (void)uv_read_start((uv_stream_t *)&self->ready, on_ready_alloc, on_ready);
    return 0;
}

static void connect_tee(process_launcher *self)
{
    if (self->is_closing || self->tee_fd >= 0 || self->is_starting)
        return;
    rd_err err = RD_ERR_INIT;
    self->tee_fd = dial_tee(self);
    if (self->tee_fd < 0) {
        /* A child that runs but does not listen holds its lock still: wait for its end. */
        if (self->has_child || spawn_tee(self, &err) < 0)
            retry_later(self);
        return;
    }
    (void)uv_poll_init(self->base.loop, &self->tee_watch, self->tee_fd);
    self->tee_watch.data = self;
    self->handles_open++;
    (void)uv_poll_start(&self->tee_watch, UV_READABLE | UV_DISCONNECT, on_tee);
    if (send_tee(self, rd_bytes_of((const uint8_t[]){ TEE_HELLO }, 1), NULL, 0, &err) < 0)
        lose_tee(self);
}

/* --- launching -------------------------------------------------------------------------------------------------- */

static void link_enclave(process_launcher *self, agent_enclave *enclave)
{
    enclave->next = self->first;
    if (self->first != NULL)
        self->first->prev = enclave;
    self->first = enclave;
    self->count++;
}

static int start_enclave(process_launcher *self, agent_enclave *enclave, rd_err *err)
{
    int pair[2];
    RD_CLEANUP(rd_close_p) int http_fd = -1;
    RD_CLEANUP(rd_close_p) int control_fd = -1;
    if (agent_run_dir_make(self->run_dir, enclave->tag_text, enclave->socket, &http_fd, &control_fd, err) < 0)
        return -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "control stream");
    RD_CLEANUP(rd_close_p) int theirs = pair[1];
    if (agent_enclave_attach(enclave, pair[0], err) < 0)
        return -1;
    uint8_t message[1 + AGENT_TAG_SIZE] = { TEE_LAUNCH };
    memcpy(message + 1, enclave->tag, AGENT_TAG_SIZE);
    const int fds[] = { theirs, http_fd, control_fd };
    return send_tee(self, RD_BYTES_ARRAY(message), fds, RD_ARRAY_LEN(fds), err);
}

static int process_launch(agent_launcher *base, const agent_enclave_events *events, void *context, agent_enclave **ret,
                          rd_err *err)
{
    process_launcher *self = (process_launcher *)base;
    if (self->is_closing)
        return rd_err_set(err, RD_E_UNAVAILABLE, "the launcher is closing");
    if (self->count >= self->count_max)
        return rd_err_set(err, RD_E_UNAVAILABLE, "%zu enclaves run already, the bound is %u", self->count,
                          self->count_max);
    uint8_t tag[AGENT_TAG_SIZE];
    rd_random_bytes(tag, sizeof(tag));
    agent_enclave *enclave = agent_enclave_new(base, tag, events, context);
    link_enclave(self, enclave);
    agent_enclave_arm(enclave, AGENT_TIMER_START, START_MS);
    *ret = enclave;
    if (!self->info.is_ready)
        return 0; /* as soon as the TEE is there */
    if (start_enclave(self, enclave, err) == 0)
        return 0;
    enclave->events = NULL;
    enclave->is_forgotten = true;
    agent_enclave_end(enclave, "launch failed");
    return -1;
}

static void process_gone(agent_enclave *enclave)
{
    process_launcher *self = launcher_of(enclave);
    if (enclave->prev != NULL)
        enclave->prev->next = enclave->next;
    else
        self->first = enclave->next;
    if (enclave->next != NULL)
        enclave->next->prev = enclave->prev;
    enclave->next = enclave->prev = NULL;
    self->count--;
    if (!enclave->is_left) {
        agent_run_dir_remove(self->run_dir, enclave->tag_text);
        agent_cgroup_remove(self->cgroup, enclave->tag_text);
    }
    if (enclave->adopted != NULL) {
        enclave->is_forgotten = true; /* it ended before it said its state: nobody was told of it */
        enclave->adopted = NULL;
        if (self->adopting > 0 && --self->adopting == 0 && self->adopt_done != NULL)
            self->adopt_done(self->adopt_context, self->adopted);
    }
    free_when_closed(self);
}

static void process_kill(agent_enclave *enclave)
{
    if (enclave->pidfd >= 0)
        (void)syscall(SYS_pidfd_send_signal, enclave->pidfd, SIGKILL, NULL, 0);
    else if (enclave->socket[0] == '\0')
        agent_enclave_end(enclave, "killed"); /* never started */
}

static void process_limit(agent_enclave *enclave, uint64_t memory_bytes, uint32_t cpu_m)
{
    rd_err err = RD_ERR_INIT;
    if (agent_cgroup_limit(launcher_of(enclave)->cgroup, enclave->tag_text, memory_bytes, cpu_m, &err) < 0)
        rd_log(RD_WARN, "enclave_limit", RD_STR("enclave", enclave->tag_text), RD_ERR(&err));
}

/* --- adoption --------------------------------------------------------------------------------------------------- */

static void on_adopted(void *context, agent_enclave *enclave)
{
    (void)context;
    process_launcher *self = launcher_of(enclave);
    self->adopted++;
    self->adopting--;
    rd_log(RD_INFO, "enclave_adopted", RD_STR("instance", enclave->instance), RD_U64("epoch", enclave->epoch),
           RD_I64("pid", enclave->pid));
    enclave->adopt_caller(enclave->adopt_context, enclave);
    if (self->adopting == 0 && self->adopt_done != NULL)
        self->adopt_done(self->adopt_context, self->adopted);
}

static bool adopt_one(process_launcher *self, const char *tag_text, const agent_enclave_events *events, void *context,
                      agent_adopted_fn adopted)
{
    uint8_t tag[AGENT_TAG_SIZE];
    pid_t pid = 0;
    rd_err err = RD_ERR_INIT;
    if (rd_base32_decode(tag_text, strlen(tag_text), tag, sizeof(tag)) < 0)
        return false;
    int pidfd = agent_run_record_open(self->run_dir, tag_text, &pid);
    int control = pidfd < 0 ? -1 : agent_run_dir_dial(self->run_dir, tag_text);
    if (control < 0) {
        if (pidfd >= 0) {
            (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
            (void)close(pidfd);
        }
        agent_run_dir_remove(self->run_dir, tag_text);
        agent_cgroup_remove(self->cgroup, tag_text);
        return false;
    }
    agent_enclave *enclave = agent_enclave_new(&self->base, tag, events, context);
    (void)snprintf(enclave->socket, sizeof(enclave->socket), "%s/e/%s/http.sock", self->run_dir, tag_text);
    enclave->adopted = on_adopted;
    enclave->adopt_caller = adopted;
    enclave->adopt_context = context;
    link_enclave(self, enclave);
    agent_enclave_arm(enclave, AGENT_TIMER_ADOPT, ADOPT_MS);
    self->adopting++;
    if (agent_enclave_watch(enclave, pid, pidfd, &err) < 0 || agent_enclave_attach(enclave, control, &err) < 0)
        agent_enclave_kill(enclave);
    return true;
}

static int process_adopt(agent_launcher *base, const agent_enclave_events *events, void *context,
                         agent_adopted_fn adopted, agent_adopt_done_fn done, rd_err *err)
{
    process_launcher *self = (process_launcher *)base;
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/e", self->run_dir);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s", path);
    self->adopt_done = done;
    self->adopt_context = context;
    self->adopted = 0;
    self->adopting = 1; /* so that nothing is done before all were tried */
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.')
            (void)adopt_one(self, entry->d_name, events, context, adopted);
    }
    (void)closedir(dir);
    if (--self->adopting == 0 && done != NULL)
        done(context, 0);
    return 0;
}

/* --- the launcher ----------------------------------------------------------------------------------------------- */

static int process_probe(agent_launcher *base, rd_err *err)
{
    const process_launcher *self = (const process_launcher *)base;
    if (access(self->enclave_path, X_OK) < 0)
        return rd_err_set_errno(err, RD_E_CONFIG, errno, "%s", self->enclave_path);
    return 0;
}

static const agent_launcher_info *process_describe(agent_launcher *base)
{
    return &((process_launcher *)base)->info;
}

static void process_close(agent_launcher *base, bool stops_enclaves, void (*closed)(void *), void *context)
{
    process_launcher *self = (process_launcher *)base;
    self->closed = closed;
    self->closed_context = context;
    if (stops_enclaves)
        (void)send_tee(self, rd_bytes_of((const uint8_t[]){ TEE_QUIT }, 1), NULL, 0, NULL);
    self->is_closing = true;
    agent_enclave *next = NULL;
    for (agent_enclave *one = self->first; one != NULL; one = next) {
        next = one->next;
        one->is_forgotten = true; /* nobody holds it past this */
        one->events = NULL;
        if (stops_enclaves)
            agent_enclave_kill(one);
        else
            agent_enclave_leave(one);
    }
    lose_tee(self);
    uv_close((uv_handle_t *)&self->retry, on_handle_closed);
    if (self->is_starting)
        uv_close((uv_handle_t *)&self->ready, on_handle_closed);
    if (self->has_child)
        uv_close((uv_handle_t *)&self->child, on_handle_closed);
}

static int process_dial(agent_enclave *enclave)
{
    return enclave->is_ended ? -1 : agent_run_dir_dial(launcher_of(enclave)->run_dir, enclave->tag_text);
}

/* The simulation root is the one that this host's own platform folder names, seen once; nobody's word can add another.
 */
static int process_check_blank(agent_launcher *base, rd_bytes bundle, rd_err *err)
{
    process_launcher *self = (process_launcher *)base;
    uint8_t root[32];
    if (self->blank.anchors.count == 0 && (agent_sim_read_root(self->platform_dir, root, err) < 0 ||
                                           rd_anchors_add_simulated(&self->blank.anchors, root, err) < 0))
        return -1;
    return agent_blank_check(&self->blank, bundle, rd_clock_wall_us(rd_clock_system()), err);
}

static const agent_launcher_ops process_ops = { .probe = process_probe,
                                                .launch = process_launch,
                                                .gone = process_gone,
                                                .kill = process_kill,
                                                .limit = process_limit,
                                                .adopt = process_adopt,
                                                .describe = process_describe,
                                                .check_blank = process_check_blank,
                                                .dial = process_dial,
                                                .close = process_close };

static void describe(process_launcher *self)
{
    self->info =
        (agent_launcher_info){ .name = "process", .class_ = "simulated", .tee = "sim", .limits = self->limits };
    const char *missing = agent_cgroup_missing(self->cgroup);
    if (missing[0] != '\0')
        (void)snprintf(self->limits, sizeof(self->limits), "not limited by cgroups: %s", missing);
    rd_log(missing[0] != '\0' ? RD_WARN : RD_INFO, "cgroup", RD_STR("version", agent_cgroup_version(self->cgroup)),
           RD_STR("missing", missing));
}

int agent_launch_process_new(uv_loop_t *loop, const agent_process_options *options, agent_launcher **ret, rd_err *err)
{
    char path[PATH_MAX];
    if (agent_run_dir_open(options->run_dir, err) < 0 ||
        agent_enclave_path(options->enclave_path, path, sizeof(path), err) < 0)
        return -1;
    process_launcher *self = rd_alloc(sizeof(*self));
    self->base = (agent_launcher){ .ops = &process_ops, .loop = loop, .egress = options->egress };
    self->run_dir = rd_strdup(options->run_dir);
    self->enclave_path = rd_strdup(path);
    self->platform_dir = rd_strdup(options->quoter_dir);
    self->agent_path = rd_strdup(options->agent_path != NULL ? options->agent_path : "/proc/self/exe");
    self->pids_max = options->pids_max > 0 ? options->pids_max : PIDS_DEFAULT;
    self->memory_bytes = options->memory_bytes > 0 ? options->memory_bytes : MEMORY_DEFAULT;
    self->count_max = options->enclave_count_max > 0 ? options->enclave_count_max : COUNT_DEFAULT;
    self->insecure_unsandboxed = options->insecure_unsandboxed;
    if (options->kms != NULL) {
        rd_buf_append_u8(&self->kms, TEE_KMS);
        (void)agent_sim_kms_order_encode(options->kms, &self->kms);
        self->kms_context = options->kms_context;
        self->on_kms = options->on_kms;
    }
    self->cgroup =
        agent_cgroup_new(options->cgroup != NULL ? options->cgroup : "auto", "/sys/fs/cgroup", "/proc/self/cgroup");
    self->blank = (agent_blank_rules){ .class = RD_CLASS_SIMULATED, .cache = rd_attest_cache_new(CACHE_SIZE) };
    self->tee_fd = -1;
    self->retry_ms = RETRY_MS;
    (void)uv_timer_init(loop, &self->retry);
    self->retry.data = self;
    self->handles_open = 1;
    describe(self);
    connect_tee(self);
    *ret = &self->base;
    return 0;
}
