// link: enclave_core encl_engine PkgConfig::nghttp2
/* Who gets room for a body when there is not enough for all: the whole server, its clients, one thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "enclave/runtime/socket.h"
#include "tests/support/server_world.h"

#define MIB  ((size_t)1 << 20)
#define ROOM (24 * MIB)
#define PART (ROOM / 4)
#define FULL 7

/* Answers with the size of what came, or with so many bytes as the query asks for. */
static const char source[] =
    "export default { async fetch(request) {\n"
    "  const n = Number(new URL(request.url).searchParams.get('n'));\n"
    "  if (n > 0) return new Response('y'.repeat(n));\n"
    "  return new Response('got ' + (await request.arrayBuffer()).byteLength);\n"
    "}, websocket: { message(socket, data) { socket.send(Number(data) > 0 ? 'y'.repeat(Number(data)) : 'got ' + "
    "data.length) } } };\n";

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

/* All the room there is, and what goes beyond it: bodies of which the last byte is missing. */
static void take_all_room(server_world *w, peer *ret[FULL])
{
    for (size_t i = 0; i < FULL; i++)
        ret[i] = post(w, 4 * MIB, 4 * MIB - 1);
}

/* Whatever place in the table its connection has. */
static void who_waits_first_goes_on_first(void **state RD_UNUSED)
{
    server_world *w = open_world();
    peer *idle = peer_open(w), *full[FULL];
    world_settle(w);
    take_all_room(w, full);
    peer *first = post(w, 4 * MIB, 4 * MIB);
    peer_leave(idle);
    world_settle(w);
    peer *second = post(w, 4 * MIB, 4 * MIB); /* in the first place of the table */
    peer_say(full[FULL - 1], "b");            /* the one beyond: another may now */
    world_settle(w);
    assert_true(is_answered(full[FULL - 1], "got 4194304"));
    assert_true(is_answered(first, "got 4194304"));
    assert_true(is_answered(second, "got 4194304"));
    assert_true(first->turn < second->turn);
    world_close(w);
}

static void who_asks_for_less_does_not_overtake(void **state RD_UNUSED)
{
    server_world *w = open_world();
    peer *full[FULL];
    take_all_room(w, full);
    peer *first = post(w, 4 * MIB, 4 * MIB - 1), *second = post(w, MIB, MIB);
    peer_leave(full[FULL - 1]);
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
    peer *full[FULL], *plain = peer_open(w);
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
    peer *full[FULL];
    take_all_room(w, full);
    peer *h2 = peer_open_h2(w);
    peer_stream *stream = peer_ask(h2, "/", 4 * MIB, 4 * MIB, true);
    world_settle(w);
    peer *middle = post(w, 4 * MIB, 4 * MIB), *last = post(w, 4 * MIB, 4 * MIB);
    assert_int_equal(nghttp2_submit_rst_stream(h2->h2, 0, stream->id, NGHTTP2_CANCEL), 0);
    peer_leave(middle);
    peer_say(full[FULL - 1], "b");
    world_settle(w);
    assert_true(is_answered(last, "got 4194304"));
    world_close(w);
}

/* What was read last may be the last: the end was told of while the request waited. */
static void who_waits_and_says_no_more_is_answered_or_closed(void **state RD_UNUSED)
{
    server_world *w = open_world();
    peer *full[FULL];
    take_all_room(w, full);
    peer *whole = post(w, 100000, 100000), *cut = post(w, 100000, 50000), *last = post(w, 4 * MIB, 4 * MIB);
    assert_int_equal(shutdown(whole->fd, SHUT_WR), 0);
    assert_int_equal(shutdown(cut->fd, SHUT_WR), 0);
    world_settle(w);
    peer_say(full[FULL - 1], "b");
    world_settle(w);
    assert_true(is_answered(whole, "got 100000"));
    assert_true(cut->is_gone);
    assert_int_equal(cut->in_size, 0);
    assert_true(is_answered(last, "got 4194304"));
    world_close(w);
}

/* --- hostile carriers --- */

