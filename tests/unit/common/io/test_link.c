/* Requests, lines, and who may connect; pipes are in test_link_pipes.c. */
#include "tests/support/link_world.h"

#include <signal.h>

/* ---- requests ---- */

static void test_requests(void **state)
{
    (void)state;
    world w;
    world_up(&w);
    rd_err err = RD_ERR_INIT;
    assert_string_equal(LINK_PKI_HOST, rd_link_peer(w.plane_link)->common_name);
    assert_string_equal("redoubt:host:" LINK_PKI_HOST, rd_link_peer(w.plane_link)->uri);

    static const struct {
        const char *name, *method, *path, *body;
        int status;
        const char *answer;
    } rows[] = {
        { "put with body", "PUT", "/jobs/1", "{\"a\":1}", 200, "{\"a\":1}" },
        { "post without body", "POST", "/echo", "", 200, "" },
        { "get", "GET", "/x?y=1", "", 200, "" },
        { "204", "PUT", "/empty", "{}", 204, "" },
        { "problem", "PUT", "/fail", "{}", 409, NULL },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        answer a = { 0 };
        const rd_link_request request = { .method = rows[i].method,
                                          .path = rows[i].path,
                                          .body = rd_bytes_str(rows[i].body) };
        if (rd_link_send(w.plane_link, &request, on_answer, &a, &err) < 0)
            fail_msg("%s: %s", rows[i].name, err.text);
        assert_int_equal(0, a.count);
        WAIT(&w, a.count == 1);
        if (a.status != rows[i].status)
            fail_msg("%s: %d", rows[i].name, a.status);
        if (rows[i].answer)
            assert_string_equal(rows[i].answer, rd_buf_text(&a.body));
        else
            assert_non_null(strstr(rd_buf_text(&a.body), "job_gap"));
        rd_buf_done(&a.body);
    }
    assert_int_equal(0, rd_link_stream_count(w.plane_link));
    assert_int_equal(0, rd_link_stream_count(w.agent_link));
    world_done(&w);
}

static void test_body_bounds(void **state)
{
    (void)state;
    world w;
    world_up(&w);
    rd_err err = RD_ERR_INIT;
    size_t size = RD_LINK_BODY_MAX + 1;
    uint8_t *big = rd_alloc(size);
    memset(big, 'x', size);
    answer a = { 0 };
    rd_link_request request = { .method = "PUT", .path = "/jobs/1", .body = rd_bytes_of(big, size) };
    assert_int_equal(0, rd_link_send(w.plane_link, &request, on_answer, &a, &err));
    WAIT(&w, a.count == 1);
    assert_int_equal(413, a.status);

    request.path = "/blobs/abcd"; /* blobs may be larger, but then the answer is bounded */
    assert_int_equal(0, rd_link_send(w.plane_link, &request, on_answer, &a, &err));
    WAIT(&w, a.count == 2);
    assert_int_equal(RD_E_TOO_LARGE, a.code);

    request.response_max = size;
    assert_int_equal(0, rd_link_send(w.plane_link, &request, on_answer, &a, &err));
    WAIT(&w, a.count == 3);
    assert_int_equal(200, a.status);
    assert_true(rd_bytes_equal(request.body, rd_buf_bytes(&a.body)));
    rd_buf_done(&a.body);
    free(big);
    world_done(&w);
}

static void test_timeout_and_loss(void **state)
{
    (void)state;
    world w;
    world_up(&w);
    rd_err err = RD_ERR_INIT;
    answer a = { 0 }, b = { 0 };
    rd_link_request request = { .method = "POST", .path = "/park", .timeout_us = 50000 };
    assert_int_equal(0, rd_link_send(w.plane_link, &request, on_answer, &a, &err));
    WAIT(&w, a.count == 1);
    assert_int_equal(RD_E_TIMEOUT, a.code);
    WAIT(&w, w.abandoned == 1); /* the agent's handler learns of it */

    request.timeout_us = 0;
    assert_int_equal(0, rd_link_send(w.plane_link, &request, on_answer, &b, &err));
    WAIT(&w, w.parked);
    rd_link_close(w.plane_link, "test");
    assert_int_equal(-1, rd_link_send(w.plane_link, &request, on_answer, &a, &err));
    WAIT(&w, b.count == 1 && w.downs == 1);
    assert_int_equal(RD_E_LINK_CLOSED, b.code);
    assert_string_equal("test", w.reason);
    WAIT(&w, w.ups == 2); /* the agent comes back by itself */
    world_done(&w);
}

