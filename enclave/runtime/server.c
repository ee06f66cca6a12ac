#include "enclave/runtime/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "enclave/runtime/exchange.h"
#include "enclave/runtime/sealed.h"
#include "enclave/runtime/server_priv.h"
#include "enclave/runtime/socket.h"

#define TLS_RECORD    22                     /* RFC 8446, 5.1: a handshake; no HTTP method begins with it */
#define HURRY_US      (INT64_C(3) * 1000000) /* for an answer to leave when there is room for no more */
#define STALL_US      (INT64_C(5) * 1000000) /* for a body to use up a step of its room, when others wait for theirs */
#define SWEEP_US      INT64_C(1000000)
#define BURST_US      1000  /* how long the first answer of a burst waits at most */
#define TURN_US       20000 /* after which a turn begins no call any more */
#define TURN_CALLS    512
#define ROOM_MIN      ((size_t)24 << 20)
#define ROOM_SHARES   4 /* one carrier's part of it */
#define ROOM_STEP_MAX ((size_t)256 << 10)
#define CONN_EVENTS   (EPOLLIN | EPOLLRDHUP | EPOLLET)

int64_t server_now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int watch_listener(encl_server *server, bool is_on)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u32 = ENCL_SERVER_TAG };
    server->is_accepting = is_on;
    return epoll_ctl(server->parts.epoll_fd, is_on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, server->parts.listen_fd, &event);
}

int encl_server_new(const encl_server_parts *parts, encl_server **ret, rd_err *err)
{
    encl_server *server = rd_alloc(sizeof(*server));
    server->parts = *parts;
    for (size_t i = 0; i < CONNS_MAX; i++)
        server->conns[i].fd = -1;
    server->sessions = encl_h2s_new();
    size_t room = RD_MAX(ROOM_MIN, (size_t)parts->app->manifest.resources.memory_bytes / 4);
    encl_shares_init(&server->shares, room, room / ROOM_SHARES);
    if (watch_listener(server, true) < 0) {
        encl_h2s_free(server->sessions);
        free(server);
        return rd_err_set_errno(err, RD_E_IO, errno, "watching the instance's socket");
    }
    *ret = server;
    return 0;
}

/* --- connections ------------------------------------------------------------------------------------------------ */

void server_deadline(encl_server *server, encl_conn *conn, int64_t after_us)
{
    int64_t now = server_now_us();
    conn->deadline_us = now + after_us;
    if (server->sweep_us == 0)
        server->sweep_us = now + SWEEP_US;
}

bool server_is_held(const encl_conn *conn)
{
    return conn->state == ENCL_CONN_READY || conn->state == ENCL_CONN_ASKING || conn->state == ENCL_CONN_ANSWERED;
}

void server_release(encl_server *server, encl_conn *conn)
{
    encl_claim_end(&server->shares, &conn->claim);
}

void server_drop(encl_server *server, encl_conn *conn)
{
    server_release(server, conn);
    if (conn->stream > 0) {
        sessions_drop(server, conn);
        return;
    }
    sessions_end(server, conn);
    sockets_end(conn);
    encl_conn_close(conn);
    server->open_count--;
    if (!server->is_accepting)
        (void)watch_listener(server, true);
}

void server_enqueue(encl_server *server, encl_conn *conn)
{
    conn->state = ENCL_CONN_READY;
    conn->next = NULL;
    if (server->ready_last != NULL)
        server->ready_last->next = conn;
    else
        server->ready_first = conn;
    server->ready_last = conn;
}

/* Who does not take his answers is not called for more; requests of others go on before his. */
static bool may_be_called(const encl_server *server, const encl_conn *conn)
{
    const encl_conn *carrier = conn->stream > 0 ? conn->carrier : conn;
    return carrier == NULL || !encl_share_is_behind(&server->shares, &carrier->share);
}

/* The first of those that may be called; NULL: none. ret_before: what stands before it. */
static encl_conn *find_ready(const encl_server *server, encl_conn **ret_before)
{
    *ret_before = NULL;
    for (encl_conn *conn = server->ready_first; conn != NULL; conn = conn->next) {
        if (may_be_called(server, conn))
            return conn;
        *ret_before = conn;
    }
    return NULL;
}

