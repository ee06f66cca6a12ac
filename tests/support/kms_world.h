/* kms_world: the real redoubt-kms under a simulated TEE that the test itself is, an app with its owner, and instances
 * whose evidence that TEE signs. Used by tests/integration/test_kms*.c.
 * The door of the key service is answered by a thread, as redoubt-agent's TEE would. */
#ifndef TESTS_SUPPORT_KMS_WORLD_H
#define TESTS_SUPPORT_KMS_WORLD_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/sim_files.h"
#include "agent/sim_pki.h"
#include "agent/sim_quoter.h"
#include "attest/attest.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/grant.h"
#include "common/model/head.h"
#include "common/model/kms_wire.h"
#include "common/model/release.h"
#include "common/model/ticket.h"

#define MUST(call)                                                                                                     \
    do {                                                                                                               \
        rd_err must_err = RD_ERR_INIT;                                                                                 \
        rd_err *err = &must_err;                                                                                       \
        if ((call) != 0)                                                                                               \
            fail_msg("%s: %s (%s)", #call, must_err.text, rd_code_describe(must_err.code)->name);                      \
    } while (0)

#define KMS_MRTD 0x33
#define APP_MRTD 0x42

/* A running key service. */
typedef struct kms_process {
    pid_t pid;
    int listen_fd, door_fd;
    agent_sim_door *door;
    pthread_t thread;
    char why[256]; /* what it said instead of "ready" */
} kms_process;

/* An app, its owner, and its current documents. */
typedef struct kms_app {
    rd_signing_key *owner;
    rd_buf genesis;
    rd_app_id id;
    rd_head head;
    rd_buf head_envelope, release_envelope;
    rd_digest head_digest, release_digest;
    uint8_t seal_key[RD_X25519_SIZE];
    rd_secret_set secrets;
    rd_buf sealed[RD_SECRETS_MAX];
} kms_app;

/* What an instance asks with; each member may be spoiled before it is sent. */
typedef struct kms_asking {
    rd_statement statement;
    rd_secret *grant_key;
    rd_launch_header header;
    uint8_t mrtd;
    bool has_second_app, is_not_closed;
    rd_ticket ticket;
    rd_bytes newest; /* borrowed */
    rd_buf statement_bytes, evidence, ticket_envelope, secrets, message;
    rd_buf webhook; /* the owner's answer, or empty */
} kms_asking;

typedef struct kms_world {
    char dir[32];
    char *pki, *platform, *kms_dir, *socket;
    agent_sim_quoter *quoter;
    rd_signing_key *plane;
    uint8_t sim_root[32];
    const char *failpoints;
    const char *extra[16]; /* further words of its command line, ended by NULL */
    bool is_beside;        /* pki and plane are another world's */
    kms_process process;
    int fd; /* a connection to it */
    rd_buf genesis;
    rd_kms_id id;
    rd_kms_genesis parsed;
    rd_public_key replica;
    uint64_t record_number; /* the last that was seen */
    rd_digest record;
} kms_world;

RD_UNUSED static int64_t wall_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* --- the process --- */

static void *serve_door(void *context)
{
    kms_process *process = context;
    uint8_t chunk[512];
    for (;;) {
        ssize_t got = recv(process->door_fd, chunk, sizeof chunk, 0);
        RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
        if (got <= 0 || agent_sim_door_feed(process->door, rd_bytes_of(chunk, (size_t)got), &out, NULL) < 0 ||
            (out.size > 0 && send(process->door_fd, out.data, out.size, MSG_NOSIGNAL) != (ssize_t)out.size))
            return NULL;
    }
}

static int listen_socket(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    (void)unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 64), 0);
    return fd;
}

static const char *program(void)
{
    static char path[512];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 32);
    assert_true(size > 0);
    path[size] = '\0';
    *strrchr(path, '/') = '\0';
    memcpy(strrchr(path, '/'), "/bin/redoubt-kms", sizeof "/bin/redoubt-kms");
    return path;
}