/* ---- lines ---- */

typedef struct reader {
    uint64_t count;
    uint64_t pause_every;
    rd_link_stream *stream;
    int closed;
    rd_code code;
    bool is_paused;
} reader;

static bool on_line(rd_link_stream *stream, void *context, rd_bytes line)
{
    (void)stream;
    reader *r = context;
    assert_true(line.size > 7 && memcmp(line.data, "{\"seq\":", 7) == 0);
    assert_int_equal(r->count, strtoull((const char *)line.data + 7, NULL, 10));
    assert_false(r->is_paused);
    r->count++;
    r->is_paused = r->pause_every && r->count % r->pause_every == 0;
    return !r->is_paused;
}

static void on_lines_closed(void *context, const rd_err *error)
{
    reader *r = context;
    r->closed++;
    r->code = error ? error->code : RD_OK;
}

static const rd_link_line_events line_events = { .on_line = on_line, .on_closed = on_lines_closed };

static void test_lines(void **state)
{
    (void)state;
    world w;
    world_up(&w);
    rd_err err = RD_ERR_INIT;
    w.line_count = 20000;
    reader r = { .pause_every = 997 };
    assert_int_equal(0, rd_link_lines(w.plane_link, "/events?after=0", &line_events, &r, &r.stream, &err));
    while (r.count < w.line_count) {
        WAIT(&w, r.is_paused || r.closed);
        if (r.closed)
            break;
        for (int i = 0; i < 3; i++)
            rd_loop_turn(w.loop, true);
        assert_true(rd_link_statistics(w.plane_link).held <= RD_LINK_STREAM_WINDOW);
        r.is_paused = false;
        rd_link_stream_resume(r.stream);
    }
    WAIT(&w, r.closed == 1);
    assert_int_equal(w.line_count, r.count);
    assert_int_equal(RD_OK, r.code);

    reader missing = { 0 }; /* /fail answers 409 */
    assert_int_equal(0, rd_link_lines(w.plane_link, "/fail", &line_events, &missing, &missing.stream, &err));
    WAIT(&w, missing.closed == 1);
    assert_int_equal(RD_E_LINK_REFUSED, missing.code);
    world_done(&w);
}

/* ---- who may connect ---- */

static void test_peers(void **state)
{
    (void)state;
    enum { GOOD, WRONG_CA_AGENT, WRONG_CA_PLANE, AGENT_AS_PLANE, PLANE_AS_AGENT, EXPIRED_AGENT };
    static const struct {
        const char *name;
        int how;
        bool is_up;
    } rows[] = {
        { "good", GOOD, true },
        { "the agent's certificate is of another CA", WRONG_CA_AGENT, false },
        { "the plane's certificate is of another CA", WRONG_CA_PLANE, false },
        { "an agent's certificate listens as a plane", AGENT_AS_PLANE, false },
        { "a plane's certificate dials as an agent", PLANE_AS_AGENT, false },
        { "the agent's certificate has ended", EXPIRED_AGENT, false },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        world w;
        world_init(&w);
        int how = rows[i].how;
        w.server = link_pki_context(how == WRONG_CA_PLANE ? &w.other : &w.pki, &w.pki, RD_TLS_LINK_SERVER,
                                    how == AGENT_AS_PLANE ? RD_CERT_KIND_CLIENT : RD_CERT_KIND_SERVER, HOUR_US);
        w.client = link_pki_context(how == WRONG_CA_AGENT ? &w.other : &w.pki, &w.pki, RD_TLS_LINK_CLIENT,
                                    how == PLANE_AS_AGENT ? RD_CERT_KIND_SERVER : RD_CERT_KIND_CLIENT,
                                    how == EXPIRED_AGENT ? -60 * INT64_C(1000000) : HOUR_US);
        start_plane(&w);
        start_agent(&w);
        WAIT(&w, w.agent_link || w.dial_failures);
        if (rows[i].is_up != (w.agent_link != NULL && w.plane_link != NULL))
            fail_msg("%s: %s", rows[i].name, w.dial_error);
        if (!rows[i].is_up && (w.ups > 0 || w.agent_link))
            fail_msg("%s: somebody believed it", rows[i].name);
        world_done(&w);
    }
}

