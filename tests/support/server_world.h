/* server_world: the server of an instance with a function behind it, driven by hand, and its clients: plain, over TLS,
 * over HTTP/2. One thread, no process: world_settle lets everybody go on until nothing moves.
 * Used by tests/unit/enclave/runtime/test_server_*.c. Include after cmocka. */
#ifndef TESTS_SUPPORT_SERVER_WORLD_H
#define TESTS_SUPPORT_SERVER_WORLD_H

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "enclave/runtime/server_priv.h"
#include "tests/support/fake_enclave.h"

#define PEERS_MAX   300
#define STREAMS_MAX 128

/* --- time: the monotonic clock stands still but for what a test adds --- */

static int64_t world_now_us = INT64_C(1000000000);

int clock_gettime(clockid_t id, struct timespec *ret)
{
    if (id != CLOCK_MONOTONIC)
        return (int)syscall(SYS_clock_gettime, id, ret);
    *ret = (struct timespec){ .tv_sec = world_now_us / 1000000, .tv_nsec = world_now_us % 1000000 * 1000 };
    return 0;
}

/* --- the server --- */

/* The engine takes SIGSEGV for its guard pages: a world is made within its test, behind cmocka's own handlers. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "handle_segv=0:handle_sigbus=0:use_sigaltstack=0:quarantine_size_mb=16";
}

typedef struct server_world {
    fake_enclave e;
    encl_documents documents;
    encl_function *function;
    encl_channels *channels;
    encl_receipts *receipts;
    encl_server *server;
    int epoll_fd, listen_fd;
    struct sockaddr_un address;
    socklen_t address_size;
    SSL_CTX *tls;
    char name[128];
    struct peer *peers[PEERS_MAX];
    size_t peers_count;
    int64_t boot_us; /* of channels */
    rd_clock clock;
} server_world;

typedef struct server_world_spec {
    const char *source;
    uint32_t request_bytes, response_bytes;
} server_world_spec;

static inline int64_t world_time(void *context)
{
    (void)context;
    return INT64_C(1790000000000000);
}

static inline int64_t world_boot(void *context)
{
    return ((server_world *)context)->boot_us;
}

static inline int world_random(void *context, uint8_t *out, size_t size)
{
    return encl_platform_random(((server_world *)context)->e.platform, out, size, NULL);
}

static inline void world_log(void *context, const char *level, rd_bytes line)
{
    (void)context, (void)level, (void)line;
}

static inline void world_burst(void *context, rd_bytes record)
{
    (void)context, (void)record;
}

static inline void world_trouble(void *context, const rd_err *err)
{
    (void)context;
    fail_msg("%s", err->text);
}

static inline void world_load(server_world *w, const server_world_spec *spec)
{
    const encl_function_host host = { .time_us = world_time, .random = world_random, .log = world_log, .context = w };
    rd_release *release = &w->e.app.manifest;
    rd_code_bundle code = { .main = rd_strdup("index.js") };
    encl_engine *engine = NULL;
    rd_err err = RD_ERR_INIT;
    release->is_open = release->is_plain = true;
    release->limits.request_bytes = spec->request_bytes;
    release->limits.response_bytes = spec->response_bytes;
    assert_int_equal(rd_code_bundle_add(&code, "index.js", rd_bytes_str(spec->source), &err), 0);
    assert_int_equal(encl_function_preload(&engine, &err), 0);
    if (encl_function_load(engine, &host, release, &code, NULL, &w->function, &err) < 0)
        fail_msg("%s", err.text);
    rd_code_bundle_done(&code);
}

static inline void world_listen(server_world *w)
{
    w->address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    w->address_size = sizeof w->address;
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(w->listen_fd, (struct sockaddr *)&w->address, sizeof(sa_family_t)),
                     0); /* unix(7): autobind */
    assert_int_equal(getsockname(w->listen_fd, (struct sockaddr *)&w->address, &w->address_size), 0);
    assert_int_equal(listen(w->listen_fd, 512), 0);
}

static inline void world_free(server_world *w);

/* What a failed test did not close: a process has one engine. */
static server_world *world_leftover;