static void exec_kms(const kms_world *world, int tee_fd, int ready_fd)
{
    char tee[16], listener[16], ready[16], root[65], ticket[48];
    (void)snprintf(tee, sizeof tee, "%d", tee_fd);
    (void)snprintf(listener, sizeof listener, "%d", world->process.listen_fd);
    (void)snprintf(ready, sizeof ready, "%d", ready_fd);
    rd_hex_encode(RD_BYTES_ARRAY(world->sim_root), root);
    rd_base64url_encode(RD_BYTES_ARRAY(rd_signing_key_public(world->plane)->b), ticket);
    (void)fcntl(tee_fd, F_SETFD, 0);
    (void)fcntl(ready_fd, F_SETFD, 0);
    (void)fcntl(world->process.listen_fd, F_SETFD, 0);
    if (world->failpoints)
        (void)setenv("REDOUBT_FAILPOINTS", world->failpoints, 1);
    const char *argv[32] = { "redoubt-kms", "--dir",        world->kms_dir, "--tee-fd", tee,
                             "--listen-fd", listener,       "--ready-fd",   ready,      "--sim-root",
                             root,          "--ticket-key", ticket };
    for (size_t i = 0, at = 13; i < RD_ARRAY_LEN(world->extra) && world->extra[i]; i++)
        argv[at++] = world->extra[i];
    (void)execv(program(), (char *const *)(uintptr_t)argv);
    _exit(127);
}

/* Starts it and waits; false when it says why not. mrtd: of which build the TEE says it is. */
RD_UNUSED static bool kms_start_as(kms_world *world, uint8_t mrtd)
{
    kms_process *process = &world->process;
    agent_sim_launch launch = { .configuration = { 0 } };
    int door[2], ready[2];
    memset(launch.mrtd, mrtd, sizeof launch.mrtd);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, door), 0);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    process->listen_fd = listen_socket(world->socket);
    process->door = agent_sim_door_new(world->quoter, &launch);
    process->door_fd = door[0];
    process->pid = fork();
    if (process->pid == 0)
        exec_kms(world, door[1], ready[1]);
    (void)close(door[1]);
    (void)close(ready[1]);
    (void)close(process->listen_fd);
    assert_int_equal(pthread_create(&process->thread, NULL, serve_door, process), 0);
    ssize_t got = read(ready[0], process->why, sizeof process->why - 1);
    process->why[got > 0 ? got : 0] = '\0';
    (void)close(ready[0]);
    return strcmp(process->why, "ready") == 0;
}

RD_UNUSED static void kms_must_start(kms_world *world)
{
    if (!kms_start_as(world, KMS_MRTD))
        fail_msg("%s", world->process.why);
}

/* Waits for its end; its children end by themselves. */
RD_UNUSED static void kms_reap(kms_world *world)
{
    kms_process *process = &world->process;
    (void)waitpid(process->pid, NULL, 0);
    (void)pthread_join(process->thread, NULL); /* the door ends with the last process that holds it */
    (void)close(process->door_fd);
    agent_sim_door_free(process->door);
    rd_close_p(&world->fd);
    *process = (kms_process){ 0 };
}

RD_UNUSED static void kms_end(kms_world *world, int signal_number)
{
    if (world->process.pid == 0)
        return;
    (void)kill(world->process.pid, signal_number);
    kms_reap(world);
}

/* --- exchanges --- */

static void dial(kms_world *world)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", world->socket);
    rd_close_p(&world->fd);
    world->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(world->fd, (struct sockaddr *)&address, sizeof address), 0);
}

static bool read_whole(int fd, void *into, size_t size)
{
    uint8_t *at = into;
    while (size > 0) {
        ssize_t got = read(fd, at, size);
        if (got <= 0)
            return false;
        at += got;
        size -= (size_t)got;
    }
    return true;
}

