/* Outgoing connections with a hostile agent: calls that nobody asked for, twice, cut or with outcomes that do not
 * exist. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "enclave/runtime/lines.h"

typedef struct fixture {
    int epoll_fd, agent_fd;
    struct sockaddr_un address; /* the control listener's */
    socklen_t address_size;
    encl_uplink uplink;
    encl_lines lines;
    rd_egress list;
    encl_egress *egress;
} fixture;

static int dial(void *context, uint64_t id, const rd_egress_entry *entry, rd_err *err)
{
    return encl_lines_ask(&((fixture *)context)->lines, id, entry, err);
}

static int64_t time_us(void *context)
{
    (void)context;
    return 0;
}

static void open_fixture(fixture *f)
{
    const encl_egress_host host = { .dial = dial, .time_us = time_us, .context = f };
    rd_egress_entry place = { .host = "plain.example", .port = 80, .is_plain = true };
    int control[2];
    rd_err err = RD_ERR_INIT;
    *f = (fixture){ .epoll_fd = epoll_create1(EPOLL_CLOEXEC), .address = { .sun_family = AF_UNIX } };
    int listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(listen_fd, (struct sockaddr *)&f->address, sizeof(sa_family_t)), 0); /* a name of its own */
    f->address_size = sizeof(f->address);
    assert_int_equal(getsockname(listen_fd, (struct sockaddr *)&f->address, &f->address_size), 0);
    assert_int_equal(listen(listen_fd, 64), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, control), 0);
    f->agent_fd = control[1];
    assert_int_equal(encl_uplink_init(&f->uplink, f->epoll_fd, control[0], listen_fd, &err), 0);
    assert_int_equal(encl_uplink_listen(&f->uplink, &err), 0);
    encl_lines_init(&f->lines, &f->uplink);
    assert_int_equal(rd_egress_add(&f->list, &place, &err), 0);
    f->egress = encl_egress_new(&f->list, &host);
    encl_egress_begin(f->egress);
}

static void close_fixture(fixture *f)
{
    f->egress = encl_egress_free(f->egress);
    encl_lines_done(&f->lines);
    encl_uplink_done(&f->uplink);
    rd_egress_done(&f->list);
    rd_close_p(&f->agent_fd);
    rd_close_p(&f->epoll_fd);
}

static uint32_t start(fixture *f)
{
    const encl_fetch fetch = { .entry = &f->list.items[0], .method = RD_BYTES_LIT("GET"), .target = RD_BYTES_LIT("/") };
    rd_err err = RD_ERR_INIT;
    uint32_t id = 0;
    assert_int_equal(encl_egress_start(f->egress, &fetch, &id, &err), 0);
    return id;
}

static void turn(fixture *f)
{
    encl_lines_turn(&f->lines, f->egress);
    (void)encl_egress_turn(f->egress);
}

/* The agent calls in and says size bytes of a preamble. */
static int call(const fixture *f, uint64_t id, uint8_t outcome, size_t size)
{
    uint8_t preamble[ENCL_LINE_PREAMBLE] = { [7] = (uint8_t)id, [8] = outcome };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&f->address, f->address_size), 0);
    assert_int_equal(write(fd, preamble, size), (ssize_t)size);
    return fd;
}

static bool is_hung_up(int fd)
{
    char byte;
    ssize_t got = recv(fd, &byte, 1, MSG_DONTWAIT);
    return got == 0;
}

/* The next answer's text holds this; "" when there must be none. */
static void expect(fixture *f, const char *want)
{
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    assert_int_equal(encl_egress_next(f->egress, &out), want[0] != '\0');
    if (want[0] != '\0' && memmem(out.data, out.size, want, strlen(want)) == NULL)
        fail_msg("no \"%s\" in %zu bytes", want, out.size);
}

