#include "enclave/kms/kms_server.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "enclave/platform/window.h"

#define CONNECTIONS_MAX 128
#define ASKERS_MAX      96 /* of them, who wait for a quote: the others' places are for all else that is asked */
#define LARGE_SIZE      ((size_t)64 << 10)
#define LARGE_MAX       32 /* messages above that size that are read at once; further ones wait, unread */
#define FIXED           3
#define MESSAGE_MS      30000 /* for a whole message once it began, and for whoever does not read his answer */
#define PRESSED_MS      2000  /* the same for a message while others have no place */
#define NO_PLACE_MS     250   /* until it is looked again for one */

typedef struct connection {
    int fd; /* -1: free */
    uint8_t head[RD_KMS_FRAME_HEAD];
    size_t head_size;
    rd_kms_head frame; /* of the message that is being read */
    rd_buf payload;
    rd_buf out;
    bool closes;     /* when out is written */
    bool asks;       /* waits for a quote: nothing is read, and it stays */
    bool is_large;   /* counts as one of LARGE_MAX */
    uint64_t served; /* the quote that it shared last, or behind which it came */
    int64_t last_ms; /* the last message began, or a part of its answer left */
} connection;

typedef struct server {
    kms_front *front;
    int listen_fd;
    connection connections[CONNECTIONS_MAX];
    encl_window window; /* of those who wait for a quote */
    uint64_t quotes;
    size_t large;
} server;

static int64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t now_ms(void)
{
    return now_us() / 1000;
}

static void end_large(server *self, connection *one)
{
    self->large -= one->is_large;
    one->is_large = false;
}

static void drop(server *self, connection *one)
{
    end_large(self, one);
    rd_close_p(&one->fd);
    rd_buf_done(&one->payload);
    rd_buf_done(&one->out);
    *one = (connection){ .fd = -1 };
}

static bool is_busy(const connection *one)
{
    return one->head_size > 0 || one->out.size > 0 || one->asks;
}

/* In the middle of a message, or of its answer, for longer than whoever has no place need wait. */
static bool is_slow(const connection *one, int64_t now)
{
    return is_busy(one) && !one->asks && now - one->last_ms > PRESSED_MS;
}

/* A free place, or that of whoever has been idle longest, or of the slowest. NULL: all are in the middle of something,
 * and whoever comes stays in the socket's queue. */
static connection *find_place(server *self)
{
    connection *idle = NULL, *slow = NULL;
    int64_t now = now_ms();
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        connection *one = &self->connections[i];
        if (one->fd < 0)
            return one;
        if (!is_busy(one) && (idle == NULL || one->last_ms < idle->last_ms))
            idle = one;
        if (is_slow(one, now) && (slow == NULL || one->last_ms < slow->last_ms))
            slow = one;
    }
    return idle != NULL ? idle : slow;
}