/* Sends raw bytes and reads one answer of the type asked; false when the connection ended without one. */
RD_UNUSED static bool exchange_raw(kms_world *world, rd_bytes bytes, uint8_t asked, uint8_t *ret_type, rd_buf *ret)
{
    uint8_t head[RD_KMS_FRAME_HEAD];
    rd_kms_head frame;
    (void)!send(world->fd, bytes.data, bytes.size, MSG_NOSIGNAL);
    if (!read_whole(world->fd, head, sizeof head))
        return false;
    MUST(rd_kms_head_answer(head, asked, &frame, err));
    uint8_t *room = rd_buf_reserve(ret, frame.size);
    if (!read_whole(world->fd, room, frame.size))
        return false;
    rd_buf_commit(ret, frame.size);
    *ret_type = frame.type;
    return true;
}

/* RD_OK, or the code of the refusal; RD_E_CONTROL_LOST when it went away. */
RD_UNUSED static rd_code kms_exchange(kms_world *world, uint8_t type, rd_bytes payload, rd_buf *ret)
{
    RD_CLEANUP(rd_buf_done) rd_buf frame = { 0 };
    uint8_t got = 0;
    char code[64];
    rd_kms_refusal refusal;
    MUST(rd_kms_frame(type, payload, &frame, err));
    if (world->fd < 0)
        dial(world);
    if (!exchange_raw(world, rd_buf_bytes(&frame), type, &got, ret)) {
        rd_close_p(&world->fd);
        return RD_E_CONTROL_LOST;
    }
    if (got != RD_KMS_REFUSAL)
        return RD_OK;
    MUST(rd_kms_refusal_parse(rd_buf_bytes(ret), &refusal, err));
    (void)snprintf(code, sizeof code, "%.*s", (int)refusal.code.size, (const char *)refusal.code.data);
    if (rd_code_by_name(code) == RD_E_KMS_FRAME || rd_code_by_name(code) == RD_E_TOO_LARGE)
        rd_close_p(&world->fd);
    return rd_code_by_name(code);
}

RD_UNUSED static void take_nonce(kms_world *world, uint8_t out[32])
{
    RD_CLEANUP(rd_buf_done) rd_buf answer = { 0 };
    const uint8_t one[2] = { 0, 1 };
    assert_int_equal(kms_exchange(world, RD_KMS_NONCE, RD_BYTES_ARRAY(one), &answer), RD_OK);
    assert_int_equal(answer.size, 32);
    if (answer.data)
        memcpy(out, answer.data, 32);
}

RD_UNUSED static void send_collateral(kms_world *world)
{
    RD_CLEANUP(rd_buf_done) rd_buf json = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf answer = { 0 };
    MUST(agent_sim_read(world->pki, "collateral.json", &json, err));
    assert_int_equal(kms_exchange(world, RD_KMS_COLLATERAL, rd_buf_bytes(&json), &answer), RD_OK);
}

/* Reads the genesis; true when it is the one that was read before. */
RD_UNUSED static bool read_genesis(kms_world *world)
{
    RD_CLEANUP(rd_buf_done) rd_buf answer = { 0 };
    assert_int_equal(kms_exchange(world, RD_KMS_GENESIS, RD_BYTES_NULL, &answer), RD_OK);
    bool is_same = rd_bytes_equal(rd_buf_bytes(&answer), rd_buf_bytes(&world->genesis));
    rd_buf_clear(&world->genesis);
    (void)rd_buf_append_bytes(&world->genesis, rd_buf_bytes(&answer));
    rd_kms_genesis_id(rd_buf_bytes(&world->genesis), &world->id);
    MUST(rd_kms_genesis_open(rd_buf_bytes(&world->genesis), &world->id, &world->parsed, err));
    return is_same;
}

RD_UNUSED static void kms_begin(kms_world *world)
{
    kms_must_start(world);
    (void)read_genesis(world);
    send_collateral(world);
}

/* --- the world --- */

