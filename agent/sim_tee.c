#include "agent/sim_tee.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/enclave_priv.h"
#include "agent/measure.h"
#include "agent/packet.h"
#include "agent/scheduling.h"
#include "agent/sim_files.h"
#include "agent/sim_kms.h"
#include "agent/sim_quoter.h"
#include "common/base/cursor.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/hash.h"
#include "common/io/config.h"

#define CLIENTS_MAX 8
#define DOORS_MAX   4096
#define PENDING_MAX 256
#define BACKOFF_MS  100
#define BACKOFF_MAX 30000
#define LONELY_MS   600000 /* without agent and instances it ends */

typedef struct tee_options {
    const char *run_dir, *platform_dir, *enclave;
    uint64_t ready_fd;
    bool insecure_unsandboxed;
} tee_options;

static const rd_option options[] = {
    { .name = "run-dir",
      .type = RD_OPTION_PATH,
      .offset = offsetof(tee_options, run_dir),
      .flags = RD_OPTION_REQUIRED | RD_OPTION_FLAG_ONLY,
      .help = "where its socket stands" },
    { .name = "platform-dir",
      .type = RD_OPTION_PATH,
      .offset = offsetof(tee_options, platform_dir),
      .flags = RD_OPTION_REQUIRED | RD_OPTION_FLAG_ONLY,
      .help = "keys of the simulated platform" },
    { .name = "enclave",
      .type = RD_OPTION_PATH,
      .offset = offsetof(tee_options, enclave),
      .flags = RD_OPTION_REQUIRED | RD_OPTION_FLAG_ONLY,
      .help = "the binary that is measured and run" },
    { .name = "ready-fd",
      .type = RD_OPTION_U64,
      .offset = offsetof(tee_options, ready_fd),
      .max = 1 << 20,
      .flags = RD_OPTION_FLAG_ONLY,
      .help = "descriptor that is told when it listens" },
    { .name = "insecure-unsandboxed",
      .type = RD_OPTION_BOOL,
      .offset = offsetof(tee_options, insecure_unsandboxed),
      .flags = RD_OPTION_FLAG_ONLY,
      .help = "let instances run without namespaces or seccomp" },
};

static const rd_config_spec spec = { .program = "redoubt-agent sim-tee",
                                     .summary = "the simulated TEE beside an agent; started by the agent",
                                     .usage = "--run-dir D --platform-dir P --enclave PATH",
                                     .options = options,
                                     .count = RD_ARRAY_LEN(options),
                                     .values_size = sizeof(tee_options) };

typedef struct sim_tee sim_tee;

typedef struct tee_client {
    sim_tee *tee;
    int fd;
    uv_poll_t watch;
} tee_client;

typedef struct tee_door {
    sim_tee *tee;
    int fd;
    agent_sim_door *door;
    bool is_kms;
    uv_poll_t watch;
} tee_door;

typedef struct tee_pending {
    uint8_t tag[AGENT_TAG_SIZE];
    tee_client *client; /* NULL: it left */
    bool is_used;
} tee_pending;

struct sim_tee {
    uv_loop_t loop;
    const tee_options *options;
    agent_sim_quoter *quoter;
    agent_sim_launch launch;
    agent_sim_kms *kms; /* NULL: none was ordered */
    char sim_root[65];
    int enclave_fd, listen_fd, zygote_fd;
    uv_poll_t listen_watch, zygote_watch, zygote_exit_watch;
    uv_timer_t restart, lonely;
    pid_t zygote_pid;
    int zygote_pidfd;
    unsigned zygote_handles;
    uint64_t zygote_began_ms, backoff_ms;
    tee_client *clients[CLIENTS_MAX];
    size_t clients_count, doors_count, kms_doors;
    tee_pending pending[PENDING_MAX];
    bool quits;
};

static void start_zygote(sim_tee *tee);

/* --- agents ----------------------------------------------------------------------------------------------------- */

static void send_to(const tee_client *client, const rd_buf *message, int fd)
{
    rd_err err = RD_ERR_INIT;
    if (agent_packet_send(client->fd, rd_buf_bytes(message), &fd, fd >= 0 ? 1 : 0, &err) < 0)
        rd_log(RD_WARN, "tee_send", RD_ERR(&err));
}