static void a_line_that_was_asked_for_carries_the_request(void **state)
{
    static const char order[] = "{\"host\":\"plain.example\",\"id\":1,\"port\":80,\"private\":false}";
    static const char response[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    char said[256], request[256];
    fixture f;
    (void)state;
    open_fixture(&f);
    (void)start(&f);
    turn(&f);
    ssize_t size = read(f.agent_fd, said, sizeof(said));
    assert_true(size > 0 && memmem(said, (size_t)size, order, strlen(order)) != NULL);
    int fd = call(&f, 1, ENCL_LINE_OPEN, 5); /* the preamble comes in two pieces */
    turn(&f);
    expect(&f, "");
    const uint8_t rest[ENCL_LINE_PREAMBLE - 5] = { [2] = 1 };
    assert_int_equal(write(fd, rest, sizeof(rest)), sizeof(rest));
    turn(&f);
    size = read(fd, request, sizeof(request));
    assert_true(size > 0 && memcmp(request, "GET / HTTP/1.1\r\nhost: plain.example\r\n", 37) == 0);
    assert_int_equal(write(fd, response, strlen(response)), (ssize_t)strlen(response));
    turn(&f);
    expect(&f, "hello");
    assert_true(is_hung_up(fd));
    (void)close(fd);
    close_fixture(&f);
}

static void what_nobody_asked_for_is_closed(void **state)
{
    fixture f;
    (void)state;
    open_fixture(&f);
    (void)start(&f);
    int stranger = call(&f, 99, ENCL_LINE_OPEN, ENCL_LINE_PREAMBLE);
    int cut = call(&f, 1, ENCL_LINE_OPEN, 7);
    assert_int_equal(shutdown(cut, SHUT_WR), 0);
    turn(&f);
    turn(&f);
    assert_true(is_hung_up(stranger));
    assert_true(is_hung_up(cut));
    expect(&f, ""); /* the request still waits */
    int first = call(&f, 1, ENCL_LINE_OPEN, ENCL_LINE_PREAMBLE),
        second = call(&f, 1, ENCL_LINE_OPEN, ENCL_LINE_PREAMBLE);
    turn(&f);
    assert_false(is_hung_up(first) && is_hung_up(second));
    (void)close(first);
    (void)close(second);
    turn(&f);
    expect(&f, "plain.example:80: ");
    (void)close(stranger);
    (void)close(cut);
    close_fixture(&f);
}

static void outcomes_are_told(void **state)
{
    static const struct {
        uint8_t outcome;
        const char *want;
    } rows[] = {
        { ENCL_LINE_REFUSED, "plain.example:80: the host refuses this address" },
        { ENCL_LINE_NO_NAME, "plain.example:80: the name does not resolve" },
        { ENCL_LINE_TIMEOUT, "plain.example:80: the connection takes too long" },
        { 6, "plain.example:80: nobody takes the connection" },
        { 255, "plain.example:80: nobody takes the connection" },
    };
    fixture f;
    (void)state;
    open_fixture(&f);
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        (void)start(&f);
        int fd = call(&f, i + 1, rows[i].outcome, ENCL_LINE_PREAMBLE);
        turn(&f);
        expect(&f, rows[i].want);
        assert_true(is_hung_up(fd));
        (void)close(fd);
    }
    assert_int_equal(encl_egress_failed(f.egress), RD_ARRAY_LEN(rows));
    close_fixture(&f);
}

static void more_callers_than_lines_wait_outside(void **state)
{
    int fds[ENCL_LINES_MAX + 2];
    fixture f;
    (void)state;
    open_fixture(&f);
    (void)start(&f);
    for (size_t i = 0; i < RD_ARRAY_LEN(fds); i++)
        fds[i] = call(&f, 99, ENCL_LINE_OPEN, 3);
    for (int i = 0; i < 3; i++)
        turn(&f);
    size_t taken = 0;
    for (size_t i = 0; i < ENCL_LINES_MAX; i++)
        taken += f.lines.calling[i].fd >= 0;
    assert_int_equal(taken, ENCL_LINES_MAX);
    for (size_t i = 0; i < RD_ARRAY_LEN(fds); i++)
        (void)close(fds[i]);
    turn(&f);
    turn(&f);
    int fd = call(&f, 1, ENCL_LINE_REFUSED, ENCL_LINE_PREAMBLE);
    turn(&f);
    turn(&f);
    expect(&f, "the host refuses this address");
    (void)close(fd);
    close_fixture(&f);
}

static void without_an_agent_what_waits_fails_and_his_successor_is_none_of_it(void **state)
{
    struct pollfd fds[ENCL_LINES_WATCHED];
    rd_err err = RD_ERR_INIT;
    fixture f;
    (void)state;
    open_fixture(&f);
    (void)start(&f);
    rd_close_p(&f.agent_fd);
    int successor = call(&f, 0, 0, 0);
    turn(&f);
    expect(&f, "the host's agent went away");
    assert_int_equal(encl_lines_watch(&f.lines, fds), 0);
    const encl_fetch fetch = { .entry = &f.list.items[0], .method = RD_BYTES_LIT("GET"), .target = RD_BYTES_LIT("/") };
    uint32_t id;
    assert_int_equal(encl_egress_start(f.egress, &fetch, &id, &err), -1);
    assert_int_equal(err.code, RD_E_UNAVAILABLE);
    assert_true(encl_uplink_accept(&f.uplink));
    assert_true(encl_uplink_has_controller(&f.uplink));
    assert_false(is_hung_up(successor));
    (void)close(successor);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_that_was_asked_for_carries_the_request),
        cmocka_unit_test(what_nobody_asked_for_is_closed),
        cmocka_unit_test(outcomes_are_told),
        cmocka_unit_test(more_callers_than_lines_wait_outside),
        cmocka_unit_test(without_an_agent_what_waits_fails_and_his_successor_is_none_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