static inline server_world *world_new(const server_world_spec *spec)
{
    if (world_leftover != NULL)
        world_free(world_leftover);
    server_world *w = world_leftover = rd_alloc(sizeof *w);
    w->clock = (rd_clock){ .wall_us = world_time, .boot_us = world_boot, .context = w };
    w->boot_us = 1000000;
    rd_err err = RD_ERR_INIT;
    const uint8_t nonce[RD_NONCE_SIZE] = { 1 };
    RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
    char text[RD_APP_ID_TEXT_SIZE];
    (void)signal(SIGPIPE, SIG_IGN); /* as zygote.c has it */
    rd_release_init(&w->e.app.manifest);
    memset(w->e.app.id.b, 0x31, sizeof w->e.app.id.b);
    fake_enclave_open(&w->e);
    assert_int_equal(encl_identity_status_evidence(w->e.identity, nonce, &bundle, &err), 0);
    world_load(w, spec);
    world_listen(w);
    w->receipts = encl_receipts_new(w->e.identity, w->e.platform, &w->e.app);
    w->channels = encl_channels_new(w->e.identity, w->e.platform, &w->e.app.id, &w->clock);
    rd_app_id_format(&w->e.app.id, text);
    (void)snprintf(w->name, sizeof w->name, "app-%s.apps.example", text + 4);
    w->tls = SSL_CTX_new(TLS_client_method());
    const encl_server_parts parts = { .epoll_fd = w->epoll_fd,
                                      .listen_fd = w->listen_fd,
                                      .function = w->function,
                                      .identity = w->e.identity,
                                      .receipts = w->receipts,
                                      .seal = w->e.seal,
                                      .channels = w->channels,
                                      .app = &w->e.app,
                                      .documents = &w->documents,
                                      .on_burst = world_burst,
                                      .on_trouble = world_trouble,
                                      .context = w };
    assert_int_equal(encl_server_new(&parts, &w->server, &err), 0);
    return w;
}

/* --- clients --- */

static size_t world_turns;

typedef struct peer_stream {
    int32_t id;
    size_t size, sent; /* of the body that it uploads; its end is said when all was */
    size_t may_send;   /* so much of it now */
    unsigned status;   /* 0: no answer yet */
    size_t received;   /* bytes of the answer's body */
    char start[64];    /* of it */
    bool is_closed;
    uint32_t code; /* how */
} peer_stream;

typedef struct peer {
    int fd;
    SSL *ssl; /* NULL: plain */
    nghttp2_session *h2;
    rd_buf in, out; /* what came (not of HTTP/2), what is still to leave */
    size_t in_size; /* all that ever came */
    size_t turn;    /* of the world, in which something came last */
    bool is_deaf;   /* reads nothing */
    bool is_gone;   /* the server closed */
    peer_stream streams[STREAMS_MAX];
    size_t streams_count;
} peer;

static inline peer_stream *peer_find(peer *p, int32_t id)
{
    for (size_t i = 0; i < p->streams_count; i++) {
        if (p->streams[i].id == id)
            return &p->streams[i];
    }
    return NULL;
}

static inline peer *peer_open(server_world *w)
{
    peer *p = rd_alloc(sizeof *p);
    rd_buf_init(&p->in, (size_t)64 << 20);
    rd_buf_init(&p->out, (size_t)64 << 20);
    p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(p->fd, (struct sockaddr *)&w->address, w->address_size), 0);
    assert_true(w->peers_count < PEERS_MAX);
    w->peers[w->peers_count++] = p;
    return p;
}

/* The other end sees the end; the peer stays in the world's list. */
static inline void peer_leave(peer *p)
{
    nghttp2_session_del(p->h2);
    SSL_free(p->ssl);
    if (p->fd >= 0)
        (void)close(p->fd);
    p->h2 = NULL;
    p->ssl = NULL;
    p->fd = -1;
}

static inline void peer_say(peer *p, const char *text)
{
    assert_true(rd_buf_append_str(&p->out, text));
}

static inline void peer_say_bytes(peer *p, size_t size)
{
    uint8_t *into = rd_buf_reserve(&p->out, size);
    assert_non_null(into);
    memset(into, 'b', size);
    rd_buf_commit(&p->out, size);
}

/* A size; 0: nothing now; -1: it is over. */
static inline ssize_t peer_get(peer *p, uint8_t *into, size_t size)
{
    ssize_t got = p->ssl ? SSL_read(p->ssl, into, (int)size) : recv(p->fd, into, size, 0);
    if (got > 0)
        return got;
    bool waits = p->ssl ? SSL_get_error(p->ssl, (int)got) == SSL_ERROR_WANT_READ : got < 0 && errno == EAGAIN;
    return waits ? 0 : -1;
}

static inline bool peer_read(peer *p)
{
    static uint8_t piece[65536];
    bool has_moved = false;
    for (ssize_t got; !p->is_deaf && !p->is_gone && (got = peer_get(p, piece, sizeof piece)) != 0;) {
        has_moved = true;
        p->is_gone = got < 0;
        if (got < 0)
            break;
        p->in_size += (size_t)got;
        p->turn = world_turns;
        if (p->h2)
            p->is_gone = nghttp2_session_mem_recv(p->h2, piece, (size_t)got) < 0;
        else
            rd_buf_append(&p->in, piece, (size_t)got);
    }
    return has_moved;
}