/* A key service keeps nobody here: it ends with the TEE, once no instance is left. */
static void check_lonely(sim_tee *tee)
{
    if (!tee->quits)
        return;
    if (tee->doors_count <= tee->kms_doors)
        agent_sim_kms_stop(tee->kms);
    if (tee->doors_count == 0)
        uv_stop(&tee->loop);
}

static void on_lonely(uv_timer_t *timer)
{
    sim_tee *tee = timer->data;
    if (tee->clients_count > 0 || tee->doors_count > tee->kms_doors)
        return;
    tee->quits = true;
    check_lonely(tee);
}

static void on_client_closed(uv_handle_t *handle)
{
    tee_client *client = handle->data;
    rd_close_p(&client->fd);
    free(client);
}

static void drop_client(tee_client *client)
{
    sim_tee *tee = client->tee;
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        if (tee->clients[i] == client)
            tee->clients[i] = NULL;
    }
    for (size_t i = 0; i < PENDING_MAX; i++) {
        if (tee->pending[i].client == client)
            tee->pending[i].client = NULL;
    }
    tee->clients_count--;
    uv_close((uv_handle_t *)&client->watch, on_client_closed);
}

static void answer_hello(const tee_client *client)
{
    const sim_tee *tee = client->tee;
    char mrtd[2 * AGENT_MRTD_SIZE + 1];
    rd_hex_encode(RD_BYTES_ARRAY(tee->launch.mrtd), mrtd);
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    rd_buf_append_u8(&out, TEE_HELLO_IS);
    rd_buf_printf(&out, "{\"mrtd\":\"%s\",\"pid\":%d,\"zygote\":%d}", mrtd, (int)getpid(), (int)tee->zygote_pid);
    send_to(client, &out, -1);
}

static void answer_launch(const tee_client *client, const uint8_t tag[AGENT_TAG_SIZE], rd_bytes rest, int pidfd)
{
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    rd_buf_append_u8(&out, TEE_LAUNCHED);
    rd_buf_append(&out, tag, AGENT_TAG_SIZE);
    rd_buf_append_bytes(&out, rest);
    send_to(client, &out, pidfd);
}

static void refuse_launch(const tee_client *client, const uint8_t tag[AGENT_TAG_SIZE], const char *why)
{
    RD_CLEANUP(rd_buf_done) rd_buf rest = { 0 };
    rd_buf_append_u32be(&rest, 0);
    rd_buf_append_u8(&rest, 1);
    rd_buf_append_str(&rest, why);
    answer_launch(client, tag, rd_buf_bytes(&rest), -1);
}

/* --- quoter streams --------------------------------------------------------------------------------------------- */

static void on_door_closed(uv_handle_t *handle)
{
    tee_door *door = handle->data;
    rd_close_p(&door->fd);
    agent_sim_door_free(door->door);
    free(door);
}

static void on_door(uv_poll_t *watch, int status, int events)
{
    (void)events;
    tee_door *door = watch->data;
    uint8_t chunk[512];
    ssize_t got = status < 0 ? 0 : recv(door->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    rd_err err = RD_ERR_INIT;
    bool is_ok = got > 0 && agent_sim_door_feed(door->door, rd_bytes_of(chunk, (size_t)got), &out, &err) == 0;
    /* An enclave waits for each answer: a socket that is full means one that does not keep to that. */
    if (is_ok && out.size > 0)
        is_ok = send(door->fd, out.data, out.size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)out.size;
    if (is_ok)
        return;
    door->tee->doors_count--;
    door->tee->kms_doors -= door->is_kms;
    uv_close((uv_handle_t *)watch, on_door_closed);
    check_lonely(door->tee);
}

/* Makes a stream with fresh registers; returns the enclave's end. */
static int open_door(sim_tee *tee, const agent_sim_launch *launch, bool is_kms, rd_err *err)
{
    int pair[2];
    if (tee->doors_count >= DOORS_MAX)
        return rd_err_set(err, RD_E_UNAVAILABLE, "%d enclaves run already", DOORS_MAX);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "quoter stream");
    tee_door *door = rd_alloc(sizeof(*door));
    door->tee = tee;
    door->fd = pair[0];
    door->door = agent_sim_door_new(tee->quoter, launch);
    door->is_kms = is_kms;
    (void)uv_poll_init(&tee->loop, &door->watch, door->fd);
    door->watch.data = door;
    (void)uv_poll_start(&door->watch, UV_READABLE, on_door);
    tee->doors_count++;
    tee->kms_doors += is_kms;
    return pair[1];
}