static kms_world *world_empty(void)
{
    kms_world *world = rd_alloc(sizeof *world);
    world->fd = -1;
    memcpy(world->dir, "/tmp/redoubt-kms-XXXXXX", sizeof "/tmp/redoubt-kms-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    world->platform = rd_asprintf("%s/platform", world->dir);
    world->kms_dir = rd_asprintf("%s/kms", world->dir);
    world->socket = rd_asprintf("%s/kms.sock", world->dir);
    return world;
}

static void world_begin(kms_world *world)
{
    MUST(agent_sim_pki_issue_platform(world->pki, world->platform, wall_us() - 3600000000, err));
    MUST(agent_sim_pki_fingerprint(world->pki, world->sim_root, err));
    MUST(agent_sim_quoter_open(world->platform, &world->quoter, err));
}

RD_UNUSED static kms_world *world_new(void)
{
    kms_world *world = world_empty();
    world->pki = rd_asprintf("%s/pki", world->dir);
    world->plane = rd_signing_key_new();
    MUST(agent_sim_pki_create(world->pki, wall_us() - 3600000000, err));
    world_begin(world);
    return world;
}

/* Another machine under the same PKI and plane; freed before the first. */
RD_UNUSED static kms_world *world_beside(kms_world *first)
{
    kms_world *world = world_empty();
    world->is_beside = true;
    world->pki = first->pki;
    world->plane = first->plane;
    world_begin(world);
    return world;
}

/* The kms folder is lost. */
RD_UNUSED static void lose_folder(kms_world *world)
{
    RD_CLEANUP(rd_free_p) char *command = rd_asprintf("rm -rf %s", world->kms_dir);
    assert_int_equal(system(command), 0);
}

/* Without collateral. */
RD_UNUSED static void restart_bare(kms_world *world, int signal_number)
{
    kms_end(world, signal_number);
    kms_must_start(world);
    assert_true(read_genesis(world));
}

RD_UNUSED static void restart(kms_world *world, int signal_number)
{
    restart_bare(world, signal_number);
    send_collateral(world);
}

RD_UNUSED static void world_free(kms_world *world)
{
    kms_end(world, SIGTERM);
    RD_CLEANUP(rd_free_p) char *command = rd_asprintf("rm -rf %s", world->dir);
    (void)!system(command);
    agent_sim_quoter_free(world->quoter);
    if (!world->is_beside) {
        (void)rd_signing_key_free(world->plane);
        free(world->pki);
    }
    rd_buf_done(&world->genesis);
    free(world->platform);
    free(world->kms_dir);
    free(world->socket);
    free(world);
}

/* --- the app --- */

RD_UNUSED static void sign_document(const rd_buf *document, const rd_signing_key *key, rd_sign_label label, rd_buf *ret)
{
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope = { 0 };
    rd_buf_clear(ret);
    rd_envelope_init(&envelope, rd_buf_bytes(document));
    MUST(rd_envelope_sign(&envelope, key, label, err));
    MUST(rd_envelope_encode(&envelope, ret, err));
}

/* Signs the head as it stands. */
RD_UNUSED static void publish_head(kms_app *app)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    app->head.secrets_count = (uint32_t)app->secrets.count;
    rd_secrets_root(app->secrets.refs, app->secrets.count, &app->head.secrets_root);
    MUST(rd_head_encode(&app->head, &document, err));
    rd_head_digest(rd_buf_bytes(&document), &app->head_digest);
    sign_document(&document, app->owner, RD_SIGN_HEAD, &app->head_envelope);
}

/* The next head; what it says may be changed in between. */
RD_UNUSED static void next_head(kms_app *app)
{
    app->head.has_prev = true;
    app->head.prev = app->head_digest;
    app->head.seq++;
    publish_head(app);
}

RD_UNUSED static void publish_release(kms_app *app, uint32_t number)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    rd_release release;
    rd_release_init(&release);
    release.app = app->id;
    release.number = number;
    release.code_size = 100;
    MUST(rd_release_encode(&release, &document, err));
    rd_release_digest(rd_buf_bytes(&document), &app->release_digest);
    sign_document(&document, app->owner, RD_SIGN_RELEASE, &app->release_envelope);
    rd_release_done(&release);
}

