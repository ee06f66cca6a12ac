#include "api/front.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"

#define HOST "Host: a\r\n"

/* A front whose owner does what the target says, and callers on real sockets, on one loop. */
typedef struct world {
    uv_loop_t loop;
    api_context context;
    api_front *front;
    api_turn *waiting; /* of /wait and /flood */
    size_t flooded, gone, asked;
} world;

static void flood(world *w, api_turn *turn)
{
    static const uint8_t zeros[16384];
    while (w->flooded < ((size_t)16 << 20)) {
        size_t taken = api_turn_write(turn, RD_BYTES_ARRAY(zeros));
        w->flooded += taken;
        if (taken < sizeof zeros)
            return;
    }
    w->waiting = NULL;
    api_turn_end(turn);
}

static void answer(api_turn *turn, const char *text)
{
    api_turn_answer(turn, 200);
    api_turn_begin(turn, (int64_t)strlen(text), true);
    (void)api_turn_write(turn, rd_bytes_str(text));
    api_turn_end(turn);
}

static void on_request(api_turn *turn, const rd_http_head *head)
{
    world *w = api_turn_arg(turn);
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    w->asked++;
    (void)rd_buf_printf(&text, "%.*s %.*s %.*s", (int)head->method.size, (const char *)head->method.data,
                        (int)head->target.size, (const char *)head->target.data, (int)api_turn_body(turn).size,
                        (const char *)api_turn_body(turn).data);
    api_turn_set_owner(turn, w);
    if (rd_bytes_equal(head->target, RD_BYTES_LIT("/wait"))) {
        w->waiting = turn;
    } else if (rd_bytes_equal(head->target, RD_BYTES_LIT("/flood"))) {
        w->waiting = turn;
        api_turn_answer(turn, 200);
        api_turn_begin(turn, -1, false);
        flood(w, turn);
    } else if (rd_bytes_equal(head->target, RD_BYTES_LIT("/chunks"))) {
        api_turn_answer(turn, 200);
        api_turn_begin(turn, -1, false);
        (void)api_turn_write(turn, RD_BYTES_LIT("ab"));
        (void)api_turn_write(turn, RD_BYTES_LIT("cde"));
        api_turn_trailer(turn, "receipt", "r");
        api_turn_end(turn);
    } else if (rd_bytes_equal(head->target, RD_BYTES_LIT("/204")) ||
               rd_bytes_equal(head->target, RD_BYTES_LIT("/304"))) {
        api_turn_answer(turn, head->target.data[1] == '2' ? 204 : 304);
        api_turn_begin(turn, head->target.data[1] == '2' ? 0 : -1, true);
        api_turn_end(turn);
    } else if (rd_bytes_equal(head->target, RD_BYTES_LIT("/cut"))) {
        api_turn_answer(turn, 200);
        api_turn_begin(turn, 100, false);
        (void)api_turn_write(turn, RD_BYTES_LIT("half"));
        api_turn_cut(turn);
    } else if (rd_bytes_equal(head->target, RD_BYTES_LIT("/late"))) { /* what was gathered makes place for a problem */
        rd_err err = RD_ERR_INIT;
        (void)rd_err_set(&err, RD_E_INSTANCE_GONE, "gone");
        api_turn_answer(turn, 200);
        api_turn_begin(turn, 100, true);
        (void)api_turn_write(turn, RD_BYTES_LIT("half"));
        api_turn_problem(turn, &err);
    } else {
        answer(turn, rd_buf_text(&text));
    }
}

static int on_body(api_turn *turn, const rd_http_head *head, rd_err *err)
{
    api_turn_payer(turn, 'x', RD_BYTES_NULL);
    if (rd_bytes_equal(head->target, RD_BYTES_LIT("/refused")))
        return rd_err_set(err, RD_E_APP_UNKNOWN, "no such app");
    return 0;
}

static void on_gone(api_turn *turn)
{
    world *w = api_turn_owner(turn);
    w->gone++;
    w->waiting = NULL;
}

static void on_room(api_turn *turn)
{
    flood(api_turn_owner(turn), turn);
}

