#include "enclave/kms/kms_start.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attest/attest.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/kms_share.h"
#include "enclave/confine/confine.h"
#include "enclave/kms/kms_channel.h"
#include "enclave/kms/kms_joined.h"
#include "enclave/kms/kms_judge.h"
#include "enclave/kms/kms_root.h"
#include "enclave/kms/kms_server.h"

#define STATE_LABEL "redoubt/kms-state"
#define READY       "ready"
#define WAITS       "waits for the root of its key service: redoubt kms join, or kms recover"
#define LOG_LINE    4096

typedef struct start {
    const kms_options *options;
    encl_platform *platform;
    kms_front front; /* what the front will be */
    uint8_t measurement[RD_KMS_MEASUREMENT_SIZE], platform_id[32];
    int root_pidfd, front_pidfd, judge_pidfd;
    int judge_fd; /* the root's end of the channel to the judge, until the root is there */
    int life_fd;  /* what the front writes for its log comes out here */
} start;

/* Libraries fetch and initialise lazily and from files; a confined process has none, so it happens here. */
static int warm_up(rd_err *err)
{
    size_t seed = 0;
    uint8_t digest[RD_SHA512_SIZE];
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *key = rd_signing_key_new();
    RD_CLEANUP(rd_secret_free_p) rd_secret *private_key = rd_secret_random(RD_X25519_SIZE);
    RD_CLEANUP(rd_p256_key_free_p) rd_p256_key *p256 = rd_p256_key_new();
    RD_CLEANUP(rd_buf_wipe) rd_buf sealed = { 0 };
    RD_CLEANUP(rd_buf_wipe) rd_buf opened = { 0 };
    rd_signature signature;
    uint8_t public_key[RD_X25519_SIZE], p256_signature[RD_P256_SIGNATURE_SIZE];
    rd_random_bytes(&seed, sizeof(seed));
    json_object_seed(seed | 1); /* jansson would draw it from a file */
    rd_sha384(RD_BYTES_LIT("warm"), digest);
    rd_sha512(RD_BYTES_LIT("warm"), digest);
    rd_x25519_public(private_key, public_key);
    if (rd_sign(key, RD_SIGN_RECORD, RD_BYTES_LIT("warm"), &signature, err) < 0 ||
        rd_verify(rd_signing_key_public(key), RD_SIGN_RECORD, RD_BYTES_LIT("warm"), &signature, err) < 0 ||
        rd_p256_sign(p256, RD_BYTES_LIT("warm"), p256_signature, err) < 0 ||
        rd_p256_verify(rd_p256_key_public(p256), RD_BYTES_LIT("warm"), p256_signature, err) < 0 ||
        rd_hpke_seal_once(public_key, RD_BYTES_NULL, RD_BYTES_NULL, RD_BYTES_LIT("warm"), rd_random_system(), &sealed,
                          err) < 0)
        return -1;
    return rd_hpke_open_once(private_key, RD_BYTES_NULL, RD_BYTES_NULL, rd_buf_bytes(&sealed), &opened, err);
}

/* Build and machine, out of a quote of our own: what the hardware says, not what somebody calls us. */
static int find_place(start *self, rd_err *err)
{
    static const uint8_t report_data[RD_REPORT_DATA_SIZE];
    static const rd_collateral none;
    RD_CLEANUP(rd_buf_done) rd_buf quote = { 0 };
    RD_CLEANUP(rd_free_p) rd_verdict *verdict = rd_alloc(sizeof(*verdict));
    rd_anchors anchors = { .count = 0 };
    if (self->options->has_sim_root && rd_anchors_add_simulated(&anchors, self->options->sim_root, err) < 0)
        return -1;
    if (encl_platform_quote(self->platform, report_data, &quote, err) < 0)
        return -1;
    const rd_attest_input input = { .quote = rd_buf_bytes(&quote),
                                    .collateral = &none,
                                    .anchors = &anchors,
                                    .time_us = encl_platform_time_us(self->platform) };
    if (rd_attest_verify(&input, verdict, err) < 0 && !verdict->holds_alone)
        return rd_err_wrap(err, "a quote of this key service under the simulation root that it was given");
    if (verdict->claims.tee != RD_TEE_TDX)
        return rd_err_set(err, RD_E_UNSUPPORTED, "key services on TDX alone");
    memcpy(self->measurement, verdict->claims.tdx.mr_td, sizeof(self->measurement));
    memcpy(self->platform_id, verdict->claims.platform_id, sizeof(self->platform_id));
    return 0;
}

/* --- the judge's process and the root's --- */

