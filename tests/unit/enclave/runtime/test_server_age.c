// link: enclave_core encl_engine PkgConfig::nghttp2
/* I13 : connections whose TLS ends inside end with what their peer verified (R39): an hour after they were opened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/support/server_world.h"

#define HOUR_US (INT64_C(3600) * 1000000)

static const char source[] =
    "export default { fetch: () => new Response('hello'), websocket: { message(socket, data) { "
    "socket.send('got ' + data); } } };\n";

static server_world *open_world(void)
{
    return world_new(&(server_world_spec){ .source = source, .request_bytes = 1 << 20, .response_bytes = 1 << 20 });
}

static void ask(server_world *w, peer *p)
{
    rd_buf_clear(&p->in);
    peer_say(p, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    world_settle(w);
}

static bool has_text(const peer *p, const char *text)
{
    return memmem(p->in.data, p->in.size, text, strlen(text)) != NULL;
}

static void an_old_connection_answers_once_more(void **state RD_UNUSED)
{
    server_world *w = open_world();
    peer *tls = peer_open_tls(w), *plain = peer_open(w);
    ask(w, tls);
    w->boot_us += HOUR_US;
    ask(w, tls);
    assert_true(has_text(tls, "hello"));
    assert_false(has_text(tls, "Connection: close"));
    w->boot_us += 1;
    ask(w, tls);
    assert_true(has_text(tls, "hello"));
    assert_true(has_text(tls, "Connection: close"));
    assert_true(tls->is_gone);
    ask(w, plain); /* the relay's own: nobody verified anything on it */
    assert_true(has_text(plain, "hello"));
    assert_false(has_text(plain, "Connection: close"));
    world_close(w);
}

static void an_old_session_takes_no_more_streams(void **state RD_UNUSED)
{
    server_world *w = open_world();
    peer *h2 = peer_open_h2(w);
    peer_stream *first = peer_ask(h2, "/", 0, 0, false);
    world_settle(w);
    assert_string_equal(first->start, "hello");
    w->boot_us += HOUR_US + 1;
    peer_stream *last = peer_ask(h2, "/", 0, 0, false);
    world_settle(w);
    assert_string_equal(last->start, "hello");
    assert_int_equal(nghttp2_session_check_request_allowed(h2->h2), 0);
    world_close(w);
}

static peer *open_socket(server_world *w)
{
    peer *socket = peer_open_tls(w);
    peer_upgrade(socket);
    world_settle(w);
    assert_true(has_text(socket, "101 Switching"));
    rd_buf_clear(&socket->in);
    return socket;
}

static void an_old_socket_ends(void **state RD_UNUSED)
{
    server_world *w = open_world();
    peer *silent = open_socket(w), *busy = open_socket(w);
    w->boot_us += HOUR_US;
    peer_message(busy, "one", 3, 3);
    world_settle(w);
    assert_true(has_text(busy, "got one"));
    w->boot_us += 1;
    rd_buf_clear(&busy->in);
    peer_message(busy, "two", 3, 3);
    world_settle(w);
    assert_int_equal(busy->in.size, 4);
    assert_memory_equal(busy->in.data, "\x88\x02\x03\xe9", 4); /* 1001 */
    assert_int_equal(silent->in.size, 0);
    world_wait(w, 31);
    assert_true(silent->in.size >= 4);
    assert_memory_equal(silent->in.data + silent->in.size - 4, "\x88\x02\x03\xe9", 4);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_old_connection_answers_once_more),
        cmocka_unit_test(an_old_session_takes_no_more_streams),
        cmocka_unit_test(an_old_socket_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