/* Adds a secret in the order of names. */
RD_UNUSED static void add_secret(kms_app *app, const char *name, uint64_t version, const char *value)
{
    rd_buf *sealed = &app->sealed[app->secrets.count];
    rd_buf_clear(sealed);
    MUST(rd_secret_seal(app->seal_key, &app->id, name, version, rd_bytes_str(value), rd_random_system(), sealed, err));
    MUST(rd_secret_set_add(&app->secrets, name, version, rd_buf_bytes(sealed), err));
}

static void fetch_seal_key(kms_world *world, kms_app *app)
{
    RD_CLEANUP(rd_buf_done) rd_buf answer = { 0 };
    rd_signature signature;
    uint8_t question[40] = { 0 };
    memcpy(question, app->id.b, 32);
    question[39] = 1;
    assert_int_equal(kms_exchange(world, RD_KMS_SEAL_KEY, RD_BYTES_ARRAY(question), &answer), RD_OK);
    assert_int_equal(answer.size, 96);
    memcpy(app->seal_key, answer.data, 32);
    memcpy(signature.b, answer.data + 32, 64);
    MUST(rd_seal_key_verify(&world->parsed.root, &app->id, 1, app->seal_key, &signature, err));
}

RD_UNUSED static kms_app *app_new(kms_world *world)
{
    kms_app *app = rd_alloc(sizeof *app);
    uint8_t mrtd[RD_MRTD_SIZE];
    app->owner = rd_signing_key_new();
    rd_genesis genesis = { .owners = { *rd_signing_key_public(app->owner) }, .owners_count = 1, .threshold = 1 };
    MUST(rd_genesis_encode(&genesis, &app->genesis, err));
    rd_genesis_app_id(rd_buf_bytes(&app->genesis), &app->id);
    fetch_seal_key(world, app);
    publish_release(app, 1);
    app->head = (rd_head){ .app = app->id,
                           .seq = 1,
                           .class = RD_CLASS_SIMULATED,
                           .releases = { app->release_digest },
                           .releases_count = 1,
                           .policy = { .is_simulated = true,
                                       .tees = { RD_TEE_TDX },
                                       .tees_count = 1,
                                       .tcb = { RD_TCB_UP_TO_DATE },
                                       .tcb_count = 1,
                                       .max_collateral_age_s = 604800 },
                           .kms = { world->id },
                           .kms_count = 1,
                           .not_before_us = (wall_us() / 1000000 - 60) * 1000000 };
    memset(mrtd, APP_MRTD, sizeof mrtd);
    assert_int_equal(rd_policy_add_mrtd(&app->head.policy, mrtd), 0);
    add_secret(app, "API_KEY", 1, "hunter2");
    add_secret(app, "TOKEN", 1, "swordfish");
    publish_head(app);
    return app;
}

RD_UNUSED static void app_free(kms_app *app)
{
    (void)rd_signing_key_free(app->owner);
    rd_buf_done(&app->genesis);
    rd_buf_done(&app->head_envelope);
    rd_buf_done(&app->release_envelope);
    for (size_t i = 0; i < RD_SECRETS_MAX; i++)
        rd_buf_done(&app->sealed[i]);
    free(app);
}

/* --- an instance that asks --- */