static encl_conn *unqueue(encl_server *server, encl_conn *conn, encl_conn *before)
{
    *(before == NULL ? &server->ready_first : &before->next) = conn->next;
    if (server->ready_last == conn)
        server->ready_last = before;
    conn->next = NULL;
    return conn;
}

static encl_conn *dequeue(encl_server *server)
{
    encl_conn *before;
    encl_conn *conn = find_ready(server, &before);
    return unqueue(server, conn, before);
}

encl_server *encl_server_free(encl_server *server)
{
    if (server != NULL) {
        for (size_t i = 0; i < CONNS_MAX; i++)
            sessions_end(server, &server->conns[i]);
        while (server->ready_first != NULL)
            /* also streams whose sessions were there */
            server_drop(server, unqueue(server, server->ready_first, NULL));
        for (size_t i = 0; i < server->burst_count; i++)
            server_drop(server, server->burst[i]);
        askers_drop(server);
        for (size_t i = 0; i < CONNS_MAX; i++) {
            sockets_end(&server->conns[i]);
            encl_conn_close(&server->conns[i]);
        }
        encl_h2s_free(server->sessions);
        free(server);
    }
    return NULL;
}

static void begin_reading(encl_server *server, encl_conn *conn);

static uint32_t tag_of(const encl_server *server, const encl_conn *conn)
{
    return ENCL_SERVER_TAG + 1 + (uint32_t)(conn - server->conns);
}

/* Room to write is watched only while it lacks: otherwise every answer that leaves would wake the loop once more. */
void server_watch_room(encl_server *server, encl_conn *conn, bool is_on)
{
    if (conn->watches_writing == is_on)
        return;
    struct epoll_event event = { .events = CONN_EVENTS | (is_on ? EPOLLOUT : 0), .data.u32 = tag_of(server, conn) };
    (void)epoll_ctl(server->parts.epoll_fd, EPOLL_CTL_MOD, conn->fd, &event);
    conn->watches_writing = is_on;
}

static void finish_stream(encl_server *server, encl_conn *conn)
{
    if (encl_h2_answer(conn) < 0)
        server_drop(server, conn);
    else
        sessions_want_turn(server, conn->carrier);
}

static void finish_writing(encl_server *server, encl_conn *conn)
{
    conn->state = ENCL_CONN_WRITING;
    if (conn->stream > 0) {
        finish_stream(server, conn);
        return;
    }
    encl_conn_outcome outcome = encl_conn_flush(conn);
    server_watch_room(server, conn, outcome == ENCL_CONN_WAIT);
    if (outcome == ENCL_CONN_WAIT)
        return;
    if (outcome == ENCL_CONN_GONE || conn->closes) {
        if (outcome == ENCL_CONN_DONE)
            encl_conn_finish(conn);
        server_drop(server, conn);
        return;
    }
    server_release(server, conn);
    encl_conn_next(conn);
    if (conn->channel != NULL)
        server_deadline(server, conn, IDLE_US);
    begin_reading(server, conn);
}

/* --- room ------------------------------------------------------------------------------------------------------- */

static encl_share *share_of(encl_conn *conn)
{
    if (conn->stream == 0)
        return &conn->share;
    return conn->carrier == NULL ? NULL : &conn->carrier->share; /* NULL: the session is over */
}

/* Room doubles as it is used up, so that who sends little holds little. A stream's window is opened ahead. */
bool server_make_room(encl_server *server, encl_conn *conn, size_t come)
{
    bool is_short = come >= (conn->stream > 0 ? conn->room / 2 : conn->room);
    if (!is_short || conn->room >= conn->content_length || conn->is_received)
        return true;
    size_t used = RD_MAX(come, conn->room);
    size_t size = (size_t)RD_MIN(conn->content_length, (uint64_t)(used + RD_MIN(used, ROOM_STEP_MAX)));
    if (!encl_claim_grow(&server->shares, &conn->claim, share_of(conn), size)) {
        conn->state = ENCL_CONN_PARKED;
        return false;
    }
    conn->room = size;
    conn->grown_us = server_now_us();
    return true;
}