static int start(void **state)
{
    world *w = rd_alloc(sizeof *w);
    rd_err err = RD_ERR_INIT;
    assert_int_equal(uv_loop_init(&w->loop), 0);
    w->context = (api_context){ .magic = API_CONTEXT_MAGIC, .loop = &w->loop, .clock = rd_clock_system() };
    const api_front_options options = { .context = &w->context,
                                        .name = "test",
                                        .route = "/",
                                        .listen = "127.0.0.1:0",
                                        .body_max = 64,
                                        .body_memory_max = 4096,
                                        .head_ms = 200,
                                        .idle_ms = 1500,
                                        .stall_ms = 2000,
                                        .on_body = on_body,
                                        .on_request = on_request,
                                        .on_gone = on_gone,
                                        .on_room = on_room,
                                        .arg = w };
    if (api_front_new(&options, &w->front, &err) < 0)
        fail_msg("%s", err.text);
    *state = w;
    return 0;
}

static int stop(void **state)
{
    world *w = *state;
    api_front_stop(w->front);
    api_front_free(w->front);
    while (uv_run(&w->loop, UV_RUN_DEFAULT) != 0)
        ;
    assert_int_equal(uv_loop_close(&w->loop), 0);
    free(w);
    return 0;
}

/* ---- callers ---- */

typedef struct caller {
    world *w;
    int fd;
    rd_buf got;
    bool is_over;
} caller;

static void turn_loop(world *w)
{
    (void)uv_run(&w->loop, UV_RUN_NOWAIT);
}