static int run_judge(const encl_confine_profile *profile, encl_confine_child *child, int channel_fd)
{
    encl_confine_report report;
    rd_err err = RD_ERR_INIT;
    if (encl_confine_apply(profile, child, &channel_fd, 1, &report, &err) < 0)
        return 70;
    return kms_judge_run(3);
}

static int run_root(start *self, const encl_confine_profile *profile, encl_confine_child *child, int channel_fd)
{
    encl_confine_report report;
    rd_err err = RD_ERR_INIT;
    const int keep[] = { channel_fd, self->options->tee_fd, self->judge_fd };
    if (encl_confine_apply(profile, child, keep, RD_ARRAY_LEN(keep), &report, &err) < 0)
        return 70;
    return kms_root_run(3, 5, encl_platform_sim_new(4));
}

static int run_part(start *self, bool is_judge, const encl_confine_profile *profile, encl_confine_child *child, int fd)
{
    return is_judge ? run_judge(profile, child, fd) : run_root(self, profile, child, fd);
}

/* One of the two that have no files: its channel's other end, and its pidfd. */
static int start_part(start *self, bool is_judge, int *ret_fd, int *ret_pidfd, rd_err *err)
{
    int pair[2];
    encl_confine_profile profile;
    encl_confine_child child = { .pidfd = -1 };
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "channel");
    RD_CLEANUP(rd_close_p) int theirs = pair[1];
    *ret_fd = pair[0];
    if (encl_confine_profile_init(&profile, &(encl_confine_needs){ 0 }, self->options->insecure_unsandboxed, err) < 0)
        return -1;
    int outcome = encl_confine_fork(&profile, &child, err);
    if (outcome == 0)
        _exit(run_part(self, is_judge, &profile, &child, theirs));
    *ret_pidfd = child.pidfd;
    encl_confine_profile_done(&profile);
    return outcome < 0 ? -1 : 0;
}

static int start_root(start *self, rd_err *err)
{
    int outcome = start_part(self, true, &self->judge_fd, &self->judge_pidfd, err);
    if (outcome == 0)
        outcome = start_part(self, false, &self->front.root_fd, &self->root_pidfd, err);
    rd_close_p(&self->judge_fd); /* the root's alone: with the root the judge ends */
    return outcome;
}

/* --- the root, the genesis, the state --- */

static void fill_open(const start *self, bool has_file, kms_ask_open *ret)
{
    const kms_options *options = self->options;
    *ret = (kms_ask_open){ .has_file = has_file,
                           .class_ = RD_CLASS_SIMULATED,
                           .has_sim_root = options->has_sim_root,
                           .waits = !has_file && options->has_join,
                           .platforms_count = (uint8_t)options->platforms_count,
                           .recovery_count = (uint8_t)options->recovery_count,
                           .recovery_threshold = (uint8_t)options->recovery_threshold,
                           .record_number = self->front.state.record_number,
                           .now_us = encl_platform_time_us(self->platform) };
    memcpy(ret->measurement, self->measurement, sizeof(ret->measurement));
    memcpy(ret->platform, self->platform_id, sizeof(ret->platform));
    memcpy(ret->kms, options->join.b, sizeof(ret->kms));
    memcpy(ret->recovery_keys, options->recovery_keys, sizeof(ret->recovery_keys));
    memcpy(ret->platforms, options->platforms, sizeof(ret->platforms));
    memcpy(ret->sim_root, options->sim_root, sizeof(ret->sim_root));
    memcpy(ret->record, self->front.state.record.b, sizeof(ret->record));
}

/* A new root: the state first, so that a root without one is always a loss and never a start. */
static int keep_root(start *self, rd_bytes sealed, rd_err *err)
{
    static const uint8_t no_record[32];
    if (kms_front_save(&self->front, 0, no_record, err) < 0)
        return -1;
    return kms_store_write(self->options->dir, KMS_FILE_ROOT, 0600, sealed, err);
}

static int take_genesis(start *self, rd_bytes genesis, rd_err *err)
{
    kms_front *front = &self->front;
    const kms_options *options = self->options;
    (void)rd_buf_append_bytes(&front->genesis_document, genesis);
    rd_kms_genesis_id(genesis, &front->id);
    if (options->has_join && !rd_kms_id_equal(&front->id, &options->join))
        return rd_err_set(err, RD_E_CONFIG, "%s holds the root of another key service than kms-join names",
                          options->dir);
    return kms_store_write(options->dir, KMS_FILE_GENESIS, 0644, genesis, err);
}