void server_unpark(encl_server *server, encl_conn *conn)
{
    if (conn->state != ENCL_CONN_PARKED)
        return;
    encl_claim_stay(&server->shares, &conn->claim);
    conn->state = ENCL_CONN_READING;
}

void server_owe(encl_server *server, encl_conn *conn, size_t size)
{
    encl_share *share = share_of(conn);
    if (share != NULL)
        encl_claim_answer(&server->shares, &conn->claim, share, size > ENCL_SHARES_FREE ? size : 0);
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

void server_refuse_large(encl_server *server, encl_conn *conn, const rd_http_head *request, uint64_t size,
                         uint64_t bound)
{
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, RD_E_REQUEST_TOO_LARGE, "a body of %llu bytes, the release allows %llu",
                     (unsigned long long)size, (unsigned long long)bound);
    server_queue_answer(server, conn, encl_exchange_refuse(&server->parts, conn, request, &err));
}

/* A stream's body may come without its length: then it may be as large as is allowed. */
static uint64_t size_of_body(const encl_conn *conn, const rd_http_head *request, uint64_t bound)
{
    if (conn->stream == 0 || rd_http_head_find(request, "content-length") != NULL)
        return request->content_length;
    return conn->is_received ? RD_MIN((uint64_t)(conn->in.size - conn->head_size), bound) : bound;
}

/* 0: go on reading, the head may be complete now; -1: the connection is being answered, or gone. */
int server_take_head(encl_server *server, encl_conn *conn)
{
    rd_err err = RD_ERR_INIT;
    rd_http_head *request = &server->request;
    int outcome = conn->refusal != 0 ? rd_err_set(&err, conn->refusal, "what came is not the head of a request")
                                     : rd_http_head_parse(rd_buf_bytes(&conn->in), 0, &conn->scanned, request, &err);
    if (outcome == RD_HTTP_MORE)
        return 0;
    if (outcome < 0) {
        encl_exchange_malformed(conn, &err);
        finish_writing(server, conn);
        return -1;
    }
    conn->has_head = true;
    conn->head_size = request->head_size;
    conn->closes = !request->keeps_alive || (conn->channel != NULL && encl_channel_is_old(conn->channel));
    if (conn->closes && conn->stream > 0)
        encl_h2_drain(conn->h2);
    uint64_t bound = encl_exchange_body_max(&server->parts, request);
    if (request->content_length > bound) {
        server_refuse_large(server, conn, request, request->content_length, bound);
        return -1;
    }
    conn->content_length = size_of_body(conn, request, bound);
    conn->room = (size_t)RD_MIN(conn->content_length, (uint64_t)ENCL_SHARES_FREE);
    return 0;
}

/* The first byte says what is spoken. False: it has not come yet, or the connection is gone. */
static bool greet(encl_server *server, encl_conn *conn)
{
    uint8_t first;
    rd_err err = RD_ERR_INIT;
    encl_conn_outcome outcome = conn->may_read ? encl_conn_peek(conn, &first) : ENCL_CONN_WAIT;
    if (outcome == ENCL_CONN_WAIT)
        return false;
    bool is_tls = outcome == ENCL_CONN_DONE && first == TLS_RECORD;
    bool is_refused = is_tls && encl_channel_open(server->parts.channels, conn->fd, &conn->channel, &err) < 0;
    if (is_refused && err.code != RD_E_UNAVAILABLE)
        server->parts.on_trouble(server->parts.context, &err);
    if (outcome == ENCL_CONN_GONE || is_refused) {
        server_drop(server, conn);
        return false;
    }
    if (is_tls)
        server_deadline(server, conn, REQUEST_US);
    conn->is_greeted = true;
    return true;
}