static void test_link_ends_with_certificate(void **state)
{
    (void)state;
    world w;
    world_init(&w);
    w.server = link_pki_context(&w.pki, &w.pki, RD_TLS_LINK_SERVER, RD_CERT_KIND_SERVER, HOUR_US);
    w.client = link_pki_context(&w.pki, &w.pki, RD_TLS_LINK_CLIENT, RD_CERT_KIND_CLIENT, 2500000);
    start_plane(&w);
    start_agent(&w);
    WAIT(&w, w.plane_link);
    WAIT(&w, w.downs == 1);
    assert_non_null(strstr(w.reason, "certificate"));
    world_done(&w);
}

/* A plane that takes the link only to end it: each try waits longer. */
static void test_no_circle_of_dials(void **state)
{
    (void)state;
    world w;
    world_up(&w);
    uint64_t start = uv_hrtime(), limit = start + UINT64_C(60000000000);
    while (w.ups < 3 && uv_hrtime() < limit) {
        if (w.plane_link)
            rd_link_close(w.plane_link, "quarantined");
        rd_loop_turn(w.loop, true);
    }
    assert_int_equal(w.ups, 3);
    assert_true(uv_hrtime() - start > UINT64_C(1400000000)); /* after 0.5 to 1, and 1 to 2 seconds */
    world_done(&w);
}

static void turn_for(world *w, int64_t ms)
{
    for (uint64_t end_ms = rd_loop_now_ms(w->loop) + (uint64_t)ms; rd_loop_now_ms(w->loop) < end_ms;)
        rd_loop_turn(w->loop, true);
}

static void ask(world *w, answer *ret)
{
    rd_err err = RD_ERR_INIT;
    const rd_link_request request = { .method = "PUT", .path = "/empty" };
    assert_int_equal(0, rd_link_send(w->plane_link, &request, on_answer, ret, &err));
}

/* A plane that ends a link over which it has worked is starting again: its hosts are back soon, and while it is not
 * there they go on asking, at waits that do not grow. */
static void test_a_plane_that_starts_again(void **state)
{
    (void)state;
    world w;
    answer a = { 0 }, b = { 0 };
    world_up(&w);
    ask(&w, &a);
    ask(&w, &b);
    WAIT(&w, a.count == 1 && b.count == 1);
    rd_buf_done(&a.body);
    rd_buf_done(&b.body);
    turn_for(&w, 2100);
    rd_link_close(w.plane_link, "stopping");
    WAIT(&w, w.ups == 2);
    w.plane = rd_link_plane_free(w.plane);
    w.dial_failures = 0;
    uint64_t start = uv_hrtime();
    WAIT(&w, w.dial_failures >= 5); /* 0.5 to 1 s apart: the second link was too short to count */
    assert_in_range((uv_hrtime() - start) / 1000000, 1900, 15000); /* waits that grow are 15 s at least */
    world_done(&w);
}

/* ---- strangers on the port ---- */

/* A blocking client on a thread of the pool, so that the loop under test goes on. */
typedef struct stranger {
    uint16_t port;
    int max_version; /* of TLS; 0: sends junk instead */
    const char *alpn;
    bool has_handshaken;
    bool is_done;
} stranger;

static int dial_port(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in to = { .sin_family = AF_INET,
                                    .sin_port = htons(port),
                                    .sin_addr = { .s_addr = htonl(INADDR_LOOPBACK) } };
    const struct timeval limit = { .tv_sec = 3 };
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return connect(fd, (const struct sockaddr *)&to, sizeof to) == 0 ? fd : -1;
}