/* For the operator to take away: each share is sealed to its holder, so that the file is no secret. Before the root is
 * kept, so that there is no root whose shares were never written. */
static int write_shares(const start *self, rd_bytes genesis, rd_bytes shares, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *document = json_object();
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    json_t *list = json_array();
    for (size_t at = 0; at + RD_KMS_SHARE_SEALED_SIZE <= shares.size; at += RD_KMS_SHARE_SEALED_SIZE) {
        RD_CLEANUP(rd_buf_done) rd_buf one = { 0 };
        (void)rd_buf_append_base64url(&one, rd_bytes_of(shares.data + at, RD_KMS_SHARE_SEALED_SIZE));
        (void)json_array_append_new(list, json_stringn((const char *)one.data, one.size));
    }
    rd_json_set_str(document, "type", "redoubt/kms-shares/v1");
    rd_json_set_b64(document, "genesis", genesis);
    rd_json_set(document, "shares", list);
    if (!rd_json_dump(document, &text))
        return rd_err_set(err, RD_E_TOO_LARGE, "shares");
    return kms_store_write(self->options->dir, KMS_FILE_SHARES, 0644, rd_buf_bytes(&text), err);
}

static int open_root(start *self, rd_bytes sealed_root, bool has_root, rd_err *err)
{
    kms_ask_open ask;
    kms_told_open told;
    RD_CLEANUP(rd_buf_done) rd_buf more = { .size_max = KMS_CHANNEL_MAX };
    fill_open(self, has_root, &ask);
    if (kms_channel_ask(self->front.root_fd, KMS_OP_OPEN, rd_bytes_of(&ask, sizeof(ask)), sealed_root, &told,
                        sizeof(told), &more, err) < 0)
        return -1;
    if (ask.waits) {
        self->front.waits = true;
        self->front.id = self->options->join;
        return kms_store_open_joined(self->options->dir, &self->front.joined_fd, err);
    }
    if ((uint64_t)told.sealed_size + told.genesis_size + told.shares_size != more.size)
        return rd_err_set(err, RD_E_CONTROL_LOST, "the root's answer is cut off");
    rd_bytes genesis = rd_bytes_of(more.data + told.sealed_size, told.genesis_size);
    rd_bytes shares = rd_bytes_of(genesis.data + genesis.size, told.shares_size);
    if ((shares.size > 0 && write_shares(self, genesis, shares, err) < 0) ||
        (!has_root && keep_root(self, rd_bytes_of(more.data, told.sealed_size), err) < 0))
        return -1;
    return take_genesis(self, genesis, err);
}

/* Where one was made before, no other is: its shares and its genesis would go with it. */
static int check_folder(const start *self, bool has_root, bool has_state, rd_err *err)
{
    const char *dir = self->options->dir;
    bool has_genesis = false;
    RD_CLEANUP(rd_buf_done) rd_buf genesis = { 0 };
    if (kms_store_read(dir, KMS_FILE_GENESIS, RD_JSON_SIZE_MAX, &genesis, &has_genesis, err) < 0)
        return -1;
    if (has_root && !has_state)
        return rd_err_set(err, RD_E_KMS_STATE, "there is a root in %s and no state that opens beside it", dir);
    if (!has_root && (has_genesis || self->front.state.record_number > 0) && !self->options->has_join)
        return rd_err_set(err, RD_E_KMS_STATE,
                          "%s has what is left of a key service and no " KMS_FILE_ROOT ": put that back, join another "
                          "replica of it or bring its root back from shares (kms-join), or begin a new key service in "
                          "another folder; what was sealed for "
                          "the old one stays closed to it",
                          dir);
    return 0;
}

/* A root that came while this one waited. It has a replica's key of its own, and a chain of records of its own: that
 * one goes on from here, and not before, so that no older key signs a number again. */
static int adopt_joined(start *self, rd_err *err)
{
    kms_told_record end;
    bool has_joined = false, is_taken = false;
    const char *dir = self->options->dir;
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    if (kms_joined_read(dir, self->front.state_key, &sealed, &end, &has_joined, err) < 0)
        return -1;
    if (!has_joined)
        return 0;
    if (kms_joined_is_taken(dir, rd_buf_bytes(&sealed), &end, self->front.state.record_number, &is_taken, err) < 0)
        return -1;
    if (is_taken)
        return kms_store_drop_joined(dir, err);
    return kms_front_save(&self->front, end.record_number, end.record, err) < 0
               ? -1
               : kms_store_adopt_joined(dir, rd_buf_bytes(&sealed), err);
}