static caller come(world *w)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(api_front_port(w->front)) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    caller c = { .w = w, .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
    int size = 128 << 10; /* a window that opens as it is read, and not after a timer of the kernel's */
    assert_int_equal(setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
    assert_int_equal(connect(c.fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(fcntl(c.fd, F_SETFL, O_NONBLOCK), 0);
    turn_loop(w);
    return c;
}

static void hear(caller *c)
{
    char bytes[65536];
    ssize_t size;
    turn_loop(c->w);
    while ((size = recv(c->fd, bytes, sizeof bytes, 0)) > 0)
        (void)rd_buf_append(&c->got, bytes, (size_t)size);
    if (size == 0 || (errno != EAGAIN && errno != EINTR))
        c->is_over = true;
}

static void say(caller *c, const char *text)
{
    size_t size = strlen(text);
    assert_int_equal(send(c->fd, text, size, MSG_NOSIGNAL), (ssize_t)size);
    hear(c);
}

static void leave(caller *c)
{
    (void)close(c->fd);
    rd_buf_done(&c->got);
}

/* For at most some seconds: what the condition says. */
#define UNTIL(c, condition)                                                                                            \
    do {                                                                                                               \
        uint64_t limit_ns = uv_hrtime() + UINT64_C(60000000000);                                                       \
        while (!(condition)) {                                                                                         \
            hear(c);                                                                                                   \
            if (uv_hrtime() > limit_ns)                                                                                \
                fail_msg("%s: got %s", #condition, rd_buf_text(&(c)->got));                                            \
            usleep(200);                                                                                               \
        }                                                                                                              \
    } while (0)
#define GOT(c, text) (strstr(rd_buf_text(&(c)->got), (text)) != NULL)

static size_t count_of(caller *c, const char *text)
{
    size_t count = 0;
    for (const char *at = rd_buf_text(&c->got); (at = strstr(at, text)); at += strlen(text))
        count++;
    return count;
}

/* ---- requests ---- */

static const struct {
    const char *name, *text, *want;
    bool closes;
} rows[] = {
    { "bare", "GET /a HTTP/1.1\r\n" HOST "\r\n", "\r\n\r\nGET /a ", false },
    { "a length", "POST /a HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", "POST /a abc", false },
    { "chunks", "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nX: y\r\n\r\n",
      "POST /a abc", false },
    { "absolute", "GET http://A/a HTTP/1.1\r\n" HOST "\r\n", "\r\n\r\nGET /a ", false },
    { "HEAD", "HEAD /a HTTP/1.1\r\n" HOST "\r\n", "Content-Length: 8\r\n\r\n", false },
    { "streamed", "GET /chunks HTTP/1.1\r\n" HOST "\r\n", "2\r\nab\r\n3\r\ncde\r\n0\r\nreceipt: r\r\n\r\n", false },
    { "HEAD of a stream", "HEAD /chunks HTTP/1.1\r\n" HOST "\r\n", "nosniff\r\n\r\n", false },
    { "204", "GET /204 HTTP/1.1\r\n" HOST "\r\n", "nosniff\r\n\r\n", false },
    { "304", "GET /304 HTTP/1.1\r\n" HOST "\r\n", "304 Not Modified\r\n", false },
    { "close", "GET /a HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", "Connection: close\r\n\r\nGET /a ", true },
    { "HTTP/1.0", "GET /a HTTP/1.0\r\n" HOST "\r\n", "Connection: close\r\n\r\nGET /a ", true },
    { "HTTP/1.0 that stays", "GET /a HTTP/1.0\r\n" HOST "Connection: keep-alive\r\n\r\n",
      "Connection: keep-alive\r\n\r\nGET /a ", false },
    { "cut", "GET /cut HTTP/1.1\r\n" HOST "\r\n", "Content-Length: 100\r\n\r\nhalf", true },
    { "a problem in its place", "GET /late HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 502 ", false },
    { "a refused body that is small", "POST /refused HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", "app_unknown",
      false },
    { "a refused body in chunks",
      "POST /refused HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "app_unknown",
      true },
    { "too long a body", "POST /a HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\n", "HTTP/1.1 413 ", true },
    { "too many chunks",
      "POST /a HTTP/1.1\r\n" HOST
      "Transfer-Encoding: chunked\r\n\r\n28\r\n0123456789012345678901234567890123456789\r\n28\r\n",
      "HTTP/1.1 413 ", true },
    { "length and chunks",
      "POST /a HTTP/1.1\r\n" HOST
      "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
      "HTTP/1.1 400 ", true },
    { "two lengths", "POST /a HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 400 ",
      true },
    { "an extension", "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1;a=b\r\na\r\n0\r\n\r\n",
      "HTTP/1.1 400 ", true },
    { "a trailer that is none",
      "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\nGET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ",
      true },
    { "LF alone", "GET /a HTTP/1.1\n" HOST "\r\n", "HTTP/1.1 400 ", true },
    { "folded", "GET /a HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n", "HTTP/1.1 400 ", true },
    { "absolute, another host", "GET http://b/ HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 400 ", true },
    { "space before the colon", "GET /a HTTP/1.1\r\n" HOST "X : a\r\n\r\n", "HTTP/1.1 400 ", true },
    { "no host", "GET /a HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ", true },
    { "another version", "GET /a HTTP/2.0\r\n" HOST "\r\n", "HTTP/1.1 505 ", true },
    { "another expectation", "POST /a HTTP/1.1\r\n" HOST "Expect: x\r\nContent-Length: 1\r\n\r\na", "HTTP/1.1 417 ",
      true },
};

/* Whole and byte by byte; whoever stays is understood again, whoever is refused is not. */
static void requests(void **state)
{
    world *w = *state;
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++)
        for (int bytewise = 0; bytewise < 2; bytewise++) {
            caller c = come(w);
            size_t asked = w->asked;
            for (size_t at = 0; bytewise && rows[i].text[at] && !c.is_over; at++) {
                (void)send(c.fd, rows[i].text + at, 1, MSG_NOSIGNAL);
                hear(&c);
            }
            if (!bytewise)
                say(&c, rows[i].text);
            UNTIL(&c, GOT(&c, rows[i].want) || c.is_over);
            if (!GOT(&c, rows[i].want))
                fail_msg("%s: %s", rows[i].name, rd_buf_text(&c.got));
            if (count_of(&c, "HTTP/1.1 ") != 1 || w->asked > asked + 1)
                fail_msg("%s: more than one answer: %s", rows[i].name, rd_buf_text(&c.got));
            if (rows[i].closes)
                UNTIL(&c, c.is_over);
            else {
                say(&c, "GET /next HTTP/1.1\r\n" HOST "\r\n");
                UNTIL(&c, GOT(&c, "GET /next "));
            }
            leave(&c);
            turn_loop(w);
        }
}

static void no_length_where_none_belongs(void **state)
{
    caller c = come(*state);
    say(&c, "GET /204 HTTP/1.1\r\n" HOST "\r\nGET /304 HTTP/1.1\r\n" HOST "\r\nHEAD /chunks HTTP/1.1\r\n" HOST "\r\n");
    UNTIL(&c, count_of(&c, "\r\n\r\n") == 3);
    assert_false(GOT(&c, "Content-Length"));
    assert_false(GOT(&c, "Transfer-Encoding"));
    leave(&c);
}

static void an_expectation_is_met(void **state)
{
    caller c = come(*state);
    say(&c, "POST /a HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    UNTIL(&c, GOT(&c, "HTTP/1.1 100 Continue\r\n\r\n"));
    say(&c, "abc");
    UNTIL(&c, GOT(&c, "POST /a abc"));
    say(&c, "POST /a HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc");
    UNTIL(&c, count_of(&c, "POST /a abc") == 2);
    assert_int_equal(count_of(&c, "100 Continue"), 1);
    say(&c, "POST /refused HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    UNTIL(&c, c.is_over);
    assert_int_equal(count_of(&c, "100 Continue"), 1);
    leave(&c);
}

static void at_once_and_in_turn(void **state)
{
    world *w = *state;
    caller c = come(w);
    say(&c, "GET /wait HTTP/1.1\r\n" HOST "\r\nPOST /2 HTTP/1.1\r\n" HOST
            "Content-Length: 1\r\n\r\nxGET /3 HTTP/1.1\r\n" HOST "\r\nGET /4 HT");
    UNTIL(&c, w->waiting);
    assert_int_equal(w->asked, 1);
    answer(RD_TAKE(w->waiting), "first");
    UNTIL(&c, GOT(&c, "GET /3 "));
    const char *text = rd_buf_text(&c.got);
    assert_true(strstr(text, "first") < strstr(text, "POST /2 x") &&
                strstr(text, "POST /2 x") < strstr(text, "GET /3 "));
    say(&c, "TP/1.1\r\n" HOST "\r\n");
    UNTIL(&c, GOT(&c, "GET /4 "));
    leave(&c);
}

/* What is sent ahead of an answer waits in the kernel past a bound, and none of it is lost. */
static void ahead_is_bounded(void **state)
{
    world *w = *state;
    caller c = come(w);
    char request[1024];
    snprintf(request, sizeof request, "GET /x HTTP/1.1\r\n" HOST "X: %0900d\r\n\r\n", 0);
    size_t size = strlen(request), sent = 0, total = 200 * size;
    say(&c, "GET /wait HTTP/1.1\r\n" HOST "\r\n");
    for (int i = 0; i < 3000 && sent < total; i++) {
        ssize_t taken = send(c.fd, request + sent % size, size - sent % size, MSG_NOSIGNAL);
        sent += taken > 0 ? (size_t)taken : 0;
        turn_loop(w);
    }
    assert_int_equal(w->asked, 1);
    answer(RD_TAKE(w->waiting), "first");
    for (int i = 0; i < 20000 && (sent < total || count_of(&c, "GET /x ") < 200); i++) {
        ssize_t taken = sent < total ? send(c.fd, request + sent % size, size - sent % size, MSG_NOSIGNAL) : 0;
        sent += taken > 0 ? (size_t)taken : 0;
        hear(&c);
    }
    assert_int_equal(count_of(&c, "GET /x "), 200);
    leave(&c);
}

static void heads_are_bounded(void **state)
{
    world *w = *state;
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    (void)rd_buf_printf(&text, "GET /%05000d HTTP/1.1\r\n" HOST "\r\n", 0);
    caller c = come(w);
    say(&c, rd_buf_text(&text));
    UNTIL(&c, GOT(&c, "HTTP/1.1 431 ") && GOT(&c, "\"headers_too_large\""));
    leave(&c);
    rd_buf_clear(&text);
    (void)rd_buf_printf(&text, "GET / HTTP/1.1\r\n" HOST "X: %017000d\r\n\r\n", 0);
    c = come(w);
    say(&c, rd_buf_text(&text));
    UNTIL(&c, GOT(&c, "HTTP/1.1 431 "));
    leave(&c);
    rd_buf_clear(&text);
    (void)rd_buf_printf(&text, "GET / HTTP/1.1\r\n" HOST "X: %050000d", 0);
    c = come(w);
    say(&c, rd_buf_text(&text));
    UNTIL(&c, GOT(&c, "HTTP/1.1 431 ") && c.is_over);
    leave(&c);
    assert_int_equal(w->asked, 0);
}

/* ---- time, and callers who leave ---- */

static void slow_heads(void **state)
{
    caller c = come(*state);
    for (int i = 0; i < 40 && !c.is_over; i++) { /* a byte now and then buys no time */
        (void)send(c.fd, &"GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"[i], 1, MSG_NOSIGNAL);
        hear(&c);
        usleep(100000);
    }
    UNTIL(&c, GOT(&c, "HTTP/1.1 408 ") && GOT(&c, "\"head_slow\""));
    leave(&c);
    c = come(*state); /* who asks nothing is not answered */
    UNTIL(&c, c.is_over);
    assert_int_equal(c.got.size, 0);
    leave(&c);
}

static void who_takes_nothing_is_cut(void **state)
{
    world *w = *state;
    caller c = come(w);
    (void)send(c.fd, "GET /flood HTTP/1.1\r\n" HOST "\r\n", 32, MSG_NOSIGNAL);
    uint64_t limit = uv_hrtime() + UINT64_C(60000000000);
    while (w->gone == 0 && uv_hrtime() < limit) {
        turn_loop(w);
        usleep(1000);
    }
    assert_int_equal(w->gone, 1);
    assert_true(w->flooded < (size_t)16 << 20);
    leave(&c);
    /* Who takes it has it all. */
    w->flooded = 0;
    c = come(w);
    say(&c, "GET /flood HTTP/1.1\r\n" HOST "\r\n");
    UNTIL(&c, !w->waiting && c.got.size > (size_t)16 << 20);
    leave(&c);
}

static void who_leaves_is_noticed(void **state)
{
    static const char *const requests_[] = { "GET /wait HTTP/1.1\r\n" HOST "\r\n", "GET /wait HTTP/1.0\r\n" HOST "\r\n",
                                             "GET /flood HTTP/1.1\r\n" HOST "\r\n" };
    world *w = *state;
    for (size_t i = 0; i < RD_ARRAY_LEN(requests_); i++) {
        caller c = come(w), other = come(w);
        say(&c, requests_[i]);
        assert_non_null(w->waiting);
        leave(&c);
        UNTIL(&other, w->gone == i + 1);
        assert_null(w->waiting);
        leave(&other);
    }
}

static void a_stop_answers_who_waits(void **state)
{
    world *w = *state;
    caller c = come(w), body = come(w), idle = come(w), stream = come(w);
    say(&stream, "GET /flood HTTP/1.1\r\n" HOST "\r\n");
    size_t taken = stream.got.size;
    assert_true(taken > 0);
    w->waiting = NULL;
    say(&c, "GET /wait HTTP/1.1\r\n" HOST "\r\n");
    say(&body, "POST /a HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nab");
    api_front_stop(w->front);
    assert_int_equal(w->gone, 2);
    UNTIL(&c, c.is_over);
    UNTIL(&body, body.is_over);
    UNTIL(&idle, idle.is_over);
    UNTIL(&stream, stream.is_over);
    assert_true(GOT(&c, "HTTP/1.1 503 ") && GOT(&c, "Retry-After: 1") && GOT(&body, "HTTP/1.1 503 "));
    assert_int_equal(idle.got.size, 0);
    assert_null(memmem(stream.got.data, stream.got.size, "\r\n0\r\n", 5));
    leave(&c);
    leave(&body);
    leave(&idle);
    leave(&stream);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(requests),
        TEST(no_length_where_none_belongs),
        TEST(at_once_and_in_turn),
        TEST(an_expectation_is_met),
        TEST(ahead_is_bounded),
        TEST(heads_are_bounded),
        TEST(slow_heads),
        TEST(who_takes_nothing_is_cut),
        TEST(who_leaves_is_noticed),
        TEST(a_stop_answers_who_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