/* --- launches --------------------------------------------------------------------------------------------------- */

static tee_pending *find_pending(sim_tee *tee, const uint8_t *tag)
{
    for (size_t i = 0; i < PENDING_MAX; i++) {
        if (tag == NULL ? !tee->pending[i].is_used
                        : tee->pending[i].is_used && memcmp(tee->pending[i].tag, tag, AGENT_TAG_SIZE) == 0)
            return &tee->pending[i];
    }
    return NULL;
}

static int forward_launch(sim_tee *tee, const agent_packet *packet, rd_err *err)
{
    if (packet->size != 1 + AGENT_TAG_SIZE || packet->fds_count != 3)
        return rd_err_set(err, RD_E_CONTROL_FRAME, "a launch is a tag and three descriptors");
    if (tee->zygote_fd < 0)
        return rd_err_set(err, RD_E_UNAVAILABLE, "the zygote is being restarted");
    if (find_pending(tee, NULL) == NULL)
        return rd_err_set(err, RD_E_UNAVAILABLE, "%d launches wait already", PENDING_MAX);
    RD_CLEANUP(rd_close_p) int quoter = open_door(tee, &tee->launch, false, err);
    if (quoter < 0)
        return -1;
    const int fds[] = { packet->fds[0], packet->fds[1], quoter, packet->fds[2] };
    return agent_packet_send(tee->zygote_fd, rd_bytes_of(packet->bytes + 1, AGENT_TAG_SIZE), fds, 4, err);
}

static void take_launch(tee_client *client, const agent_packet *packet)
{
    sim_tee *tee = client->tee;
    uint8_t tag[AGENT_TAG_SIZE] = { 0 };
    memcpy(tag, packet->bytes + 1, RD_MIN(packet->size - 1, sizeof(tag)));
    rd_err err = RD_ERR_INIT;
    if (forward_launch(tee, packet, &err) < 0) {
        refuse_launch(client, tag, err.text);
        return;
    }
    tee_pending *pending = find_pending(tee, NULL);
    pending->is_used = true;
    pending->client = client;
    memcpy(pending->tag, tag, sizeof(tag));
}

/* --- the key service -------------------------------------------------------------------------------------------- */

static int kms_door(void *context, const uint8_t mrtd[48], rd_err *err)
{
    sim_tee *tee = context;
    agent_sim_launch launch = tee->launch;
    memcpy(launch.mrtd, mrtd, sizeof(launch.mrtd));
    return open_door(tee, &launch, true, err);
}

static void tell_kms(const tee_client *client, bool is_ready, const char *why)
{
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    rd_buf_append_u8(&out, TEE_KMS_IS);
    rd_buf_append_u8(&out, is_ready);
    rd_buf_append_str(&out, why);
    send_to(client, &out, -1);
}

static void on_kms_changed(void *context, bool is_ready, const char *why)
{
    sim_tee *tee = context;
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        if (tee->clients[i] != NULL)
            tell_kms(tee->clients[i], is_ready, why);
    }
    check_lonely(tee);
}

static void take_kms(const tee_client *client, const agent_packet *packet)
{
    sim_tee *tee = client->tee;
    agent_sim_kms_order order;
    rd_err err = RD_ERR_INIT;
    const agent_sim_kms_place place = { .loop = &tee->loop,
                                        .run_dir = tee->options->run_dir,
                                        .sim_root = tee->sim_root,
                                        .insecure_unsandboxed = tee->options->insecure_unsandboxed,
                                        .context = tee,
                                        .door = kms_door,
                                        .changed = on_kms_changed };
    bool is_there = tee->kms != NULL;
    if (agent_sim_kms_order_parse(rd_bytes_of(packet->bytes + 1, packet->size - 1), &order, &err) < 0 ||
        (is_there ? agent_sim_kms_follow(tee->kms, &order, &err) : agent_sim_kms_new(&place, &order, &tee->kms, &err)) <
            0) {
        rd_log(RD_ERROR, "kms_not_started", RD_ERR(&err));
        tell_kms(client, false, err.text);
    } else if (is_there) {
        tell_kms(client, agent_sim_kms_is_ready(tee->kms), agent_sim_kms_why(tee->kms));
    }
}