/* Takes what is buffered and what the socket holds until a request is whole or nothing more comes. */
static void begin_reading(encl_server *server, encl_conn *conn)
{
    conn->state = ENCL_CONN_READING;
    if (!conn->is_greeted && !greet(server, conn))
        return;
    for (;;) {
        if (conn->channel != NULL && encl_channel_speaks_h2(conn->channel)) {
            sessions_begin(server, conn);
            return;
        }
        if (conn->in.size > 0 && !conn->has_begun) {
            conn->has_begun = true;
            server_deadline(server, conn, REQUEST_US);
        }
        if (!conn->has_head && conn->in.size > 0 && server_take_head(server, conn) < 0)
            return;
        if (conn->has_head && encl_conn_has_body(conn)) {
            server_enqueue(server, conn);
            return;
        }
        if (conn->has_head && !server_make_room(server, conn, conn->in.size - conn->head_size))
            return;
        if (!conn->may_read)
            return;
        encl_conn_outcome outcome = encl_conn_fill(conn);
        if (outcome == ENCL_CONN_WAIT && conn->channel != NULL && encl_channel_speaks_h2(conn->channel))
            continue; /* the handshake was all */
        if (outcome == ENCL_CONN_WAIT) {
            server_watch_room(server, conn, conn->channel != NULL && encl_channel_wants_room(conn->channel));
            return;
        }
        if (outcome == ENCL_CONN_GONE) {
            server_drop(server, conn);
            return;
        }
    }
}

/* --- what waits ------------------------------------------------------------------------------------------------- */

static void unpark(encl_server *server)
{
    for (encl_claim *claim; (claim = encl_shares_next(&server->shares)) != NULL;) {
        encl_conn *conn = claim->owner;
        conn->state = ENCL_CONN_READING;
        conn->room = claim->held;
        conn->grown_us = server_now_us();
        if (conn->stream > 0)
            sessions_take(server, conn);
        else if (conn->socket != NULL)
            sockets_go(server, conn);
        else
            begin_reading(server, conn);
    }
}

