/* R51: the proxy asked by a hostile enclave in every form of a closed address; bytes and ends pass both ways; its
 * bounds. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/egress.h"
#include "common/base/cursor.h"
#include "common/base/mem.h"

#define LINES_MAX     (AGENT_EGRESS_AT_ONCE + 1)
#define PREAMBLE_SIZE 16

typedef struct proxy {
    uv_loop_t loop;
    agent_egress *egress;
    int listen_fd; /* the world outside */
    uint16_t port;
    int calls[LINES_MAX]; /* the enclave's ends, in the order they came */
    size_t calls_count;
    bool is_deaf; /* the enclave takes no calls */
    bool is_closed;
} proxy;

static int dial(void *context)
{
    proxy *p = context;
    int pair[2];
    if (p->is_deaf)
        return -1;
    assert_true(p->calls_count < LINES_MAX);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    p->calls[p->calls_count++] = pair[1];
    return pair[0];
}

static void open_proxy(proxy *p, const char *allow)
{
    agent_egress_rules rules = { .allow_count = 0 };
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(address);
    rd_err err = RD_ERR_INIT;
    *p = (proxy){ .listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) };
    assert_int_equal(bind(p->listen_fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(p->listen_fd, 64), 0);
    assert_int_equal(getsockname(p->listen_fd, (struct sockaddr *)&address, &size), 0);
    p->port = ntohs(address.sin_port);
    if (allow != NULL)
        assert_int_equal(agent_egress_rules_allow(&rules, allow, &err), 0);
    assert_int_equal(uv_loop_init(&p->loop), 0);
    p->egress = agent_egress_new(&p->loop, &rules);
}

/* Runs the loop until it or fd (-1: it alone) may have something new. */
static void turn(proxy *p, int fd, short events)
{
    (void)uv_run(&p->loop, UV_RUN_NOWAIT);
    struct pollfd fds[] = { { .fd = uv_backend_fd(&p->loop), .events = POLLIN }, { .fd = fd, .events = events } };
    (void)poll(fds, RD_ARRAY_LEN(fds), uv_backend_timeout(&p->loop));
}

static void on_closed(void *context)
{
    ((proxy *)context)->is_closed = true;
}

static void close_proxy(proxy *p)
{
    agent_egress_close(p->egress, on_closed, p);
    while (!p->is_closed)
        turn(p, -1, 0);
    for (size_t i = 0; i < p->calls_count; i++)
        rd_close_p(&p->calls[i]);
    rd_close_p(&p->listen_fd);
    assert_int_equal(uv_loop_close(&p->loop), 0);
}

static void request(proxy *p, const char *host, uint64_t id, bool is_private)
{
    agent_egress_request wanted = {
        .owner = p, .id = id, .port = p->port, .is_private = is_private, .dial = dial, .context = p
    };
    (void)snprintf(wanted.host, sizeof(wanted.host), "%s", host);
    agent_egress_open(p->egress, &wanted);
}

/* Reads exactly size bytes while the loop runs; false when the other end closes first. */
static bool take(proxy *p, int fd, void *out, size_t size)
{
    for (size_t got = 0; got < size;) {
        ssize_t part = read(fd, (uint8_t *)out + got, size - got);
        if (part == 0)
            return false;
        assert_true(part > 0 || errno == EAGAIN);
        if (part > 0)
            got += (size_t)part;
        else
            turn(p, fd, POLLIN);
    }
    return true;
}

static void put(proxy *p, int fd, const void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t part = write(fd, (const uint8_t *)data + done, size - done);
        assert_true(part > 0 || errno == EAGAIN);
        if (part > 0)
            done += (size_t)part;
        else
            turn(p, fd, POLLOUT);
    }
}

/* The outcome that the call with this number brings, whose id is checked. */
static unsigned outcome(proxy *p, size_t call, uint64_t id)
{
    uint8_t preamble[PREAMBLE_SIZE];
    while (p->calls_count <= call)
        turn(p, -1, 0);
    assert_true(take(p, p->calls[call], preamble, sizeof(preamble)));
    rd_cursor in = rd_cursor_of(rd_bytes_of(preamble, sizeof(preamble)));
    assert_int_equal(rd_cursor_u64be(&in), id);
    unsigned said = rd_cursor_u8(&in);
    for (int i = 0; i < 7; i++)
        assert_int_equal(rd_cursor_u8(&in), 0);
    return said;
}