static void take_connection(server *self)
{
    connection *one = find_place(self);
    int fd = one == NULL ? -1 : accept4(self->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    drop(self, one);
    one->fd = fd;
    one->served = self->quotes; /* who comes anew has no better turn than who stays */
    one->last_ms = now_ms();
}

/* --- writing --- */

static void flush(server *self, connection *one)
{
    while (one->out.size > 0) {
        ssize_t put = send(one->fd, one->out.data, one->out.size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno == EAGAIN)
            return;
        if (put <= 0) {
            drop(self, one);
            return;
        }
        one->last_ms = now_ms();
        rd_buf_consume(&one->out, (size_t)put);
    }
    if (one->closes)
        drop(self, one);
    else
        rd_buf_done(&one->out);
}

/* --- reading --- */

static void refuse(connection *one, const rd_err *why)
{
    rd_log(RD_WARN, "message_refused", RD_ERR(why));
    one->out = (rd_buf){ 0 };
    kms_front_refuse(why, &one->out);
    one->closes = true;
    one->head_size = 0;
}

static void refuse_asker(connection *one)
{
    rd_err why = RD_ERR_INIT;
    (void)rd_err_set(&why, RD_E_BUSY, "%d questions for evidence wait for the next quote; ask again in a moment",
                     ASKERS_MAX);
    one->asks = false;
    one->last_ms = now_ms();
    one->out = (rd_buf){ 0 };
    kms_front_refuse(&why, &one->out);
}

/* With all places taken, whoever had a quote later than this one gives his up: each pipe has its turn, however often
 * others ask. False: nobody had. */
static bool displace(server *self, connection *one, const uint8_t nonce[RD_NONCE_SIZE])
{
    encl_window *window = &self->window;
    size_t latest = 0;
    for (size_t i = 1; i < window->count; i++)
        if (((connection *)window->askers[i])->served > ((connection *)window->askers[latest])->served)
            latest = i;
    connection *other = window->askers[latest];
    if (other->served <= one->served)
        return false;
    window->askers[latest] = one;
    memcpy(window->nonces[latest], nonce, RD_NONCE_SIZE);
    refuse_asker(other);
    flush(self, other);
    return true;
}

/* Whoever asks for evidence waits for the quote that he shares with others. */
static bool take_asker(server *self, connection *one)
{
    rd_bytes nonce = rd_buf_bytes(&one->payload);
    _Static_assert(ASKERS_MAX <= ENCL_WINDOW_MAX && ASKERS_MAX < CONNECTIONS_MAX, "the window holds them");
    if (!kms_front_shares_quote(self->front, one->frame.type, nonce))
        return false;
    one->asks = self->window.count < ASKERS_MAX ? encl_window_add(&self->window, nonce.data, one, now_us())
                                                : displace(self, one, nonce.data);
    if (!one->asks)
        refuse_asker(one);
    return true;
}

static void answer(server *self, connection *one)
{
    one->last_ms = now_ms();
    end_large(self, one);
    one->out = (rd_buf){ .size_max = RD_KMS_GRANT_MAX + RD_KMS_FRAME_HEAD };
    if (!take_asker(self, one))
        one->closes = !kms_front_answer(self->front, one->frame.type, rd_buf_bytes(&one->payload), &one->out);
    rd_buf_wipe(&one->payload);
    one->payload = (rd_buf){ 0 };
    one->head_size = 0;
}

/* What one read gave; the message may be whole now. */
static void advance(server *self, connection *one, size_t got)
{
    rd_err err = RD_ERR_INIT;
    if (one->head_size == 0)
        one->last_ms = now_ms();
    if (one->head_size < RD_KMS_FRAME_HEAD) {
        one->head_size += got;
        if (one->head_size < RD_KMS_FRAME_HEAD)
            return;
        if (rd_kms_head_request(one->head, &one->frame, &err) < 0) {
            refuse(one, &err);
            return;
        }
        one->payload = (rd_buf){ .size_max = one->frame.size + 1 };
        one->is_large = one->frame.size > LARGE_SIZE && self->large < LARGE_MAX;
        self->large += one->is_large;
    } else {
        rd_buf_commit(&one->payload, got);
    }
    if (one->payload.size == one->frame.size)
        answer(self, one);
}

static void read_connection(server *self, connection *one)
{
    bool is_head = one->head_size < RD_KMS_FRAME_HEAD;
    size_t want = is_head ? RD_KMS_FRAME_HEAD - one->head_size : one->frame.size - one->payload.size;
    want = RD_MIN(want, (size_t)64 << 10);
    uint8_t *into = is_head ? one->head + one->head_size : rd_buf_reserve(&one->payload, want);
    ssize_t got = into == NULL ? 0 : recv(one->fd, into, want, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        drop(self, one);
        return;
    }
    advance(self, one, (size_t)got);
    if (one->out.size > 0)
        flush(self, one);
}

/* A large message waits, unread, until another one is whole. */
static bool is_held(server *self, connection *one)
{
    if (one->head_size < RD_KMS_FRAME_HEAD || one->frame.size <= LARGE_SIZE || one->is_large)
        return false;
    one->is_large = self->large < LARGE_MAX;
    self->large += one->is_large;
    return !one->is_large;
}

/* --- the loop --- */

static void drop_slow(server *self)
{
    int64_t now = now_ms();
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        connection *one = &self->connections[i];
        if (one->fd >= 0 && is_busy(one) && !one->asks && now - one->last_ms > MESSAGE_MS)
            drop(self, one);
    }
}