/* Everything right, with a fresh nonce; nothing is encoded yet. */
RD_UNUSED static kms_asking asking_of(kms_world *world, const kms_app *app)
{
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *receipt_key = rd_signing_key_new();
    kms_asking asking = { .grant_key = rd_secret_random(RD_X25519_SIZE), .mrtd = APP_MRTD };
    asking.statement = (rd_statement){ .purpose = RD_PURPOSE_GRANT,
                                       .class = RD_CLASS_SIMULATED,
                                       .has_app = true,
                                       .has_release = true,
                                       .has_head = true,
                                       .has_instance = true,
                                       .has_receipt_key = true,
                                       .has_grant_key = true,
                                       .app = app->id,
                                       .release = app->release_digest,
                                       .head = app->head_digest,
                                       .epoch = 1,
                                       .receipt_key = *rd_signing_key_public(receipt_key),
                                       .kms = { world->id },
                                       .kms_count = 1 };
    rd_random_bytes(asking.statement.instance.b, sizeof asking.statement.instance.b);
    rd_x25519_public(asking.grant_key, asking.statement.grant_key);
    take_nonce(world, asking.statement.nonce);
    asking.header = (rd_launch_header){ .app = app->id, .release = app->release_digest };
    rd_kms_set_digest(&world->id, 1, &asking.header.kms_set);
    asking.ticket = (rd_ticket){ .instance = asking.statement.instance,
                                 .epoch = 1,
                                 .app = app->id,
                                 .release = app->release_digest,
                                 .not_after_us = (wall_us() / 1000000 + 600) * 1000000 };
    MUST(rd_secret_set_encode(&app->secrets, &asking.secrets, err));
    return asking;
}

RD_UNUSED static void asking_done(kms_asking *asking)
{
    asking->grant_key = rd_secret_free(asking->grant_key);
    rd_buf_done(&asking->statement_bytes);
    rd_buf_done(&asking->evidence);
    rd_buf_done(&asking->ticket_envelope);
    rd_buf_done(&asking->secrets);
    rd_buf_done(&asking->message);
    rd_buf_done(&asking->webhook);
}

/* What a register was extended by. */
typedef struct kms_register {
    uint8_t mrtd;
    uint8_t header[RD_LAUNCH_HEADER_SIZE];
    bool has_second_app, is_not_closed;
} kms_register;

/* The register as that launch would leave it, and the quote over the statement: what whoever has the hardware's door
 * can have. */
RD_UNUSED static void quote_launch(kms_world *world, const kms_register *launched, const rd_statement *statement,
                                   rd_buf *ret_statement, rd_buf *ret_evidence)
{
    agent_sim_launch launch = { .configuration = { 0 } };
    uint8_t digest[RD_RTMR_SIZE], report_data[RD_REPORT_DATA_SIZE];
    RD_CLEANUP(rd_buf_done) rd_buf quote = { 0 };
    memset(launch.mrtd, launched->mrtd, sizeof launch.mrtd);
    agent_sim_door *door = agent_sim_door_new(world->quoter, &launch);
    rd_event_digest(RD_EVENT_APP, RD_BYTES_ARRAY(launched->header), digest);
    for (int i = 0; i <= launched->has_second_app; i++)
        MUST(agent_sim_door_extend(door, 3, digest, err));
    rd_event_digest(RD_EVENT_CLOSED, RD_BYTES_NULL, digest);
    if (!launched->is_not_closed)
        MUST(agent_sim_door_extend(door, 3, digest, err));
    MUST(rd_statement_encode(statement, ret_statement, err));
    rd_statement_report_data(rd_buf_bytes(ret_statement), report_data);
    MUST(agent_sim_door_quote(door, report_data, &quote, err));
    const rd_nonce_path alone = { .count = 0 };
    MUST(rd_evidence_encode(rd_buf_bytes(&quote), rd_buf_bytes(ret_statement), launched->header,
                            rd_purpose_shares_quotes(statement->purpose) ? &alone : NULL, ret_evidence, err));
    agent_sim_door_free(door);
}

static void make_evidence(kms_world *world, kms_asking *asking)
{
    kms_register launched = { .mrtd = asking->mrtd,
                              .has_second_app = asking->has_second_app,
                              .is_not_closed = asking->is_not_closed };
    rd_launch_header_encode(&asking->header, launched.header);
    quote_launch(world, &launched, &asking->statement, &asking->statement_bytes, &asking->evidence);
}