static void on_client(uv_poll_t *watch, int status, int events)
{
    (void)events;
    tee_client *client = watch->data;
    agent_packet packet;
    int outcome = status < 0 ? -1 : agent_packet_receive(client->fd, &packet);
    if (outcome == 0)
        return;
    if (outcome < 0) {
        drop_client(client);
        return;
    }
    uint8_t type = packet.size > 0 ? packet.bytes[0] : 0;
    if (type == TEE_HELLO)
        answer_hello(client);
    else if (type == TEE_LAUNCH)
        take_launch(client, &packet);
    else if (type == TEE_KMS)
        take_kms(client, &packet);
    else if (type == TEE_QUIT)
        client->tee->quits = true;
    agent_packet_close_fds(&packet);
    check_lonely(client->tee);
}

static void on_listen(uv_poll_t *watch, int status, int events)
{
    (void)status, (void)events;
    sim_tee *tee = watch->data;
    int fd = accept4(tee->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    struct ucred peer;
    socklen_t size = sizeof(peer);
    /* The directory is 0700 already; another user's process gets no further than this even so. */
    bool is_ours = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
    for (size_t i = 0; is_ours && i < CLIENTS_MAX; i++) {
        if (tee->clients[i] != NULL)
            continue;
        tee_client *client = rd_alloc(sizeof(*client));
        client->tee = tee;
        client->fd = fd;
        (void)uv_poll_init(&tee->loop, &client->watch, fd);
        client->watch.data = client;
        (void)uv_poll_start(&client->watch, UV_READABLE, on_client);
        tee->clients[i] = client;
        tee->clients_count++;
        tee->quits = false;
        return;
    }
    (void)close(fd);
}

/* --- the zygote ------------------------------------------------------------------------------------------------- */

static void broadcast_end(sim_tee *tee, rd_cursor *cursor, uint32_t pid)
{
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    rd_buf_append_u8(&out, TEE_ENDED);
    rd_buf_append_u32be(&out, pid);
    rd_buf_append_bytes(&out, rd_cursor_rest(cursor));
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        if (tee->clients[i] != NULL)
            send_to(tee->clients[i], &out, -1);
    }
}

static void take_answer(sim_tee *tee, const agent_packet *packet)
{
    rd_cursor cursor = rd_cursor_of(rd_bytes_of(packet->bytes, packet->size));
    rd_bytes tag = rd_cursor_take(&cursor, AGENT_TAG_SIZE);
    rd_bytes rest = rd_bytes_of(packet->bytes + rd_cursor_offset(&cursor), rd_cursor_left(&cursor));
    uint32_t pid = rd_cursor_u32be(&cursor);
    uint8_t status = rd_cursor_u8(&cursor);
    if (!rd_cursor_is_ok(&cursor))
        return;
    if (status == 2) {
        broadcast_end(tee, &cursor, pid);
        return;
    }
    tee_pending *pending = find_pending(tee, tag.data);
    if (pending == NULL)
        return;
    pending->is_used = false;
    if (pending->client != NULL)
        answer_launch(pending->client, tag.data, rest, packet->fds_count > 0 ? packet->fds[0] : -1);
}

static void on_zygote(uv_poll_t *watch, int status, int events)
{
    (void)status, (void)events;
    sim_tee *tee = watch->data;
    agent_packet packet;
    int outcome = agent_packet_receive(tee->zygote_fd, &packet);
    if (outcome < 0)
        (void)uv_poll_stop(watch); /* its exit is seen beside this */
    if (outcome <= 0)
        return;
    take_answer(tee, &packet);
    agent_packet_close_fds(&packet);
}