/* A caller of whom nobody knows: what he asks for is there when everybody has come to rest once. */
static void others_are_served(server_world *w)
{
    peer *plain = peer_open(w);
    peer_say(plain, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    peer *large = post(w, 4 * MIB, 4 * MIB);
    assert_true(is_answered(plain, "got 0"));
    assert_true(is_answered(large, "got 4194304"));
    peer_leave(plain);
    peer_leave(large);
    world_settle(w);
}

static void slow_uploads_of_one_connection_hold_its_part_alone(void **state RD_UNUSED)
{
    server_world *w = open_world();
    peer *h2 = peer_open_h2(w);
    peer_stream *streams[100];
    for (size_t i = 0; i < RD_ARRAY_LEN(streams); i++)
        streams[i] = peer_ask(h2, "/", MIB, MIB - 1, i % 2 == 0);
    world_settle(w);
    assert_in_range(w->server->shares.held, PART - MIB, PART + MIB);
    others_are_served(w);
    /* One after another they come to their end. */
    for (size_t i = 0; i < RD_ARRAY_LEN(streams); i++)
        peer_send_more(h2, streams[i], MIB);
    world_settle(w);
    for (size_t i = 0; i < RD_ARRAY_LEN(streams); i++)
        assert_string_equal(streams[i]->start, "got 1048576");
    world_close(w);
}

/* Room follows what has come: a hundred uploads that hardly begin leave enough for all others. */
static void who_sends_little_holds_little(void **state RD_UNUSED)
{
    server_world *w = open_world();
    peer *slow[10];
    for (size_t i = 0; i < RD_ARRAY_LEN(slow); i++) {
        slow[i] = peer_open_h2(w);
        for (size_t k = 0; k < ENCL_H2_AT_ONCE; k++)
            (void)peer_ask(slow[i], "/", 4 * MIB, 20000, k % 2 == 0);
        (void)post(w, 4 * MIB, 20000);
    }
    world_settle(w);
    assert_in_range(w->server->shares.held, 170 * 20000, 170 * 65536);
    others_are_served(w);
    world_wait(w, 31); /* for a request to arrive */
    world_wait(w, 2);
    assert_int_equal(w->server->shares.held, 0);
    world_close(w);
}

/* Of many carriers, each with what it may have: they are given up soon, and who moves is not. */
static void stalled_uploads_of_many_are_given_up_when_others_wait(void **state RD_UNUSED)
{
    server_world *w = open_world();
    peer *h2[6], *steady = post(w, 4 * MIB, MIB);
    for (size_t i = 0; i < RD_ARRAY_LEN(h2); i++) {
        h2[i] = peer_open_h2(w);
        (void)peer_ask(h2[i], "/", 4 * MIB, 3 * MIB, true);
        (void)peer_ask(h2[i], "/", 4 * MIB, 3 * MIB, false);
    }
    world_settle(w);
    peer *large = post(w, 4 * MIB, 4 * MIB);
    assert_false(is_answered(large, "got 4194304"));
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(is_answered(large, "got 4194304"), i > 2); /* 5 s, and a sweep */
        peer_say_bytes(steady, MIB / 2);
        world_wait(w, 2);
    }
    assert_true(is_answered(steady, "got 4194304"));
    world_close(w);
}

/* Nobody waits: a body may take its time. */
static void slow_uploads_may_take_their_time(void **state RD_UNUSED)
{
    server_world *w = open_world();
    peer *slow = post(w, 4 * MIB, 4 * MIB - 1);
    world_wait(w, 20);
    others_are_served(w);
    peer_say(slow, "b");
    world_settle(w);
    assert_true(is_answered(slow, "got 4194304"));
    world_close(w);
}

static void unread_answers_hold_up_their_own_connection_alone(void **state RD_UNUSED)
{
    server_world *w = open_world();
    peer *deaf = peer_open_h2(w);
    peer_stream *streams[ENCL_H2_AT_ONCE];
    for (size_t i = 0; i < ENCL_H2_AT_ONCE; i++)
        streams[i] = peer_ask(deaf, "/?n=4000000", 0, 0, false);
    assert_int_equal(nghttp2_session_send(deaf->h2), 0);
    deaf->is_deaf = true;
    world_settle(w);
    assert_in_range(w->server->shares.unread, PART, PART + 4 * MIB);
    assert_int_equal(encl_server_answers(w->server), 2);
    others_are_served(w);
    deaf->is_deaf = false; /* he takes them after all */
    world_settle(w);
    for (size_t i = 0; i < ENCL_H2_AT_ONCE; i++)
        assert_int_equal(streams[i]->received, 4000000);
    world_close(w);
}

static void who_never_reads_loses_what_he_asked_for(void **state RD_UNUSED)
{
    server_world *w = open_world();
    peer *deaf = peer_open_h2(w);
    for (size_t i = 0; i < ENCL_H2_AT_ONCE; i++)
        (void)peer_ask(deaf, "/?n=4000000", 0, 0, false);
    assert_int_equal(nghttp2_session_send(deaf->h2), 0);
    deaf->is_deaf = true;
    world_settle(w);
    world_wait(w, 31);
    world_wait(w, 2);
    assert_int_equal(w->server->shares.unread, 0);
    assert_int_equal(encl_server_answers(w->server), 2); /* the others waited for too long */
    others_are_served(w);
    world_close(w);
}

