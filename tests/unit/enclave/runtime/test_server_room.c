// link: enclave_core encl_engine PkgConfig::nghttp2
/* Who gets room for a body when there is not enough for all: the whole server, its clients, one thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/support/server_world.h"

#define MIB ((size_t)1 << 20)

/* Answers with the size of what came, or with so many bytes as the query asks for. */
static const char source[] = "export default { async fetch(request) {\n"
                             "  const n = Number(new URL(request.url).searchParams.get('n'));\n"
                             "  if (n > 0) return new Response('y'.repeat(n));\n"
                             "  return new Response('got ' + (await request.arrayBuffer()).byteLength);\n"
                             "} };\n";

static server_world *open_world(void)
{
    return world_new(&(server_world_spec){ .source = source, .request_bytes = 4 << 20, .response_bytes = 4 << 20 });
}

static bool is_answered(peer *p, const char *content)
{
    return strstr(rd_buf_text(&p->in), "HTTP/1.1 200") != NULL && strstr(rd_buf_text(&p->in), content) != NULL;
}

/* A plain connection that says that it will send so much, and sends so much of it. */
static peer *post(server_world *w, size_t size, size_t sent)
{
    char head[128];
    peer *p = peer_open(w);
    (void)snprintf(head, sizeof head, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", size);
    peer_say(p, head);
    peer_say_bytes(p, sent);
    world_settle(w);
    return p;
}

static void all_ways_are_answered(void **state RD_UNUSED)
{
    server_world *w = open_world();
    peer *plain = post(w, 1000, 1000), *tls = peer_open_tls(w), *h2 = peer_open_h2(w);
    peer_say(tls, "GET /?n=100000 HTTP/1.1\r\nHost: a\r\n\r\n");
    peer_stream *small = peer_ask(h2, "/", 0, 0, false), *large = peer_ask(h2, "/", 4 * MIB, 4 * MIB, true),
                *unsaid = peer_ask(h2, "/", 4 * MIB, 4 * MIB, false);
    world_settle(w);
    assert_true(is_answered(plain, "got 1000"));
    assert_true(is_answered(tls, "yyyy"));
    assert_string_equal(small->start, "got 0");
    assert_string_equal(large->start, "got 4194304");
    assert_string_equal(unsaid->start, "got 4194304");
    assert_int_equal(encl_server_answers(w->server), 5);
    world_close(w);
}

/* All the room there is: six bodies of which the last byte is missing. */
static void take_all_room(server_world *w, peer *ret[6])
{
    for (size_t i = 0; i < 6; i++)
        ret[i] = post(w, 4 * MIB, 4 * MIB - 1);
}

/* Whatever place in the table its connection has. */
static void who_waits_first_goes_on_first(void **state RD_UNUSED)
{
    server_world *w = open_world();
    peer *idle = peer_open(w), *full[6];
    world_settle(w);
    take_all_room(w, full);
    peer *first = post(w, 4 * MIB, 4 * MIB);
    peer_leave(idle);
    world_settle(w);
    peer *second = post(w, 4 * MIB, 4 * MIB); /* in the first place of the table */
    peer_say(full[3], "b");
    world_settle(w);
    assert_true(is_answered(full[3], "got 4194304"));
    assert_true(is_answered(first, "got 4194304"));
    assert_true(is_answered(second, "got 4194304"));
    assert_true(first->turn < second->turn);
    world_close(w);
}

static void who_asks_for_less_does_not_overtake(void **state RD_UNUSED)
{
    server_world *w = open_world();
    peer *full[6];
    take_all_room(w, full);
    peer_leave(full[0]);
    world_settle(w);
    peer *half = post(w, 2 * MIB, 2 * MIB - 1), *first = post(w, 4 * MIB, 4 * MIB - 1), *second = post(w, MIB, MIB);
    assert_false(is_answered(second, "got 1048576"));
    peer_leave(half);
    world_settle(w);
    assert_false(is_answered(second, "got 1048576"));
    peer_say(first, "b");
    world_settle(w);
    assert_true(is_answered(first, "got 4194304"));
    assert_true(is_answered(second, "got 1048576"));
    world_close(w);
}

static void who_asks_for_none_does_not_wait(void **state RD_UNUSED)
{
    server_world *w = open_world();
    peer *full[6], *plain = peer_open(w);
    take_all_room(w, full);
    (void)post(w, MIB, 0);
    peer_say(plain, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    world_settle(w);
    assert_true(is_answered(plain, "got 0"));
    world_close(w);
}

static void who_waits_and_leaves_is_forgotten(void **state RD_UNUSED)
{
    server_world *w = open_world();
    peer *full[6];
    take_all_room(w, full);
    peer *h2 = peer_open_h2(w);
    peer_stream *stream = peer_ask(h2, "/", 4 * MIB, 4 * MIB, true);
    world_settle(w);
    peer *middle = post(w, 4 * MIB, 4 * MIB), *last = post(w, 4 * MIB, 4 * MIB);
    assert_int_equal(nghttp2_submit_rst_stream(h2->h2, 0, stream->id, NGHTTP2_CANCEL), 0);
    peer_leave(middle);
    peer_say(full[5], "b");
    world_settle(w);
    assert_true(is_answered(last, "got 4194304"));
    world_close(w);
}

/* What was read last may be the last: the end was told of while the request waited. */
static void who_waits_and_says_no_more_is_answered_or_closed(void **state RD_UNUSED)
{
    server_world *w = open_world();
    peer *full[6];
    take_all_room(w, full);
    peer *whole = post(w, 100000, 100000), *cut = post(w, 100000, 50000), *last = post(w, 4 * MIB, 4 * MIB);
    assert_int_equal(shutdown(whole->fd, SHUT_WR), 0);
    assert_int_equal(shutdown(cut->fd, SHUT_WR), 0);
    world_settle(w);
    peer_say(full[5], "b");
    world_settle(w);
    assert_true(is_answered(whole, "got 100000"));
    assert_true(cut->is_gone);
    assert_int_equal(cut->in_size, 0);
    assert_true(is_answered(last, "got 4194304"));
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_ways_are_answered),
        cmocka_unit_test(who_waits_first_goes_on_first),
        cmocka_unit_test(who_asks_for_less_does_not_overtake),
        cmocka_unit_test(who_asks_for_none_does_not_wait),
        cmocka_unit_test(who_waits_and_leaves_is_forgotten),
        cmocka_unit_test(who_waits_and_says_no_more_is_answered_or_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