static void on_restart(uv_timer_t *timer)
{
    start_zygote(timer->data);
}

static void on_zygote_handle_closed(uv_handle_t *handle)
{
    sim_tee *tee = handle->data;
    if (--tee->zygote_handles > 0)
        return;
    rd_close_p(&tee->zygote_fd);
    rd_close_p(&tee->zygote_pidfd);
    (void)uv_timer_start(&tee->restart, on_restart, tee->backoff_ms, 0);
    tee->backoff_ms = RD_MIN(tee->backoff_ms * 2, BACKOFF_MAX);
}

static void on_zygote_exit(uv_poll_t *watch, int status, int events)
{
    (void)status, (void)events;
    sim_tee *tee = watch->data;
    siginfo_t info = { 0 };
    (void)waitid(P_PID, (id_t)tee->zygote_pid, &info, WEXITED | WNOHANG);
    rd_log(RD_ERROR, "zygote_ended", RD_I64("pid", tee->zygote_pid), RD_I64("status", info.si_status),
           RD_BOOL("exited", info.si_code == CLD_EXITED));
    if (uv_now(&tee->loop) - tee->zygote_began_ms > 10000)
        tee->backoff_ms = BACKOFF_MS;
    tee->zygote_pid = 0;
    for (size_t i = 0; i < PENDING_MAX; i++) {
        if (tee->pending[i].is_used && tee->pending[i].client != NULL)
            refuse_launch(tee->pending[i].client, tee->pending[i].tag, "the zygote ended");
        tee->pending[i].is_used = false;
    }
    uv_close((uv_handle_t *)&tee->zygote_watch, on_zygote_handle_closed);
    uv_close((uv_handle_t *)watch, on_zygote_handle_closed);
}

/* Between fork and exec: system calls alone. */
static void exec_zygote(const sim_tee *tee, int socket_fd)
{
    char number[16];
    (void)snprintf(number, sizeof(number), "%d", socket_fd);
    char *argv[] = { (char[]){ "redoubt-enclave" }, (char[]){ "--zygote-fd" }, number,
                     tee->options->insecure_unsandboxed ? (char[]){ "--insecure-unsandboxed" } : NULL, NULL };
    /* Libraries' names are bound here once, not in every instance anew. */
    char *envp[] = { (char[]){ "LC_ALL=C" }, (char[]){ "LD_BIND_NOW=1" }, NULL };
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)fcntl(socket_fd, F_SETFD, 0);
    (void)fexecve(tee->enclave_fd, argv, envp);
    _exit(127);
}

static void start_zygote(sim_tee *tee)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return;
    pid_t pid = fork();
    if (pid == 0)
        exec_zygote(tee, pair[1]);
    (void)close(pair[1]);
    int pidfd = pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0) {
        (void)close(pair[0]);
        (void)uv_timer_start(&tee->restart, on_restart, BACKOFF_MAX, 0);
        return;
    }
    tee->zygote_pid = pid;
    tee->zygote_fd = pair[0];
    tee->zygote_pidfd = pidfd;
    tee->zygote_began_ms = uv_now(&tee->loop);
    tee->zygote_handles = 2;
    (void)uv_poll_init(&tee->loop, &tee->zygote_watch, tee->zygote_fd);
    (void)uv_poll_init(&tee->loop, &tee->zygote_exit_watch, pidfd);
    tee->zygote_watch.data = tee->zygote_exit_watch.data = tee;
    (void)uv_poll_start(&tee->zygote_watch, UV_READABLE, on_zygote);
    (void)uv_poll_start(&tee->zygote_exit_watch, UV_READABLE, on_zygote_exit);
    rd_log(RD_INFO, "zygote_started", RD_I64("pid", pid));
}

/* --- start and end ---------------------------------------------------------------------------------------------- */