static inline bool peer_write(peer *p)
{
    size_t before = p->out.size;
    while (p->out.size > 0 && !p->is_gone) {
        ssize_t put = p->ssl ? SSL_write(p->ssl, p->out.data, (int)RD_MIN(p->out.size, (size_t)16384))
                             : send(p->fd, p->out.data, p->out.size, MSG_NOSIGNAL);
        if (put <= 0)
            break;
        rd_buf_consume(&p->out, (size_t)put);
    }
    return p->out.size < before;
}

static inline bool peer_go(peer *p)
{
    if (p->fd < 0 || p->is_gone)
        return false;
    if (p->h2 && p->out.size == 0)
        assert_int_equal(nghttp2_session_send(p->h2), 0);
    bool has_moved = peer_write(p);
    return peer_read(p) || has_moved;
}

/* --- everybody --- */

static inline bool world_turn(server_world *w)
{
    world_turns++;
    struct epoll_event events[64];
    int count = epoll_wait(w->epoll_fd, events, 64, 0);
    bool has_moved = count > 0 || encl_server_timeout_ms(w->server) == 0;
    for (int i = 0; i < count; i++)
        encl_server_event(w->server, events[i].data.u32, events[i].events);
    encl_server_work(w->server, UINT64_MAX);
    for (size_t i = 0; i < w->peers_count; i++)
        has_moved |= peer_go(w->peers[i]);
    return has_moved;
}

/* Until nothing moves. */
static inline void world_settle(server_world *w)
{
    for (int i = 0, still = 0; still < 3; i++) {
        if (i == 20000)
            fail_msg("it does not come to rest");
        still = world_turn(w) ? 0 : still + 1;
    }
}

/* So much time goes by, and everybody goes on. */
static inline void world_wait(server_world *w, int64_t seconds)
{
    world_now_us += seconds * 1000000;
    world_settle(w);
}

static inline void world_free(server_world *w)
{
    for (size_t i = 0; i < w->peers_count; i++) {
        peer_leave(w->peers[i]);
        rd_buf_done(&w->peers[i]->in);
        rd_buf_done(&w->peers[i]->out);
        free(w->peers[i]);
    }
    encl_server_free(w->server);
    SSL_CTX_free(w->tls);
    encl_channels_free(w->channels);
    encl_receipts_free(w->receipts);
    encl_function_free(w->function);
    fake_enclave_close(&w->e);
    rd_release_done(&w->e.app.manifest);
    (void)close(w->listen_fd);
    (void)close(w->epoll_fd);
    free(w);
    world_leftover = NULL;
}

/* Everybody leaves, and nothing of theirs is left. */
static inline void world_close(server_world *w)
{
    for (size_t i = 0; i < w->peers_count; i++)
        peer_leave(w->peers[i]);
    world_settle(w);
    world_wait(w, 3); /* for ends to be heard */
    assert_int_equal(w->server->open_count, 0);
    assert_int_equal(w->server->shares.held, 0);
    assert_int_equal(w->server->shares.unread, 0);
    assert_null(w->server->shares.first);
    assert_true(encl_server_is_idle(w->server));
    world_free(w);
}

static inline void peer_start_tls(server_world *w, peer *p, const char *alpn)
{
    p->ssl = SSL_new(w->tls);
    SSL_set_mode(p->ssl, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_ENABLE_PARTIAL_WRITE);
    assert_int_equal(SSL_set_tlsext_host_name(p->ssl, w->name), 1);
    assert_int_equal(SSL_set_alpn_protos(p->ssl, (const uint8_t *)alpn, (unsigned)strlen(alpn)), 0);
    assert_int_equal(SSL_set_fd(p->ssl, p->fd), 1);
    SSL_set_connect_state(p->ssl);
    for (int i = 0; SSL_do_handshake(p->ssl) != 1; i++) {
        assert_true(i < 100);
        (void)world_turn(w);
    }
}

static inline peer *peer_open_tls(server_world *w)
{
    peer *p = peer_open(w);
    peer_start_tls(w, p, "\x08http/1.1");
    return p;
}

/* --- WebSocket --- */