static int take_piece(void *state, uint64_t index, rd_bytes piece, rd_err *err)
{
    return index == 0 ? kms_state_parse(piece, state, err) : kms_state_apply(state, piece, err);
}

/* Going on without what was lost is what an older folder would make it do, too; only said aloud. */
static int load_state(kms_front *front, const char *dir, bool *ret_found, rd_err *err)
{
    if (kms_store_load(&front->store, front->state_key, take_piece, &front->state, ret_found, err) < 0)
        return rd_err_wrap(err, "%s", dir);
    if (front->store.has_lost)
        rd_log(RD_ERROR, "state_damaged", RD_STR("dir", dir), RD_U64("last_record", front->state.record_number),
               RD_STR("next", "goes on from there; records, heads and epochs behind it are lost"));
    return 0;
}

static int open_folder(start *self, rd_err *err)
{
    bool has_root = false, has_state = false;
    RD_CLEANUP(rd_buf_done) rd_buf root = { 0 };
    kms_front *front = &self->front;
    const char *dir = self->options->dir;
    if (kms_store_open(dir, &front->store, err) < 0 ||
        encl_platform_seal_key(self->platform, STATE_LABEL, front->state_key, err) < 0 ||
        load_state(front, dir, &has_state, err) < 0 || adopt_joined(self, err) < 0 ||
        kms_store_read(dir, KMS_FILE_ROOT, KMS_ROOT_FILE_MAX, &root, &has_root, err) < 0)
        return -1;
    if (check_folder(self, has_root, has_state, err) < 0)
        return -1;
    return open_root(self, rd_buf_bytes(&root), has_root, err);
}

/* --- the register --- */

static int extend_event(encl_platform *platform, const char *name, rd_bytes payload, rd_err *err)
{
    uint8_t digest[1][RD_RTMR_SIZE];
    rd_event_digest(name, payload, digest[0]);
    return encl_platform_extend(platform, digest, 1, err);
}

static int measure(start *self, rd_err *err)
{
    uint8_t header[RD_LAUNCH_HEADER_SIZE];
    rd_kms_launch_header(&self->front.id, self->front.waits, header);
    if (extend_event(self->platform, RD_EVENT_APP, RD_BYTES_ARRAY(header), err) < 0 ||
        extend_event(self->platform, RD_EVENT_CLOSED, RD_BYTES_NULL, err) < 0)
        return -1;
    encl_platform_close_register(self->platform);
    return 0;
}

/* --- the front's process --- */

static void tell_ready(int fd, const char *text)
{
    if (fd < 0)
        return;
    (void)!write(fd, text, strlen(text));
    (void)close(fd);
}

static int run_front(start *self, const encl_confine_profile *profile, encl_confine_child *child, int life_fd)
{
    kms_front *front = &self->front;
    encl_confine_report report;
    rd_err err = RD_ERR_INIT;
    const int ready_fd = self->options->ready_fd >= 0 ? self->options->ready_fd : life_fd;
    const int keep[] = { front->root_fd,
                         self->options->tee_fd,
                         self->options->listen_fd,
                         front->store.slots[0],
                         front->store.slots[1],
                         life_fd,
                         ready_fd,
                         front->waits ? front->joined_fd : life_fd };
    if (encl_confine_apply(profile, child, keep, RD_ARRAY_LEN(keep), &report, &err) < 0)
        return 70;
    rd_log_init("kms", RD_INFO, 8);
    front->root_fd = 3;
    front->platform = encl_platform_sim_new(4);
    encl_platform_close_register(front->platform);
    front->store.slots[0] = 6;
    front->store.slots[1] = 7;
    front->store.lock_fd = -1; /* main's */
    front->life_fd = 8;
    front->ticket_key = self->options->ticket_key;
    front->joined_fd = 10;
    if (kms_front_init(front, &err) < 0 || (!front->waits && kms_front_record_start(front, &err) < 0)) {
        rd_log(RD_ERROR, "kms_failed", RD_ERR(&err));
        return 1;
    }
    char id[RD_KMS_ID_TEXT_SIZE];
    rd_kms_id_format(&front->id, id);
    rd_log(RD_INFO, front->waits ? "kms_waits" : "kms_ready", RD_STR("kms", id), RD_STR("missing", report.missing));
    if (self->options->ready_fd >= 0)
        tell_ready(9, front->waits ? WAITS : READY);
    return kms_server_run(front, 5);
}

