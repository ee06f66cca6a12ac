// link: enclave_core encl_engine PkgConfig::nghttp2
/* Callers who ask an instance for evidence share its quotes (R48): the whole server, its clients, one thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/base/text.h"
#include "common/model/evidence.h"
#include "tests/support/server_world.h"

static const char source[] = "export default { fetch: () => new Response('called') };\n";

static server_world *open_world(void)
{
    fake_quote_fails = false;
    return world_new(&(server_world_spec){ .source = source, .request_bytes = 1 << 16, .response_bytes = 1 << 16 });
}

static void nonce_of(size_t number, uint8_t ret[RD_NONCE_SIZE])
{
    memset(ret, 0x5a, RD_NONCE_SIZE);
    ret[0] = (uint8_t)number;
    ret[1] = (uint8_t)(number >> 8);
}

static void say_question(peer *p, size_t number)
{
    uint8_t nonce[RD_NONCE_SIZE];
    char text[44], request[160];
    nonce_of(number, nonce);
    rd_base64url_encode(RD_BYTES_ARRAY(nonce), text);
    (void)snprintf(request, sizeof request, "GET /.well-known/redoubt/evidence?nonce=%s HTTP/1.1\r\nHost: a\r\n\r\n",
                   text);
    peer_say(p, request);
}

/* On a connection of its own. */
static peer *ask(server_world *w, size_t number)
{
    peer *p = peer_open(w);
    say_question(p, number);
    return p;
}

static bool has_status(const peer *p, const char *status)
{
    return p->in.size > 12 && memcmp(p->in.data + 9, status, 3) == 0;
}

/* The evidence that came; its statement's nonce goes to ret_root. */
static bool is_answered(const peer *p, size_t number, uint8_t ret_root[RD_NONCE_SIZE])
{
    rd_evidence evidence;
    rd_err err = RD_ERR_INIT;
    uint8_t nonce[RD_NONCE_SIZE];
    const uint8_t *body = memmem(p->in.data, p->in.size, "\r\n\r\n", 4);
    assert_true(has_status(p, "200") && body != NULL);
    body += 4;
    if (rd_evidence_parse(rd_bytes_of(body, p->in.size - (size_t)(body - p->in.data)), &evidence, &err) < 0)
        fail_msg("%s", err.text);
    nonce_of(number, nonce);
    bool is_good = rd_evidence_answers(&evidence, nonce);
    memcpy(ret_root, evidence.statement.nonce, RD_NONCE_SIZE);
    assert_int_equal(evidence.statement.purpose, RD_PURPOSE_CLIENT);
    rd_evidence_done(&evidence);
    return is_good;
}

static void who_comes_first_is_quoted_at_once(void **state RD_UNUSED)
{
    server_world *w = open_world();
    unsigned before = fake_quotes;
    uint8_t root[RD_NONCE_SIZE];
    peer *first = ask(w, 0);
    world_settle(w);
    assert_true(is_answered(first, 0, root));
    assert_false(is_answered(first, 1, root));
    world_now_us += ENCL_WINDOW_US;
    peer *second = ask(w, 1);
    world_settle(w);
    assert_true(is_answered(second, 1, root));
    assert_int_equal(fake_quotes - before, 2);
    world_close(w);
}