static inline void peer_upgrade(peer *p)
{
    peer_say(p, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
}

/* A text of one frame that says so many bytes, and sends so many of them. The mask is zero. */
static inline void peer_message(peer *p, const char *start, size_t size, size_t sent)
{
    uint8_t head[14] = { 0x81, 0x80 | 127 };
    for (size_t i = 0; i < 8; i++)
        head[2 + i] = (uint8_t)((uint64_t)size >> (56 - 8 * i));
    bool is_short = size<126, is_long = size> UINT16_MAX;
    if (is_short)
        head[1] = (uint8_t)(0x80 | size);
    else if (!is_long)
        memcpy(head + 1, (uint8_t[3]){ 0x80 | 126, (uint8_t)(size >> 8), (uint8_t)size }, 3);
    rd_buf_append(&p->out, head, is_short ? 2 : is_long ? 10 : 4);
    rd_buf_append(&p->out, (uint8_t[4]){ 0 }, 4);
    peer_say(p, start);
    peer_say_bytes(p, sent - strlen(start));
}

/* --- HTTP/2 --- */

static inline ssize_t h2_send(nghttp2_session *session, const uint8_t *data, size_t size, int flags, void *user)
{
    (void)session, (void)flags;
    rd_buf_append(&((peer *)user)->out, data, size);
    return (ssize_t)size;
}

static inline int h2_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
                            const uint8_t *value, size_t value_size, uint8_t flags, void *user)
{
    (void)session, (void)flags, (void)value_size;
    peer_stream *stream = peer_find(user, frame->hd.stream_id);
    if (stream != NULL && name_size == 7 && memcmp(name, ":status", 7) == 0)
        stream->status = (unsigned)atoi((const char *)value);
    return 0;
}

static inline int h2_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t size,
                          void *user)
{
    (void)session, (void)flags;
    peer_stream *stream = peer_find(user, id);
    size_t room = stream->received < sizeof stream->start - 1 ? sizeof stream->start - 1 - stream->received : 0;
    memcpy(stream->start + RD_MIN(stream->received, sizeof stream->start - 1), data, RD_MIN(room, size));
    stream->received += size;
    return 0;
}

static inline int h2_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    (void)session;
    peer_stream *stream = peer_find(user, id);
    stream->is_closed = true;
    stream->code = code;
    return 0;
}

static inline ssize_t h2_body(nghttp2_session *session, int32_t id, uint8_t *into, size_t size, uint32_t *flags,
                              nghttp2_data_source *source, void *user)
{
    (void)session, (void)source;
    peer_stream *stream = peer_find(user, id);
    size_t step = RD_MIN(size, stream->may_send - stream->sent);
    memset(into, 'b', step);
    stream->sent += step;
    if (stream->sent == stream->size)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return step > 0 || stream->sent == stream->size ? (ssize_t)step : NGHTTP2_ERR_DEFERRED;
}

static inline peer *peer_open_h2(server_world *w)
{
    peer *p = peer_open(w);
    nghttp2_session_callbacks *callbacks;
    peer_start_tls(w, p, "\x02h2");
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_send_callback(callbacks, h2_send);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, h2_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, h2_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, h2_close);
    assert_int_equal(nghttp2_session_client_new(&p->h2, callbacks, p), 0);
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry window = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 30 };
    assert_int_equal(nghttp2_submit_settings(p->h2, 0, &window, 1), 0);
    assert_int_equal(nghttp2_session_set_local_window_size(p->h2, 0, 0, 1 << 30), 0);
    world_settle(w);
    return p;
}

/* A request with a body of size bytes (0: none), the first may_send of them at once. */
static inline peer_stream *peer_ask(peer *p, const char *path, size_t size, size_t may_send, bool says_length)
{
    char length[24];
    (void)snprintf(length, sizeof length, "%zu", size);
#define WORLD_FIELD(n, v)                                                                                              \
    {                                                                                                                  \
        (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v), 0                                  \
    }
    const nghttp2_nv fields[] = { WORLD_FIELD(":path", path), WORLD_FIELD(":method", size ? "POST" : "GET"),
                                  WORLD_FIELD(":authority", "app.example"), WORLD_FIELD(":scheme", "https"),
                                  WORLD_FIELD("content-length", length) };
#undef WORLD_FIELD
    const nghttp2_data_provider body = { .read_callback = h2_body };
    size_t count = RD_ARRAY_LEN(fields) - (size && says_length ? 0 : 1);
    assert_true(p->streams_count < STREAMS_MAX);
    peer_stream *stream = &p->streams[p->streams_count++];
    *stream = (peer_stream){ .size = size, .may_send = may_send };
    stream->id = nghttp2_submit_request(p->h2, NULL, fields, count, size ? &body : NULL, NULL);
    assert_true(stream->id > 0);
    return stream;
}

static inline void peer_send_more(peer *p, peer_stream *stream, size_t may_send)
{
    stream->may_send = may_send;
    (void)nghttp2_session_resume_data(p->h2, stream->id);
}

#endif