static bool has_pending(const server *self)
{
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        if (self->connections[i].fd >= 0 && self->connections[i].out.size > 0)
            return true;
    return false;
}

static void answer_askers(server *self)
{
    encl_window *window = &self->window;
    connection *askers[ENCL_WINDOW_MAX];
    rd_buf *outs[ENCL_WINDOW_MAX];
    size_t count = window->count;
    if (encl_window_wait_us(window, now_us()) != 0)
        return;
    for (size_t i = 0; i < count; i++) {
        askers[i] = window->askers[i];
        outs[i] = &askers[i]->out;
    }
    kms_front_evidence(self->front, window->nonces, count, outs);
    encl_window_end(window, now_us());
    self->quotes++;
    for (size_t i = 0; i < count; i++) {
        askers[i]->asks = false;
        askers[i]->served = self->quotes;
        askers[i]->last_ms = now_ms();
        flush(self, askers[i]);
    }
}

static int timeout_ms(const server *self, bool has_busy, bool has_place)
{
    int64_t window_us = encl_window_wait_us(&self->window, now_us());
    int busy = !has_place ? NO_PLACE_MS : has_busy ? MESSAGE_MS / 2 : -1;
    if (window_us < 0)
        return busy;
    int window = (int)(window_us / 1000 + (window_us > 0));
    return busy < 0 ? window : RD_MIN(busy, window);
}

static void turn(server *self)
{
    bool has_place = find_place(self) != NULL;
    struct pollfd watched[FIXED + CONNECTIONS_MAX] = { { .fd = has_place ? self->listen_fd : -1, .events = POLLIN },
                                                       { .fd = self->front->root_fd, .events = POLLIN },
                                                       { .fd = self->front->life_fd, .events = POLLIN } };
    bool has_busy = false;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        connection *one = &self->connections[i];
        bool is_left = one->asks || (one->fd >= 0 && is_held(self, one));
        watched[FIXED + i] =
            (struct pollfd){ .fd = is_left ? -1 : one->fd, .events = one->out.size > 0 ? POLLOUT : POLLIN };
        has_busy |= one->fd >= 0 && is_busy(one);
    }
    int ready = poll(watched, RD_ARRAY_LEN(watched), timeout_ms(self, has_busy, has_place));
    if (ready < 0 && errno != EINTR)
        exit(1);
    if (ready > 0 && (watched[1].revents != 0 || watched[2].revents != 0))
        exit(1); /* neither speaks unasked: one of them is gone */
    for (size_t i = 0; ready > 0 && i < CONNECTIONS_MAX; i++) {
        connection *one = &self->connections[i];
        if (one->fd < 0 || one->asks || watched[FIXED + i].revents == 0)
            continue;
        if (one->out.size > 0)
            flush(self, one);
        else
            read_connection(self, one);
    }
    answer_askers(self);
    drop_slow(self);
    if (self->front->is_finished && !has_pending(self))
        _exit(0); /* nothing to tidy up: the next start is another process */
    if (self->front->is_behind) {
        rd_log(RD_ERROR, "state_not_kept", RD_STR("next", "ends, and starts again from what is durable"));
        exit(1);
    }
    if (ready > 0 && watched[0].revents != 0)
        take_connection(self);
}

int kms_server_run(kms_front *front, int listen_fd)
{
    RD_CLEANUP(rd_free_p) server *self = rd_alloc(sizeof(*self));
    self->front = front;
    self->listen_fd = listen_fd;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        self->connections[i].fd = -1;
    for (;;)
        turn(self);
}