static void accept_some(encl_server *server)
{
    for (size_t i = 0; i < CONNS_MAX; i++) {
        encl_conn *conn = &server->conns[i];
        if (conn->state != ENCL_CONN_FREE)
            continue;
        int fd = accept4(server->parts.listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        struct epoll_event event = { .events = CONN_EVENTS, .data.u32 = tag_of(server, conn) };
        if (epoll_ctl(server->parts.epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
            (void)close(fd);
            return;
        }
        encl_conn_open(conn, fd);
        server->open_count++;
        begin_reading(server, conn);
    }
    if (server->open_count == CONNS_MAX)
        (void)watch_listener(server, false);
}

void encl_server_event(encl_server *server, uint32_t tag, uint32_t events)
{
    if (tag == ENCL_SERVER_TAG) {
        accept_some(server);
        return;
    }
    encl_conn *conn = &server->conns[(tag - ENCL_SERVER_TAG - 1) % CONNS_MAX];
    if (conn->state == ENCL_CONN_FREE)
        return;
    /* A handshake that waited for room goes on by reading. */
    bool has_room = conn->channel != NULL && (events & EPOLLOUT) != 0;
    if (has_room || (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        conn->may_read = true;
    conn->has_end |= (events & EPOLLRDHUP) != 0;
    bool can_write = (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;
    if (conn->state == ENCL_CONN_FRAMED)
        sessions_want_turn(server, conn);
    else if (conn->state == ENCL_CONN_SOCKET || (conn->state == ENCL_CONN_WRITING && conn->socket != NULL && can_write))
        sockets_go(server, conn);
    else if (conn->state == ENCL_CONN_WRITING && conn->socket == NULL && can_write)
        finish_writing(server, conn);
    else if (conn->state == ENCL_CONN_READING)
        begin_reading(server, conn);
    else if (conn->state == ENCL_CONN_PARKED && conn->socket == NULL && (events & (EPOLLHUP | EPOLLERR)) != 0)
        server_drop(server, conn); /* nobody is left to be answered */
}

/* --- calls and bursts ------------------------------------------------------------------------------------------- */

static void leave(encl_server *server, encl_conn *conn)
{
    if (conn->socket != NULL) {
        sockets_leave(server, conn);
        return;
    }
    if (conn->sealing != NULL && encl_sealed_close(conn) < 0) {
        server_drop(server, conn); /* an answer without its seal must not leave */
        return;
    }
    encl_conn_complete(conn);
    server_deadline(server, conn, REQUEST_US);
    finish_writing(server, conn);
}

static void sign_burst(encl_server *server)
{
    rd_err err = RD_ERR_INIT;
    encl_conn *burst[ENCL_BURST_MAX];
    size_t count = server->burst_count;
    memcpy(burst, server->burst, count * sizeof(encl_conn *));
    server->burst_count = 0; /* writing may bring the first answers of a next burst */
    int outcome = encl_receipts_sign(server->parts.receipts, &err);
    RD_CLEANUP(rd_buf_done) rd_buf record = { 0 };
    bool is_kept = outcome == 0 && count > 0 && encl_receipts_record(server->parts.receipts, &record);
    for (size_t i = 0; i < count; i++) {
        if (outcome < 0) {
            server_drop(server, burst[i]); /* an answer without its receipt must not leave */
            continue;
        }
        server->answers++;
        leave(server, burst[i]);
    }
    if (is_kept)
        server->parts.on_burst(server->parts.context, rd_buf_bytes(&record));
}

void server_queue_answer(encl_server *server, encl_conn *conn, encl_exchange_outcome outcome)
{
    if (outcome == ENCL_EXCHANGE_DROP) {
        server_drop(server, conn);
        return;
    }
    if (outcome == ENCL_EXCHANGE_ASKED)
        return; /* askers.c has it */
    /* What was read is not needed any more; what is to be written counts until it is gone. */
    server_release(server, conn);
    server_owe(server, conn, conn->body.size);
    if (outcome == ENCL_EXCHANGE_READY) {
        leave(server, conn);
        return;
    }
    conn->state = ENCL_CONN_ANSWERED;
    server->burst[server->burst_count++] = conn;
    if (server->burst_count == ENCL_BURST_MAX)
        sign_burst(server);
}

static void sign_before_stream(void *context)
{
    sign_burst(context);
}

static bool has_socket_room(void *context)
{
    return sockets_have_room(context);
}

static bool ask(void *context, encl_conn *conn, rd_purpose purpose, const uint8_t nonce[RD_NONCE_SIZE])
{
    return askers_take(context, conn, purpose, nonce);
}

static encl_exchange_outcome answer(encl_server *server, encl_conn *conn)
{
    const encl_exchange_turn turn = { server->is_draining, sign_before_stream, has_socket_room, ask, server };
    rd_err err = RD_ERR_INIT;
    size_t scanned = 0;
    if (conn->socket != NULL)
        return encl_socket_run(&server->parts, conn);
    if (conn->is_gone)
        return ENCL_EXCHANGE_DROP;
    /* Parsed again rather than kept: the buffer may have moved since, and 3 KiB a connection are saved. */
    if (rd_http_head_parse(rd_buf_bytes(&conn->in), 0, &scanned, &server->request, &err) != RD_HTTP_DONE)
        return ENCL_EXCHANGE_DROP;
    return encl_exchange_run(&server->parts, conn, &server->request, &turn);
}

static void run_one(encl_server *server, encl_conn *conn)
{
    server_queue_answer(server, conn, answer(server, conn));
    if (encl_function_has_background(server->parts.function))
        sign_burst(server); /* waitUntil may last: the answer leaves first */
    encl_function_finish(server->parts.function);
}

/* How a sweep looks at those who take long. */
typedef struct sweep {
    int64_t now;
    bool is_full;  /* nobody is called, for want of room for answers */
    bool is_short; /* somebody waits for room for his body */
} sweep;

static int64_t deadline_of(const encl_conn *conn, const sweep *at)
{
    bool is_coming = conn->state == ENCL_CONN_READING || conn->state == ENCL_CONN_SOCKET;
    if (at->is_full && conn->state == ENCL_CONN_WRITING)
        return conn->deadline_us - REQUEST_US + HURRY_US;
    if (at->is_short && is_coming && conn->claim.held > 0)
        return RD_MIN(conn->deadline_us, conn->grown_us + STALL_US);
    return conn->deadline_us;
}

static void expire_one(encl_server *server, encl_conn *conn, const sweep *at)
{
    int64_t now = at->now;
    if (conn->state == ENCL_CONN_FREE || conn->deadline_us == 0)
        return;
    if (server_is_held(conn) || deadline_of(conn, at) >= now) {
        server->sweep_us = now + SWEEP_US;
        return;
    }
    if (conn->socket != NULL) {
        sockets_expire(server, conn, now);
        return;
    }
    if (conn->state == ENCL_CONN_FRAMED)
        sessions_farewell(conn);
    server_drop(server, conn);
}

/* Of who takes no answers. */
static void expire_ready(encl_server *server, int64_t now)
{
    encl_conn *next, *before = NULL;
    for (encl_conn *conn = server->ready_first; conn != NULL; conn = next) {
        next = conn->next;
        if (may_be_called(server, conn) || conn->deadline_us >= now)
            before = conn;
        else
            server_drop(server, unqueue(server, conn, before));
    }
}

static void expire(encl_server *server)
{
    int64_t now = server_now_us();
    if (server->sweep_us == 0 || now < server->sweep_us)
        return;
    server->sweep_us = 0;
    const sweep at = { now, encl_shares_is_full(&server->shares), encl_shares_is_short(&server->shares) };
    encl_conn *next;
    expire_ready(server, now);
    for (size_t i = 0; i < CONNS_MAX; i++) {
        encl_conn *conn = &server->conns[i];
        for (encl_conn *stream = conn->h2 ? encl_h2_streams(conn->h2) : NULL; stream != NULL; stream = next) {
            next = stream->sibling;
            expire_one(server, stream, &at);
        }
        expire_one(server, conn, &at);
    }
}

static bool is_ready(const encl_server *server)
{
    encl_conn *before;
    return !encl_shares_is_full(&server->shares) && find_ready(server, &before) != NULL;
}

void encl_server_work(encl_server *server, uint64_t calls_max)
{
    int64_t first = 0;
    int64_t last_took = 0;
    sessions_turn(server);
    const int64_t until = server_now_us() + TURN_US;
    for (uint64_t calls = 0; calls < RD_MIN(calls_max, (uint64_t)TURN_CALLS) && is_ready(server); calls++) {
        int64_t began = server_now_us();
        if (began > until)
            break;
        /* Sign before a call that would make the burst's first answer wait too long. */
        if (server->burst_count > 0 && began - first + last_took > BURST_US)
            sign_burst(server);
        if (server->burst_count == 0)
            first = began;
        run_one(server, dequeue(server));
        last_took = server_now_us() - began;
        if (server->burst_count == 1)
            first = server_now_us();
        if (askers_are_late(server, began)) {
            sign_burst(server);
            askers_answer(server);
        }
    }
    sign_burst(server);
    askers_answer(server);
    unpark(server);
    expire(server);
    sessions_turn(server);
}

int encl_server_timeout_ms(const encl_server *server)
{
    if (is_ready(server) || server->has_turns || server->burst_count > 0)
        return 0;
    int64_t now = server_now_us(), asked = askers_wait_us(server, now);
    if (server->sweep_us == 0 && asked < 0)
        return -1;
    int64_t left = server->sweep_us == 0 ? asked : server->sweep_us - now;
    if (asked >= 0)
        left = RD_MIN(left, asked);
    return left <= 0 ? 0 : (int)(left / 1000 + 1);
}

void encl_server_drain(encl_server *server)
{
    server->is_draining = true;
    sessions_drain(server);
    sockets_drain(server);
}

static bool is_quiet(const encl_conn *conn)
{
    if (conn->state == ENCL_CONN_FRAMED)
        return sessions_is_quiet(conn);
    return conn->state == ENCL_CONN_FREE || (conn->state == ENCL_CONN_READING && conn->in.size == 0);
}

bool encl_server_is_idle(const encl_server *server)
{
    for (size_t i = 0; i < CONNS_MAX; i++) {
        if (!is_quiet(&server->conns[i]))
            return false;
    }
    return true;
}

uint64_t encl_server_answers(const encl_server *server)
{
    return server->answers;
}