/* Encodes what is not encoded yet and puts the message together. */
RD_UNUSED static void encode_asking(kms_world *world, const kms_app *app, kms_asking *asking)
{
    if (asking->evidence.size == 0)
        make_evidence(world, asking);
    if (asking->ticket_envelope.size == 0)
        MUST(rd_ticket_sign(&asking->ticket, world->plane, &asking->ticket_envelope, err));
    const rd_kms_grant_message message = { .evidence = rd_buf_bytes(&asking->evidence),
                                           .genesis = rd_buf_bytes(&app->genesis),
                                           .head = rd_buf_bytes(&app->head_envelope),
                                           .release = rd_buf_bytes(&app->release_envelope),
                                           .ticket = rd_buf_bytes(&asking->ticket_envelope),
                                           .secrets = rd_buf_bytes(&asking->secrets),
                                           .newest = asking->newest,
                                           .webhook = rd_buf_bytes(&asking->webhook) };
    rd_buf_clear(&asking->message);
    MUST(rd_kms_grant_message_encode(&message, &asking->message, err));
}

/* A record continues the chain that was seen so far. */
static void follow_record(kms_world *world, rd_bytes envelope_bytes, rd_kms_record *ret)
{
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope = { 0 };
    rd_digest digest;
    MUST(rd_envelope_parse(envelope_bytes, &envelope, err));
    MUST(rd_kms_record_accept(envelope_bytes, &envelope.signatures[0].key, ret, &digest, err));
    assert_true(rd_kms_id_equal(&ret->kms, &world->id));
    if (world->record_number > 0 && ret->number == world->record_number + 1)
        assert_true(rd_digest_equal(&ret->prev, &world->record));
    assert_true(ret->number > world->record_number);
    world->replica = ret->replica;
    world->record_number = ret->number;
    world->record = digest;
}

/* Asks; RD_OK when the grant opens with the checks that an instance makes, else the code of the refusal, whose record
 * was checked. *ret may be NULL. */
RD_UNUSED static rd_code ask_grant(kms_world *world, const kms_app *app, kms_asking *asking, rd_grant *ret)
{
    RD_CLEANUP(rd_buf_done) rd_buf answer = { .size_max = RD_GRANT_SIZE_MAX };
    RD_CLEANUP(rd_grant_done) rd_grant grant = { .bytes = { 0 } };
    rd_kms_record record;
    rd_grant_answer parts;
    encode_asking(world, app, asking);
    rd_code code = kms_exchange(world, RD_KMS_GRANT, rd_buf_bytes(&asking->message), &answer);
    if (code != RD_OK && code != RD_E_CONTROL_LOST && code != RD_E_KMS_FRAME && code != RD_E_TOO_LARGE) {
        rd_kms_refusal refusal;
        MUST(rd_kms_refusal_parse(rd_buf_bytes(&answer), &refusal, err));
        follow_record(world, refusal.record, &record);
        assert_int_equal(record.kind, RD_KMS_RECORD_REFUSAL);
        assert_string_equal(record.reason, rd_code_describe(code)->name);
    }
    if (code != RD_OK)
        return code;
    const rd_grant_check check = { .request = { .kms = world->id,
                                                .statement = rd_buf_bytes(&asking->statement_bytes),
                                                .nonce = asking->statement.nonce },
                                   .kms_genesis = rd_buf_bytes(&world->genesis),
                                   .grant_key = asking->grant_key,
                                   .now_us = wall_us(),
                                   .secrets_count = app->head.secrets_count,
                                   .secrets_root = &app->head.secrets_root };
    MUST(rd_grant_open(rd_buf_bytes(&answer), &check, &grant, err));
    MUST(rd_grant_answer_parse(rd_buf_bytes(&answer), &parts, err));
    follow_record(world, parts.record, &record);
    assert_int_equal(record.kind, RD_KMS_RECORD_GRANT);
    assert_int_equal(record.number, grant.payload.record);
    if (ret)
        *ret = RD_TAKE(grant);
    return RD_OK;
}

#endif