static int accept_one(proxy *p)
{
    for (;;) {
        int fd = accept4(p->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            return fd;
        assert_int_equal(errno, EAGAIN);
        turn(p, p->listen_fd, POLLIN);
    }
}

static void r51_no_form_of_a_closed_address_is_dialled(void **state)
{
    static const struct {
        const char *host;
        unsigned outcome;
    } rows[] = {
        { "127.0.0.1", 1 },
        { "localhost", 1 },
        { "127.1", 1 },
        { "2130706433", 1 },
        { "0x7f000001", 1 },
        { "0177.0.0.1", 1 },
        { "0", 1 },
        { "169.254.169.254", 1 },
        { "0xa9fea9fe", 1 },
        { "[::1]", 1 },
        { "[::ffff:127.0.0.1]", 1 },
        { "[::ffff:a9fe:a9fe]", 1 },
        { "[64:ff9b::7f00:1]", 1 },
        { "[2002:7f00:1::1]", 1 },
        { "[fe80::1]", 1 },
        { "[fd00:ec2::254]", 1 },
        { "[localhost]", 2 },
        { "[]", 2 },
    };
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        proxy p;
        char byte;
        open_proxy(&p, NULL);
        request(&p, rows[i].host, i, true);
        unsigned said = outcome(&p, 0, i);
        if (said != rows[i].outcome)
            fail_msg("%s: outcome %u", rows[i].host, said);
        assert_false(take(&p, p.calls[0], &byte, 1)); /* and the line is closed */
        assert_int_equal(accept4(p.listen_fd, NULL, NULL, 0), -1);
        close_proxy(&p);
    }
}

static void what_the_operator_opened_wants_the_releases_word_too(void **state)
{
    proxy p;
    (void)state;
    open_proxy(&p, "127.0.0.0/8");
    request(&p, "127.0.0.1", 1, false);
    assert_int_equal(outcome(&p, 0, 1), 1);
    request(&p, "127.0.0.1", 2, true);
    assert_int_equal(outcome(&p, 1, 2), 0);
    close_proxy(&p);
}

static void bytes_and_ends_pass_both_ways(void **state)
{
    enum { LARGE = 300000 };
    RD_CLEANUP(rd_free_p) uint8_t *sent = rd_alloc_array(LARGE, 1), *got = rd_alloc_array(LARGE, 1);
    proxy p;
    char word[4];
    (void)state;
    for (size_t i = 0; i < LARGE; i++)
        sent[i] = (uint8_t)(i * 7 + (i >> 9));
    open_proxy(&p, "127.0.0.0/8");
    request(&p, "127.0.0.1", UINT64_MAX - 1, true);
    assert_int_equal(outcome(&p, 0, UINT64_MAX - 1), 0);
    int outside = accept_one(&p), inside = p.calls[0];
    put(&p, inside, "ping", 4);
    assert_true(take(&p, outside, word, 4));
    assert_memory_equal(word, "ping", 4);
    assert_int_equal(shutdown(inside, SHUT_WR), 0);
    assert_false(take(&p, outside, word, 1)); /* its end is passed on, and the other way stays open */
    for (size_t at = 0; at < LARGE; at += LARGE / 10) {
        put(&p, outside, sent + at, LARGE / 10);
        assert_true(take(&p, inside, got + at, LARGE / 10));
    }
    assert_memory_equal(got, sent, LARGE);
    (void)close(outside);
    assert_false(take(&p, inside, word, 1));
    close_proxy(&p);
}

static void who_is_not_there_is_said(void **state)
{
    proxy p;
    (void)state;
    open_proxy(&p, "127.0.0.0/8");
    rd_close_p(&p.listen_fd);
    request(&p, "127.0.0.1", 1, true);
    assert_int_equal(outcome(&p, 0, 1), 3);
    close_proxy(&p);
}

static void one_enclave_has_so_many_lines(void **state)
{
    proxy p;
    size_t busy = 0;
    (void)state;
    open_proxy(&p, "127.0.0.0/8");
    for (uint64_t i = 0; i < LINES_MAX; i++)
        request(&p, "127.0.0.1", 7, true);
    for (size_t i = 0; i < LINES_MAX; i++) {
        unsigned said = outcome(&p, i, 7);
        assert_true(said == 0 || said == 4);
        busy += said == 4;
    }
    assert_int_equal(busy, 1);
    close_proxy(&p);
}

static void who_is_gone_is_not_called(void **state)
{
    proxy p;
    (void)state;
    open_proxy(&p, "127.0.0.0/8");
    request(&p, "127.0.0.1", 1, true);
    agent_egress_drop(p.egress, &p);
    close_proxy(&p);
    assert_int_equal(p.calls_count, 0);

    open_proxy(&p, "127.0.0.0/8");
    p.is_deaf = true;
    request(&p, "127.0.0.1", 1, true);
    int outside = accept_one(&p);
    char byte;
    assert_false(take(&p, outside, &byte, 1)); /* nobody to join it with */
    (void)close(outside);
    close_proxy(&p);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as the programs do: a peer that is gone is an error of its write */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(r51_no_form_of_a_closed_address_is_dialled),
        cmocka_unit_test(what_the_operator_opened_wants_the_releases_word_too),
        cmocka_unit_test(bytes_and_ends_pass_both_ways),
        cmocka_unit_test(who_is_not_there_is_said),
        cmocka_unit_test(one_enclave_has_so_many_lines),
        cmocka_unit_test(who_is_gone_is_not_called),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