static void stranger_work(void *context)
{
    stranger *s = context;
    int fd = dial_port(s->port);
    if (s->max_version == 0) {
        static const char junk[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        char heard[512];
        (void)!write(fd, junk, sizeof junk - 1);
        while (read(fd, heard, sizeof heard) > 0) {
        }
    } else {
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_max_proto_version(ctx, s->max_version);
        SSL *ssl = SSL_new(ctx);
        SSL_set_fd(ssl, fd);
        char byte;
        s->has_handshaken = SSL_connect(ssl) == 1 && SSL_read(ssl, &byte, 1) > 0;
        SSL_free(ssl);
        SSL_CTX_free(ctx);
    }
    close(fd);
}

static void stranger_done(void *context, bool is_cancelled)
{
    (void)is_cancelled;
    stranger *s = context;
    s->is_done = true;
}

static void test_strangers(void **state)
{
    (void)state;
    world w;
    world_up(&w);
    stranger rows[] = {
        { .max_version = 0 },
        { .max_version = TLS1_2_VERSION },
        { .max_version = TLS1_3_VERSION }, /* no certificate, no ALPN */
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        rows[i].port = rd_link_plane_port(w.plane);
        rd_loop_work(w.loop, stranger_work, stranger_done, &rows[i]);
    }
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        WAIT(&w, rows[i].is_done);
        assert_false(rows[i].has_handshaken);
    }
    assert_int_equal(1, w.ups);
    assert_true(rd_link_is_up(w.plane_link));
    world_done(&w);
}

/* A peer that took the handshake and then says nothing: a plane whose process is stopped. */
typedef struct mute {
    uint16_t port;
    rd_tls_context *tls;
    atomic_bool must_end;
    bool is_done, is_ready;
} mute;

static void mute_work(void *context)
{
    mute *m = context;
    rd_err err = RD_ERR_INIT;
    rd_tls *tls = NULL;
    int fd = dial_port(m->port);
    if (rd_tls_new(m->tls, &tls, &err) < 0)
        return;
    uint8_t wire[16384];
    while (!m->must_end) {
        int rc = rd_tls_handshake(tls, &err);
        rd_buf *out = rd_tls_output(tls);
        (void)!write(fd, out->data, out->size);
        rd_buf_clear(out);
        if (rc != 0) {
            m->is_ready = rc == 1;
            break;
        }
        ssize_t n = read(fd, wire, sizeof wire);
        if (n <= 0)
            break;
        rd_tls_feed(tls, rd_bytes_of(wire, (size_t)n));
    }
    while (!m->must_end && read(fd, wire, sizeof wire) > 0) { /* hears, never answers */
    }
    rd_tls_free(tls);
    close(fd);
}

static void mute_done(void *context, bool is_cancelled)
{
    (void)is_cancelled;
    mute *m = context;
    m->is_done = true;
}

static void test_silent_peer(void **state)
{
    (void)state;
    world w;
    world_init(&w);
    standard_contexts(&w);
    start_plane(&w);
    mute m = { .port = rd_link_plane_port(w.plane), .tls = w.client };
    rd_loop_work(w.loop, mute_work, mute_done, &m);
    WAIT(&w, w.plane_link);
    uint64_t start = uv_hrtime();
    WAIT(&w, w.downs == 1);
    uint64_t lasted_ms = (uv_hrtime() - start) / 1000000;
    assert_true(lasted_ms > 4500);
    assert_non_null(strstr(w.reason, "silent"));
    m.must_end = true;
    WAIT(&w, m.is_done);
    world_done(&w);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as the programs do: a peer that is gone is an error of its write */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_body_bounds),
        cmocka_unit_test(test_timeout_and_loss),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_peers),
        cmocka_unit_test(test_no_circle_of_dials),
        cmocka_unit_test(test_a_plane_that_starts_again),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_link_ends_with_certificate),
        cmocka_unit_test(test_silent_peer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