/* Of many carriers, each with what it may have. When all room for answers is taken, they get little time. */
static void unread_answers_of_many_are_given_up_soon(void **state RD_UNUSED)
{
    server_world *w = open_world();
    peer *deaf[12];
    for (size_t i = 0; i < RD_ARRAY_LEN(deaf); i++) {
        deaf[i] = peer_open(w);
        deaf[i]->is_deaf = true;
        peer_say(deaf[i], "GET /?n=4000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    peer *plain = peer_open(w);
    peer_say(plain, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    world_settle(w);
    assert_in_range(w->server->shares.unread, ROOM, ROOM + 4 * MIB);
    assert_false(is_answered(plain, "got 0"));
    world_wait(w, 4);
    assert_true(is_answered(plain, "got 0"));
    world_close(w);
}

static void messages_without_an_end_hold_little(void **state RD_UNUSED)
{
    server_world *w = open_world();
    peer *sockets[ENCL_SOCKETS_MAX];
    for (size_t i = 0; i < ENCL_SOCKETS_MAX; i++) {
        sockets[i] = peer_open_tls(w);
        peer_upgrade(sockets[i]);
        world_settle(w);
        peer_message(sockets[i], "", 4 * MIB, 100000);
    }
    world_settle(w);
    assert_in_range(w->server->shares.held, ENCL_SOCKETS_MAX * 100000, ENCL_SOCKETS_MAX * 262144);
    others_are_served(w);
    peer_say_bytes(sockets[9], 4 * MIB - 100000);
    world_settle(w);
    assert_non_null(strstr(rd_buf_text(&sockets[9]->in), "101 "));
    assert_true(memmem(sockets[9]->in.data, sockets[9]->in.size, "got 4194304", 11) != NULL);
    world_close(w);
}

static void what_a_socket_does_not_take_is_counted(void **state RD_UNUSED)
{
    server_world *w = open_world();
    peer *socket = peer_open_tls(w);
    peer_upgrade(socket);
    world_settle(w);
    socket->is_deaf = true;
    peer_message(socket, "4000000", 7, 7);
    world_settle(w);
    assert_in_range(w->server->shares.unread, 4000000, 4100000);
    others_are_served(w);
    socket->is_deaf = false;
    world_settle(w);
    assert_int_equal(w->server->shares.unread, 0);
    assert_true(socket->in_size > 4000000);
    world_close(w);
}

static void there_is_a_bound_for_sockets(void **state RD_UNUSED)
{
    server_world *w = open_world();
    peer *last = NULL;
    for (size_t i = 0; i < ENCL_SOCKETS_MAX + 1; i++) {
        assert_true(last == NULL || strstr(rd_buf_text(&last->in), "101 Switching") != NULL);
        last = peer_open_tls(w);
        peer_upgrade(last);
        world_settle(w);
    }
    assert_non_null(strstr(rd_buf_text(&last->in), "503 "));
    assert_non_null(strstr(rd_buf_text(&last->in), "Redoubt-Error: unavailable"));
    assert_non_null(strstr(rd_buf_text(&last->in), "Redoubt-Receipt: "));
    peer_leave(w->peers[3]);
    world_settle(w);
    rd_buf_clear(&last->in);
    peer_upgrade(last);
    world_settle(w);
    assert_non_null(strstr(rd_buf_text(&last->in), "101 Switching"));
    world_close(w);
}

static void a_message_that_gets_no_room_ends_its_socket(void **state RD_UNUSED)
{
    server_world *w = open_world();
    peer *socket = peer_open_tls(w), *full[FULL];
    peer_upgrade(socket);
    world_settle(w);
    take_all_room(w, full);
    peer_message(socket, "", 30000, 29999);
    world_settle(w);
    rd_buf_clear(&socket->in);
    world_wait(w, 31);
    assert_true(socket->in.size >= 4);
    assert_memory_equal(socket->in.data, "\x88\x02\x03\xf5", 4); /* 1013 */
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
        cmocka_unit_test(slow_uploads_of_one_connection_hold_its_part_alone),
        cmocka_unit_test(who_sends_little_holds_little),
        cmocka_unit_test(stalled_uploads_of_many_are_given_up_when_others_wait),
        cmocka_unit_test(slow_uploads_may_take_their_time),
        cmocka_unit_test(unread_answers_hold_up_their_own_connection_alone),
        cmocka_unit_test(who_never_reads_loses_what_he_asked_for),
        cmocka_unit_test(unread_answers_of_many_are_given_up_soon),
        cmocka_unit_test(messages_without_an_end_hold_little),
        cmocka_unit_test(what_a_socket_does_not_take_is_counted),
        cmocka_unit_test(there_is_a_bound_for_sockets),
        cmocka_unit_test(a_message_that_gets_no_room_ends_its_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