/* One TEE a run directory: the lock is held until the process ends. */
static int open_socket(const char *run_dir, int *ret, rd_err *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (snprintf(address.sun_path, sizeof(address.sun_path), "%s/" AGENT_TEE_SOCKET, run_dir) >=
        (int)sizeof(address.sun_path))
        return rd_err_set(err, RD_E_CONFIG, "run-dir is too long");
    RD_CLEANUP(rd_free_p) char *lock_path = rd_asprintf("%s/tee.lock", run_dir);
    int lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0)
        return rd_err_set_errno(err, RD_E_UNAVAILABLE, errno, "another simulated TEE holds %s", lock_path);
    (void)unlink(address.sun_path);
    RD_CLEANUP(rd_close_p) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || chmod(address.sun_path, 0600) < 0 ||
        listen(fd, CLIENTS_MAX) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s", address.sun_path);
    *ret = rd_fd_take(&fd);
    return 0;
}

static int find_sim_root(sim_tee *tee, rd_err *err)
{
    uint8_t fingerprint[32];
    if (agent_sim_read_root(tee->options->platform_dir, fingerprint, err) < 0)
        return -1;
    rd_hex_encode(RD_BYTES_ARRAY(fingerprint), tee->sim_root);
    return 0;
}

static int open_all(sim_tee *tee, rd_err *err)
{
    if (open_socket(tee->options->run_dir, &tee->listen_fd, err) < 0 ||
        agent_sim_quoter_open(tee->options->platform_dir, &tee->quoter, err) < 0 || find_sim_root(tee, err) < 0 ||
        agent_measure_open(tee->options->enclave, &tee->enclave_fd, tee->launch.mrtd, err) < 0)
        return -1;
    rd_sha384(
        rd_bytes_str(tee->options->insecure_unsandboxed ? "redoubt.process/v1 unsandboxed" : "redoubt.process/v1"),
        tee->launch.configuration);
    return 0;
}

static void tell_ready(const tee_options *given, const char *text)
{
    int fd = (int)given->ready_fd;
    if (fd < 3)
        return;
    (void)!write(fd, text, strlen(text));
    (void)close(fd);
}

static void run(sim_tee *tee)
{
    (void)uv_poll_init(&tee->loop, &tee->listen_watch, tee->listen_fd);
    (void)uv_timer_init(&tee->loop, &tee->restart);
    (void)uv_timer_init(&tee->loop, &tee->lonely);
    tee->listen_watch.data = tee->restart.data = tee->lonely.data = tee;
    (void)uv_poll_start(&tee->listen_watch, UV_READABLE, on_listen);
    (void)uv_timer_start(&tee->lonely, on_lonely, LONELY_MS, LONELY_MS);
    start_zygote(tee);
    tell_ready(tee->options, AGENT_TEE_READY);
    (void)uv_run(&tee->loop, UV_RUN_DEFAULT);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/" AGENT_TEE_SOCKET, tee->options->run_dir);
    (void)unlink(path); /* still ours: the lock is held until the process ends */
    rd_log(RD_INFO, "tee_ends", RD_U64("enclaves", tee->doors_count));
}

int agent_sim_tee_main(int argc, char **argv)
{
    RD_CLEANUP(rd_config_free_p) rd_config *config = NULL;
    rd_err err = RD_ERR_INIT;
    int outcome = rd_config_load(&spec, argc, argv, &config, &err);
    if (outcome == RD_CONFIG_DONE)
        return 0;
    if (outcome < 0) {
        (void)fprintf(stderr, "redoubt-agent sim-tee: %s\n", err.text);
        return 2;
    }
    rd_log_init("sim-tee", RD_INFO, 2);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN); /* a terminal's Ctrl-C is for the agent, which says QUIT */
    (void)umask(077);
    agent_scheduling_plain();
    RD_CLEANUP(rd_free_p) sim_tee *tee = rd_alloc(sizeof(*tee));
    tee->options = rd_config_values(config);
    tee->enclave_fd = tee->listen_fd = tee->zygote_fd = tee->zygote_pidfd = -1;
    tee->backoff_ms = BACKOFF_MS;
    (void)uv_loop_init(&tee->loop);
    if (open_all(tee, &err) < 0) {
        rd_log(RD_ERROR, "tee_failed", RD_ERR(&err));
        tell_ready(tee->options, err.text);
        return 1;
    }
    run(tee);
    /* Streams may be open still; the kernel takes everything back, and the zygote ends with its socket. */
    _exit(0);
}