static int start_front(start *self, rd_err *err)
{
    int pair[2];
    encl_confine_profile profile;
    encl_confine_child child = { .pidfd = -1 };
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "log");
    RD_CLEANUP(rd_close_p) int theirs = pair[1];
    self->life_fd = pair[0];
    if (encl_confine_profile_init(&profile, &(encl_confine_needs){ .file_bytes_max = KMS_SLOT_MAX },
                                  self->options->insecure_unsandboxed, err) < 0)
        return -1;
    int outcome = encl_confine_fork(&profile, &child, err);
    if (outcome == 0)
        _exit(run_front(self, &profile, &child, theirs));
    self->front_pidfd = child.pidfd;
    encl_confine_profile_done(&profile);
    return outcome < 0 ? -1 : 0;
}

/* --- the watch --- */

/* Says how it ended when it did so by itself. */
static void end_child(int pidfd, const char *part)
{
    siginfo_t info = { 0 };
    if (pidfd < 0)
        return;
    if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG) == 0 && info.si_pid != 0) {
        bool is_orderly = info.si_code == CLD_EXITED && info.si_status == 0;
        rd_log(is_orderly ? RD_INFO : RD_ERROR, "kms_part_ended", RD_STR("part", part),
               RD_BOOL("exited", info.si_code == CLD_EXITED), RD_I64("status", info.si_status));
        return;
    }
    (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    (void)waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED);
}

static void start_done(start *self)
{
    rd_close_p(&self->life_fd);
    end_child(self->front_pidfd, "front");
    end_child(self->judge_pidfd, "judge"); /* before the root, whose end it would follow */
    end_child(self->root_pidfd, "root");
    rd_close_p(&self->judge_pidfd);
    rd_close_p(&self->front_pidfd);
    rd_close_p(&self->root_pidfd);
    rd_close_p(&self->front.root_fd);
    if (self->front.waits)
        rd_close_p(&self->front.joined_fd);
    kms_front_done(&self->front);
}

/* 0: an orderly end; 1: one of the two ended. Passes on what the front logs. */
static int watch(const start *self, int signal_fd)
{
    struct pollfd watched[] = {
        { .fd = signal_fd, .events = POLLIN },         { .fd = self->root_pidfd, .events = POLLIN },
        { .fd = self->front_pidfd, .events = POLLIN }, { .fd = self->life_fd, .events = POLLIN },
        { .fd = self->judge_pidfd, .events = POLLIN }, { .fd = self->options->tee_fd, .events = 0 }
    }; /* without its TEE it is nobody */
    char line[LOG_LINE];
    for (;;) {
        if (poll(watched, RD_ARRAY_LEN(watched), -1) < 0 && errno != EINTR)
            return 1;
        ssize_t got = (watched[3].revents & POLLIN) != 0 ? read(self->life_fd, line, sizeof(line)) : 0;
        if (got > 0)
            (void)!write(STDERR_FILENO, line, (size_t)got);
        if (watched[0].revents != 0)
            return 0;
        if (got <= 0 && (watched[1].revents | watched[2].revents | watched[4].revents | watched[5].revents) != 0)
            return 1;
    }
}

static int open_signals(void)
{
    sigset_t ends;
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigaddset(&ends, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &ends, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &ends, SFD_CLOEXEC);
}

static int start_all(start *self, rd_err *err)
{
    if (warm_up(err) < 0)
        return -1;
    self->platform = self->front.platform = encl_platform_sim_new(self->options->tee_fd);
    if (find_place(self, err) < 0 || start_root(self, err) < 0 || open_folder(self, err) < 0 || measure(self, err) < 0)
        return -1;
    return start_front(self, err);
}

int kms_start(const kms_options *options)
{
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_free_p) start *self = rd_alloc(sizeof(*self));
    self->options = options;
    self->root_pidfd = self->front_pidfd = self->judge_pidfd = self->judge_fd = -1;
    self->life_fd = self->front.root_fd = -1;
    self->front.store = (kms_store){ .slots = { -1, -1 }, .lock_fd = -1 };
    RD_CLEANUP(rd_close_p) int signal_fd = open_signals();
    int status = 1;
    if (start_all(self, &err) < 0) {
        rd_log(RD_ERROR, "kms_failed", RD_STR("dir", options->dir), RD_ERR(&err));
        tell_ready(options->ready_fd, err.text);
    } else {
        /* The front has them now; its end must close what asks it, and nothing of the root stays open here. */
        rd_close_p(&self->front.root_fd);
        (void)close(options->listen_fd);
        if (options->ready_fd >= 0)
            (void)close(options->ready_fd);
        status = watch(self, signal_fd);
    }
    start_done(self);
    return status;
}