static void who_comes_meanwhile_shares_the_next(void **state RD_UNUSED)
{
    server_world *w = open_world();
    unsigned before = fake_quotes;
    peer *askers[ENCL_WINDOW_MAX];
    uint8_t root[RD_NONCE_SIZE], other[RD_NONCE_SIZE];
    (void)ask(w, 0);
    world_settle(w);
    assert_int_equal(fake_quotes - before, 1);
    for (size_t i = 0; i < ENCL_WINDOW_MAX; i++)
        askers[i] = ask(w, i);
    world_settle(w);
    assert_int_equal(fake_quotes - before, 1);
    assert_int_equal(askers[0]->in.size, 0);
    assert_false(encl_server_is_idle(w->server));
    assert_in_range(encl_server_timeout_ms(w->server), 1, ENCL_WINDOW_US / 1000 + 1);
    /* One more has no room, and functions are called as ever. */
    peer *late = ask(w, 999), *caller = peer_open(w);
    peer_say(caller, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    world_settle(w);
    assert_true(has_status(late, "429"));
    assert_non_null(strstr(rd_buf_text(&late->in), "Redoubt-Error: rate_limited\r\n"));
    assert_non_null(strstr(rd_buf_text(&late->in), "Retry-After: 1\r\n"));
    assert_non_null(strstr(rd_buf_text(&caller->in), "called"));
    world_now_us += ENCL_WINDOW_US;
    world_settle(w);
    assert_int_equal(fake_quotes - before, 2);
    assert_true(is_answered(askers[0], 0, root));
    for (size_t i = 1; i < ENCL_WINDOW_MAX; i++) {
        assert_true(is_answered(askers[i], i, other));
        assert_memory_equal(root, other, sizeof root);
        assert_false(is_answered(askers[i], i - 1, other));
    }
    world_close(w);
}

static void send_away(server_world *w)
{
    for (size_t i = 0; i < w->peers_count; i++) {
        peer_leave(w->peers[i]);
        rd_buf_done(&w->peers[i]->in);
        rd_buf_done(&w->peers[i]->out);
        free(w->peers[i]);
    }
    w->peers_count = 0;
    world_settle(w);
}

/* As many as there are connections for come into each window. */
static void a_thousand_cost_a_quote_a_window(void **state RD_UNUSED)
{
    server_world *w = open_world();
    unsigned before = fake_quotes;
    uint8_t root[RD_NONCE_SIZE];
    (void)ask(w, 0);
    world_settle(w);
    for (size_t done = 0; done < 1000; done += 250) {
        peer *askers[250];
        send_away(w);
        for (size_t i = 0; i < RD_ARRAY_LEN(askers); i++)
            askers[i] = ask(w, done + i);
        world_settle(w);
        assert_int_equal(askers[0]->in.size, 0);
        world_now_us += ENCL_WINDOW_US;
        world_settle(w);
        for (size_t i = 0; i < RD_ARRAY_LEN(askers); i++)
            assert_true(is_answered(askers[i], done + i, root));
    }
    assert_int_equal(fake_quotes - before, 1 + 4);
    world_close(w);
}

static void all_hear_why_there_is_none(void **state RD_UNUSED)
{
    server_world *w = open_world();
    uint8_t root[RD_NONCE_SIZE];
    fake_quote_fails = true;
    unsigned before = fake_quotes;
    peer *askers[3];
    for (size_t i = 0; i < RD_ARRAY_LEN(askers); i++)
        askers[i] = ask(w, i);
    world_settle(w);
    for (size_t i = 0; i < RD_ARRAY_LEN(askers); i++) {
        assert_true(has_status(askers[i], "503"));
        assert_non_null(strstr(rd_buf_text(&askers[i]->in), "Redoubt-Error: tee_unavailable"));
    }
    /* What fails is not asked for in a row either. */
    fake_quote_fails = false;
    peer *next = ask(w, 7);
    world_settle(w);
    assert_int_equal(fake_quotes - before, 1);
    world_now_us += ENCL_WINDOW_US;
    world_settle(w);
    assert_true(is_answered(next, 7, root));
    world_close(w);
}

static void who_leaves_is_forgotten(void **state RD_UNUSED)
{
    server_world *w = open_world();
    uint8_t root[RD_NONCE_SIZE];
    (void)ask(w, 0);
    world_settle(w);
    peer *gone = ask(w, 1), *stays = ask(w, 2);
    world_settle(w);
    peer_leave(gone);
    world_settle(w);
    world_now_us += ENCL_WINDOW_US;
    world_settle(w);
    assert_true(is_answered(stays, 2, root));
    world_close(w);
}

#define LONG_US 40000

static void quote_takes_long(void)
{
    world_now_us += LONG_US;
}

/* On a connection of TLS evidence names the connection: as many quotes as questions, and pauses between them. */
static void quotes_of_connections_leave_half_of_the_time(void **state RD_UNUSED)
{
    server_world *w = open_world();
    peer *asker[3], *caller = peer_open(w);
    for (size_t i = 0; i < RD_ARRAY_LEN(asker); i++)
        asker[i] = peer_open_tls(w);
    unsigned before = fake_quotes;
    fake_on_quote = quote_takes_long;
    for (size_t i = 0; i < RD_ARRAY_LEN(asker); i++)
        say_question(asker[i], i);
    for (size_t i = 0; i < RD_ARRAY_LEN(asker); i++) {
        world_settle(w);
        assert_int_equal(fake_quotes - before, i + 1);
        rd_buf_clear(&caller->in);
        peer_say(caller, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        world_settle(w);
        assert_non_null(strstr(rd_buf_text(&caller->in), "called"));
        assert_int_equal(fake_quotes - before, i + 1);
        world_now_us += LONG_US;
    }
    fake_on_quote = NULL;
    for (size_t i = 0; i < RD_ARRAY_LEN(asker); i++)
        assert_true(has_status(asker[i], "200"));
    world_close(w);
}

static void a_stream_that_waits_may_go(void **state RD_UNUSED)
{
    server_world *w = open_world();
    uint8_t nonce[RD_NONCE_SIZE];
    char text[44], path[128];
    peer *h2 = peer_open_h2(w), *leaves = peer_open_h2(w);
    nonce_of(1, nonce);
    rd_base64url_encode(RD_BYTES_ARRAY(nonce), text);
    (void)snprintf(path, sizeof path, "/.well-known/redoubt/evidence?nonce=%s", text);
    fake_on_quote = quote_takes_long;
    peer_stream *first = peer_ask(h2, path, 0, 0, false);
    world_settle(w);
    assert_int_equal(first->status, 200);
    peer_stream *reset = peer_ask(h2, path, 0, 0, false), *stays = peer_ask(h2, path, 0, 0, false);
    (void)peer_ask(leaves, path, 0, 0, false);
    world_settle(w);
    assert_int_equal(stays->status, 0);
    (void)nghttp2_submit_rst_stream(h2->h2, 0, reset->id, NGHTTP2_CANCEL);
    peer_leave(leaves);
    for (int i = 0; i < 4; i++) {
        world_settle(w);
        world_now_us += LONG_US;
    }
    fake_on_quote = NULL;
    assert_int_equal(stays->status, 200);
    assert_int_equal(reset->status, 0);
    world_close(w);
}

/* A server that ends with somebody waiting. */
static void nobody_is_left_behind(void **state RD_UNUSED)
{
    server_world *w = open_world();
    (void)ask(w, 0);
    world_settle(w);
    (void)ask(w, 1);
    world_settle(w);
    peer *tls = peer_open_tls(w);
    fake_on_quote = quote_takes_long;
    say_question(tls, 2);
    say_question(tls, 3);
    world_settle(w);
    fake_on_quote = NULL;
    assert_int_equal(w->server->askers.window.count, 1);
    assert_non_null(w->server->askers.first);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_comes_first_is_quoted_at_once),
        cmocka_unit_test(who_comes_meanwhile_shares_the_next),
        cmocka_unit_test(a_thousand_cost_a_quote_a_window),
        cmocka_unit_test(all_hear_why_there_is_none),
        cmocka_unit_test(who_leaves_is_forgotten),
        cmocka_unit_test(quotes_of_connections_leave_half_of_the_time),
        cmocka_unit_test(a_stream_that_waits_may_go),
        cmocka_unit_test(nobody_is_left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
